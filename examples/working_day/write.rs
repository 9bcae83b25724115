//! Files of batches.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 100_000;

/// Writes one Parquet file.
pub fn parquet(path: &Path, batch: &RecordBatch) -> Result<(), Box<dyn Error>> {
    make_folder(path)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(BufWriter::new(File::create(path)?), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}

/// Writes one CSV file with a header.
pub fn csv(path: &Path, batch: &RecordBatch) -> Result<(), Box<dyn Error>> {
    make_folder(path)?;
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(BufWriter::new(File::create(path)?));
    writer.write(batch)?;
    Ok(())
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}
