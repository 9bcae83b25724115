//! How input files are read.

use clap::Args;

use super::csv::CsvArgs;
use super::resources::parse_size;
use crate::io::csv::settings::parse_yes_no;
use crate::io::parquet::ParquetOptions;
use crate::io::{FileTables, HiveFolders};

/// How input files are read.
#[derive(Debug, Args)]
pub struct ReadingArgs {
    #[command(flatten)]
    csv: CsvArgs,

    /// Whether folders called key=value are columns of the files in them [default: yes]
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no, help_heading = "Reading")]
    hive: Option<bool>,

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
        let hive = match self.hive {
            Some(false) => HiveFolders::Ignored,
            _ => HiveFolders::Columns,
        };
        FileTables { csv: self.csv.options(), parquet, hive, ..FileTables::default() }
    }
}
