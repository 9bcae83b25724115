//! Brimful: an out-of-core dataframe and SQL engine.
//!
//! Group, filter and sort files many times larger than memory while the process never grows past one number, the memory
//! budget. What does not fit spills, compressed, to temporary files.

// Module docs speak to those who change the code, too.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cli;
pub mod error;
pub mod exec;
pub mod frame;
pub mod io;
pub mod memory;
pub mod operators;
pub mod physical;
pub mod pipeline;
pub mod plan;
pub mod row;
pub mod session;
pub mod spill;
pub mod sql;

pub use error::{Error, ErrorKind, Result};
#[doc(hidden)]
pub use session::Strain;
pub use session::{Prepared, Session, SessionOptions, Statements};
