//! Where the prompt gets its text from: a person at a terminal, or a pipe.

use std::io::{BufRead, IsTerminal, Read, StdinLock};
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use super::complete::{PromptHelper, SharedSession};
use crate::error::{Error, Result};
use crate::io::files::make_folder_of;
use crate::sql::MOST_TEXT_BYTES;
use crate::sql::split::is_whole;

/// Entries of the history that are kept.
const MOST_ENTRIES: usize = 10_000;

/// What came from the user.
pub(super) enum Typed {
    /// Whole statements, or a command of the prompt.
    Text(String),
    /// Ctrl-C at the prompt.
    Nothing,
    /// The end of the input, and what stood there without a semicolon.
    End(String),
}

/// Where text comes from.
pub(super) enum Lines {
    Terminal { editor: Box<Editor<PromptHelper, DefaultHistory>>, history: Option<PathBuf> },
    Piped(StdinLock<'static>),
}

impl Lines {
    /// A prompt when a person types, otherwise plain lines.
    pub(super) fn open(session: &SharedSession) -> Result<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(Lines::Piped(stdin.lock()));
        }
        let config = Config::builder().completion_type(CompletionType::List).auto_add_history(false);
        let config = config.max_history_size(MOST_ENTRIES).map_err(failed)?.build();
        let mut editor = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(PromptHelper::new(session.clone())));
        let history = history_file();
        if let Some(file) = &history {
            // The first time there is none; a history that cannot be read is no reason not to start.
            let _ = editor.load_history(file);
        }
        Ok(Lines::Terminal { editor: Box::new(editor), history })
    }

    /// Whether a person types.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Lines::Terminal { .. })
    }

    /// What comes next.
    pub(super) fn read(&mut self) -> Result<Typed> {
        match self {
            Lines::Terminal { editor, .. } => match editor.readline("brimful> ") {
                Ok(text) => {
                    let _ = editor.add_history_entry(text.trim());
                    if let Some(helper) = editor.helper() {
                        helper.remember(&text);
                    }
                    Ok(Typed::Text(text))
                }
                Err(ReadlineError::Interrupted) => Ok(Typed::Nothing),
                Err(ReadlineError::Eof) => Ok(Typed::End(String::new())),
                Err(error) => Err(failed(error)),
            },
            Lines::Piped(stdin) => {
                let mut text = String::new();
                loop {
                    let most = (MOST_TEXT_BYTES + 1).saturating_sub(text.len()) as u64;
                    let n = stdin.by_ref().take(most).read_line(&mut text).map_err(|error| failed(error.into()))?;
                    if text.len() > MOST_TEXT_BYTES {
                        return Err(Error::usage(format!("a statement has more than {MOST_TEXT_BYTES} bytes"))
                            .with_hint("every statement ends with ;"));
                    }
                    match n {
                        0 => return Ok(Typed::End(text)),
                        _ if !text.trim().is_empty() && is_whole(&text) => return Ok(Typed::Text(text)),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Keeps the history for the next time. A folder that cannot be written is no error.
    pub(super) fn close(self) {
        if let Lines::Terminal { mut editor, history: Some(file) } = self
            && make_folder_of(&file).is_ok()
        {
            let _ = editor.save_history(&file);
        }
    }
}

/// In the user's folder for state.
fn history_file() -> Option<PathBuf> {
    let of_user = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let of_user = of_user.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")))?;
    Some(of_user.join("brimful/history"))
}

fn failed(error: ReadlineError) -> Error {
    Error::query(format!("cannot read from the terminal: {error}"))
}
