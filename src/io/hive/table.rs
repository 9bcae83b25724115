//! A table of files with the columns of their folders added.
//!
//! Memory: the partitions, as `partitions` reserves them; while a scan is prepared, one answer a folder.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, and, prep_null_mask_filter, sort_limit, take};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::partitions::Partitions;
use super::scan::{AskedColumns, HiveScan};
use crate::error::{Error, Result};
use crate::io::{
    ColumnStatistics, Comparison, RowFilter, Scan, ScanRequest, SelectedFiles, Table, TableFacts, TableStatistics,
};
use crate::memory::Memory;

/// Files whose folders hold some of their columns. Columns of the files come first; a column of a file that is called
/// like a folder is hidden by it.
pub struct HiveTable {
    inner: Arc<dyn Table>,
    partitions: Arc<Partitions>,
    columns: Vec<Origin>,
    schema: SchemaRef,
    memory: Memory,
}

/// Where a column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This column of the files.
    File(usize),
    /// This column of the partitions.
    Partition(usize),
}

/// The conditions of a request, by what they look at.
#[derive(Default)]
struct Conditions {
    of_files: Vec<Arc<dyn RowFilter>>,
    of_partitions: Vec<Arc<dyn RowFilter>>,
    mixed: Vec<Arc<dyn RowFilter>>,
}

impl HiveTable {
    /// Adds the columns of `partitions` to `inner`, which reads the same files in the same order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] when a column is in the files and in the folders of some of them only.
    pub fn new(inner: Arc<dyn Table>, partitions: Partitions, memory: &Memory) -> Result<Self> {
        let own = inner.schema();
        for (idx, folder) in partitions.fields().iter().enumerate() {
            if let Some(path) = partitions.lacking(idx)
                && own.field_with_name(folder.name()).is_ok()
            {
                let name = folder.name();
                let error = Error::data(format!(
                    "{path}: no folder is called {name}=..., as others are, and files have a column {name} besides"
                ));
                return Err(
                    error.with_hint("read the files with and without such folders separately, or with --hive no")
                );
            }
        }
        let is_hidden = |field: &Field| partitions.fields().iter().any(|folder| folder.name() == field.name());
        let of_files = own.fields().iter().enumerate().filter(|(_, field)| !is_hidden(field));
        let of_files = of_files.map(|(idx, field)| (Origin::File(idx), field));
        let of_folders = partitions.fields().iter().enumerate().map(|(idx, field)| (Origin::Partition(idx), field));
        let (columns, fields): (Vec<_>, Vec<_>) =
            of_files.chain(of_folders).map(|(origin, field)| (origin, field.clone())).unzip();
        let schema = Arc::new(Schema::new(fields));
        Ok(HiveTable { inner, partitions: Arc::new(partitions), columns, schema, memory: memory.clone() })
    }

    /// `None` for a filter that looks at a column of the other kind.
    fn columns_in_files(&self, filter: &Arc<dyn RowFilter>) -> Option<Vec<usize>> {
        let in_file = |column: &usize| match self.columns.get(*column)? {
            Origin::File(idx) => Some(*idx),
            Origin::Partition(_) => None,
        };
        filter.columns().iter().map(in_file).collect()
    }

    fn sort_out(&self, request: &ScanRequest) -> Conditions {
        let mut conditions = Conditions::default();
        for filter in &request.filters {
            let is_of_folder = |column: &usize| matches!(self.columns.get(*column), Some(Origin::Partition(_)));
            if let Some(columns) = self.columns_in_files(filter) {
                conditions.of_files.push(Arc::new(Moved { filter: filter.clone(), columns }));
            } else if filter.columns().iter().all(is_of_folder) && filter.is_active() {
                conditions.of_partitions.push(filter.clone());
            } else {
                conditions.mixed.push(filter.clone());
            }
        }
        conditions
    }

    /// The files whose folders pass all conditions on folders. A condition that fails is left to be asked row by row,
    /// where the rows are that it fails for.
    fn select(&self, conditions: &mut Conditions) -> Result<Vec<usize>> {
        let n_folders = self.partitions.n_folders();
        let mut keep = BooleanArray::from(vec![true; n_folders]);
        for filter in std::mem::take(&mut conditions.of_partitions) {
            match filter.evaluate(&self.folders(filter.columns())?) {
                Ok(answers) if answers.null_count() > 0 => keep = and(&keep, &prep_null_mask_filter(&answers))?,
                Ok(answers) => keep = and(&keep, &answers)?,
                Err(_) => conditions.mixed.push(filter),
            }
        }
        let is_kept = |file: &usize| keep.value(self.partitions.folder_of(*file));
        Ok((0..self.partitions.n_files()).filter(is_kept).collect())
    }

