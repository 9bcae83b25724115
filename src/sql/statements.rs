//! What a text asks for: queries, and the statements around them.
//!
//! Several statements are separated by `;` and planned one after the other, since one may create what the next one reads.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};

use datafusion_sql::sqlparser::ast::{
    CopyLegacyOption, CopyOption, CopySource, CopyTarget, CreateTable, CreateView, DescribeAlias, Ident, ObjectName,
    ObjectNamePart, ObjectType, Query, Statement,
};
use datafusion_sql::sqlparser::parser::Parser;

use super::clauses::{self, folded};
use super::dialect::SqlDialect;
use super::{Explain, Target, failure, split};
use crate::error::{Error, Result};
use crate::io::OutputFormat;
use crate::io::partitioned::PartitionedOutput;
use crate::memory::Memory;

/// The longest text, so that even one chain of operators from end to end fits the planner's stack.
pub const MOST_TEXT_BYTES: usize = 1 << 20;

/// One statement that was parsed and not planned yet.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    pub(super) request: Request,
}

#[derive(Debug, Clone)]
pub(super) enum Request {
    /// Rows, for somebody.
    Query {
        query: Box<Query>,
        explain: Option<Explain>,
        target: Target,
    },
    CreateView {
        name: String,
        columns: Vec<String>,
        query: Box<Query>,
        if_exists: IfExists,
    },
    Drop {
        names: Vec<String>,
        views: bool,
        if_exists: bool,
    },
    Describe(Box<Query>),
    ShowTables,
    /// The functions as rows.
    ShowFunctions,
}

/// What happens to an older view or table of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// An error.
    Fail,
    /// It goes.
    Replace,
    /// It stays.
    Keep,
}

impl ParsedStatement {
    /// Whether its rows go to where the user said that results go.
    pub fn has_result(&self) -> bool {
        match &self.request {
            Request::Query { explain, target, .. } => explain.is_some() || *target == Target::Result,
            Request::Describe(_) | Request::ShowTables | Request::ShowFunctions => true,
            Request::CreateView { .. } | Request::Drop { .. } => false,
        }
    }
}

/// The statements of a text. Each is parsed once to see that it can be and forgotten, and again when its turn comes: parsed
/// they take a hundred times the memory of their text.
#[derive(Debug)]
pub struct Script {
    text: String,
    pieces: VecDeque<Piece>,
    /// Parsed and not given out.
    parsed: VecDeque<ParsedStatement>,
}

/// A part of a text between semicolons.
#[derive(Debug, Clone)]
struct Piece {
    range: Range<usize>,
    /// Where it begins, both counted from 0.
    line: u64,
    column: u64,
    n_statements: usize,
    n_results: usize,
}

