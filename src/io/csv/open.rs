//! What a set of CSV files looks like: dialect, header, columns, types.
//!
//! Memory: one block while looking at a file. Of many files, the first ones and every so many-th are looked at; the
//! others are checked when the scan opens them, so that nothing is lost and opening thousands of files is cheap.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use memchr::memchr;

use super::bad_rows::type_name;
use super::column::{ColumnSettings, NullTexts};
use super::compressed::read_failed;
use super::feed::BlockBuffer;
use super::header::{Head, HeadBounds, numbered_name, read_names};
use super::infer::{Guess, looks_like_header};
use super::options::{CsvOptions, OnBadRow};
use super::scan::CsvScan;
use super::sniff::sniff_delimiter;
use super::stream::{OpenText, Text, open_text, read_fully};
use super::structure::{Dialect, QuoteState, find_boundaries};
use super::tokens::Tokens;
use crate::error::{Error, Result};
use crate::io::suggest::closest;
use crate::io::{Scan, ScanRequest, Table, TableStatistics};
use crate::memory::Memory;

/// Files that are looked at one by one before only every so many-th is.
const FIRST_FILES: usize = 1024;

/// Rows and bytes that are looked at when the user says nothing.
const INFER_ROWS: u64 = 10_000;
const INFER_BYTES: u64 = 1 << 20;

/// Bytes for the delimiter.
const SNIFF_BYTES: usize = 64 * 1024;

/// One or more CSV files read as one table.
pub struct CsvTable {
    definition: Arc<Definition>,
    memory: Memory,
}

/// Everything that is settled before a scan.
pub(super) struct Definition {
    pub(super) paths: Vec<PathBuf>,
    pub(super) dialect: Dialect,
    pub(super) has_header: bool,
    pub(super) schema: SchemaRef,
    /// The columns by name.
    pub(super) columns: HashMap<String, usize>,
    /// Whether a column's type was inferred and not declared.
    pub(super) is_inferred: Vec<bool>,
    /// Rows that were looked at.
    pub(super) n_inferred_rows: u64,
    pub(super) nulls: NullTexts,
    pub(super) on_bad_row: OnBadRow,
    pub(super) max_row_bytes: u64,
    pub(super) block_bytes: usize,
    pub(super) file_bytes: u64,
}

impl Definition {
    /// Whether file `idx` was looked at for the schema.
    pub(super) fn looks_at(&self, idx: usize) -> bool {
        looks_at(idx, self.paths.len())
    }

    /// What the builder of a column is told.
    pub(super) fn column_settings(&self, column: usize) -> ColumnSettings {
        let (quote, nulls) = (self.dialect.quote, self.nulls.clone());
        ColumnSettings { quote, nulls, strict: self.is_inferred[column] }
    }
}

/// Whether file `idx` of `n_files` is looked at for the schema.
fn looks_at(idx: usize, n_files: usize) -> bool {
    idx < FIRST_FILES || idx.is_multiple_of(n_files.div_ceil(FIRST_FILES))
}

