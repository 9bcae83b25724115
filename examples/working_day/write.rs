//! Files of batches, several at a time.
//!
//! Memory: a batch and the row group it goes into, for each of at most [`MOST_WRITERS`] files, however many rows there are.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 100_000;

/// Each holds some 50 MB, and all together must stay small beside a budget of 512 MiB.
const MOST_WRITERS: usize = 4;

/// What is made: what may be sent from one thread to another when it fails.
pub type Made<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The formats that data is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats {
    /// As Parquet files.
    pub parquet: bool,
    /// As CSV files.
    pub csv: bool,
}

impl Formats {
    /// Parquet and CSV.
    pub const BOTH: Formats = Formats { parquet: true, csv: true };
    /// Parquet alone.
    pub const PARQUET: Formats = Formats { parquet: true, csv: false };
    /// CSV alone.
    pub const CSV: Formats = Formats { parquet: false, csv: true };
}

/// Calls `write` with every number below `n_parts`, on several threads; the first failure ends it.
pub fn parts(n_parts: usize, write: impl Fn(usize) -> Made<()> + Sync) -> Made<()> {
    let next = AtomicUsize::new(0);
    let work = || -> Made<()> {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= n_parts {
                return Ok(());
            }
            write(part).inspect_err(|_| next.store(n_parts, Ordering::Relaxed))?;
        }
    };
    let n_writers = available_parallelism().map_or(1, |n| n.get().min(MOST_WRITERS));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..n_writers).map(|_| scope.spawn(work)).collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })
}

/// Writes a file in each of `formats` whose rows are `batches`: `parquet_path` with another ending, or `csv_path`.
pub fn files(
    formats: Formats,
    parquet_path: &Path,
    csv_path: &Path,
    batches: impl Iterator<Item = Made<RecordBatch>>,
) -> Made<()> {
    let (mut parquet_file, mut csv_file) = (None, None);
    for batch in batches {
        let batch = batch?;
        if formats.parquet {
            let file = match &mut parquet_file {
                Some(file) => file,
                None => parquet_file.insert(begin_parquet(parquet_path, &batch)?),
            };
            file.write(&batch)?;
        }
        if formats.csv {
            let file = match &mut csv_file {
                Some(file) => file,
                None => {
                    let made = BufWriter::new(make(csv_path)?);
                    csv_file.insert(arrow::csv::WriterBuilder::new().with_header(true).build(made))
                }
            };
            file.write(&batch)?;
        }
    }
    parquet_file.map_or(Ok(()), |file| file.close().map(|_| ()))?;
    Ok(())
}

fn begin_parquet(path: &Path, first: &RecordBatch) -> Made<ArrowWriter<File>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    Ok(ArrowWriter::try_new(make(path)?, first.schema(), Some(properties))?)
}

/// Writes one Parquet file.
pub fn parquet(path: &Path, batch: RecordBatch) -> Made<()> {
    files(Formats::PARQUET, path, path, std::iter::once(Ok(batch)))
}

/// Writes one CSV file with a header.
pub fn csv(path: &Path, batch: RecordBatch) -> Made<()> {
    files(Formats::CSV, path, path, std::iter::once(Ok(batch)))
}

fn make(path: &Path) -> std::io::Result<File> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    File::create(path)
}
