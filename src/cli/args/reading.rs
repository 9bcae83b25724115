//! How input files are read.

use arrow::datatypes::DataType;
use clap::Args;

use super::resources::parse_size;
use crate::io::FileTables;
use crate::io::csv::{CsvOptions, OnBadRow, RejectFile};
use crate::io::parquet::ParquetOptions;
use crate::io::type_names::parse_columns;

/// How input files are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading CSV")]
pub struct ReadingArgs {
    /// What happens to a malformed row: fail, skip, or reject=FILE to collect them [default: fail]
    #[arg(long, value_name = "fail|skip|reject=FILE", value_parser = parse_on_bad_row)]
    on_bad_row: Option<OnBadRow>,

    /// Rows to look at for the types of CSV columns [default: 10000]
    #[arg(long, value_name = "N")]
    infer_rows: Option<u64>,

    /// Types of CSV columns, instead of inferred ones: id=varchar,price='decimal(10,2)'
    #[arg(long, value_name = "COL=TYPE,...", value_parser = parse_schema)]
    schema: Vec<ColumnTypes>,

    /// The longest row of a CSV file [default: 16MiB, or an eighth of the governed memory if that is less]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    max_row_bytes: Option<u64>,

    /// The character between CSV fields; \t or tab for tabs [default: found out]
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter)]
    delimiter: Option<u8>,

    /// The character around CSV fields that hold delimiters or newlines [default: "]
    #[arg(long, value_name = "CHAR", value_parser = parse_quote)]
    quote: Option<u8>,

    /// Whether the first row of a CSV file names the columns [default: found out]
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    header: Option<bool>,

    /// A text that means NULL in CSV files; may be given several times. An empty field always does
    #[arg(long, value_name = "TEXT")]
    null_value: Vec<String>,

    /// The largest page of a Parquet file that is accepted [default: 1GiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_size, help_heading = "Reading Parquet")]
    max_page_bytes: Option<u64>,
}

/// One `--schema`.
#[derive(Debug, Clone)]
struct ColumnTypes(Vec<(String, DataType)>);

impl ReadingArgs {
    /// Tables that are read this way.
    pub fn file_tables(&self) -> FileTables {
        let csv = CsvOptions {
            delimiter: self.delimiter,
            quote: self.quote.unwrap_or(b'"'),
            header: self.header,
            null_values: self.null_value.clone(),
            infer_rows: self.infer_rows,
            schema_overrides: self.schema.iter().flat_map(|types| types.0.clone()).collect(),
            on_bad_row: self.on_bad_row.clone().unwrap_or(OnBadRow::Fail),
            max_row_bytes: self.max_row_bytes,
            ..CsvOptions::default()
        };
        let mut parquet = ParquetOptions::default();
        if let Some(bytes) = self.max_page_bytes {
            parquet.max_page_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        FileTables { csv, parquet }
    }
}

fn parse_schema(text: &str) -> Result<ColumnTypes, String> {
    parse_columns(text).map(ColumnTypes)
}

fn parse_on_bad_row(text: &str) -> Result<OnBadRow, String> {
    match (text, text.strip_prefix("reject=")) {
        ("fail", _) => Ok(OnBadRow::Fail),
        ("skip", _) => Ok(OnBadRow::Skip),
        (_, Some(file)) if !file.is_empty() => Ok(OnBadRow::Reject(RejectFile::new(file))),
        _ => Err("give fail, skip or reject=FILE".into()),
    }
}

fn parse_quote(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_punctuation() && *byte != b',' => Ok(*byte),
        _ => Err("give one ASCII punctuation character".into()),
    }
}

fn parse_yes_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("give yes or no".into()),
    }
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("\\t" | "tab", _) => Ok(b'\t'),
        (_, [byte]) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Ok(*byte),
        _ => Err("give one ASCII character, or tab".into()),
    }
}