impl CsvTable {
    /// Looks at the first rows of files and settles how to read them. Empty files are passed over.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for a file that cannot be read, and when no file has any column;
    /// [`crate::ErrorKind::Usage`] for a declared column that no file has, or a type that CSV cannot be read as.
    pub fn open(paths: &[PathBuf], options: CsvOptions, memory: &Memory) -> Result<CsvTable> {
        let mut file_bytes = 0;
        for path in paths {
            file_bytes += std::fs::metadata(path).map_err(|error| Error::read_failed(path, &error))?.len();
        }
        let sampler = Sampler {
            nulls: NullTexts::new(&options.null_values),
            max_row_bytes: options.max_row_bytes(memory),
            memory,
            options: &options,
        };
        let looked_at = paths.iter().enumerate().filter(|(idx, _)| looks_at(*idx, paths.len()));
        let looked_at: Vec<&PathBuf> = looked_at.map(|(_, path)| path).collect();
        let dialect = sampler.find_dialect(&looked_at)?;
        let samples = sampler.look_at(&looked_at, dialect)?;
        let has_header = match options.header {
            Some(has_header) => has_header,
            None => find_header(&samples)?,
        };
        let united = unite(&samples, has_header, dialect)?;
        let may_add = looked_at.len() < paths.len() || samples.is_empty();
        let (schema, is_inferred) = declare(united, &options.schema_overrides, may_add)?;
        if schema.fields().is_empty() {
            let name = paths.first().map_or_else(|| "the input".into(), |path| path.display().to_string());
            return Err(Error::data(format!("{name} is empty: it has neither a header nor a row"))
                .with_hint("declare its columns, for example: --schema id=int64"));
        }
        let columns = schema.fields().iter().enumerate().map(|(idx, field)| (field.name().clone(), idx)).collect();
        let definition = Definition {
            paths: paths.to_vec(),
            dialect,
            has_header,
            schema,
            columns,
            is_inferred,
            n_inferred_rows: samples.iter().map(|sample| sample.n_rows).sum(),
            nulls: sampler.nulls.clone(),
            max_row_bytes: sampler.max_row_bytes,
            block_bytes: options.block_bytes(memory),
            on_bad_row: options.on_bad_row,
            file_bytes,
        };
        Ok(CsvTable { definition: Arc::new(definition), memory: memory.clone() })
    }
}

impl Table for CsvTable {
    fn schema(&self) -> SchemaRef {
        self.definition.schema.clone()
    }

    fn statistics(&self) -> TableStatistics {
        TableStatistics { n_rows: None, file_bytes: self.definition.file_bytes, columns: Vec::new() }
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        CsvScan::prepare(self.definition.clone(), request, &self.memory)
    }

    fn describe(&self) -> String {
        match &self.definition.paths[..] {
            [path] => format!("csv {}", path.display()),
            paths => format!("csv {} and {} more files", paths[0].display(), paths.len() - 1),
        }
    }
}

/// What the start of one file says.
struct Sample {
    path: PathBuf,
    /// The fields of the first record.
    first: Vec<(String, Guess)>,
    names: Vec<String>,
    /// The columns below the first record.
    below: Vec<Guess>,
    n_rows: u64,
}

struct Sampler<'a> {
    options: &'a CsvOptions,
    nulls: NullTexts,
    max_row_bytes: u64,
    memory: &'a Memory,
}

