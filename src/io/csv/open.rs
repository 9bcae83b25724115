//! What a set of CSV files looks like: dialect, header, columns, types.
//!
//! Memory: one block while looking at a file. Of many files, the first ones and every so many-th are looked at; the
//! others are checked when the scan opens them, so that nothing is lost and opening thousands of files is cheap.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::bad_rows::type_name;
use super::column::{ColumnSettings, Forms, NullTexts};
use super::header::numbered_name;
use super::infer::{Guess, looks_like_header};
use super::options::{CsvOptions, Encoding, OnBadRow, Ragged};
use super::sample::{Sample, Sampler};
use super::scan::CsvScan;
use super::seen_rows::SeenRows;
use super::shared_schema::not_in_input;
use super::stream::Access;
use super::structure::Dialect;
use super::time_format::{TimeFormat, Use};
use crate::error::{Error, Result};
use crate::io::{Scan, ScanRequest, Table, TableFacts, TableStatistics};
use crate::memory::Memory;

/// Files that are looked at one by one before only every so many-th is.
const FIRST_FILES: usize = 1024;

/// One or more CSV files read as one table.
pub struct CsvTable {
    definition: Arc<Definition>,
    memory: Memory,
    /// The bad rows that the scans of a query have in common.
    seen: SeenRows,
}

/// Everything that is settled before a scan.
#[derive(Clone)]
pub(super) struct Definition {
    pub(super) paths: Vec<PathBuf>,
    pub(super) dialect: Dialect,
    pub(super) encoding: Option<Encoding>,
    /// Lines before everything else in each file.
    pub(super) skip_rows: u64,
    pub(super) ragged: Ragged,
    pub(super) has_header: bool,
    pub(super) schema: SchemaRef,
    /// The columns by name.
    pub(super) columns: HashMap<String, usize>,
    /// Whether a column's type was inferred and not declared.
    pub(super) is_inferred: Vec<bool>,
    /// How a column's dates or times are written where not in ISO 8601.
    pub(super) formats: Vec<Option<Arc<TimeFormat>>>,
    /// Columns that look like something else than the text they are read as.
    pub(super) hints: Vec<String>,
    /// Rows that were looked at.
    pub(super) n_inferred_rows: u64,
    pub(super) forms: Forms,
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
        let (forms, format) = (self.forms.clone(), self.formats[column].clone());
        ColumnSettings { forms, format, strict: self.is_inferred[column] }
    }

    /// What opening one of the files takes.
    pub(super) fn access<'a>(&self, memory: &'a Memory) -> Access<'a> {
        Access { memory, encoding: self.encoding }
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
        options.check()?;
        let formats = Formats::parse(&options)?;
        let access = Access { memory, encoding: options.encoding };
        let sampler = Sampler { max_row_bytes: options.max_row_bytes(memory), access, options: &options };
        let looked_at = paths.iter().enumerate().filter(|(idx, _)| looks_at(*idx, paths.len()));
        let looked_at: Vec<&PathBuf> = looked_at.map(|(_, path)| path).collect();
        let dialect = sampler.find_dialect(&looked_at, options.comment()?)?;
        let forms = formats.forms(&options, dialect.quote);
        let samples = sampler.look_at(&looked_at, dialect, &forms)?;
        let has_header = match options.header {
            Some(has_header) => has_header,
            None => find_header(&samples)?,
        };
        let united = unite(&samples, has_header, dialect)?;
        let may_add = looked_at.len() < paths.len() || samples.is_empty();
        let Columns { schema, is_inferred, formats } = declare(united, &options, &formats, may_add)?;
        if schema.fields().is_empty() {
            return Err(nothing_there(paths, &options));
        }
        let hints = hints(&samples, has_header, &options);
        let columns = schema.fields().iter().enumerate().map(|(idx, field)| (field.name().clone(), idx)).collect();
        let definition = Definition {
            paths: paths.to_vec(),
            dialect,
            encoding: options.encoding,
            skip_rows: options.skip_rows,
            ragged: options.ragged,
            has_header,
            schema,
            columns,
            is_inferred,
            formats,
            hints,
            n_inferred_rows: samples.iter().map(|sample| sample.n_rows).sum(),
            forms,
            max_row_bytes: sampler.max_row_bytes,
            block_bytes: options.block_bytes(memory),
            on_bad_row: options.on_bad_row,
            file_bytes,
        };
        Ok(CsvTable { definition: Arc::new(definition), memory: memory.clone(), seen: SeenRows::default() })
    }

    /// Columns that are read as text although they look like numbers or dates in another form, each with the flag that
    /// would read them so.
    pub fn hints(&self) -> &[String] {
        &self.definition.hints
    }
}

