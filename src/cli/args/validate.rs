//! Flags of `brimful validate`.

use clap::Args;

use super::{InputFiles, InspectFormat, ProgressArgs, ReadingArgs, SessionArgs};

const EXAMPLES: &str = "\
Every check is made, however many fail; then the exit code is 3. NULLs pass all checks but --not-null.

Examples:
  brimful validate trips.csv --not-null id,city --unique id --min-rows 1
  brimful validate trips.csv --range fare=0..500 --range distance=0.. --finite fare
  brimful validate 'data/*.parquet' --unique id,day --rows 3 --format json";

/// Check what should hold of the rows of files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub input: InputFiles,

    /// These columns have no NULL
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    pub not_null: Vec<String>,

    /// No two rows have the same values in these columns together; may be given several times
    #[arg(long, value_name = "COL,...")]
    pub unique: Vec<String>,

    /// Values lie between two bounds, both included; either may be left out: fare=0..500, fare=0..
    #[arg(long, value_name = "COL=MIN..MAX", value_parser = parse_range)]
    pub range: Vec<Range>,

    /// These columns have neither NaN nor infinity
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    pub finite: Vec<String>,

    /// There are at least so many rows
    #[arg(long, value_name = "N")]
    pub min_rows: Option<u64>,

    /// There are exactly so many rows
    #[arg(long, value_name = "N")]
    pub rows: Option<u64>,

    /// How to show what was found
    #[arg(long, value_enum, default_value = "text")]
    pub format: InspectFormat,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,

    #[command(flatten)]
    pub messages: ProgressArgs,
}

/// One `--range`; bounds as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub column: String,
    pub min: Option<String>,
    pub max: Option<String>,
}

fn parse_range(text: &str) -> Result<Range, String> {
    let wrong = || format!("{text:?} is not COL=MIN..MAX, for example fare=0..500");
    let (column, bounds) = text.rsplit_once('=').ok_or_else(wrong)?;
    let (min, max) = bounds.split_once("..").ok_or_else(wrong)?;
    let bound = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_string());
    let range = Range { column: column.trim().to_string(), min: bound(min), max: bound(max) };
    if range.column.is_empty() || (range.min.is_none() && range.max.is_none()) { Err(wrong()) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |column: &str, min: Option<&str>, max: Option<&str>| Range {
            column: column.into(),
            min: min.map(str::to_string),
            max: max.map(str::to_string),
        };
        assert_eq!(parse_range("a=0..1.5").unwrap(), range("a", Some("0"), Some("1.5")));
        assert_eq!(parse_range("a=-3..").unwrap(), range("a", Some("-3"), None));
        assert_eq!(parse_range("a=b=..9").unwrap(), range("a=b", None, Some("9")));
        for text in ["a", "a=", "a=1", "a=..", "=1..2"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }
}