impl Sampler<'_> {
    fn find_dialect(&self, paths: &[&PathBuf]) -> Result<Dialect> {
        let quote = self.options.quote;
        let mut dialect = Dialect { delimiter: self.options.delimiter.unwrap_or(b','), quote };
        if self.options.delimiter.is_some() {
            return Ok(dialect);
        }
        for path in paths {
            let mut reader = self.open(path)?;
            let head = Head::read_at_least(SNIFF_BYTES, &mut *reader, path, self.bounds(dialect))?;
            if head.record.0 < head.record.1 {
                dialect.delimiter = sniff_delimiter(&head.bytes[head.record.0..], quote, head.is_whole_file);
                break;
            }
        }
        Ok(dialect)
    }

    fn bounds(&self, dialect: Dialect) -> HeadBounds<'_> {
        HeadBounds { dialect, max_row_bytes: self.max_row_bytes, memory: self.memory }
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read>> {
        let OpenText { text, .. } = open_text(path, self.memory, Arc::default())?;
        Ok(match text {
            Text::Plain(file) => Box::new(file),
            Text::Streamed { reader, .. } => reader,
        })
    }

    /// The samples of the files that hold anything.
    fn look_at(&self, paths: &[&PathBuf], dialect: Dialect) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let n_paths = paths.len().max(1) as u64;
        for path in paths {
            let share = if samples.is_empty() { 1 } else { n_paths };
            let n_rows = (self.options.infer_rows.unwrap_or(INFER_ROWS) / share).max(100);
            let n_bytes = match self.options.infer_rows {
                Some(_) => u64::MAX,
                None => (INFER_BYTES / share).max(16 * 1024),
            };
            if let Some(sample) = self.look_at_file(path, dialect, n_rows, n_bytes)? {
                add_sample(&mut samples, sample);
            }
        }
        Ok(samples)
    }

    fn look_at_file(&self, path: &Path, dialect: Dialect, n_rows: u64, mut n_bytes: u64) -> Result<Option<Sample>> {
        let mut reader = self.open(path)?;
        let head = Head::read(&mut *reader, path, self.bounds(dialect))?;
        let fields = head.fields(dialect);
        if fields.is_empty() {
            return Ok(None);
        }
        let names = read_names(&fields, path, dialect.quote)?;
        let guesses = fields.iter().map(|field| Guess::of(field, dialect.quote, &self.nulls));
        let first = names.iter().cloned().zip(guesses).collect();
        let below = vec![Guess::Nothing; fields.len()];
        let mut sample = Sample { path: path.to_owned(), first, names, below, n_rows: 0 };
        let mut tokens = Tokens::new(fields.len(), dialect);
        let mut buffer = BlockBuffer::new(self.memory);
        let rest = &head.bytes[head.second_record()..];
        let (mut filled, mut is_end) = (rest.len(), head.is_whole_file);
        buffer.make_room(filled)?;
        buffer.bytes[..filled].copy_from_slice(rest);
        loop {
            let mut state = QuoteState::RECORD_START;
            let found = find_boundaries(&buffer.bytes, 0, filled, dialect, &mut state, false);
            let mut end = found.last.unwrap_or(0);
            if is_end && end < filled && !state.in_quote {
                buffer.bytes[filled] = b'\n';
                end = filled + 1;
            }
            sample.look_at_rows(&mut tokens, &buffer.bytes, end, n_rows, self);
            n_bytes = n_bytes.saturating_sub(end as u64);
            if is_end || n_bytes == 0 || sample.n_rows >= n_rows || filled as u64 > self.max_row_bytes + n_bytes {
                return Ok(Some(sample));
            }
            buffer.bytes.copy_within(end..filled, 0);
            filled -= end;
            let want = (2 * filled).max(SNIFF_BYTES);
            buffer.make_room(want)?;
            let n = read_fully(&mut *reader, &mut buffer.bytes[filled..want]);
            filled += n.map_err(|error| read_failed(path, &error))?;
            is_end = filled < want;
        }
    }
}

impl Sample {
    fn look_at_rows(&mut self, tokens: &mut Tokens, data: &[u8], end: usize, n_rows: u64, sampler: &Sampler<'_>) {
        let quote = sampler.options.quote;
        let has_quotes = memchr(quote, &data[..end]).is_some();
        let mut at = 0;
        while at < end && self.n_rows < n_rows {
            at = tokens.find_rows(data, at, end, has_quotes);
            for run in &tokens.runs {
                let rows = tokens.rows(data, *run);
                for row in 0..rows.n_rows.min((n_rows - self.n_rows) as usize) {
                    for (column, guess) in self.below.iter_mut().enumerate() {
                        if *guess != Guess::Text {
                            let (start, end) = rows.field(row, column);
                            *guess = guess.widen(Guess::of(&data[start..end], quote, &sampler.nulls));
                        }
                    }
                    self.n_rows += 1;
                }
            }
        }
    }
}

/// Adds what a file says to an earlier file with the same header, or to the others: however many files there are, one
/// sample is kept for each header.
fn add_sample(samples: &mut Vec<Sample>, sample: Sample) {
    let is_same = |known: &&mut Sample| known.names == sample.names && looks_like_header(&known.first, &known.below);
    match samples.iter_mut().find(is_same) {
        Some(known) => {
            known.below.iter_mut().zip(&sample.below).for_each(|(guess, more)| *guess = guess.widen(*more));
            known.n_rows += sample.n_rows;
        }
        None => samples.push(sample),
    }
}

