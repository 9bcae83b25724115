//! From the rows of one batch to those that pass the filters, and the values of these.
//!
//! Memory: the columns of one batch. A column is read when the first filter asks for it, and then only the rows that are
//! left, where that is cheaper than reading all.
//! The surprising part: columns that were read whole stay whole until the end, so that each is filtered once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::compute::{FilterBuilder, FilterPredicate, cast, filter};
use arrow::datatypes::SchemaRef;

use super::row_group::RowGroupReader;
use super::scan::ScanPlan;
use super::selection::{DictionaryAnswers, Selection};
use crate::error::{Error, Result};
use crate::io::table::RowFilter;

/// A filter and the wanted columns it reads.
pub(super) struct BoundFilter {
    pub(super) filter: Arc<dyn RowFilter>,
    pub(super) columns: Vec<usize>,
    pub(super) schema: SchemaRef,
}

/// A batch whose rows are being left out.
pub(super) struct Narrowing<'a> {
    plan: &'a ScanPlan,
    reader: &'a mut RowGroupReader,
    /// By wanted column, what has been read of it.
    columns: Vec<Option<Values>>,
    selection: Selection,
    /// Takes the rows that are left from whole columns; made when first needed.
    predicate: Option<FilterPredicate>,
}

#[derive(Clone)]
enum Values {
    /// Of every row of the batch.
    Whole(ArrayRef),
    /// Of the rows that are left.
    Left(ArrayRef),
}

impl<'a> Narrowing<'a> {
    /// The next `n_rows` rows of `reader`, all of them so far.
    pub(super) fn new(plan: &'a ScanPlan, reader: &'a mut RowGroupReader, n_rows: usize) -> Self {
        let columns = vec![None; plan.wanted.len()];
        Narrowing { plan, reader, columns, selection: Selection::all(n_rows), predicate: None }
    }

    /// Leaves out the rows that do not pass filter `filter_idx`.
    pub(super) fn apply(&mut self, filter_idx: usize, answers: &mut Option<DictionaryAnswers>) -> Result<()> {
        let plan = self.plan;
        let bound = &plan.filters[filter_idx];
        if self.selection.n_kept() == 0 || !bound.filter.is_active() {
            return Ok(());
        }
        for &idx in &bound.columns {
            self.load(idx)?;
        }
        if bound.filter.is_total()
            && let Some(whole) = self.whole(&bound.columns)
        {
            let found = bound.evaluate(whole, self.selection.n_rows())?;
            return self.leave(&self.selection.of_kept(&found)?, self.selection.and(&found));
        }
        // What an earlier filter left out must not make this one fail: `x <> 0 AND 10 / x > 1`.
        let inputs = bound.columns.iter().map(|&idx| self.left(idx)).collect::<Result<Vec<_>>>()?;
        let found = match inputs.as_slice() {
            [only] if only.as_any_dictionary_opt().is_some() => bound.evaluate_dictionary(only, answers)?,
            _ => bound.evaluate(inputs, self.selection.n_kept())?,
        };
        let both = if self.selection.keeps_all() { found.clone() } else { self.selection.narrowed(&found) };
        self.leave(&found, both)
    }

    /// The output columns of the rows that are left, and how many these are.
    pub(super) fn finish(mut self) -> Result<(Vec<ArrayRef>, usize)> {
        let plan = self.plan;
        let mut output = Vec::with_capacity(plan.output.len());
        for &idx in &plan.output {
            self.load(idx)?;
            let array = self.left(idx)?;
            output.push(self.reader.produce(idx, array)?);
        }
        for idx in 0..self.columns.len() {
            if self.columns[idx].is_none() {
                self.reader.skip(idx, self.selection.n_rows());
            }
        }
        Ok((output, self.selection.n_kept()))
    }

    /// Reads column `idx` unless that is done.
    fn load(&mut self, idx: usize) -> Result<()> {
        if self.columns[idx].is_some() {
            return Ok(());
        }
        let n_rows = self.selection.n_rows();
        let values = match self.selection.runs() {
            Some((runs, _)) if runs.is_empty() => {
                self.reader.skip(idx, n_rows);
                Values::Left(new_empty_array(self.reader.data_type(idx)))
            }
            Some((runs, n_after)) => {
                let array = self.reader.read_runs(idx, &runs)?;
                self.reader.skip(idx, n_after);
                Values::Left(array)
            }
            None => Values::Whole(self.reader.read(idx, n_rows)?),
        };
        self.columns[idx] = Some(values);
        Ok(())
    }

    /// The values of all rows, if all of `columns` have been read whole.
    fn whole(&self, columns: &[usize]) -> Option<Vec<ArrayRef>> {
        let of = |&idx: &usize| match &self.columns[idx] {
            Some(Values::Whole(array)) => Some(array.clone()),
            _ => None,
        };
        columns.iter().map(of).collect()
    }

    /// The values of the rows that are left in a column that has been read.
    fn left(&mut self, idx: usize) -> Result<ArrayRef> {
        match &self.columns[idx] {
            Some(Values::Left(array)) => Ok(array.clone()),
            Some(Values::Whole(array)) if self.selection.keeps_all() => Ok(array.clone()),
            Some(Values::Whole(array)) => {
                let selection = &self.selection;
                let make = || FilterBuilder::new(&selection.to_array()).optimize().build();
                Ok(self.predicate.get_or_insert_with(make).filter(array)?)
            }
            None => Err(Error::query("a column is asked for that has not been read")),
        }
    }

    /// Keeps the rows of `both`, which are those of the rows left so far that `found` keeps.
    fn leave(&mut self, found: &Selection, both: Selection) -> Result<()> {
        if found.keeps_all() {
            return Ok(());
        }
        for column in self.columns.iter_mut().flatten() {
            if let Values::Left(array) = column {
                *array = filter(array, &found.to_array())?;
            }
        }
        self.selection = both;
        self.predicate = None;
        Ok(())
    }
}

impl BoundFilter {
    fn evaluate(&self, inputs: Vec<ArrayRef>, n_rows: usize) -> Result<Selection> {
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), inputs, &options)?;
        Ok(Selection::of(&self.filter.evaluate(&batch)?))
    }

    /// Asks once for each value of a dictionary instead of once a row. When a value makes the filter fail, each row of
    /// `column` is asked after all, because an earlier filter may have left that value out.
    fn evaluate_dictionary(&self, column: &ArrayRef, known: &mut Option<DictionaryAnswers>) -> Result<Selection> {
        if !known.as_ref().is_some_and(|known| known.are_for(column)) {
            let ask =
                |values: ArrayRef| self.filter.evaluate(&RecordBatch::try_new(self.schema.clone(), vec![values])?);
            *known = DictionaryAnswers::ask(column, self.schema.field(0).is_nullable(), ask).ok();
        }
        match known.as_ref().and_then(|known| known.of_rows(column)) {
            Some(selection) => Ok(selection),
            None => self.evaluate(vec![cast(column, self.schema.field(0).data_type())?], column.len()),
        }
    }
}