    /// With what is left out by conditions on folders that have an answer only once the scan has begun: the partners of
    /// joins. Those answers may be given up, so files whose rows may be refused are read in any case.
    fn with_late_choice(&self, selected: SelectedFiles, conditions: &Conditions) -> Result<SelectedFiles> {
        let is_of_folder = |column: &usize| matches!(self.columns.get(*column), Some(Origin::Partition(_)));
        let mut late = Vec::new();
        for filter in &conditions.mixed {
            if filter.may_skip_files() && filter.columns().iter().all(is_of_folder) {
                late.push((filter.clone(), self.folders(filter.columns())?));
            }
        }
        if late.is_empty() || self.inner.may_refuse_rows() {
            return Ok(selected);
        }
        let partitions = self.partitions.clone();
        Ok(selected.with_late_choice(Box::new(move |files| {
            let active = late.iter().filter(|(filter, _)| filter.is_active());
            // Whoever fails here is asked again, row by row.
            let answers: Vec<BooleanArray> =
                active.filter_map(|(filter, folders)| filter.evaluate(folders).ok()).collect();
            let passes = |folder: usize| answers.iter().all(|keep| keep.is_valid(folder) && keep.value(folder));
            files.iter().copied().filter(|file| passes(partitions.folder_of(*file))).collect()
        })))
    }

    /// The values of `columns`, a row a folder.
    fn folders(&self, columns: &[usize]) -> Result<RecordBatch> {
        let values = columns.iter().filter_map(|&column| match self.columns[column] {
            Origin::Partition(idx) => Some(self.partitions.values(idx).clone()),
            Origin::File(_) => None,
        });
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.partitions.n_folders()));
        Ok(RecordBatch::try_new_with_options(self.projected(columns), values.collect(), &options)?)
    }

    fn projected(&self, columns: &[usize]) -> SchemaRef {
        let fields = columns.iter().map(|&column| self.schema.fields()[column].clone());
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }

    /// What the files are asked for: the columns of the output, then those that only mixed conditions look at.
    fn request_of_files(&self, request: &ScanRequest, conditions: &Conditions) -> ScanRequest {
        let mut projection: Vec<usize> = Vec::new();
        let mixed = conditions.mixed.iter().flat_map(|filter| filter.columns());
        for column in request.projection.iter().chain(mixed) {
            if let Origin::File(idx) = self.columns[*column]
                && !projection.contains(&idx)
            {
                projection.push(idx);
            }
        }
        let in_file = |column: usize| match self.columns[column] {
            Origin::File(idx) => Some(idx),
            Origin::Partition(_) => None,
        };
        let comparisons = request.comparisons.iter().filter_map(|comparison| {
            in_file(comparison.column).map(|column| Comparison { column, ..comparison.clone() })
        });
        // A dictionary would have to be undone for a mixed condition.
        let is_mixed = |column: &usize| conditions.mixed.iter().any(|filter| filter.columns().contains(column));
        let dictionaries = request.dictionary_columns.iter().filter(|column| !is_mixed(column));
        ScanRequest {
            projection,
            filters: conditions.of_files.clone(),
            comparisons: comparisons.collect(),
            dictionary_columns: dictionaries.filter_map(|&column| in_file(column)).collect(),
            in_order: request.in_order,
            files: None,
            query: request.query.clone(),
        }
    }
}

