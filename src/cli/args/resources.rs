//! The resources of a session, and the session options that all shared flags make.

use std::path::PathBuf;

use clap::Args;

use super::ReadingArgs;
use crate::cli::messages;
use crate::exec::format_bytes;
use crate::memory::{Budget, machine_bytes, parse_bytes};
use crate::session::{SessionOptions, Strain};
use crate::spill::SpillConfig;

/// The resources of a session.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Resources")]
pub struct SessionArgs {
    /// The most memory the process may hold: 512MiB, 4GB or 50% [default: 60% of the machine, 75% of a container]
    #[arg(long, value_name = "BYTES", value_parser = parse_budget)]
    memory_budget: Option<Budget>,

    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<u16>,

    /// Spill to this folder; may be given several times, for several disks [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    spill_dir: Vec<PathBuf>,

    /// The most bytes to spill: 100GB [default: 80% of the free space]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    spill_limit: Option<u64>,
}

/// A session with these resources that reads files this way.
pub fn session_options(session: &SessionArgs, reading: &ReadingArgs) -> SessionOptions {
    if let Some(budget) = session.memory_budget {
        warn_of_more_than_there_is(budget);
    }
    SessionOptions {
        budget: session.memory_budget,
        threads: session.threads.map(usize::from),
        spill: SpillConfig { dirs: session.spill_dir.clone(), limit_bytes: session.spill_limit },
        files: reading.file_tables(),
        strain: Strain::default(),
    }
}

/// The session options of a pipeline file: flags are stronger, and `usual`, from variables and configuration, is weaker.
pub fn session_options_over(flags: &SessionArgs, settings: SessionOptions, usual: &SessionArgs) -> SessionOptions {
    let threads = |args: &SessionArgs| args.threads.map(usize::from);
    let dirs = [&flags.spill_dir, &settings.spill.dirs, &usual.spill_dir].into_iter().find(|dirs| !dirs.is_empty());
    let limit_bytes = flags.spill_limit.or(settings.spill.limit_bytes).or(usual.spill_limit);
    SessionOptions {
        budget: flags.memory_budget.or(settings.budget).or(usual.memory_budget),
        threads: threads(flags).or(settings.threads).or(threads(usual)),
        spill: SpillConfig { dirs: dirs.cloned().unwrap_or_default(), limit_bytes },
        ..settings
    }
}

/// Nothing keeps such a process from being killed by the system.
fn warn_of_more_than_there_is(budget: Budget) {
    if budget.bytes() > machine_bytes() {
        let (asked, there) = (format_bytes(budget.bytes()), format_bytes(machine_bytes()));
        messages::warn(format_args!(
            "the memory budget of {asked} is more than the {there} of this machine or container"
        ));
    }
}

fn parse_threads(text: &str) -> Result<u16, String> {
    let n_threads = text.parse().ok().filter(|n| (1..=1024).contains(n));
    n_threads.ok_or_else(|| "a number of threads is from 1 to 1024".to_string())
}

fn parse_budget(text: &str) -> Result<Budget, String> {
    Budget::parse(text).map_err(|error| error.to_string())
}

pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|error| error.to_string())
}
