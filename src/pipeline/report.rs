//! What a finished run says about itself: the manifest, checksums, the log, and lines for the terminal.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::prepare::Prepared;
use super::record::StageRecord;
use super::spec::Format;
use crate::error::{Error, Result};
use crate::exec::{format_bytes, group_digits};
use crate::io::run_folder::PartFacts;

/// All there is to tell.
pub(super) struct Finished<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    /// With whether an earlier run had finished it.
    pub(super) records: &'a [(StageRecord, bool)],
    pub(super) checks: &'a [String],
    pub(super) published: &'a [PublishedFile],
    pub(super) warnings: &'a [String],
    pub(super) started: DateTime<Utc>,
    pub(super) seconds: f64,
}

/// An output that is in its place.
pub(super) struct PublishedFile {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) step: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) is_folder: bool,
    /// The files of a folder.
    pub(super) parts: Vec<PartFacts>,
    /// Computed by an earlier run.
    pub(super) reused: bool,
}

/// Name in the run's folder, text, and place of each file that goes with the outputs.
///
/// # Errors
/// None that a user can cause.
pub(super) fn side_files(finished: &Finished<'_>) -> Result<Vec<(&'static str, String, PathBuf)>> {
    let outputs = &finished.prepared.spec.outputs;
    let [manifest_path, checksums_path] = super::targets::side_paths(finished.prepared);
    let manifest = serde_json::to_string_pretty(&manifest(finished));
    let manifest = manifest.map_err(|error| Error::query(format!("cannot write the manifest: {error}")))? + "\n";
    let mut files = vec![
        ("manifest.json", manifest, manifest_path),
        ("checksums.txt", checksums(finished, &checksums_path), checksums_path),
    ];
    if let Some(path) = &outputs.log {
        files.push(("run.log", log(finished), PathBuf::from(&path.text)));
    }
    Ok(files)
}

