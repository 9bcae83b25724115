//! The resources of a session, and the session options that all shared flags make.

use std::path::PathBuf;

use clap::Args;

use super::ReadingArgs;
use crate::memory::{Budget, parse_bytes};
use crate::session::{SessionOptions, Strain};
use crate::spill::SpillConfig;

/// The resources of a session.
#[derive(Debug, Args)]
#[command(next_help_heading = "Resources")]
pub struct SessionArgs {
    /// The most memory the process may hold: 512MiB, 4GB or 50% [default: 60% of the machine, 75% of a container]
    #[arg(long, value_name = "BYTES", value_parser = parse_budget)]
    memory_budget: Option<Budget>,

    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
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
    SessionOptions {
        budget: session.memory_budget,
        threads: session.threads.map(usize::from),
        spill: SpillConfig { dirs: session.spill_dir.clone(), limit_bytes: session.spill_limit },
        files: reading.file_tables(),
        strain: Strain::default(),
    }
}

/// The session options of a pipeline file, with what the command line says put over them.
pub fn session_options_over(session: &SessionArgs, settings: SessionOptions) -> SessionOptions {
    let dirs = if session.spill_dir.is_empty() { settings.spill.dirs } else { session.spill_dir.clone() };
    SessionOptions {
        budget: session.memory_budget.or(settings.budget),
        threads: session.threads.map(usize::from).or(settings.threads),
        spill: SpillConfig { dirs, limit_bytes: session.spill_limit.or(settings.spill.limit_bytes) },
        ..settings
    }
}

fn parse_budget(text: &str) -> Result<Budget, String> {
    Budget::parse(text).map_err(|error| error.to_string())
}

pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|error| error.to_string())
}
