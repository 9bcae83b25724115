//! `brimful completions`.

use clap::CommandFactory;

use super::args::{CommandLine, CompletionsArgs};
use super::messages;
use crate::error::Result;

/// Prints the script.
pub(super) fn run(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "brimful", &mut script);
    messages::print(&String::from_utf8_lossy(&script))
}
