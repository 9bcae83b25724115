//! Flags of `brimful convert`.

use clap::Args;

use super::{FormatArg, ProgressArgs, ReadingArgs, SessionArgs};
use crate::io::parquet::{ParquetCompression, ROW_GROUP_ROWS_MAX};

const EXAMPLES: &str = "\
The last file is the output; it is replaced only when it is complete. Both sizes are printed on stderr.

Examples:
  brimful convert trips.csv trips.parquet
  brimful convert 'data/*.parquet' all.csv
  brimful convert trips.csv sorted.parquet --sort city,'fare desc' --compression zstd:9
  brimful convert trips.csv fares.parquet --columns city,fare
  brimful convert trips.csv trips.parquet --row-group-rows 100000
  brimful convert trips.csv by_city --partition-by city";

/// Write files in another format, sorted or in parts if asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = "brimful convert [OPTIONS] <IN>... <OUT>")]
pub struct ConvertArgs {
    /// Files, globs or folders to read as one table, and last the file to write
    #[arg(value_name = "PATH", required = true, num_args = 2..)]
    pub files: Vec<String>,

    /// Format of the output [default: by its extension]
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,

    /// Only these columns, in this order
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    pub columns: Vec<String>,

    /// Sort by these columns: city,'fare desc'
    #[arg(long, value_name = "COL [desc],...", value_delimiter = ',')]
    pub sort: Vec<String>,

    /// Write a folder with a folder for every value of these columns: year=2024/month=1/
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    pub partition_by: Vec<String>,

    /// Compression of Parquet: zstd, zstd:1 to zstd:22, snappy, lz4 or none [default: zstd:1]
    #[arg(long, value_name = "CODEC", value_parser = parse_compression)]
    pub compression: Option<ParquetCompression>,

    /// The most rows of a row group of Parquet; groups end earlier where memory does [default: 1048576]
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..=ROW_GROUP_ROWS_MAX))]
    pub row_group_rows: Option<u64>,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,

    #[command(flatten)]
    pub messages: ProgressArgs,
}

fn parse_compression(text: &str) -> Result<ParquetCompression, String> {
    let level = text.strip_prefix("zstd:").map(str::parse::<i32>);
    match (text, level) {
        ("zstd", _) => Ok(ParquetCompression::Zstd(1)),
        (_, Some(Ok(level))) if (1..=22).contains(&level) => Ok(ParquetCompression::Zstd(level)),
        ("snappy", _) => Ok(ParquetCompression::Snappy),
        ("lz4", _) => Ok(ParquetCompression::Lz4),
        ("none" | "uncompressed", _) => Ok(ParquetCompression::None),
        _ => Err("give zstd, zstd:1 to zstd:22, snappy, lz4 or none".into()),
    }
}