/// Lines that `sha256sum -c` reads in the folder of the file.
fn checksums(finished: &Finished<'_>, own_path: &Path) -> String {
    let folder = super::run::folder_of(own_path);
    let mut text = String::new();
    for file in finished.published {
        let own_folder = super::run::folder_of(&file.path);
        let name = match (own_folder == folder, file.path.file_name()) {
            (true, Some(name)) => PathBuf::from(name),
            _ => file.path.strip_prefix(&folder).map(Path::to_path_buf).unwrap_or_else(|_| absolute(&file.path)),
        };
        // Writing to a String does not fail.
        let _ = match file.is_folder {
            false => writeln!(text, "{}  {}", file.sha256, name.display()),
            true => file
                .parts
                .iter()
                .try_for_each(|part| writeln!(text, "{}  {}", part.sha256, name.join(&part.name).display())),
        };
    }
    text
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn manifest(finished: &Finished<'_>) -> Value {
    let prepared = finished.prepared;
    let memory = prepared.session.memory();
    let warnings = finished.records.iter().flat_map(|(record, _)| &record.warnings).chain(finished.warnings);
    json!({
        "name": prepared.spec.name,
        "pipeline": prepared.source.path().display().to_string(),
        "set": prepared.source.sets(),
        "brimful_version": env!("CARGO_PKG_VERSION"),
        "started": finished.started.to_rfc3339_opts(SecondsFormat::Millis, true),
        "seconds": finished.seconds,
        "settings": {
            "memory_budget_bytes": memory.budget().bytes(),
            "threads": memory.sizes().threads,
            "compression": prepared.spec.settings.compression.map(|codec| format!("{codec:?}").to_lowercase()),
            "checkpoints": format!("{:?}", prepared.spec.settings.checkpoints).to_lowercase(),
        },
        "inputs": inputs(finished),
        "steps": steps(finished),
        "stages": finished.records.iter().map(stage).collect::<Vec<_>>(),
        "checks": finished.checks,
        "warnings": warnings.collect::<Vec<_>>(),
        "outputs": finished.published.iter().map(|file| json!({
            "path": file.path.display().to_string(),
            "format": file.format.name(),
            "step": file.step,
            "rows": file.rows,
            "bytes": file.bytes,
            "sha256": file.sha256,
            "files": file.is_folder.then_some(&file.parts),
            "reused": file.reused,
        })).collect::<Vec<_>>(),
    })
}

fn inputs(finished: &Finished<'_>) -> Vec<Value> {
    let prepared = finished.prepared;
    let described = prepared.spec.inputs.iter().zip(&prepared.inputs).map(|(input, open)| {
        let files = open.files.iter().map(|(path, facts)| {
            json!({
                "path": path.display().to_string(),
                "bytes": facts.bytes,
                "modified": time_text(facts.modified_ns),
            })
        });
        json!({
            "id": input.id.text,
            "path": input.path.text,
            "rows": open.table.statistics().n_rows.or_else(|| all_rows_of(finished, &input.id.text)),
            "rows_used": rows_of(finished, &input.id.text),
            "bytes": open.files.iter().map(|(_, facts)| facts.bytes).sum::<u64>(),
            "files": files.collect::<Vec<_>>(),
        })
    });
    described.collect()
}

fn time_text(nanoseconds: i128) -> Option<String> {
    let nanoseconds = i64::try_from(nanoseconds).ok()?;
    Some(DateTime::from_timestamp_nanos(nanoseconds).to_rfc3339_opts(SecondsFormat::Nanos, true))
}

/// The rows that left a step or input, where that is known.
fn rows_of(finished: &Finished<'_>, id: &str) -> Option<u64> {
    let steps = finished.records.iter().flat_map(|(record, _)| &record.steps);
    let whole = finished.records.iter().find(|(record, _)| record.step == id).map(|(record, _)| record.rows);
    whole.or_else(|| steps.filter(|step| step.id == id).find_map(|step| step.rows))
}

/// The rows of an input's files, where some stage read all of them.
fn all_rows_of(finished: &Finished<'_>, id: &str) -> Option<u64> {
    let steps = finished.records.iter().flat_map(|(record, _)| &record.steps);
    steps.filter(|step| step.id == id).find_map(|step| step.all_rows)
}

fn seconds_of(finished: &Finished<'_>, id: &str) -> f64 {
    let steps = finished.records.iter().flat_map(|(record, _)| &record.steps);
    // The sum of nothing would be -0.
    steps.filter(|step| step.id == id).fold(0.0, |sum, step| sum + step.seconds)
}

fn steps(finished: &Finished<'_>) -> Vec<Value> {
    let described = finished.prepared.spec.steps.iter().map(|step| {
        let query = finished.prepared.queries.get(&step.id.text);
        json!({
            "id": step.id.text,
            "type": step.type_name,
            "reads": query.map(|query| &query.reads),
            "sql": query.map(|query| &query.sql),
            "rows": rows_of(finished, &step.id.text),
            "operator_seconds": seconds_of(finished, &step.id.text),
        })
    });
    described.collect()
}

fn stage((record, reused): &(StageRecord, bool)) -> Value {
    json!({
        "step": record.step,
        "fingerprint": record.fingerprint,
        "reused": reused,
        "rows": record.rows,
        "seconds": record.seconds,
        "peak_memory_bytes": record.peak_memory_bytes,
        "spilled_bytes": record.spilled_bytes,
        "read_bytes": record.read_bytes,
        "bad_rows": record.bad_rows,
        "plan": record.plan.lines().collect::<Vec<_>>(),
    })
}

/// The log: a table of steps with rows and times, then what was checked, warned about and written.
fn log(finished: &Finished<'_>) -> String {
    let prepared = finished.prepared;
    let mut text = format!(
        "pipeline {} ({}), brimful {}\nstarted {}, took {:.3} s, memory budget {}, {} threads\n",
        prepared.spec.name,
        prepared.source.path().display(),
        env!("CARGO_PKG_VERSION"),
        finished.started.to_rfc3339_opts(SecondsFormat::Millis, true),
        finished.seconds,
        format_bytes(prepared.session.memory().budget().bytes()),
        prepared.session.memory().sizes().threads,
    );
    let inputs = prepared.spec.inputs.iter().map(|input| (input.id.as_str(), "input"));
    let steps = prepared.spec.steps.iter().map(|step| (step.id.as_str(), step.type_name));
    text.push_str("\nstep                           type           rows out   operator seconds\n");
    for (id, type_name) in inputs.chain(steps) {
        let rows = rows_of(finished, id).map_or("-".to_string(), group_digits);
        // Writing to a String does not fail.
        let _ = writeln!(text, "{id:<30} {type_name:<12} {rows:>12} {:>18.3}", seconds_of(finished, id));
    }
    text.push_str(
        "(rows after the conditions of later steps, where those were applied earlier; - where steps were merged)\n\n",
    );
    for (record, reused) in finished.records {
        let how = if *reused { "kept from an earlier run" } else { "computed" };
        let _ = writeln!(
            text,
            "stage {}: {how}, {} rows, {:.3} s, peak memory {}, spilled {}",
            record.step,
            group_digits(record.rows),
            record.seconds,
            format_bytes(record.peak_memory_bytes),
            format_bytes(record.spilled_bytes),
        );
    }
    let warnings = finished.records.iter().flat_map(|(record, _)| &record.warnings).chain(finished.warnings);
    warnings.for_each(|warning| text.push_str(&format!("warning: {warning}\n")));
    finished.checks.iter().for_each(|check| text.push_str(&format!("checked {check}\n")));
    lines(finished).iter().for_each(|line| text.push_str(&format!("{line}\n")));
    text
}

/// One line a file.
pub(super) fn lines(finished: &Finished<'_>) -> Vec<String> {
    let line = |file: &PublishedFile| {
        let verb = if file.reused { "kept" } else { "wrote" };
        let (rows, bytes) = (group_digits(file.rows), format_bytes(file.bytes));
        let noun = if file.rows == 1 { "row" } else { "rows" };
        format!("{verb} {}: {rows} {noun}, {bytes}", file.path.display())
    };
    finished.published.iter().map(line).collect()
}