/// Whether the first rows of the files name their columns. All files or none of them.
fn find_header(samples: &[Sample]) -> Result<bool> {
    let Some((first, others)) = samples.split_first() else { return Ok(true) };
    let judge = |sample: &Sample| looks_like_header(&sample.first, &sample.below);
    let has_header = judge(first);
    let agrees = |sample: &Sample| judge(sample) == has_header || (has_header && sample.names == first.names);
    let Some(other) = others.iter().find(|sample| !agrees(sample)) else { return Ok(has_header) };
    let (with, without) = if has_header { (first, other) } else { (other, first) };
    Err(Error::data(format!(
        "{} seems to begin with a header and {} without one",
        with.path.display(),
        without.path.display()
    ))
    .with_hint(
        "say which it is for all files: --header yes or --header no; if they really differ, give those without a header one",
    ))
}

/// The columns of all samples, in the order of their first appearance.
fn unite(samples: &[Sample], has_header: bool, dialect: Dialect) -> Result<Vec<(String, Guess)>> {
    let mut united: Vec<(String, Guess)> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for sample in samples {
        if !has_header && sample.first.len() != samples[0].first.len() {
            return Err(Error::data(format!(
                "{} has {} columns and {} has {}",
                samples[0].path.display(),
                samples[0].first.len(),
                sample.path.display(),
                sample.first.len()
            ))
            .with_hint(format!(
                "files without a header must have the same columns; the delimiter is {:?}, see --delimiter and --header",
                char::from(dialect.delimiter)
            )));
        }
        for (idx, below) in sample.below.iter().enumerate() {
            let (name, guess) = match has_header {
                true => (sample.names[idx].clone(), *below),
                false => (numbered_name(idx), sample.first[idx].1.widen(*below)),
            };
            match positions.get(&name) {
                Some(&position) => united[position].1 = united[position].1.widen(guess),
                None => {
                    positions.insert(name.clone(), united.len());
                    united.push((name, guess));
                }
            }
        }
    }
    Ok(united)
}

/// Puts declared types in the place of inferred ones. Says for every column whether its type is inferred.
fn declare(
    united: Vec<(String, Guess)>,
    overrides: &[(String, DataType)],
    may_add: bool,
) -> Result<(SchemaRef, Vec<bool>)> {
    let mut fields: Vec<(String, DataType, bool)> =
        united.into_iter().map(|(name, guess)| (name, guess.data_type(), true)).collect();
    let settings = ColumnSettings { quote: b'"', nulls: NullTexts::default(), strict: false };
    for (name, data_type) in overrides {
        if settings.builder(data_type).is_none() {
            return Err(Error::usage(format!("column {name:?} cannot be read from CSV as {}", type_name(data_type)))
                .with_hint("types are: string, boolean, int8 to uint64, float32, float64, decimal, date, timestamp"));
        }
        let known = fields.iter_mut().find(|(known, _, _)| known == name);
        match known {
            Some(field) => (field.1, field.2) = (data_type.clone(), false),
            None if may_add => fields.push((name.clone(), data_type.clone(), false)),
            None => {
                let error = Error::usage(format!("--schema names column {name:?}, which is not in the input"));
                return Err(match closest(name, fields.iter().map(|(name, _, _)| name.as_str())) {
                    Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                    None => error,
                });
            }
        }
    }
    let is_inferred = fields.iter().map(|(_, _, is_inferred)| *is_inferred).collect();
    let fields: Vec<Field> = fields.into_iter().map(|(name, data_type, _)| Field::new(name, data_type, true)).collect();
    Ok((Arc::new(Schema::new(fields)), is_inferred))
}
