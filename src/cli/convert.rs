//! `brimful convert`.

use std::path::Path;
use std::sync::Arc;

use super::args::{ConvertArgs, session_options};
use super::delivery::{Delivery, file_output};
use super::input::{Input, quoted};
use super::messages;
use crate::error::{Error, Result};
use crate::exec::{CancelToken, RunMetrics, Sink, format_bytes, group_digits};
use crate::io::files::size_of;
use crate::io::parquet::{ParquetSink, ParquetSinkOptions};
use crate::io::partitioned::PartitionedOutput;
use crate::io::{Output, OutputFormat, is_pipe_or_device};
use crate::session::Session;

/// Writes files in another format and says what that saved.
pub(super) fn run(args: &ConvertArgs, cancel: &CancelToken) -> Result<()> {
    let Some((target, sources)) = args.files.split_last() else { return Ok(()) };
    let target = Path::new(target);
    let asked = args.format.map(OutputFormat::from);
    let output = match args.partition_by.is_empty() {
        true => file_output(target, asked)?,
        false => Output::Partitioned(partitioned(args, target, asked)?),
    };
    let for_parquet = args.compression.map(|_| "--compression").or(args.row_group_rows.map(|_| "--row-group-rows"));
    if let Some(flag) = for_parquet.filter(|_| !is_parquet(&output)) {
        return Err(Error::usage(format!("{flag} is for Parquet"))
            .with_hint(format!("{} is not: name the output .parquet", target.display())));
    }
    let session = Session::new(session_options(&args.session, &args.reading))?;
    let input = Input::open(&session, sources)?;
    let query = session.sql(&query_of(args, &input)?)?;
    let mut delivery = Delivery::new(&session, &args.messages, cancel);
    let metrics = match for_parquet {
        Some(_) if matches!(output, Output::File(..)) => {
            let options = parquet_options(args);
            delivery.run_with(query, &output, &|schema, ordered, cx| {
                let sink: Arc<dyn Sink> = Arc::new(ParquetSink::new(target, schema, &options, ordered, &cx.memory)?);
                Ok(sink)
            })?
        }
        _ => delivery.run(query, &output)?,
    };
    match &output {
        // Who reads a stream counts for himself.
        Output::Stdout(_) => Ok(()),
        Output::File(path, _) if is_pipe_or_device(path) => Ok(()),
        _ => report(&input, target, &metrics),
    }
}

fn is_parquet(output: &Output) -> bool {
    match output {
        Output::File(_, format) => *format == OutputFormat::Parquet,
        Output::Partitioned(output) => output.format == OutputFormat::Parquet,
        Output::Stdout(_) | Output::Discard => false,
    }
}

/// A folder of folders; Parquet unless something else is asked for.
fn partitioned(args: &ConvertArgs, target: &Path, asked: Option<OutputFormat>) -> Result<PartitionedOutput> {
    let columns = args.partition_by.iter().map(|name| name.trim().to_string()).collect();
    let mut output = PartitionedOutput::new(target, asked.unwrap_or(OutputFormat::Parquet), columns);
    output.parquet = parquet_options(args);
    Ok(output)
}

fn parquet_options(args: &ConvertArgs) -> ParquetSinkOptions {
    let usual = ParquetSinkOptions::default();
    let row_group_rows = args.row_group_rows.and_then(|rows| usize::try_from(rows).ok());
    ParquetSinkOptions {
        compression: args.compression.unwrap_or(usual.compression),
        row_group_rows: row_group_rows.unwrap_or(usual.row_group_rows),
        ..usual
    }
}

fn query_of(args: &ConvertArgs, input: &Input) -> Result<String> {
    let mut sql = input.select(&args.columns)?;
    let keys: Vec<String> = args.sort.iter().map(|key| sort_key(key, input)).collect::<Result<_>>()?;
    if !keys.is_empty() {
        sql.push_str(" ORDER BY ");
        sql.push_str(&keys.join(", "));
    }
    Ok(sql)
}

/// `city` or `fare desc`, unless a column is called just that.
fn sort_key(key: &str, input: &Input) -> Result<String> {
    let key = key.trim();
    let is_column = input.schema().column_with_name(key).is_some();
    let (name, order) = match key.rsplit_once(' ') {
        Some((name, order)) if !is_column => match order.to_ascii_lowercase().as_str() {
            "desc" => (name.trim(), " DESC"),
            "asc" => (name.trim(), ""),
            _ => (key, ""),
        },
        _ => (key, ""),
    };
    Ok(format!("{}{order}", quoted(input.field(name)?.name())))
}

/// `trips.csv 1.20 GiB -> trips.parquet 312 MiB (3.9 times smaller), 12,345,678 rows in 3.2 s`
fn report(input: &Input, target: &Path, metrics: &RunMetrics) -> Result<()> {
    let before = input.table().statistics().file_bytes;
    let after = size_of(target)?;
    let rows = if metrics.rows_out == 1 { "row" } else { "rows" };
    // Of a pipe nobody knows how much it was.
    let source = match before {
        0 => input.shown_name().to_string(),
        _ => format!("{} {}", input.shown_name(), format_bytes(before)),
    };
    messages::note(format_args!(
        "{source} -> {} {}{}, {} {rows} in {:.1} s",
        target.display(),
        format_bytes(after),
        ratio(before, after),
        group_digits(metrics.rows_out),
        metrics.wall_seconds,
    ));
    Ok(())
}

fn ratio(before: u64, after: u64) -> String {
    let times = |more: u64, less: u64| format!("{:.1} times", more as f64 / less as f64);
    match (before, after) {
        (0, _) | (_, 0) => String::new(),
        _ if before >= after => format!(" ({} smaller)", times(before, after)),
        _ => format!(" ({} larger)", times(after, before)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_says_which_is_larger() {
        assert_eq!(ratio(390, 100), " (3.9 times smaller)");
        assert_eq!(ratio(100, 250), " (2.5 times larger)");
        assert_eq!(ratio(100, 100), " (1.0 times smaller)");
        assert_eq!(ratio(0, 100), "");
    }
}
