//! From a typed file to names that can be queried: every input opened, every step planned and checked, nothing run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::Text;
use super::inputs::{self, OpenInput};
use super::relations::{Relation, Relations, RowOrder};
use super::source::{Place, Source};
use super::spec::{Filter, Input, Spec, Step};
use super::sql_text::SqlText;
use super::step_sql::{self, StepCx};
use super::{overrides, read, yaml};
use crate::error::{Error, Result};
use crate::io::csv::{CsvOptions, OnBadRow, RejectFile};
use crate::io::files::find_files;
use crate::io::run_folder::FileFacts;
use crate::io::suggest::closest;
use crate::io::{FileTables, HiveFolders, OpenTable, Table};
use crate::session::{Session, SessionOptions};
use crate::spill::SpillConfig;

/// A pipeline file that was read and is not planned yet.
pub struct PipelineFile {
    pub(super) source: Source,
    pub(super) spec: Spec,
}

impl PipelineFile {
    /// Reads `path` and puts every `key=value` of `sets` over it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] with line and column of what is wrong.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self> {
        let source = Source::read(path, sets)?;
        let mut root = yaml::parse(&source)?;
        overrides::apply(&source, &mut root)?;
        let spec = read::read_spec(&source, &root)?;
        Ok(PipelineFile { source, spec })
    }

    /// The session that the file's settings ask for.
    pub fn session_options(&self) -> SessionOptions {
        let settings = &self.spec.settings;
        let on_bad_row = match settings.on_bad_row.as_deref() {
            Some("skip") => OnBadRow::Skip,
            Some(reject) if reject.starts_with("reject=") => {
                OnBadRow::Reject(RejectFile::new(reject.trim_start_matches("reject=")))
            }
            _ => OnBadRow::Fail,
        };
        let csv = CsvOptions { on_bad_row, ..CsvOptions::default() };
        SessionOptions {
            budget: settings.memory_budget,
            threads: settings.threads,
            spill: SpillConfig { dirs: settings.spill_dirs.clone(), limit_bytes: settings.spill_limit },
            files: FileTables { csv, ..FileTables::default() },
            ..SessionOptions::default()
        }
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }
}

/// A pipeline whose names can be queried in a session.
pub(super) struct Prepared<'s> {
    pub(super) session: &'s Session,
    pub(super) source: &'s Source,
    pub(super) spec: &'s Spec,
    pub(super) relations: Relations,
    pub(super) inputs: Vec<OpenInput>,
    /// For each step and input what its query reads, and the query itself.
    pub(super) queries: HashMap<String, NamedQuery>,
    pub(super) notes: Vec<String>,
    /// For each input the conditions that the filters of the file put on it.
    pub(super) filters_of: Vec<Vec<Text>>,
    /// Columns that date ranges of the filters name.
    date_columns: Vec<String>,
    /// Files that SQL names itself, as they were before they were opened.
    pub(super) named_files: BTreeMap<String, Vec<(PathBuf, FileFacts)>>,
}

/// The query behind a name.
pub(super) struct NamedQuery {
    pub(super) sql: String,
    pub(super) reads: Vec<String>,
}

impl<'s> Prepared<'s> {
    /// Opens all inputs and plans all steps.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] with the place of what is wrong; [`crate::ErrorKind::Data`] for files that cannot be
    /// read.
    pub(super) fn new(session: &'s Session, file: &'s PipelineFile) -> Result<Self> {
        let (source, spec) = (&file.source, &file.spec);
        let (relations, queries, notes) = (Relations::default(), HashMap::new(), spec.notes.clone());
        let (inputs, named_files) = (Vec::new(), BTreeMap::new());
        let date_columns = spec.filters.iter().filter_map(Filter::date_column).map(str::to_string).collect();
        let filters_of = Vec::new();
        let mut prepared = Prepared {
            session,
            source,
            spec,
            relations,
            inputs,
            queries,
            notes,
            filters_of,
            date_columns,
            named_files,
        };
        prepared.define_inputs()?;
        for step in &spec.steps {
            prepared.define_step(step)?;
            prepared.look_at_named_files(step)?;
        }
        Ok(prepared)
    }

