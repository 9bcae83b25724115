//! What `inspect` tells of Parquet files, from their footers.
//!
//! Memory: one footer at a time, reserved.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::datatypes::SchemaRef;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

use super::footer::OpenFile;
use crate::error::Result;
use crate::exec::{format_bytes, group_digits};
use crate::io::TableFacts;
use crate::memory::Memory;

/// Sums over all footers.
#[derive(Default)]
struct Footers {
    n_groups: u64,
    most_rows: u64,
    fewest_rows: Option<u64>,
    largest_group: u64,
    stored: u64,
    raw: u64,
    codecs: BTreeMap<String, u64>,
    written_by: BTreeMap<String, u64>,
    n_chunks: u64,
    with_statistics: u64,
    with_page_index: u64,
    with_bloom_filter: u64,
    /// Columns that every row group is sorted by, if they agree.
    sorted_by: Option<String>,
    column_bytes: Vec<u64>,
}

/// Reads the footers of `paths`.
pub(super) fn facts(paths: &[PathBuf], schema: &SchemaRef, memory: &Memory) -> Result<TableFacts> {
    let mut sums = Footers { column_bytes: vec![0; schema.fields().len()], ..Footers::default() };
    for path in paths {
        let file = OpenFile::open(path, &Arc::new(AtomicU64::new(0)), memory)?;
        sums.add(&file, schema);
    }
    let lines = sums.lines();
    let Footers { column_bytes, .. } = sums;
    Ok(TableFacts { format: "parquet".into(), n_files: paths.len(), lines, likely_rows: None, column_bytes })
}

impl Footers {
    fn add(&mut self, file: &OpenFile, schema: &SchemaRef) {
        let about = file.metadata.file_metadata();
        *self.written_by.entry(about.created_by().unwrap_or("an unnamed program").to_string()).or_default() += 1;
        let leaves = about.schema_descr();
        for group in file.metadata.row_groups() {
            let n_rows = group.num_rows().max(0) as u64;
            self.n_groups += 1;
            self.most_rows = self.most_rows.max(n_rows);
            self.fewest_rows = Some(self.fewest_rows.map_or(n_rows, |fewest| fewest.min(n_rows)));
            let mut group_bytes = 0;
            for (leaf, chunk) in group.columns().iter().enumerate() {
                group_bytes += self.add_chunk(chunk);
                let root = leaves.get_column_root(leaf).name();
                if let Some((column, _)) = schema.column_with_name(root) {
                    self.column_bytes[column] += chunk.compressed_size().max(0) as u64;
                }
            }
            self.largest_group = self.largest_group.max(group_bytes);
            let names = group.sorting_columns().into_iter().flatten().map(|sorted| {
                let name =
                    leaves.column(sorted.column_idx.max(0) as usize % leaves.num_columns().max(1)).name().to_string();
                if sorted.descending { format!("{name} desc") } else { name }
            });
            let names = names.collect::<Vec<_>>().join(", ");
            match &mut self.sorted_by {
                None => self.sorted_by = Some(names),
                Some(known) if *known != names => known.clear(),
                Some(_) => {}
            }
        }
    }

    /// Counts a chunk; gives its bytes.
    fn add_chunk(&mut self, chunk: &ColumnChunkMetaData) -> u64 {
        let stored = chunk.compressed_size().max(0) as u64;
        self.stored += stored;
        self.raw += chunk.uncompressed_size().max(0) as u64;
        self.n_chunks += 1;
        self.with_statistics += u64::from(chunk.statistics().is_some());
        self.with_page_index += u64::from(chunk.column_index_offset().is_some());
        self.with_bloom_filter += u64::from(chunk.bloom_filter_offset().is_some());
        *self.codecs.entry(codec_name(chunk.compression())).or_default() += stored;
        stored
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let rows = match self.fewest_rows {
            Some(fewest) if fewest == self.most_rows => format!("{} rows each", group_digits(fewest)),
            Some(fewest) => format!("{} to {} rows", group_digits(fewest), group_digits(self.most_rows)),
            None => "no rows".into(),
        };
        let groups = group_digits(self.n_groups);
        lines.push(("row groups", format!("{groups}, {rows}, the largest {}", format_bytes(self.largest_group))));
        let codecs: Vec<&str> = self.codecs.keys().map(String::as_str).collect();
        if self.stored > 0 {
            let (raw, stored) = (format_bytes(self.raw), format_bytes(self.stored));
            let percent = 100.0 * self.stored as f64 / self.raw.max(1) as f64;
            lines.push(("compression", format!("{}, {raw} take {stored} ({percent:.0} %)", codecs.join(" and "))));
        }
        lines.push(("statistics", self.part(self.with_statistics)));
        lines.push(("page index", self.part(self.with_page_index)));
        lines.push(("bloom filter", self.part(self.with_bloom_filter)));
        if let Some(names) = self.sorted_by.as_ref().filter(|names| !names.is_empty()) {
            lines.push(("sorted by", names.clone()));
        }
        let writers: Vec<&str> = self.written_by.keys().map(String::as_str).collect();
        lines.push(("written by", writers.join(", ")));
        lines
    }

    /// How many of the column chunks have something.
    fn part(&self, n: u64) -> String {
        match n {
            0 => "none".into(),
            _ if n == self.n_chunks => "all columns".into(),
            _ => format!("{} of {} column chunks", group_digits(n), group_digits(self.n_chunks)),
        }
    }
}

fn codec_name(codec: Compression) -> String {
    match codec {
        Compression::UNCOMPRESSED => "none".into(),
        Compression::ZSTD(_) => "zstd".into(),
        Compression::GZIP(_) => "gzip".into(),
        Compression::BROTLI(_) => "brotli".into(),
        other => other.to_string().to_lowercase(),
    }
}