impl Script {
    /// Splits and checks `text`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] with a location where the text is wrong, or naming what is not supported;
    /// [`crate::ErrorKind::Budget`] for a statement that says more than can be planned.
    pub fn read(text: &str, memory: &Memory) -> Result<Self> {
        if text.len() > MOST_TEXT_BYTES {
            return Err(Error::usage(format!("the query is {} bytes long; the most is {MOST_TEXT_BYTES}", text.len()))
                .with_hint("put long lists of values into a file and read it as a table"));
        }
        let mut pieces = pieces(text);
        super::on_deep_stack(|| {
            for piece in &mut pieces {
                check_extent(piece, text, memory)?;
                let statements = parse_piece(piece, text)?;
                piece.n_statements = statements.len();
                piece.n_results = statements.iter().filter(|statement| statement.has_result()).count();
            }
            Ok(())
        })?;
        pieces.retain(|piece| piece.n_statements > 0);
        Ok(Script { text: text.to_string(), pieces, parsed: VecDeque::new() })
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many statements are left.
    pub fn n_statements(&self) -> usize {
        self.parsed.len() + self.pieces.iter().map(|piece| piece.n_statements).sum::<usize>()
    }

    /// How many statements that are left have rows for the user.
    pub fn n_results(&self) -> usize {
        let parsed = self.parsed.iter().filter(|statement| statement.has_result()).count();
        parsed + self.pieces.iter().map(|piece| piece.n_results).sum::<usize>()
    }

    /// The next statement; `None` after the last.
    ///
    /// # Errors
    /// As [`Script::read`].
    pub fn next_statement(&mut self) -> Result<Option<ParsedStatement>> {
        while self.parsed.is_empty()
            && let Some(piece) = self.pieces.pop_front()
        {
            self.parsed = super::on_deep_stack(|| parse_piece(&piece, &self.text))?.into();
        }
        Ok(self.parsed.pop_front())
    }
}

/// What may mean that a semicolon does not stand where it seems to: other quotes, escapes, comments inside of comments.
const OTHER_QUOTES: [&str; 5] = ["$", "\\", "/*", "q'", "Q'"];

/// The parts of `text` between semicolons; all of it where they may stand in quotes of another kind.
fn pieces(text: &str) -> VecDeque<Piece> {
    let (whole, rest) = match OTHER_QUOTES.iter().any(|sign| text.contains(sign)) {
        true => (Vec::new(), text),
        false => split::split(text),
    };
    let (mut at, mut line, mut column) = (0, 0, 0);
    let place = |part: &str| {
        let piece = Piece { range: at..at + part.len(), line, column, n_statements: 0, n_results: 0 };
        at += part.len();
        line += part.matches('\n').count() as u64;
        let last = part.rsplit('\n').next().unwrap_or_default().chars().count() as u64;
        column = if part.contains('\n') { last } else { column + last };
        piece
    };
    whole.into_iter().chain([rest]).map(place).collect()
}

/// About what parsing and planning one word or sign takes: an estimate, made from the peaks of long lists.
const BYTES_PER_WORD: u64 = 1024;

fn check_extent(piece: &Piece, text: &str, memory: &Memory) -> Result<()> {
    // Short enough whatever it says.
    if piece.range.len() as u64 * BYTES_PER_WORD <= memory.governed_bytes() {
        return Ok(());
    }
    let split::Extent { n_words, longest: (behind, n_items) } = split::extent(&text[piece.range.clone()]);
    let bytes = n_words as u64 * BYTES_PER_WORD;
    if bytes <= memory.governed_bytes() {
        return Ok(());
    }
    let list = if behind == "[" { "in [..]".to_string() } else { format!("behind {behind}") };
    Err(Error::budget(format!(
        "a statement of {n_words} words and signs takes about {} MiB to plan; its longest list, {list}, has {n_items} items",
        bytes.div_ceil(1 << 20)
    ))
    .with_location(format!("sql:{}:{}", piece.line + 1, piece.column + 1))
    .with_hint("put long lists of values into a file and read it as a table, or raise --memory-budget"))
}

fn parse_piece(piece: &Piece, text: &str) -> Result<Vec<ParsedStatement>> {
    let fail = |error| failure::syntax(&error);
    let mut parser = super::asof::parser_of(&text[piece.range.clone()], (piece.line, piece.column)).map_err(fail)?;
    let statements = parser.parse_statements().map_err(fail)?.into_iter();
    statements.map(|statement| request(statement).map(|request| ParsedStatement { request })).collect()
}

/// The only statement of `text`.
///
/// # Errors
/// As [`Script::read`], and when there are none or several.
pub fn parse_one(text: &str, memory: &Memory) -> Result<ParsedStatement> {
    let mut script = Script::read(text, memory)?;
    if script.n_statements() > 1 {
        return Err(Error::usage(format!("{} statements at once", script.n_statements())).with_hint(
            "run them one by one, or in a library with `statements`; a query may use WITH to build on another",
        ));
    }
    script.next_statement()?.ok_or_else(nothing_asked)
}

/// For a text without statements.
pub fn nothing_asked() -> Error {
    Error::usage("there is no query").with_hint("for example: SELECT count(*) FROM 'data.csv'")
}

fn request(statement: Statement) -> Result<Request> {
    match statement {
        Statement::Query(query) => Ok(rows(checked(query)?, Target::Result)),
        explain @ Statement::Explain { .. } => explained(explain),
        Statement::ExplainTable { describe_alias: DescribeAlias::Explain, .. } => {
            Err(Error::usage("EXPLAIN of a table").with_hint("DESCRIBE shows its columns"))
        }
        Statement::ExplainTable { table_name, .. } => Ok(Request::Describe(all_of(&table_name)?)),
        show @ (Statement::ShowTables { .. } | Statement::ShowViews { .. }) => match show.to_string().as_str() {
            "SHOW TABLES" | "SHOW VIEWS" => Ok(Request::ShowTables),
            _ => Err(Error::usage("SHOW TABLES shows all views and tables; nothing may follow it")),
        },
        Statement::ShowFunctions { filter: None } => Ok(Request::ShowFunctions),
        Statement::CreateView(create) => create_view(create),
        Statement::CreateTable(create) => create_table(create),
        Statement::Drop { object_type, if_exists, names, cascade, restrict, purge, temporary, table } => {
            if cascade || restrict || purge || table.is_some() || temporary && object_type != ObjectType::Table {
                return Err(Error::usage("this form of DROP is not supported")
                    .with_hint("DROP VIEW or DROP TABLE, IF EXISTS, and names; views of what is gone fail when used"));
            }
            let views = match object_type {
                ObjectType::View => true,
                ObjectType::Table => false,
                other => return Err(Error::usage(format!("DROP {other} is not supported"))),
            };
            let names = names.iter().map(plain_name).collect::<Result<_>>()?;
            Ok(Request::Drop { names, views, if_exists })
        }
        Statement::Copy { source, to, target, options, legacy_options, .. } => {
            if !to {
                return Err(Error::usage("this form of COPY is not supported")
                    .with_hint("for example: COPY (SELECT ..) TO 'result.parquet'"));
            }
            copy(source, target, &options, &legacy_options)
        }
        other => {
            let text = other.to_string();
            let verb = text.split_whitespace().next().unwrap_or_default().to_uppercase();
            Err(Error::usage(format!("{verb} is not supported")).with_hint(
                "there are queries (SELECT, WITH, VALUES), EXPLAIN, CREATE VIEW, CREATE TEMP TABLE .. AS, DROP, \
                 COPY .. TO, DESCRIBE, SHOW TABLES and SHOW FUNCTIONS",
            ))
        }
    }
}

/// EXPLAIN and DESCRIBE of a statement.
fn explained(explain: Statement) -> Result<Request> {
    let refused = |what: &str| Err(Error::usage(format!("{what} is not supported")));
    let Statement::Explain { describe_alias, analyze, verbose, query_plan, estimate, statement, format, options } =
        explain
    else {
        return refused("this form of EXPLAIN");
    };
    if verbose || query_plan || estimate || format.is_some() || options.is_some() {
        return refused("this form of EXPLAIN").map_err(|error| error.with_hint("EXPLAIN .. or EXPLAIN ANALYZE .."));
    }
    match (request(*statement)?, describe_alias) {
        (Request::Query { query, explain: None, .. }, DescribeAlias::Describe | DescribeAlias::Desc) => {
            Ok(Request::Describe(query))
        }
        (Request::Query { query, explain: None, target }, DescribeAlias::Explain) => {
            Ok(Request::Query { query, explain: Some(Explain { analyze }), target })
        }
        _ => refused("EXPLAIN of this statement").map_err(|error| {
            error.with_hint("EXPLAIN goes in front of a query, CREATE TEMP TABLE .. AS or COPY .. TO")
        }),
    }
}

fn rows(query: Box<Query>, target: Target) -> Request {
    Request::Query { query, explain: None, target }
}

fn checked(mut query: Box<Query>) -> Result<Box<Query>> {
    clauses::check(&mut query)?;
    Ok(query)
}

fn create_view(create: CreateView) -> Result<Request> {
    let refused = create.materialized || create.or_alter || create.to.is_some() || !create.cluster_by.is_empty();
    if refused {
        return Err(Error::usage("this form of CREATE VIEW is not supported")
            .with_hint("CREATE TEMP TABLE .. AS keeps the rows of a query"));
    }
    Ok(Request::CreateView {
        name: plain_name(&create.name)?,
        columns: create.columns.iter().map(|column| folded(&column.name)).collect(),
        if_exists: if_exists(create.or_replace, create.if_not_exists),
        query: checked(create.query)?,
    })
}

fn create_table(create: CreateTable) -> Result<Request> {
    let Some(query) = create.query else {
        return Err(Error::usage("CREATE TABLE needs a query").with_hint("CREATE TEMP TABLE name AS SELECT .."));
    };
    if !create.temporary {
        return Err(Error::usage("tables are temporary").with_hint(
            "CREATE TEMP TABLE .. AS keeps rows until the session ends; COPY (..) TO 'file.parquet' keeps them for good",
        ));
    }
    if !create.columns.is_empty() || !create.constraints.is_empty() {
        return Err(Error::usage("a column list in CREATE TEMP TABLE is not supported")
            .with_hint("name the columns in the query with AS"));
    }
    let if_exists = if_exists(create.or_replace, create.if_not_exists);
    Ok(rows(checked(query)?, Target::Table { name: plain_name(&create.name)?, if_exists }))
}

fn if_exists(replace: bool, keep: bool) -> IfExists {
    match (replace, keep) {
        (true, _) => IfExists::Replace,
        (false, true) => IfExists::Keep,
        (false, false) => IfExists::Fail,
    }
}

fn copy(
    source: CopySource,
    target: CopyTarget,
    options: &[CopyOption],
    to_folders: &[CopyLegacyOption],
) -> Result<Request> {
    let query = match source {
        CopySource::Query(query) => checked(query)?,
        CopySource::Table { table_name, columns } if columns.is_empty() => all_of(&table_name)?,
        CopySource::Table { .. } => {
            return Err(Error::usage("COPY of some columns").with_hint("COPY (SELECT a, b FROM ..) TO .."));
        }
    };
    let mut asked = None;
    for option in options {
        match option {
            CopyOption::Format(name) => asked = Some(format_named(name)?),
            CopyOption::Header(true) => {}
            CopyOption::Header(false) => {
                return Err(Error::usage("COPY without a header is not supported")
                    .with_hint("leave HEADER out and drop the first line afterwards: tail -n +2 file.csv"));
            }
            other => return Err(Error::usage(format!("COPY with {other} is not supported"))),
        }
    }
    match target {
        CopyTarget::Stdout => Ok(rows(query, Target::Result)),
        CopyTarget::File { filename } => {
            let path = PathBuf::from(filename);
            if let Some(folder) = partitioned(&path, asked, to_folders)? {
                return Ok(rows(query, Target::Partitioned(folder)));
            }
            let format = asked.or_else(|| OutputFormat::from_path(&path)).ok_or_else(|| {
                Error::usage(format!("the name {} does not tell a format", path.display()))
                    .with_hint("end it in .csv, .ndjson, .parquet or .arrow, or add (FORMAT parquet)")
            })?;
            Ok(rows(query, Target::File { path, format }))
        }
        _ => Err(Error::usage("COPY writes to a file: COPY (SELECT ..) TO 'result.parquet'")),
    }
}

/// The folder to write to, when there are columns to partition by.
fn partitioned(
    path: &Path,
    format: Option<OutputFormat>,
    options: &[CopyLegacyOption],
) -> Result<Option<PartitionedOutput>> {
    let (mut partition_by, mut overwrite) = (Vec::new(), false);
    for option in options {
        match option {
            CopyLegacyOption::PartitionBy(by) => partition_by.extend(by.columns.iter().map(folded)),
            CopyLegacyOption::AllowOverwrite => overwrite = true,
            other => return Err(Error::usage(format!("COPY with {other} is not supported"))),
        }
    }
    match (partition_by.is_empty(), overwrite) {
        (true, false) => Ok(None),
        (true, true) => Err(Error::usage("OVERWRITE is for folders: a file is replaced in any case")
            .with_hint("add PARTITION_BY (column), or leave OVERWRITE out")),
        (false, _) => {
            let format = format.unwrap_or(OutputFormat::Parquet);
            Ok(Some(PartitionedOutput { overwrite, ..PartitionedOutput::new(path, format, partition_by) }))
        }
    }
}

fn format_named(name: &Ident) -> Result<OutputFormat> {
    let known = OutputFormat::from_path(&PathBuf::from(format!("x.{}", name.value)));
    known.ok_or_else(|| {
        Error::usage(format!("there is no format {}", name.value)).with_hint("csv, json, parquet or arrow")
    })
}

/// The name of a view or table: one word.
fn plain_name(name: &ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Ok(folded(name)),
        _ => Err(Error::usage(format!("{name} is not a name for a view or table"))),
    }
}

/// `SELECT * FROM name`.
fn all_of(name: &ObjectName) -> Result<Box<Query>> {
    let text = format!("SELECT * FROM {name}");
    let fail = |error| failure::syntax(&error);
    let query = Parser::new(&SqlDialect).try_with_sql(&text).map_err(fail)?.parse_query().map_err(fail)?;
    checked(query)
}