    /// What `step` reads that is neither an input nor a step.
    fn look_at_named_files(&mut self, step: &Step) -> Result<()> {
        let Some(query) = self.queries.get(&step.id.text) else { return Ok(()) };
        for path in query.reads.iter().filter(|name| self.relations.get(name).is_err()) {
            if !self.named_files.contains_key(path) {
                let at = |error: Error| error.with_location(self.source.at(step_sql::fallback(step)));
                self.named_files.insert(path.clone(), files_with_facts(path).map_err(at)?);
            }
        }
        Ok(())
    }

    /// All files that the pipeline reads, as they were when it began.
    pub(super) fn files(&self) -> impl Iterator<Item = &(PathBuf, FileFacts)> {
        self.inputs.iter().flat_map(|input| &input.files).chain(self.named_files.values().flatten())
    }

    fn define_inputs(&mut self) -> Result<()> {
        let mut relations = Vec::with_capacity(self.spec.inputs.len());
        for input in &self.spec.inputs {
            let open = inputs::open(self.session, self.source, input)?;
            self.session.add_table(&input.id.text, open.table.clone());
            relations.push(Relation { schema: open.table.schema(), order: RowOrder::Given });
            self.inputs.push(open);
        }
        let named: Vec<(&Input, &Relation)> = self.spec.inputs.iter().zip(&relations).collect();
        let plans = |input: &Input, condition: &Text| self.try_condition(input, condition);
        let mut notes = Vec::new();
        let conditions = inputs::conditions(self.source, &self.spec.filters, &named, plans, &mut notes)?;
        self.notes.extend(notes);
        self.filters_of.clone_from(&conditions);
        for ((input, relation), conditions) in self.spec.inputs.iter().zip(relations).zip(conditions) {
            let sql = inputs::picking(self.source, input, &relation, conditions)?;
            self.define(&input.id, &sql, RowOrder::Given, input.path.place)?;
        }
        Ok(())
    }

    /// Whether a condition on no input in particular fits this one.
    fn try_condition(&self, input: &Input, condition: &Text) -> Result<()> {
        let mut sql = step_sql::all_of(&input.id.text);
        step_sql::conditions_after(&mut sql, std::slice::from_ref(condition));
        let tried = self.session.further_query(sql.as_str()).map(|_| ());
        tried.map_err(|error| sql.relocate(error, self.source, condition.place))
    }

    /// Plans `step` over what its inputs stand for now.
    pub(super) fn define_step(&mut self, step: &Step) -> Result<()> {
        let (source, relations, date_columns) = (self.source, &self.relations, self.date_columns.as_slice());
        let cx = StepCx { source, step, relations, date_columns };
        let translated = step_sql::translate(&cx)?;
        self.define(&step.id, &translated.sql, translated.order, step_sql::fallback(step))
    }

    fn define(&mut self, id: &Text, sql: &SqlText, order: RowOrder, otherwise: Place) -> Result<()> {
        let defined = self.session.define(&id.text, sql.as_str());
        let defined = defined.map_err(|error| {
            let error = self.name_steps(error);
            sql.relocate(error, self.source, otherwise)
        })?;
        // Only SQL of the user's says an order that is not known here.
        let order = if order == RowOrder::Unknown && defined.is_ordered { RowOrder::Given } else { order };
        self.relations.insert(&id.text, Relation { schema: defined.schema, order });
        self.queries.insert(id.text.clone(), NamedQuery { sql: sql.as_str().to_string(), reads: defined.reads });
        Ok(())
    }