#[cfg(test)]
impl CsvTable {
    /// What was settled.
    pub(super) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The same table, read in blocks of another size.
    pub(super) fn with_block_bytes(&self, block_bytes: usize) -> CsvTable {
        let definition = Definition { block_bytes, ..Definition::clone(&self.definition) };
        CsvTable { definition: Arc::new(definition), memory: self.memory.clone(), seen: SeenRows::default() }
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
        CsvScan::prepare(self.definition.clone(), request, &self.memory, &self.seen)
    }

    fn may_refuse_rows(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        match &self.definition.paths[..] {
            [path] => format!("csv {}", path.display()),
            paths => format!("csv {} and {} more files", paths[0].display(), paths.len() - 1),
        }
    }

    fn facts(&self) -> Result<TableFacts> {
        super::facts::facts(&self.definition, &self.memory)
    }
}

/// Whether the first rows of the files name their columns. All files or none of them.
fn find_header(samples: &[Sample]) -> Result<bool> {
    let Some((first, others)) = samples.split_first() else { return Ok(true) };
    let judge = |sample: &Sample| looks_like_header(&sample.first, &sample.below, sample.starts_at_zero);
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

/// What to tell of columns that are text.
fn hints(samples: &[Sample], has_header: bool, options: &CsvOptions) -> Vec<String> {
    let mut hints = Vec::new();
    for sample in samples {
        for (idx, looks) in sample.looks.iter().enumerate() {
            let name = if has_header { sample.names[idx].clone() } else { numbered_name(idx) };
            let is_declared = options.schema_overrides.iter().any(|(declared, _)| *declared == name);
            let hint = looks.filter(|_| !is_declared).map(|looks| looks.hint(&name));
            hints.extend(hint.filter(|hint| !hints.contains(hint)));
        }
    }
    hints
}

/// Files without any record.
fn nothing_there(paths: &[PathBuf], options: &CsvOptions) -> Error {
    let name = paths.first().map_or_else(|| "the input".into(), |path| path.display().to_string());
    let message = match (options.skip_rows, &options.comment) {
        (0, None) => format!("{name} is empty: it has neither a header nor a row"),
        (0, Some(comment)) => {
            format!("{name} has neither a header nor a row besides lines that begin with {comment:?}")
        }
        (1, _) => format!("{name} has neither a header nor a row behind its first line"),
        (n, _) => format!("{name} has neither a header nor a row behind its first {n} lines"),
    };
    Error::data(message).with_hint("declare its columns, for example: --schema id=int64")
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

/// The columns of a table.
struct Columns {
    schema: SchemaRef,
    /// Whether a column's type is inferred.
    is_inferred: Vec<bool>,
    formats: Vec<Option<Arc<TimeFormat>>>,
}

/// Puts declared types in the place of inferred ones, and finds out how dates and times are written.
fn declare(united: Vec<(String, Guess)>, options: &CsvOptions, formats: &Formats, may_add: bool) -> Result<Columns> {
    let inferred = |(name, guess): (String, Guess)| {
        let format = if guess.is_custom() { formats.for_type(&guess.data_type()) } else { None };
        (Field::new(name, guess.data_type(), true), true, format)
    };
    let mut columns: Vec<(Field, bool, Option<Arc<TimeFormat>>)> = united.into_iter().map(inferred).collect();
    let settings = ColumnSettings { forms: formats.forms(options, b'"'), format: None, strict: false };
    for (name, data_type) in &options.schema_overrides {
        if settings.builder(data_type).is_none() {
            return Err(Error::usage(format!("column {name:?} cannot be read from CSV as {}", type_name(data_type)))
                .with_hint(
                    "types are: string, boolean, int8 to uint64, float32, float64, decimal, date, time, timestamp",
                ));
        }
        let format = formats.for_column(name).or_else(|| formats.for_type(data_type));
        let column = (Field::new(name, data_type.clone(), true), false, format);
        let known = columns.iter_mut().find(|(field, _, _)| field.name() == name);
        let shared = options.shared_schema.as_ref();
        match known {
            Some(known) => *known = column,
            None if may_add => columns.push(column),
            None => {
                let known = columns.iter().map(|(field, _, _)| field.name().as_str());
                let Some(shared) = shared else { return Err(not_in_input(name, known)) };
                shared.note_missed(name, known);
                continue;
            }
        }
        if let Some(shared) = shared {
            shared.note_used(name);
        }
    }
    let is_inferred = columns.iter().map(|(_, is_inferred, _)| *is_inferred).collect();
    let formats = columns.iter().map(|(_, _, format)| format.clone()).collect();
    let fields: Vec<Field> = columns.into_iter().map(|(field, _, _)| field).collect();
    Ok(Columns { schema: Arc::new(Schema::new(fields)), is_inferred, formats })
}

/// The forms of dates and times that the user spelt out.
struct Formats {
    date: Option<Arc<TimeFormat>>,
    timestamp: Option<Arc<TimeFormat>>,
    columns: Vec<(String, Arc<TimeFormat>)>,
}

impl Formats {
    fn parse(options: &CsvOptions) -> Result<Formats> {
        let one = |format: &Option<String>, wanted| -> Result<Option<Arc<TimeFormat>>> {
            format.as_deref().map(|format| parse_format(format, wanted)).transpose()
        };
        let mut columns = Vec::new();
        for (name, format) in &options.column_formats {
            let declared = options.schema_overrides.iter().find(|(declared, _)| declared == name);
            if declared.is_none() && options.shared_schema.is_some() {
                // It is the column that a folder is.
                continue;
            }
            let wanted = declared.and_then(|(_, data_type)| Self::used_for(data_type)).ok_or_else(|| {
                Error::usage(format!("column {name:?} has a format but is no date, time or timestamp"))
                    .with_hint(format!("declare it, for example: --schema '{name}=date({format})'"))
            })?;
            columns.push((name.clone(), parse_format(format, wanted)?));
        }
        let date = one(&options.date_format, Use::Date)?;
        Ok(Formats { date, timestamp: one(&options.timestamp_format, Use::Timestamp)?, columns })
    }

    fn used_for(data_type: &DataType) -> Option<Use> {
        match data_type {
            DataType::Date32 => Some(Use::Date),
            DataType::Timestamp(_, _) => Some(Use::Timestamp),
            DataType::Time32(_) | DataType::Time64(_) => Some(Use::Time),
            _ => None,
        }
    }

    fn for_type(&self, data_type: &DataType) -> Option<Arc<TimeFormat>> {
        match Self::used_for(data_type)? {
            Use::Date => self.date.clone(),
            Use::Timestamp => self.timestamp.clone(),
            Use::Time => None,
        }
    }

    fn for_column(&self, name: &str) -> Option<Arc<TimeFormat>> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, format)| format.clone())
    }

    /// How values are written.
    fn forms(&self, options: &CsvOptions, quote: u8) -> Forms {
        // Digits alone are numbers unless the column is declared.
        let telling = |format: &Option<Arc<TimeFormat>>| format.clone().filter(|format| !format.is_all_digits());
        Forms {
            quote,
            nulls: NullTexts::new(&options.null_values),
            decimal_comma: options.decimal_comma,
            date: telling(&self.date),
            timestamp: telling(&self.timestamp),
        }
    }
}

fn parse_format(format: &str, wanted: Use) -> Result<Arc<TimeFormat>> {
    let what = match wanted {
        Use::Date => "dates",
        Use::Timestamp => "timestamps",
        Use::Time => "times",
    };
    TimeFormat::parse(format, wanted).map(Arc::new).map_err(|why| {
        Error::usage(format!("{format:?} is no form of {what}: {why}"))
            .with_hint("for example %d.%m.%Y for 31.12.2024, %m/%d/%Y %I:%M %p for 12/31/2024 07:05 PM")
    })
}
