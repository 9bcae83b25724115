//! Running a pipeline: stage by stage, each into files of the run's folder, then checks, then all outputs at once.
//!
//! Memory: the queries', one at a time. A stage that is finished is on disk with a record of what it is. Whatever ends the
//! process, `--resume` goes on from there: a record with the wanted fingerprint whose files are whole is not computed
//! again.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};

use super::earlier::{Earlier, EarlierRun, home_of, record_name};
use super::fingerprint::Fingerprints;
use super::one_row::OneRow;
use super::prepare::{PipelineFile, Prepared};
use super::record::{FileRecord, Owners, StageRecord};
use super::report::{self, Finished, PublishedFile};
use super::spec::Format;
use super::stages::{Stage, plan_stages};
use super::targets::{check_targets, side_paths};
use super::{check_sql, dry_run, idle_filters, traps};
use crate::error::{Error, Result};
use crate::exec::{CancelToken, Monitor, QueryContext, RunMetrics, Sink, group_digits};
use crate::io::ipc::{IpcLayout, IpcSink};
use crate::io::parquet::{ParquetCompression, ParquetSink, ParquetSinkOptions};
use crate::io::run_folder::{Contents, FileFacts, Move, RunFolder, publish_set, resolved};
use crate::io::text::{Destination, TextFormat, text_sink};
use crate::io::{Output, Tee};
use crate::memory::Memory;
use crate::session::{PreparedQuery, QueryRun, Session};
use crate::spill::Disk;

/// Shows progress until dropped.
pub type Onlooker = Box<dyn std::any::Any>;

/// How to run.
pub struct RunOptions<'a> {
    /// Keep what an earlier run finished.
    pub resume: bool,
    /// Ends the run from another thread.
    pub cancel: CancelToken,
    /// Called when a stage begins.
    pub watch: &'a dyn Fn(Arc<Monitor>, &Memory) -> Option<Onlooker>,
    /// Told what the query of a stage took, also when it failed: the stage in words and its figures.
    pub finished: &'a dyn Fn(&str, &RunMetrics) -> Result<()>,
    /// Told what the user should know, as it becomes known.
    pub tell: &'a dyn Fn(&Notice),
}

/// Something that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Needs no action.
    Note(String),
    /// May be a mistake.
    Warning(String),
}

/// What a finished run wrote.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// One line a file.
    pub lines: Vec<String>,
}

impl PipelineFile {
    /// Runs the pipeline in `session`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] with its place for what is wrong in the file; [`crate::ErrorKind::Data`] when a check
    /// fails; what the queries say. Outputs are then what they were before.
    pub fn run(&self, session: &Session, options: &RunOptions<'_>) -> Result<RunSummary> {
        let prepared = Prepared::new(session, self)?;
        Run::begin(prepared, options)?.run()
    }

    /// What a run would do, as text: every path and column is checked, and nothing runs. With `resume` it says what would be
    /// kept of an earlier run.
    ///
    /// # Errors
    /// As [`PipelineFile::run`], as far as that can be known before.
    pub fn dry_run(&self, session: &Session, resume: bool, cancel: &CancelToken) -> Result<String> {
        let mut prepared = Prepared::new(session, self)?;
        check_targets(&prepared)?;
        dry_run::describe(&mut prepared, resume.then_some(cancel))
    }
}

/// A run under way.
struct Run<'a> {
    prepared: Prepared<'a>,
    options: &'a RunOptions<'a>,
    stages: Vec<Stage>,
    fingerprints: Fingerprints,
    /// One for each folder that outputs are in, so that each is on their file system.
    folders: BTreeMap<PathBuf, RunFolder>,
    /// The folder of the first output, which has records and checkpoints, too.
    home: PathBuf,
    started: DateTime<Utc>,
    clock: Instant,
    warnings: Vec<String>,
    /// Names that stand for a file already.
    replaced: HashSet<String>,
}

impl<'a> Run<'a> {
    fn begin(prepared: Prepared<'a>, options: &'a RunOptions<'a>) -> Result<Self> {
        check_targets(&prepared)?;
        let planned = plan_stages(&prepared)?;
        let fingerprints = Fingerprints::of(&prepared);
        prepared.notes.iter().for_each(|note| (options.tell)(&Notice::Note(note.clone())));
        let mut warnings = Vec::new();
        for id in planned.unused {
            let at = prepared.place_of(&id).map_or(String::new(), |place| format!(" ({})", prepared.source.at(place)));
            warnings.push(format!("the step {id:?}{at} is not run: no output or check needs it"));
        }
        warnings.iter().for_each(|warning| (options.tell)(&Notice::Warning(warning.clone())));
        let name = folder_name(prepared.source.path());
        let mut folders = BTreeMap::new();
        let outputs = &prepared.spec.outputs;
        let named = outputs.files.iter().map(|output| &output.path).chain(&outputs.log);
        for path in named.map(|path| PathBuf::from(&path.text)).chain(side_paths(&prepared)) {
            let folder = folder_of(&resolved(&path));
            if !folders.contains_key(&folder) {
                folders.insert(folder.clone(), RunFolder::open(&folder, &name)?);
            }
        }
        let home = home_of(&prepared);
        if !options.resume {
            folders.values().for_each(|folder| folder.keep_only(|_| false));
        }
        let (started, clock, replaced) = (Utc::now(), Instant::now(), HashSet::new());
        let stages = planned.stages;
        Ok(Run { prepared, options, stages, fingerprints, folders, home, started, clock, warnings, replaced })
    }