impl Table for HiveTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn statistics(&self) -> TableStatistics {
        let mut statistics = self.inner.statistics();
        if statistics.columns.is_empty() {
            statistics.columns = vec![ColumnStatistics::default(); self.inner.schema().fields().len()];
        }
        let columns = self.columns.iter().map(|origin| match *origin {
            Origin::File(idx) => statistics.columns[idx].clone(),
            Origin::Partition(idx) => statistics_of(self.partitions.values(idx)),
        });
        TableStatistics { columns: columns.collect(), ..statistics }
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        if let Some(column) = request.projection.iter().find(|column| **column >= self.columns.len()) {
            return Err(Error::query(format!("a scan asks for column {column}, which the table does not have")));
        }
        let mut conditions = self.sort_out(&request);
        let selected = SelectedFiles::new(self.select(&mut conditions)?, &self.memory)?;
        let selected = Arc::new(self.with_late_choice(selected, &conditions)?);
        let of_files = self.request_of_files(&request, &conditions);
        let place = |column: &usize| match self.columns[*column] {
            Origin::File(idx) => Origin::File(of_files.projection.iter().position(|known| *known == idx).unwrap_or(0)),
            folder => folder,
        };
        let mixed = conditions.mixed.iter().map(|filter| {
            let columns = filter.columns().iter().map(place).collect();
            (filter.clone(), AskedColumns { columns, schema: self.projected(filter.columns()) })
        });
        let is_text = |column: &usize| self.schema.field(*column).data_type() == &DataType::Utf8;
        let wants_dictionary = |column: &usize| is_text(column) && request.dictionary_columns.contains(column);
        let scan = HiveScan {
            output: request.projection.iter().map(place).collect(),
            dictionaries: request.projection.iter().map(wants_dictionary).collect(),
            mixed: mixed.collect(),
            schema: self.projected(&request.projection),
            partitions: self.partitions.clone(),
            selected: selected.clone(),
        };
        let inner = self.inner.scan(ScanRequest { files: Some(selected), ..of_files })?;
        Ok(scan.over(inner))
    }

    fn may_refuse_rows(&self) -> bool {
        self.inner.may_refuse_rows()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn facts(&self) -> Result<TableFacts> {
        let mut facts = self.inner.facts()?;
        let names: Vec<&str> = self.partitions.fields().iter().map(|field| field.name().as_str()).collect();
        facts.lines.push(("folders", format!("{} by {}", self.partitions.n_folders(), names.join(", "))));
        if !facts.column_bytes.is_empty() {
            let bytes = self.columns.iter().map(|origin| match *origin {
                Origin::File(idx) => facts.column_bytes.get(idx).copied().unwrap_or(0),
                Origin::Partition(_) => 0,
            });
            facts.column_bytes = bytes.collect();
        }
        Ok(facts)
    }

    fn describe_scan(&self, request: &ScanRequest) -> String {
        let n_files = self.partitions.n_files();
        let mut conditions = self.sort_out(request);
        match self.select(&mut conditions) {
            Ok(selected) => format!("{}, {} of {n_files} files", self.describe(), selected.len()),
            Err(_) => self.describe(),
        }
    }
}

/// What the values of all folders tell.
fn statistics_of(values: &arrow::array::ArrayRef) -> ColumnStatistics {
    let extreme = |descending: bool| {
        let options = SortOptions { descending, nulls_first: false };
        sort_limit(values, Some(options), Some(1)).ok().filter(|first| first.len() == 1 && first.null_count() == 0)
    };
    let n_distinct = distinct(values);
    ColumnStatistics {
        min: extreme(false),
        max: extreme(true),
        n_nulls: (values.null_count() == 0).then_some(0),
        max_distinct: n_distinct,
        likely_distinct: n_distinct,
    }
}

fn distinct(values: &arrow::array::ArrayRef) -> Option<u64> {
    let order = arrow::compute::sort_to_indices(values, None, None).ok()?;
    let order = UInt64Array::from_iter_values(order.values().iter().map(|&idx| u64::from(idx)));
    let sorted = take(values, &order, None).ok()?;
    Some(arrow::compute::partition(&[sorted]).ok()?.len() as u64)
}

/// A condition whose columns have other places in the files.
struct Moved {
    filter: Arc<dyn RowFilter>,
    columns: Vec<usize>,
}

impl RowFilter for Moved {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        self.filter.evaluate(batch)
    }

    fn is_active(&self) -> bool {
        self.filter.is_active()
    }

    fn is_total(&self) -> bool {
        self.filter.is_total()
    }

    fn late_comparisons(&self) -> Vec<Comparison> {
        let late = self.filter.late_comparisons().into_iter().filter_map(|comparison| {
            let place = self.filter.columns().iter().position(|column| *column == comparison.column)?;
            Some(Comparison { column: self.columns[place], ..comparison })
        });
        late.collect()
    }
}