    /// A name in SQL that is neither a file nor a step was rather meant to be a step.
    fn name_steps(&self, error: Error) -> Error {
        let Some(name) = error.message().strip_suffix(" does not exist").map(str::to_string) else { return error };
        if name.contains(['/', '.', '*']) {
            return error;
        }
        let located = error.location().map(str::to_string);
        if let Some(later) = self.spec.steps.iter().find(|step| step.id.text == name) {
            let error = Error::usage(format!("the step {name:?} comes later")).relocated(located);
            return error.with_hint(comes_later(&self.source.at(later.id.place)));
        }
        let names = || self.relations.names().map(String::as_str);
        let error = Error::usage(format!("there is no input or earlier step {name:?}")).relocated(located);
        if let Some(exact) = names().find(|known| known.to_lowercase() == name) {
            return error.with_hint(format!("write the name in double quotes: \"{exact}\""));
        }
        let mut known: Vec<&str> = names().collect();
        known.sort_unstable();
        match closest(&name, names()) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => error.with_hint(format!("there are: {}", known.join(", "))),
        }
    }

    /// Lets `name` stand for `table`, which holds its rows, and plans the steps after it anew.
    pub(super) fn replace(&mut self, name: &str, table: Arc<dyn Table>, replaced: &mut HashSet<String>) -> Result<()> {
        self.session.add_table(name, table);
        replaced.insert(name.to_string());
        let first = self.spec.steps.iter().position(|step| step.id.text == name).map_or(0, |idx| idx + 1);
        for step in self.spec.steps[first..].iter().filter(|step| !replaced.contains(&step.id.text)) {
            self.define_step(step)?;
        }
        Ok(())
    }

    /// Opens a Parquet file of ours. Its columns are those of its step, whatever the folders around it are called.
    pub(super) fn open_parquet(&self, path: &Path) -> Result<Arc<dyn Table>> {
        let tables = FileTables { hive: HiveFolders::Ignored, ..FileTables::default() };
        tables.open(&path.to_string_lossy(), self.session.memory())
    }

    /// The step or input that an output or check is of.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when there is none of that name, or nothing was said and there is no last step.
    pub(super) fn target<'a>(&'a self, named: Option<&'a Text>, place: Place) -> Result<&'a str> {
        match (named, self.spec.steps.last(), self.spec.inputs.as_slice()) {
            (Some(name), ..) => match self.relations.get(&name.text) {
                Ok(_) => Ok(name.as_str()),
                Err(_) => {
                    let mut names: Vec<&str> = self.relations.names().map(String::as_str).collect();
                    names.sort_unstable();
                    let error = self.source.error(name.place, format!("there is no step or input {:?}", name.text));
                    Err(match closest(&name.text, names.iter().copied()) {
                        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                        None => error.with_hint(format!("there are: {}", names.join(", "))),
                    })
                }
            },
            (None, Some(step), _) => Ok(step.id.as_str()),
            (None, None, [only]) => Ok(only.id.as_str()),
            (None, None, _) => Err(self
                .source
                .error(place, "there are no steps and several inputs: it is not clear what to write")
                .with_hint("add step: and the name of an input")),
        }
    }

    /// The query that gives the rows of `name` in an order that is the same every time, as far as there is one.
    pub(super) fn output_sql(&self, name: &str) -> Result<SqlText> {
        let relation = self.relations.get(name)?;
        Ok(if self.spec.settings.any_order { step_sql::all_of(name) } else { step_sql::ordered(name, relation) })
    }

    /// The step called `name`, unless that is an input.
    pub(super) fn step(&self, name: &str) -> Option<&'s Step> {
        self.spec.steps.iter().find(|step| step.id.text == name)
    }

    /// Where the step or input called `name` stands in the file.
    pub(super) fn place_of(&self, name: &str) -> Option<Place> {
        let of_input = || self.spec.inputs.iter().find(|input| input.id.text == name).map(|input| input.id.place);
        self.step(name).map(|step| step.place).or_else(of_input)
    }
}

/// What to do about a step that is read before it stands there.
pub(super) fn comes_later(at: &str) -> String {
    format!("a step reads what stands above it: move the step at {at} up")
}

/// The files of `path` with what the system says of them.
///
/// # Errors
/// [`crate::ErrorKind::Data`] when there are none or they cannot be looked at.
pub(super) fn files_with_facts(path: &str) -> Result<Vec<(PathBuf, FileFacts)>> {
    let files = find_files(path)?.into_iter();
    files.map(|file| FileFacts::of(&file).map(|facts| (file, facts))).collect()
}