    fn run(mut self) -> Result<RunSummary> {
        let mut records: Vec<(StageRecord, bool)> = Vec::with_capacity(self.stages.len());
        let mut checks = Vec::new();
        for stage in self.stages.clone() {
            let fingerprint = self.fingerprints.of_stage(&self.prepared, &stage)?;
            let record = match self.finished(&stage, &fingerprint) {
                Some(record) => (record, true),
                None => {
                    let done = self.run_stage(&stage, &fingerprint);
                    let finished = !records.is_empty();
                    let hint = "what is finished is kept: once this is solved, --resume goes on from there";
                    (done.map_err(|error| if finished { error.with_hint(hint) } else { error })?, false)
                }
            };
            self.read_from_file(&stage, &record.0)?;
            checks.extend(self.check(&stage)?);
            records.push(record);
        }
        self.publish(records, checks)
    }

    fn folder(&self, path: &Path) -> Result<&RunFolder> {
        self.folders
            .get(path)
            .ok_or_else(|| Error::query(format!("no run folder in {}; this is a bug", path.display())))
    }

    fn home(&self) -> Result<&RunFolder> {
        self.folder(&self.home)
    }

    /// What earlier runs left.
    fn earlier(&self) -> EarlierRun<'_> {
        EarlierRun { prepared: &self.prepared, cancel: &self.options.cancel }
    }

    /// The record of `stage`, if an earlier run finished it and its files are whole.
    fn finished(&self, stage: &Stage, fingerprint: &str) -> Option<StageRecord> {
        match self.earlier().stage(stage, fingerprint) {
            Earlier::Whole(record) => Some(record),
            Earlier::Nothing => None,
            Earlier::Spoilt(path) => {
                let note =
                    format!("{} is not what an earlier run wrote: {:?} is computed again", path.display(), stage.name);
                (self.options.tell)(&Notice::Note(note));
                None
            }
        }
    }

    /// Computes `stage` into its files.
    fn run_stage(&mut self, stage: &Stage, fingerprint: &str) -> Result<StageRecord> {
        let mut files = Vec::new();
        for idx in &stage.outputs {
            let path = &self.prepared.spec.outputs.files[*idx].path.text;
            let name = Path::new(path).file_name().unwrap_or_default();
            let hidden = format!("{}.{fingerprint}", name.to_string_lossy());
            files.push(FileRecord { output: Some(path.clone()), hidden, bytes: 0, sha256: None, parts: vec![] });
        }
        if stage.keep {
            let hidden = format!("{}.{fingerprint}.parquet", stage.name);
            files.push(FileRecord { output: None, hidden, bytes: 0, sha256: None, parts: vec![] });
        }
        let sql = self.prepared.output_sql(&stage.name)?;
        let query = self.prepared.session.further_query(sql.as_str())?;
        let run = self.query_run(stage, query, &files)?;
        let labels = run.labels().to_vec();
        let onlooker = (self.options.watch)(run.monitor().clone(), self.prepared.session.memory());
        let (metrics, done) = run.execute_measured();
        drop(onlooker);
        let told = (self.options.finished)(&self.describe(stage, sql.as_str()), &metrics);
        done.map_err(|error| self.in_stage(stage, error))?;
        told?;
        for file in &mut files {
            let contents = Contents::of(&self.earlier().hidden_path(file), &self.options.cancel)?;
            (file.bytes, file.sha256, file.parts) = (contents.bytes, Some(contents.sha256), contents.parts);
        }
        let owners = Owners::new(&self.prepared, &labels, &metrics);
        let steps = owners.steps();
        let mut warnings = self.warnings_of(stage, &metrics, &owners);
        warnings.extend(idle_filters::warnings(&self.prepared, &steps, &self.options.cancel)?);
        let record = StageRecord {
            step: stage.name.clone(),
            fingerprint: fingerprint.to_string(),
            rows: metrics.rows_out,
            seconds: metrics.wall_seconds,
            peak_memory_bytes: metrics.peak_resident_bytes,
            spilled_bytes: metrics.spilled_raw_bytes,
            read_bytes: metrics.read_bytes,
            bad_rows: metrics.n_bad_rows,
            files,
            steps,
            warnings,
            plan: metrics.to_text(),
        };
        record.warnings.iter().for_each(|warning| (self.options.tell)(&Notice::Warning(warning.clone())));
        let text = serde_json::to_string_pretty(&record);
        let text = text.map_err(|error| Error::query(format!("cannot write the record of a stage: {error}")))?;
        self.home()?.write(&record_name(stage, fingerprint), &text)?;
        Ok(record)
    }

    /// The run of `query` into the files of `stage`.
    fn query_run(&self, stage: &Stage, query: PreparedQuery<'a>, files: &[FileRecord]) -> Result<QueryRun<'a>> {
        let cancel = self.options.cancel.clone();
        if let (true, [file]) = (stage.is_folder, files) {
            let earlier = self.earlier();
            let (folder, settings) = (earlier.hidden_path(file), &self.prepared.spec.settings);
            if let Some(output) = earlier.output(file) {
                return query.into_run(&Output::Partitioned(output.partitioned(&folder, settings)), cancel);
            }
        }
        query.into_run_to(cancel, |schema: SchemaRef, ordered: bool, cx: &QueryContext| {
            let sinks = files.iter().map(|file| self.sink(file, schema.clone(), ordered, cx));
            Ok(Tee::of(sinks.collect::<Result<Vec<_>>>()?))
        })
    }

    /// A stage in words, for reports.
    fn describe(&self, stage: &Stage, sql: &str) -> String {
        let outputs = stage.outputs.iter().map(|idx| self.prepared.spec.outputs.files[*idx].path.text.as_str());
        let targets: Vec<&str> = outputs.chain(stage.keep.then_some("checkpoint")).collect();
        format!("{}: {} -> {}\n{sql}", self.prepared.spec.name, stage.name, targets.join(", "))
    }

    fn warnings_of(&self, stage: &Stage, metrics: &RunMetrics, owners: &Owners<'_>) -> Vec<String> {
        let joins = traps::multiplied(metrics).into_iter();
        let mut warnings: Vec<String> = joins.map(|join| join.warning(owners.of(join.operator))).collect();
        if metrics.n_bad_rows > 0 {
            let n_rows = group_digits(metrics.n_bad_rows);
            warnings.push(format!("{n_rows} malformed rows were left out of {}", stage.name));
        }
        if metrics.rows_out == 0 && metrics.rows_in > 0 && !stage.outputs.is_empty() {
            warnings.push(format!("{} has no rows", stage.name));
        }
        warnings
    }

    /// A failed query is told with the step that it computed.
    fn in_stage(&self, stage: &Stage, error: Error) -> Error {
        match self.prepared.place_of(&stage.name) {
            Some(place) => error.with_location(self.prepared.source.at(place)),
            None => error,
        }
    }

    fn sink(&self, file: &FileRecord, schema: SchemaRef, ordered: bool, cx: &QueryContext) -> Result<Arc<dyn Sink>> {
        let earlier = self.earlier();
        let (path, output) = (earlier.hidden_path(file), earlier.output(file));
        let name = Path::new(file.output.as_ref().unwrap_or(&file.hidden));
        let format = output.map_or(Format::Parquet, |output| output.format);
        let text = match format {
            Format::Csv => TextFormat::Csv,
            Format::NdJson => TextFormat::JsonLines,
            Format::Ipc => {
                let destination = Destination::file(&path)?.named(name);
                return Ok(Arc::new(IpcSink::new(destination, schema, IpcLayout::File, ordered, cx)));
            }
            Format::Parquet => {
                let usual = ParquetSinkOptions { repeatable: true, ..ParquetSinkOptions::default() };
                let options = match output {
                    Some(output) => output.parquet(&self.prepared.spec.settings, &usual),
                    // Checkpoints are read once or twice: what is fast to write is best.
                    None => ParquetSinkOptions { compression: ParquetCompression::Lz4, ..usual },
                };
                return Ok(Arc::new(ParquetSink::new(&path, schema, &options, ordered, &cx.memory)?));
            }
        };
        text_sink(text, Destination::file(&path)?.named(name), schema, ordered, cx)
    }

    /// Lets later stages and checks read a finished stage from its Parquet file, where it has one.
    fn read_from_file(&mut self, stage: &Stage, record: &StageRecord) -> Result<()> {
        if stage.is_folder {
            return Ok(());
        }
        let is_parquet = |file: &&FileRecord| {
            file.output.is_none() || self.earlier().output(file).is_some_and(|output| output.format == Format::Parquet)
        };
        let Some(file) = record.files.iter().find(is_parquet) else { return Ok(()) };
        let path = self.earlier().path(file);
        let table = self.prepared.open_parquet(&path)?;
        self.prepared.replace(&stage.name, table, &mut self.replaced)
    }

    /// Runs the checks of `stage`, and gives what was found to hold.
    fn check(&self, stage: &Stage) -> Result<Vec<String>> {
        // The rows of a folder were checked where they come from.
        if stage.is_folder {
            return Ok(vec![]);
        }
        let of_stage = |check: &&super::spec::Check| {
            self.prepared.target(check.step.as_ref(), check.place).is_ok_and(|name| name == stage.name)
        };
        let probes = check_sql::probes(&self.prepared, &stage.name, self.prepared.spec.checks.iter().filter(of_stage))?;
        if probes.is_empty() {
            return Ok(vec![]);
        }
        let sql = check_sql::query(&stage.name, &probes);
        let place = self.prepared.spec.checks[0].place;
        let failed = |error| sql.relocate(error, self.prepared.source, place);
        let query = self.prepared.session.further_query(sql.as_str()).map_err(failed)?;
        let sink = OneRow::default();
        let result = sink.clone();
        let run = query.into_run_to(self.options.cancel.clone(), |_, _, _| Ok(Arc::new(sink)))?;
        run.execute()?;
        let Some(row) = result.take() else { return Err(Error::query("a check gave no row; this is a bug")) };
        check_sql::judge(&self.prepared, &stage.name, &probes, &row)?;
        Ok(probes.into_iter().map(|probe| format!("{}: {}", stage.name, probe.what)).collect())
    }

    /// Outputs of which a part is from before a change and a part from after it are of no use.
    fn refuse_changed_files(&self) -> Result<()> {
        for (path, before) in self.prepared.files() {
            // Pipes change when they are read.
            let is_stream = path.exists() && !path.is_file();
            if !is_stream && FileFacts::of(path)? != *before {
                return Err(Error::data(format!("{} changed while the pipeline ran", path.display())).with_hint(
                    "nothing was published; run it again with --resume, which keeps what does not read this",
                ));
            }
        }
        Ok(())
    }

    /// Writes what is said about the outputs, and puts everything in its place.
    fn publish(self, records: Vec<(StageRecord, bool)>, checks: Vec<String>) -> Result<RunSummary> {
        self.refuse_changed_files()?;
        let mut moves = Vec::new();
        let mut published = Vec::new();
        for (record, reused) in &records {
            for file in &record.files {
                let earlier = self.earlier();
                let Some(output) = earlier.output(file) else { continue };
                let path = PathBuf::from(&output.path.text);
                if earlier.is_hidden(file) {
                    moves.push(Move { from: earlier.hidden_path(file), to: resolved(&path) });
                }
                published.push(PublishedFile {
                    path,
                    format: output.format,
                    step: record.step.clone(),
                    rows: record.rows,
                    bytes: file.bytes,
                    sha256: file.sha256.clone().unwrap_or_default(),
                    is_folder: output.is_folder(),
                    parts: file.parts.clone(),
                    reused: *reused,
                });
            }
        }
        // As the file lists them.
        let place = |file: &PublishedFile| {
            let files = &self.prepared.spec.outputs.files;
            files.iter().position(|output| Path::new(&output.path.text) == file.path)
        };
        published.sort_by_key(place);
        let finished = Finished {
            prepared: &self.prepared,
            records: &records,
            checks: &checks,
            published: &published,
            warnings: &self.warnings,
            started: self.started,
            seconds: self.clock.elapsed().as_secs_f64(),
        };
        for (name, text, to) in report::side_files(&finished)? {
            let to = resolved(&to);
            let folder = self.folder(&folder_of(&to))?;
            folder.write(name, &text)?;
            moves.push(Move { from: folder.file(name), to });
        }
        self.options.cancel.check()?;
        publish_set(&Disk::from_environment()?, &moves)?;
        let kept: HashSet<String> = records.iter().flat_map(|(record, _)| kept_files(record)).collect();
        self.folders.values().for_each(|folder| folder.keep_only(|name| kept.contains(name)));
        Ok(RunSummary { lines: report::lines(&finished) })
    }
}

/// Files of the run's folder that `--resume` may want after a run that succeeded.
fn kept_files(record: &StageRecord) -> Vec<String> {
    let checkpoints = record.files.iter().filter(|file| file.output.is_none()).map(|file| file.hidden.clone());
    let record = format!("{}.{}.json", record.step, record.fingerprint);
    checkpoints.chain([record]).collect()
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The folder that a file called `path` will be in, by its only name.
pub(super) fn real_folder_of(path: &str) -> PathBuf {
    folder_of(&resolved(Path::new(path)))
}

/// The name of the pipeline file, for folders.
pub(super) fn folder_name(path: &Path) -> String {
    path.file_stem().map_or("pipeline".into(), |stem| stem.to_string_lossy().into_owned())
}
