//! Completion at the prompt: keywords, functions, tables, columns of the tables that are named, and paths in quotes.
//!
//! Memory: the names of columns of tables that were named.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};

use super::commands::COMMANDS;
use crate::cli::input::quoted;
use crate::session::Session;
use crate::sql::function_names;
use crate::sql::split::{ends_in_quotes, is_whole};

/// Keywords worth completing.
const KEYWORDS: &str = "all and as asc between by case cast copy count create cross describe desc distinct drop else end \
     except exists explain analyze false filter from full group having in inner intersect interval into is join last left \
     like limit natural not null nulls offset on or order outer over partition qualify recursive replace right rows select \
     semi anti show tables table temp then to true union unnest using values view when where window with within";

/// The session, shared with the loop that runs statements; none while it is made anew.
pub(super) type SharedSession = Rc<RefCell<Option<Session>>>;

/// Completes, and says whether a statement is whole.
#[derive(Helper, Highlighter, Hinter)]
pub(super) struct PromptHelper {
    paths: FilenameCompleter,
    session: SharedSession,
    /// Columns by the table they were looked up for.
    columns: RefCell<BTreeMap<String, Vec<String>>>,
    /// What was run last: what is typed before its FROM often reads the same tables.
    last: RefCell<String>,
}

impl PromptHelper {
    pub(super) fn new(session: SharedSession) -> Self {
        PromptHelper { paths: FilenameCompleter::new(), session, columns: RefCell::default(), last: RefCell::default() }
    }

    /// Keeps in mind what was run.
    pub(super) fn remember(&self, text: &str) {
        *self.last.borrow_mut() = text.to_string();
    }

    /// Names that begin with `word`.
    fn names(&self, line: &str, word: &str) -> Vec<String> {
        let lower = word.to_lowercase();
        let starts = |name: &str| name.to_lowercase().starts_with(&lower);
        let is_upper = word.chars().any(char::is_uppercase);
        let mut names = self.columns_of(line);
        if names.is_empty() {
            names = self.columns_of(&self.last.borrow());
        }
        names.retain(|name| starts(name));
        for name in &mut names {
            if name.chars().any(|letter| !letter.is_ascii_lowercase() && !letter.is_ascii_digit() && letter != '_') {
                *name = quoted(name);
            }
        }
        if let Some(session) = &*self.session.borrow() {
            names.extend(session.table_names().into_iter().filter(|name| starts(name)));
        }
        names.sort();
        let keywords = KEYWORDS.split_whitespace().filter(|keyword| starts(keyword));
        let keywords = keywords.map(|keyword| if is_upper { keyword.to_uppercase() } else { keyword.to_string() });
        let mut functions: Vec<String> = function_names().into_iter().filter(|name| starts(name)).collect();
        functions.sort();
        names.extend(keywords.chain(functions));
        names.dedup();
        names
    }

    /// The columns of all tables that `line` names in quotes, and of tables of the session that occur in it.
    fn columns_of(&self, line: &str) -> Vec<String> {
        let session = self.session.borrow();
        let Some(session) = &*session else { return Vec::new() };
        let paths = line.split('\'').skip(1).step_by(2).map(str::to_string);
        let tables = session.table_names().into_iter().filter(|name| line.contains(name.as_str()));
        let mut known = self.columns.borrow_mut();
        let mut found = Vec::new();
        for table in paths.chain(tables) {
            let columns = known.entry(table.clone()).or_insert_with(|| look_up(session, &table));
            found.extend(columns.iter().cloned());
        }
        found.sort();
        found.dedup();
        found
    }
}

/// What is no table has no columns.
fn look_up(session: &Session, table: &str) -> Vec<String> {
    let query = session.sql(&format!("SELECT * FROM {}", quoted(table)));
    query.map_or_else(|_| Vec::new(), |query| query.column_names())
}

impl Completer for PromptHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _cx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        if ends_in_quotes(before) {
            return self.paths.complete_path(line, pos);
        }
        let word_start = before.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let word_start = word_start.map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = &before[word_start..];
        let names: Vec<String> = match before.trim_start().strip_prefix('\\') {
            Some(typed) if typed == word => {
                COMMANDS.iter().map(|(name, ..)| name.to_string()).filter(|name| name.starts_with(word)).collect()
            }
            _ if word.is_empty() => Vec::new(),
            _ => self.names(line, word),
        };
        let pair = |name: String| Pair { display: name.clone(), replacement: name };
        Ok((word_start, names.into_iter().map(pair).collect()))
    }
}

impl Validator for PromptHelper {
    fn validate(&self, cx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(cx.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}
