//! Flags of `brimful completions`.

use clap::Args;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  brimful completions bash > brimful.bash
  brimful completions fish > brimful.fish";

/// Print a script that completes commands and flags in a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}
