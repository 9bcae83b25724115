//! How input files are read.

use clap::Args;

use super::csv::CsvArgs;
use super::resources::parse_size;
use crate::io::FileTables;
use crate::io::parquet::ParquetOptions;

/// How input files are read.
#[derive(Debug, Args)]
pub struct ReadingArgs {
    #[command(flatten)]
    csv: CsvArgs,

    /// The largest page of a Parquet file that is accepted [default: 1GiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_size, help_heading = "Reading Parquet")]
    max_page_bytes: Option<u64>,
}

impl ReadingArgs {
    /// Tables that are read this way.
    pub fn file_tables(&self) -> FileTables {
        let mut parquet = ParquetOptions::default();
        if let Some(bytes) = self.max_page_bytes {
            parquet.max_page_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        FileTables { csv: self.csv.options(), parquet }
    }
}
