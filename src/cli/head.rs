//! `brimful head`.

use super::args::{HeadArgs, session_options};
use super::delivery::{Delivery, output_of};
use super::input::Input;
use crate::error::Result;
use crate::exec::CancelToken;
use crate::session::Session;

/// Shows the first rows.
pub(super) fn run(args: &HeadArgs, cancel: &CancelToken) -> Result<()> {
    let output = output_of(&args.output)?;
    let session = Session::new(session_options(&args.session, &args.reading))?;
    let input = Input::open(&session, &args.input.files)?;
    let sql = format!("{} LIMIT {}", input.select(&args.columns)?, args.rows);
    Delivery::new(&session, &args.messages, cancel).run(session.sql(&sql)?, &output).map(|_| ())
}
