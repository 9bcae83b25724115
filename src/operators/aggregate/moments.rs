//! VAR and STDDEV, by Welford's updating formulas and Chan's formula for combining.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Float64Type;
use bytemuck::{Pod, Zeroable};

use super::state::{State, StatePlace, counted};
use crate::error::Result;
use crate::row::{Layout, RowTable, Rows, StateOffset};

/// What is made of the moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MomentsResult {
    Variance,
    StandardDeviation,
}

/// Count, mean and the sum of squared differences from the mean.
pub(super) struct Moments {
    moments: StateOffset<Values>,
    result: MomentsResult,
    /// What is subtracted from the count: 1 for a sample, 0 for a population.
    lost_degrees: f64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Values {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Values {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        let before = value - self.mean;
        self.mean += before / self.n;
        self.squares += before * (value - self.mean);
    }

    fn combine(&mut self, other: Values) {
        if other.n == 0.0 {
            return;
        }
        let n = self.n + other.n;
        let apart = other.mean - self.mean;
        self.squares += other.squares + apart * apart * self.n * other.n / n;
        self.mean += apart * other.n / n;
        self.n = n;
    }
}

impl Moments {
    pub(super) fn new(layout: &Layout, place: StatePlace, result: MomentsResult, sample: bool) -> Self {
        Moments { moments: layout.state(place.words_at), result, lost_degrees: f64::from(u8::from(sample)) }
    }
}

impl State for Moments {
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()> {
        let array = args[0].as_primitive::<Float64Type>();
        let values = array.values();
        let valid = counted(array, selected);
        table.for_each_located(|idx, mut row| {
            if valid.as_ref().is_none_or(|valid| valid.is_valid(idx)) {
                row.state(self.moments).add(values[idx]);
            }
        });
        Ok(())
    }

    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
        table.for_each_found(rows, |mut group, row| group.state(self.moments).combine(row.state(self.moments)));
        Ok(())
    }

    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef> {
        let result = |values: Values| {
            let variance = values.squares / (values.n - self.lost_degrees);
            (values.n > self.lost_degrees).then_some(match self.result {
                MomentsResult::Variance => variance,
                MomentsResult::StandardDeviation => variance.sqrt(),
            })
        };
        Ok(Arc::new(rows.iter().map(|row| result(row.state(self.moments))).collect::<Float64Array>()))
    }
}
