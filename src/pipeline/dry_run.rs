//! `--dry-run`: what would be read, computed and written, with guesses of memory and spilling.
//!
//! Everything is planned, so every path and column is checked. Stages read the checkpoints of earlier ones, which are not
//! there yet: an empty table with the guessed number of rows takes their place.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::check_sql;
use super::earlier::{Earlier, EarlierRun};
use super::fingerprint::Fingerprints;
use super::prepare::Prepared;
use super::spec::Format;
use super::stages::{Stage, plan_stages};
use crate::error::Result;
use crate::exec::{CancelToken, OperatorReport, Report, format_bytes, group_digits};
use crate::io::{Output, Scan, ScanRequest, Table, TableStatistics};
use crate::memory::ResidentSet;
use crate::operators::values::Values;

/// Describes what a run would do; with `resume`, what it would keep of an earlier run.
///
/// # Errors
/// What planning says, with its place.
pub(super) fn describe(prepared: &mut Prepared<'_>, resume: Option<&CancelToken>) -> Result<String> {
    let planned = plan_stages(prepared)?;
    let earlier = look_back(prepared, &planned.stages, resume)?;
    let mut text = format!("pipeline {} ({})\n", prepared.spec.name, prepared.source.path().display());
    write_inputs(prepared, &mut text);
    write_steps(prepared, &planned.unused, &mut text);
    let mut replaced = HashSet::new();
    let mut held_bytes = 0.0f64;
    for (idx, (stage, earlier)) in planned.stages.iter().zip(&earlier).enumerate() {
        let query = prepared.session.further_query(prepared.output_sql(&stage.name)?.as_str())?;
        let (schema, mut footprint) = (query.schema(), query.footprint());
        // Writing to a String does not fail.
        let _ = writeln!(text, "\nstage {}: {} -> {}{}", idx + 1, stage.name, targets(prepared, stage), told(earlier));
        match earlier {
            Some(Earlier::Whole(record)) => footprint.rows = Some(record.rows as f64),
            _ => {
                let plan = query.into_run(&Output::Discard, CancelToken::default())?.explain_text();
                plan.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
                let rows = footprint.rows.map_or("an unknown number of".to_string(), |rows| group_digits(rows as u64));
                let held = bytes_text(footprint.held_bytes);
                let _ = writeln!(text, "  about {rows} rows; operators hold about {held}");
                held_bytes = held_bytes.max(footprint.held_bytes);
            }
        }
        match checks_of(prepared, stage)? {
            0 => {}
            1 => text.push_str("  one check\n"),
            n_checks => text.push_str(&format!("  {n_checks} checks\n")),
        }
        let in_parquet = |idx: &usize| prepared.spec.outputs.files[*idx].format == Format::Parquet;
        if !stage.is_folder && (stage.keep || stage.outputs.iter().any(in_parquet)) {
            let table = Arc::new(Unwritten { name: stage.name.clone(), schema, rows: footprint.rows });
            prepared.replace(&stage.name, table, &mut replaced)?;
        }
    }
    write_memory(prepared, held_bytes, &mut text);
    prepared.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    text.push_str("nothing was run\n");
    Ok(text)
}

/// What an earlier run left of each stage; `None` when nobody asks.
fn look_back(prepared: &Prepared<'_>, stages: &[Stage], resume: Option<&CancelToken>) -> Result<Vec<Option<Earlier>>> {
    let Some(cancel) = resume else { return Ok(stages.iter().map(|_| None).collect()) };
    let (fingerprints, earlier) = (Fingerprints::of(prepared), EarlierRun { prepared, cancel });
    let of = |stage: &Stage| Ok(Some(earlier.stage(stage, &fingerprints.of_stage(prepared, stage)?)));
    stages.iter().map(of).collect()
}

/// What `--resume` does with a stage, behind its name.
fn told(earlier: &Option<Earlier>) -> String {
    match earlier {
        None => String::new(),
        Some(Earlier::Nothing) => ": computed".into(),
        Some(Earlier::Spoilt(path)) => {
            format!(": computed again, since {} is not what an earlier run wrote", path.display())
        }
        Some(Earlier::Whole(record)) => {
            format!(": kept from an earlier run, {} rows", group_digits(record.rows))
        }
    }
}

