//! What a set of NDJSON files looks like: columns and types.
//!
//! Memory: one block while looking at a file. Of many files, the first ones and every so many-th are looked at; rows of the
//! others are checked when they are read, so that nothing is lost and opening thousands of files is cheap.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use memchr::memchr;

use super::column::{Builder, Takes};
use super::cursor::Cursor;
use super::feed::{LineBuffer, too_long};
use super::guess::{Guess, widen_object};
use super::problem::{Problem, What, type_name};
use super::scan::NdJsonScan;
use crate::error::{Error, Result};
use crate::exec::format_bytes;
use crate::io::csv::{CsvOptions, Lines, OnBadRow, SeenRows, open_lines, read_failed, read_fully};
use crate::io::{Scan, ScanRequest, Table, TableFacts, TableStatistics};
use crate::memory::Memory;

/// Files that are looked at one by one before only every so many-th is.
const FIRST_FILES: usize = 1024;

/// Rows and bytes that are looked at when the user says nothing.
const INFER_ROWS: u64 = 10_000;
const INFER_BYTES: u64 = 1 << 20;

/// The longest row when nothing else is said.
const MAX_ROW_BYTES: u64 = 16 << 20;

/// How to read NDJSON files. The default finds out the columns from the first rows.
#[derive(Debug, Clone)]
pub struct NdJsonOptions {
    /// Rows to look at for the columns; `None` is 10,000 rows or 1 MiB, whichever ends first.
    pub infer_rows: Option<u64>,
    /// Types that are declared instead of inferred, by column name. A column declared as text takes any value, objects
    /// and lists as their JSON.
    pub schema_overrides: Vec<(String, DataType)>,
    /// What happens to a row that cannot be read.
    pub on_bad_row: OnBadRow,
    /// The longest row; `None` is 16 MiB or an eighth of the governed memory, whichever is less.
    pub max_row_bytes: Option<u64>,
    /// Test setting: bytes a worker reads at once, instead of the size that follows from the budget.
    #[doc(hidden)]
    pub block_bytes: Option<usize>,
}

impl Default for NdJsonOptions {
    fn default() -> Self {
        NdJsonOptions {
            infer_rows: None,
            schema_overrides: Vec::new(),
            on_bad_row: OnBadRow::Fail,
            max_row_bytes: None,
            block_bytes: None,
        }
    }
}

impl From<CsvOptions> for NdJsonOptions {
    /// What goes for all texts.
    fn from(csv: CsvOptions) -> Self {
        NdJsonOptions {
            infer_rows: csv.infer_rows,
            schema_overrides: csv.schema_overrides,
            on_bad_row: csv.on_bad_row,
            max_row_bytes: csv.max_row_bytes,
            block_bytes: csv.block_bytes,
        }
    }
}

/// One or more NDJSON files read as one table, columns united by name.
pub struct NdJsonTable {
    definition: Arc<Definition>,
    looked_at: LookedAt,
    memory: Memory,
    seen: SeenRows,
}

/// Everything that is settled before a scan.
pub(super) struct Definition {
    pub(super) paths: Vec<PathBuf>,
    pub(super) schema: SchemaRef,
    /// Whether a column's type was declared.
    is_declared: Vec<bool>,
    /// Whether a column's values are kept as they stand in the file, because no type holds them.
    keeps_text: Vec<bool>,
    pub(super) on_bad_row: OnBadRow,
    pub(super) max_row_bytes: u64,
    pub(super) block_bytes: usize,
    pub(super) file_bytes: u64,
}

impl Definition {
    /// What a column takes besides values of its type.
    pub(super) fn takes(&self, column: usize) -> Takes {
        Takes { any: self.is_declared[column] || self.keeps_text[column], long_fractions: self.is_declared[column] }
    }
}

