//! Running the built command in a folder.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The command, without the settings of whoever runs the tests.
#[allow(dead_code, reason = "not every test runs the command alone")]
pub fn brimful(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
    quiet(&mut command, folder);
    command
}

/// A line for a shell that knows the command.
#[allow(dead_code, reason = "not every test runs a shell")]
pub fn shell(folder: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    quiet(&mut command, folder);
    let bin = Path::new(env!("CARGO_BIN_EXE_brimful")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = [bin.to_path_buf()].into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(paths).unwrap()).args(["-c", line]);
    command
}

fn quiet(command: &mut Command, folder: &Path) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BRIMFUL_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null()).env_remove("NO_COLOR").env("TERM", "dumb");
    command.env("XDG_CONFIG_HOME", folder.join("no-config")).env("XDG_STATE_HOME", folder.join("state"));
}

/// Exit code and both streams as text.
pub fn transcript(output: &Output) -> String {
    let mut text = format!("exit {}\n", output.status.code().map_or("by a signal".into(), |code| code.to_string()));
    for (name, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        for line in String::from_utf8_lossy(bytes).lines() {
            text.push_str(&format!("{name}| {line}\n"));
        }
    }
    text
}
