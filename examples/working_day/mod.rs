//! Three working days: data that is made, and the questions that are asked of it, as frames and as SQL.
//!
//! The examples and the test that compares both use this.

// Each example uses a part.
#![allow(dead_code)]

pub mod claims;
pub mod health;
pub mod random;
pub mod sensors;
pub mod write;

/// A question as a frame, and the same as SQL.
pub struct Question {
    /// What is asked.
    pub name: &'static str,
    /// The frame that answers it.
    pub frame: brimful::frame::LazyFrame,
    /// The SQL that answers it.
    pub sql: String,
}

/// The number of rows and the memory budget of the command line, as a session.
pub fn arguments(n_rows: usize) -> Result<(usize, brimful::Session), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let n_rows = args.next().map_or(Ok(n_rows), |rows| rows.replace('_', "").parse())?;
    let budget = brimful::memory::Budget::parse(&args.next().unwrap_or("512MiB".into()))?;
    let options = brimful::SessionOptions { budget: Some(budget), ..Default::default() };
    Ok((n_rows, brimful::Session::new(options)?))
}
