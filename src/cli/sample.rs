//! `brimful sample`.

use std::sync::Arc;

use super::args::{SampleArgs, session_options};
use super::delivery::{Delivery, output_of};
use super::input::Input;
use crate::error::Result;
use crate::exec::CancelToken;
use crate::operators::sample::{Choice, SampleSink};
use crate::session::Session;

/// Rows when nothing is said.
const USUAL_ROWS: u64 = 10;

/// Shows rows chosen at random.
pub(super) fn run(args: &SampleArgs, cancel: &CancelToken) -> Result<()> {
    let output = output_of(&args.output)?;
    let session = Session::new(session_options(&args.session, &args.reading))?;
    let input = Input::open(&session, &args.input.files)?;
    let choice = match args.fraction {
        Some(part) => Choice::Fraction(part),
        None => Choice::Rows(usize::try_from(args.rows.unwrap_or(USUAL_ROWS)).unwrap_or(usize::MAX)),
    };
    let query = session.sql(&input.select(&args.columns)?)?;
    let chosen = |schema, ordered, cx: &_| -> Result<Arc<dyn crate::exec::Sink>> {
        Ok(Arc::new(SampleSink::new(choice, args.seed, output.sink(schema, ordered, cx)?, cx)))
    };
    Delivery::new(&session, &args.messages, cancel).run_with(query, &output, &chosen).map(|_| ())
}