fn write_inputs(prepared: &Prepared<'_>, text: &mut String) {
    text.push_str("\ninputs\n");
    for (input, open) in prepared.spec.inputs.iter().zip(&prepared.inputs) {
        let bytes: u64 = open.files.iter().map(|(_, facts)| facts.bytes).sum();
        let rows =
            open.table.statistics().n_rows.map_or(String::new(), |rows| format!(", {} rows", group_digits(rows)));
        let n_columns = open.table.schema().fields().len();
        let n_used = input.columns.as_ref().map_or(n_columns, Vec::len);
        let _ = writeln!(
            text,
            "  {}: {}, {}{rows}, {n_used} of {n_columns} columns",
            input.id.text,
            open.table.describe(),
            format_bytes(bytes),
        );
    }
}

fn write_steps(prepared: &Prepared<'_>, unused: &[String], text: &mut String) {
    if prepared.spec.steps.is_empty() {
        return;
    }
    text.push_str("\nsteps\n");
    for step in &prepared.spec.steps {
        let reads = prepared.queries.get(&step.id.text).map(|query| query.reads.join(", ")).unwrap_or_default();
        let idle = if unused.contains(&step.id.text) { " (not run: no output or check needs it)" } else { "" };
        let _ = writeln!(text, "  {}: {} of {reads}{idle}", step.id.text, step.type_name);
    }
}

fn targets(prepared: &Prepared<'_>, stage: &Stage) -> String {
    let outputs = stage.outputs.iter().map(|idx| prepared.spec.outputs.files[*idx].path.text.clone());
    let checkpoint = stage.keep.then(|| "checkpoint".to_string());
    outputs.chain(checkpoint).collect::<Vec<_>>().join(", ")
}

/// Plans the checks of `stage`, and says how many there are.
fn checks_of(prepared: &Prepared<'_>, stage: &Stage) -> Result<usize> {
    let of_stage = |check: &&super::spec::Check| {
        prepared.target(check.step.as_ref(), check.place).is_ok_and(|name| name == stage.name)
    };
    if stage.is_folder {
        return Ok(0);
    }
    let probes = check_sql::probes(prepared, &stage.name, prepared.spec.checks.iter().filter(of_stage))?;
    if let (false, Some(first)) = (probes.is_empty(), prepared.spec.checks.first()) {
        let sql = check_sql::query(&stage.name, &probes);
        let planned = prepared.session.further_query(sql.as_str());
        planned.map_err(|error| sql.relocate(error, prepared.source, first.place))?;
    }
    Ok(probes.len())
}

/// By how much rows may be larger in memory than in their files; more for columns that repeat, less for texts.
const MOST_TIMES_IN_MEMORY: u64 = 8;

/// The peak is what the process takes now, what operators hold, and what is on its way between them.
fn write_memory(prepared: &Prepared<'_>, held_bytes: f64, text: &mut String) {
    let memory = prepared.session.memory();
    let (budget, governed) = (memory.budget().bytes(), memory.governed_bytes() as f64);
    let now = ResidentSet::read().map_or(0, |set| set.resident_bytes);
    let file_bytes: u64 = prepared.files().map(|(_, facts)| facts.bytes).sum();
    let on_the_way = memory.sizes().in_flight_bytes().min(file_bytes.saturating_mul(MOST_TIMES_IN_MEMORY));
    let peak = (now as f64 + held_bytes.min(governed) + on_the_way as f64).min(budget as f64);
    let spilled = (held_bytes - governed).max(0.0);
    let _ = writeln!(
        text,
        "\nestimated peak memory {} of {}, estimated spill {}",
        bytes_text(peak),
        format_bytes(budget),
        bytes_text(spilled),
    );
}

fn bytes_text(bytes: f64) -> String {
    format_bytes(bytes as u64)
}

/// The rows of a stage that did not run.
struct Unwritten {
    name: String,
    schema: SchemaRef,
    rows: Option<f64>,
}

struct NothingToReport;

impl Report for NothingToReport {
    fn report(&self) -> OperatorReport {
        OperatorReport::default()
    }
}

impl Table for Unwritten {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn statistics(&self) -> TableStatistics {
        TableStatistics { n_rows: self.rows.map(|rows| rows as u64), ..TableStatistics::default() }
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        let fields = request.projection.iter().map(|idx| self.schema.field(*idx).clone());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatch::new_empty(schema);
        Ok(Scan { source: Arc::new(Values::new(rows)), report: Arc::new(NothingToReport), bytes_per_worker: 0 })
    }

    fn describe(&self) -> String {
        format!("the file of {}", self.name)
    }
}