impl NdJsonTable {
    /// Looks at the first rows of files and settles how to read them. Empty files are passed over.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for a file that cannot be read, a row that is no JSON object or conflicts with the rows
    /// before it, and when no file has any column; [`crate::ErrorKind::Usage`] for a declared type that JSON cannot be
    /// read as.
    pub fn open(paths: &[PathBuf], options: NdJsonOptions, memory: &Memory) -> Result<NdJsonTable> {
        let mut file_bytes = 0;
        for path in paths {
            file_bytes += std::fs::metadata(path).map_err(|error| Error::read_failed(path, &error))?.len();
        }
        for (name, data_type) in &options.schema_overrides {
            if Builder::new(data_type, Takes::default()).is_none() {
                let data_type = type_name(data_type);
                return Err(Error::usage(format!("column {name:?} cannot be read from JSON as {data_type}"))
                    .with_hint(
                        "types are: string, boolean, int8 to uint64, float32, float64, decimal, date, timestamp",
                    ));
            }
        }
        let bound = options.max_row_bytes.unwrap_or_else(|| MAX_ROW_BYTES.min(memory.governed_bytes() / 8));
        let mut sampler = Sampler {
            options: &options,
            max_row_bytes: bound.clamp(1, 1 << 30),
            memory,
            fields: Vec::new(),
            looked_at: LookedAt::default(),
        };
        sampler.look_at(paths)?;
        let Sampler { fields, max_row_bytes, looked_at, .. } = sampler;
        let definition = Definition {
            paths: paths.to_vec(),
            max_row_bytes,
            block_bytes: options.block_bytes.unwrap_or(memory.sizes().io_block_bytes).max(1),
            file_bytes,
            ..Self::declare(fields, &options)
        };
        if definition.schema.fields().is_empty() {
            let name = paths.first().map_or_else(|| "the input".into(), |path| path.display().to_string());
            return Err(Error::data(format!("{name} is empty: it has no row with a field"))
                .with_hint("declare its columns, for example: --schema id=int64"));
        }
        let (definition, seen) = (Arc::new(definition), SeenRows::default());
        Ok(NdJsonTable { definition, looked_at, memory: memory.clone(), seen })
    }

    fn declare(guessed: Vec<(String, Guess)>, options: &NdJsonOptions) -> Definition {
        let (mut fields, mut is_declared, mut keeps_text) = (Vec::new(), Vec::new(), Vec::new());
        let declared = &options.schema_overrides;
        for (name, guess) in &guessed {
            let of_user = declared.iter().rev().find(|(known, _)| known == name).map(|(_, data_type)| data_type);
            let data_type = of_user.cloned().unwrap_or_else(|| guess.data_type());
            fields.push(Field::new(name, data_type, true));
            is_declared.push(of_user.is_some());
            keeps_text.push(guess.keeps_text());
        }
        for (name, data_type) in declared {
            if !fields.iter().any(|field| field.name() == name) {
                fields.push(Field::new(name, data_type.clone(), true));
                is_declared.push(true);
                keeps_text.push(false);
            }
        }
        Definition {
            paths: Vec::new(),
            schema: Arc::new(Schema::new(fields)),
            is_declared,
            keeps_text,
            on_bad_row: options.on_bad_row.clone(),
            max_row_bytes: 0,
            block_bytes: 0,
            file_bytes: 0,
        }
    }
}

impl Table for NdJsonTable {
    fn schema(&self) -> SchemaRef {
        self.definition.schema.clone()
    }

    fn statistics(&self) -> TableStatistics {
        TableStatistics { n_rows: None, file_bytes: self.definition.file_bytes, columns: Vec::new() }
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        NdJsonScan::prepare(self.definition.clone(), request, &self.memory, &self.seen)
    }

    fn facts(&self) -> Result<TableFacts> {
        let LookedAt { n_rows, text_bytes, disk_bytes } = self.looked_at;
        // Of a pipe nobody knows how much there is.
        let likely = n_rows as f64 * self.definition.file_bytes as f64 / disk_bytes.max(1) as f64;
        let from = format!("from the first {} of text", format_bytes(text_bytes));
        Ok(TableFacts {
            format: "ndjson".into(),
            n_files: self.definition.paths.len(),
            likely_rows: (likely >= 1.0).then_some((likely as u64, from)),
            ..TableFacts::default()
        })
    }

    fn may_refuse_rows(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        match &self.definition.paths[..] {
            [path] => format!("ndjson {}", path.display()),
            paths => format!("ndjson {} and {} more files", paths[0].display(), paths.len() - 1),
        }
    }
}

/// What the types were found out from.
#[derive(Debug, Clone, Copy, Default)]
struct LookedAt {
    n_rows: u64,
    text_bytes: u64,
    /// What was read for it, which is less where the text is packed.
    disk_bytes: u64,
}

struct Sampler<'a> {
    options: &'a NdJsonOptions,
    max_row_bytes: u64,
    memory: &'a Memory,
    /// What the rows so far say, in the order in which names first appear.
    fields: Vec<(String, Guess)>,
    looked_at: LookedAt,
}

