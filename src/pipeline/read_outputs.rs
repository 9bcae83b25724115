//! From YAML to outputs: a mapping from formats to paths, or a list of files from different steps.

use std::path::Path;

use super::fields::{self, Fields, Text};
use super::source::{Place, Source};
use super::spec::{Format, OutputFileSpec, Outputs};
use super::yaml::{Node, Value};
use crate::error::Result;
use crate::io::OutputFormat;
use crate::io::parquet::{ParquetCompression, ROW_GROUP_ROWS_MAX};

/// The outputs of `node`.
pub(super) fn read_outputs(source: &Source, node: &Node) -> Result<Outputs> {
    let mut outputs = Outputs::default();
    match &node.value {
        Value::Map(_) => read_mapping(source, node, None, &mut outputs)?,
        Value::List(items) => items.iter().try_for_each(|item| read_item(source, item, &mut outputs))?,
        Value::Scalar(_) => outputs.files.push(file(source, fields::text(source, node, "outputs")?, None)?),
    }
    Ok(outputs)
}

/// `{parquet: a.parquet, csv: a.csv, log: a.log}`.
fn read_mapping(source: &Source, node: &Node, step: Option<Text>, outputs: &mut Outputs) -> Result<()> {
    let of = Fields::of(source, node, "outputs")?;
    let step = of.text(&["step", "from", "input"])?.or(step);
    let formats: [(&[&'static str], Format); 4] = [
        (&["parquet"], Format::Parquet),
        (&["csv"], Format::Csv),
        (&["ndjson", "jsonl", "json"], Format::NdJson),
        (&["ipc", "arrow", "feather"], Format::Ipc),
    ];
    for (names, format) in formats {
        if let Some(node) = of.take(names)? {
            outputs.files.push(read_file(source, node, Some(format), step.clone())?);
        }
    }
    read_side_files(&of, outputs)?;
    of.finish()
}

fn read_side_files(of: &Fields<'_>, outputs: &mut Outputs) -> Result<()> {
    for (name, place) in [
        (of.text(&["log"])?, &mut outputs.log),
        (of.text(&["manifest"])?, &mut outputs.manifest),
        (of.text(&["checksums"])?, &mut outputs.checksums),
    ] {
        if name.is_some() {
            *place = name;
        }
    }
    Ok(())
}

/// `{path: a.parquet, step: summary}`, or a mapping from formats.
fn read_item(source: &Source, node: &Node, outputs: &mut Outputs) -> Result<()> {
    let has_path = match &node.value {
        Value::Map(entries) => entries.iter().any(|(key, _)| matches!(key.name.as_str(), "path" | "file")),
        Value::Scalar(_) => true,
        Value::List(_) => false,
    };
    if !has_path {
        return read_mapping(source, node, None, outputs);
    }
    if let Value::Map(entries) = &node.value
        && let Some((_, format)) = entries.iter().find(|(key, _)| matches!(key.name.as_str(), "format" | "type"))
        && fields::text(source, format, "format")?.as_str() == "log"
    {
        let of = Fields::of(source, node, "a log")?;
        let _ = of.take(&["format", "type"])?;
        outputs.log = of.text(&["path", "file"])?;
        return of.finish();
    }
    outputs.files.push(read_file(source, node, None, None)?);
    Ok(())
}

/// A path, or a mapping with one.
fn read_file(source: &Source, node: &Node, format: Option<Format>, step: Option<Text>) -> Result<OutputFileSpec> {
    if let Value::Scalar(_) = &node.value {
        let path = fields::text(source, node, "path")?;
        return Ok(OutputFileSpec { step, ..file(source, path, format)? });
    }
    let of = Fields::of(source, node, "an output")?;
    let path = fields::text(source, of.need(&["path", "file"], "path: result.parquet")?, "path")?;
    let format = match of.text(&["format", "type"])? {
        Some(word) => Some(format_named(source, &word)?),
        None => format,
    };
    let step = of.text(&["step", "from", "input"])?.or(step);
    let compression = of.text(&["compression"])?.map(|text| compression(source, &text)).transpose()?;
    let row_group_rows = read_row_group_rows(source, &of)?;
    let partition_by = of.texts(&["partition_by"])?.unwrap_or_default();
    of.finish()?;
    // The name of a folder tells no format.
    let format = format.or((!partition_by.is_empty()).then_some(Format::Parquet));
    let file = file(source, path, format)?;
    if let (Some(place), true) = (row_group_rows.map(|(_, place)| place), file.format != Format::Parquet) {
        let message = format!("row groups are of Parquet, and {} is {}", file.path.text, file.format.name());
        return Err(source.error(place, message).with_hint("leave row_group_rows out"));
    }
    let row_group_rows = row_group_rows.map(|(rows, _)| rows);
    Ok(OutputFileSpec { step, compression, row_group_rows, partition_by, ..file })
}

fn read_row_group_rows(source: &Source, of: &Fields<'_>) -> Result<Option<(usize, Place)>> {
    let Some(node) = of.take(&["row_group_rows", "row_group_size"])? else { return Ok(None) };
    match fields::count(source, node, "row_group_rows")? {
        n @ 1..=ROW_GROUP_ROWS_MAX => Ok(Some((n as usize, node.place))),
        _ => {
            let most = crate::exec::group_digits(ROW_GROUP_ROWS_MAX);
            Err(source.error(node.place, format!("a row group has from 1 to {most} rows")))
        }
    }
}

fn file(source: &Source, path: Text, format: Option<Format>) -> Result<OutputFileSpec> {
    let format = format.or(match OutputFormat::from_path(Path::new(&path.text)) {
        Some(OutputFormat::Parquet) => Some(Format::Parquet),
        Some(OutputFormat::Csv) => Some(Format::Csv),
        Some(OutputFormat::JsonLines) => Some(Format::NdJson),
        Some(OutputFormat::Ipc) => Some(Format::Ipc),
        _ => None,
    });
    match format {
        Some(format) => Ok(OutputFileSpec {
            path,
            format,
            step: None,
            compression: None,
            row_group_rows: None,
            partition_by: vec![],
        }),
        None => Err(source
            .error(path.place, format!("the name {} does not tell a format", path.text))
            .with_hint("end it in .parquet, .csv, .ndjson or .arrow, or add format: parquet")),
    }
}

fn format_named(source: &Source, word: &Text) -> Result<Format> {
    match word.as_str() {
        "parquet" => Ok(Format::Parquet),
        "csv" => Ok(Format::Csv),
        "ndjson" | "jsonl" | "json" => Ok(Format::NdJson),
        "ipc" | "arrow" | "feather" => Ok(Format::Ipc),
        _ => Err(fields::unknown_word(source, word, "format", &["parquet", "csv", "ndjson", "ipc"])),
    }
}

/// The codec of Parquet files: `zstd`, `zstd(3)`, `snappy`, `lz4` or `none`.
pub(super) fn compression(source: &Source, word: &Text) -> Result<ParquetCompression> {
    let lower = word.text.to_ascii_lowercase();
    let level = lower.strip_prefix("zstd(").and_then(|rest| rest.strip_suffix(')')?.trim().parse::<i32>().ok());
    match (lower.as_str(), level) {
        ("zstd", _) => Ok(ParquetCompression::Zstd(1)),
        (_, Some(level @ 1..=22)) => Ok(ParquetCompression::Zstd(level)),
        ("snappy", _) => Ok(ParquetCompression::Snappy),
        ("lz4" | "lz4_raw", _) => Ok(ParquetCompression::Lz4),
        ("none" | "uncompressed", _) => Ok(ParquetCompression::None),
        _ => Err(fields::unknown_word(source, word, "compression", &["zstd", "zstd(3)", "snappy", "lz4", "none"])),
    }
}
