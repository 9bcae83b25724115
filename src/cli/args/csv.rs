//! How CSV files are read: flags of every command that reads files.

use clap::Args;

use super::resources::parse_size;
use crate::io::csv::settings::{parse_delimiter, parse_encoding, parse_quote, parse_ragged, parse_yes_no};
use crate::io::csv::{CsvOptions, Encoding, OnBadRow, Quote, Ragged, RejectFile};
use crate::io::type_names::{DeclaredColumn, parse_columns};

/// How CSV files are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading CSV")]
pub struct CsvArgs {
    /// What happens to a malformed row: fail, skip, or reject=FILE to collect them [default: fail]
    #[arg(long, value_name = "fail|skip|reject=FILE", value_parser = parse_on_bad_row)]
    on_bad_row: Option<OnBadRow>,

    /// Rows to look at for the types of CSV columns and the fields of NDJSON [default: 10000]
    #[arg(long, value_name = "N")]
    infer_rows: Option<u64>,

    /// Types of columns of CSV, NDJSON and folders instead of inferred ones: id=varchar,price='decimal(10,2)',day='date(%d.%m.%y)'
    #[arg(long, value_name = "COL=TYPE,...", value_parser = parse_schema)]
    schema: Vec<ColumnTypes>,

    /// The longest row of a CSV file [default: 16MiB, or an eighth of the governed memory if that is less]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    max_row_bytes: Option<u64>,

    /// The character between CSV fields; tab, or a code like \x01 [default: found out]
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter)]
    delimiter: Option<u8>,

    /// The character around CSV fields that hold delimiters or newlines; none when quotes are text [default: ", or ' where
    /// every row says so]
    #[arg(long, value_name = "CHAR|none", value_parser = parse_quote)]
    quote: Option<Quote>,

    /// Whether the first row of a CSV file names the columns [default: found out]
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    header: Option<bool>,

    /// Lines at the start of each CSV file to pass over
    #[arg(long, value_name = "N", default_value = "0")]
    skip_rows: u64,

    /// Lines of CSV files that begin with this are no rows, for example '#'
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    comment: Option<String>,

    /// What happens to a row with too few or too many fields: pad fills short ones up with NULL, fit also drops what a long
    /// one has too much [default: fail, see --on-bad-row]
    #[arg(long, value_name = "fail|pad|fit", value_parser = parse_ragged)]
    ragged: Option<Ragged>,

    /// The encoding of CSV files: latin1, cp1252, utf-16le, shift_jis and many others [default: UTF-8, or UTF-16 with a
    /// byte order mark]
    #[arg(long, value_name = "NAME", value_parser = parse_encoding)]
    encoding: Option<Encoding>,

    /// Numbers in CSV files have a decimal comma: 1,5
    #[arg(long)]
    decimal_comma: bool,

    /// How dates are written in CSV files, where not as 2024-12-31: %d.%m.%Y
    #[arg(long, value_name = "FORM")]
    date_format: Option<String>,

    /// How timestamps are written in CSV files, where not as 2024-12-31 23:59:59: '%m/%d/%Y %I:%M %p'
    #[arg(long, value_name = "FORM")]
    timestamp_format: Option<String>,

    /// A text that means NULL in CSV files; may be given several times. An empty field always does
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    null_value: Vec<String>,
}

/// One `--schema`.
#[derive(Debug, Clone)]
struct ColumnTypes(Vec<DeclaredColumn>);

impl CsvArgs {
    /// The same as options.
    pub fn options(&self) -> CsvOptions {
        let mut options = CsvOptions {
            delimiter: self.delimiter,
            quote: self.quote.unwrap_or_default(),
            header: self.header,
            null_values: self.null_value.clone(),
            infer_rows: self.infer_rows,
            skip_rows: self.skip_rows,
            comment: self.comment.clone(),
            ragged: self.ragged.unwrap_or_default(),
            encoding: self.encoding,
            decimal_comma: self.decimal_comma,
            date_format: self.date_format.clone(),
            timestamp_format: self.timestamp_format.clone(),
            on_bad_row: self.on_bad_row.clone().unwrap_or(OnBadRow::Fail),
            max_row_bytes: self.max_row_bytes,
            ..CsvOptions::default()
        };
        options.declare(self.schema.iter().flat_map(|types| types.0.clone()));
        options
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::io::csv::tests::fixtures;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        csv: CsvArgs,
    }

    #[test]
    fn every_fixture_gives_its_rows_or_its_error_at_any_block_size() {
        fixtures::check_all(&|flags| Flags::try_parse_from(flags).unwrap().csv.options());
    }
}