impl Sampler<'_> {
    fn look_at(&mut self, paths: &[PathBuf]) -> Result<()> {
        let step = paths.len().div_ceil(FIRST_FILES).max(1);
        let looks_at = |idx: usize| idx < FIRST_FILES || idx.is_multiple_of(step);
        let n_files = (0..paths.len()).filter(|&idx| looks_at(idx)).count().max(1) as u64;
        let mut has_rows = false;
        for (_, path) in paths.iter().enumerate().filter(|(idx, _)| looks_at(*idx)) {
            let share = if has_rows { n_files } else { 1 };
            let n_rows = match self.options.infer_rows {
                Some(n_rows) => (n_rows / share).max(1),
                None => (INFER_ROWS / share).max(100),
            };
            let n_bytes = match self.options.infer_rows {
                Some(_) => u64::MAX,
                None => (INFER_BYTES / share).max(16 * 1024),
            };
            has_rows |= self.look_at_file(path, n_rows, n_bytes)? > 0;
        }
        Ok(())
    }

    /// Looks at the first rows of a file; returns how many.
    fn look_at_file(&mut self, path: &Path, most_rows: u64, most_bytes: u64) -> Result<u64> {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let (lines, _) = open_lines(path, self.memory, read_bytes.clone())?;
        let (mut reader, reservation): (Box<dyn std::io::Read>, _) = match lines {
            Lines::Plain(file) => (Box::new(file), None),
            Lines::Streamed(reader, reservation) => (reader, Some(reservation)),
        };
        let note = |looked_at: &mut LookedAt, n_rows: u64, text_bytes: u64| {
            looked_at.n_rows += n_rows;
            looked_at.text_bytes += text_bytes;
            let is_packed = reservation.is_some();
            looked_at.disk_bytes += if is_packed { read_bytes.load(Ordering::Relaxed) } else { text_bytes };
        };
        let mut buffer = LineBuffer::new(self.memory);
        let (mut filled, mut n_lines, mut n_rows, mut n_bytes) = (0, 0, 0, 0);
        let mut want = 64 * 1024;
        loop {
            buffer.make_room(want)?;
            let read = read_fully(&mut *reader, &mut buffer.bytes[filled..want]);
            filled += read.map_err(|error| read_failed(path, &error))?;
            let is_end = filled < want;
            if is_end {
                buffer.bytes[filled] = b'\n';
                filled += 1;
            }
            let mut at = if n_bytes == 0 && buffer.bytes[..filled].starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
            while let Some(found) = memchr(b'\n', &buffer.bytes[at..filled]) {
                let line = &buffer.bytes[at..at + found];
                n_rows += self.look_at_line(path, n_lines, line)?;
                n_lines += 1;
                at += found + 1;
                if n_rows >= most_rows || n_bytes + at as u64 >= most_bytes {
                    note(&mut self.looked_at, n_rows, n_bytes + at as u64);
                    return Ok(n_rows);
                }
            }
            if is_end {
                note(&mut self.looked_at, n_rows, n_bytes + at as u64);
                return Ok(n_rows);
            }
            if (filled - at) as u64 > self.max_row_bytes {
                return Err(too_long(path, n_lines + 1, self.max_row_bytes));
            }
            n_bytes += at as u64;
            buffer.bytes.copy_within(at..filled, 0);
            filled -= at;
            want = (2 * filled).max(64 * 1024);
        }
    }

    /// Looks at one line; returns whether it is a row.
    fn look_at_line(&mut self, path: &Path, n_lines: u64, line: &[u8]) -> Result<u64> {
        if line.trim_ascii().is_empty() {
            return Ok(0);
        }
        let declared = &self.options.schema_overrides;
        let is_declared = |name: &str| declared.iter().any(|(known, _)| known == name);
        let looked = match std::str::from_utf8(line) {
            Err(error) => Err(Problem { at: error.valid_up_to(), what: What::Encoding, path: Vec::new() }),
            Ok(_) => {
                let mut cursor = Cursor::new(line);
                widen_object(&mut self.fields, &mut cursor, is_declared).and_then(|()| cursor.end())
            }
        };
        match looked {
            Err(problem) if self.options.on_bad_row == OnBadRow::Fail => {
                Err(located(&problem, path, n_lines + 1, line))
            }
            _ => Ok(1),
        }
    }
}

/// The error for a row of a file.
pub(super) fn located(problem: &Problem, path: &Path, line: u64, row: &[u8]) -> Error {
    let field = problem.field().map(|field| format!(", field {field:?}")).unwrap_or_default();
    Error::data(format!("{}, line {line}{field}: {}", path.display(), problem.reason(row))).with_hint(problem.hint())
}
