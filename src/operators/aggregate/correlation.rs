//! COVAR and CORR, by the two-variable form of Welford's formulas. Rows where either argument is NULL do not count.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Float64Type;
use bytemuck::{Pod, Zeroable};

use super::state::{State, StatePlace, counted};
use crate::error::Result;
use crate::row::{Layout, RowTable, Rows, StateOffset};

/// What is made of the co-moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CorrelationResult {
    Covariance { sample: bool },
    Correlation,
}

/// Count, both means, both sums of squares and the sum of products.
pub(super) struct Correlation {
    moments: StateOffset<Values>,
    result: CorrelationResult,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Values {
    n: f64,
    mean_x: f64,
    mean_y: f64,
    squares_x: f64,
    squares_y: f64,
    products: f64,
}

impl Values {
    #[inline(always)]
    fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        let share = 1.0 / self.n;
        let (before_x, before_y) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += before_x * share;
        self.mean_y += before_y * share;
        let (after_x, after_y) = (x - self.mean_x, y - self.mean_y);
        self.squares_x += before_x * after_x;
        self.squares_y += before_y * after_y;
        self.products += before_x * after_y;
    }

    fn combine(&mut self, other: Values) {
        if other.n == 0.0 {
            return;
        }
        let n = self.n + other.n;
        let weight = self.n * other.n / n;
        let (apart_x, apart_y) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        self.squares_x += other.squares_x + apart_x * apart_x * weight;
        self.squares_y += other.squares_y + apart_y * apart_y * weight;
        self.products += other.products + apart_x * apart_y * weight;
        self.mean_x += apart_x * other.n / n;
        self.mean_y += apart_y * other.n / n;
        self.n = n;
    }
}

impl Correlation {
    pub(super) fn new(layout: &Layout, place: StatePlace, result: CorrelationResult) -> Self {
        Correlation { moments: layout.state(place.words_at), result }
    }

    fn result_of(&self, values: Values) -> Option<f64> {
        match self.result {
            CorrelationResult::Covariance { sample } => {
                let degrees = values.n - f64::from(u8::from(sample));
                (degrees > 0.0).then(|| values.products / degrees)
            }
            CorrelationResult::Correlation => {
                // The roots apart: their product neither overflows nor vanishes before the result does.
                let spread = values.squares_x.sqrt() * values.squares_y.sqrt();
                (values.n > 1.0 && spread > 0.0).then(|| values.products / spread)
            }
        }
    }
}

impl State for Correlation {
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()> {
        let (x, y) = (args[0].as_primitive::<Float64Type>(), args[1].as_primitive::<Float64Type>());
        let valid = counted(y, counted(x, selected).as_ref());
        let (x, y) = (x.values(), y.values());
        table.for_each_located(|idx, mut row| {
            if valid.as_ref().is_none_or(|valid| valid.is_valid(idx)) {
                row.state(self.moments).add(x[idx], y[idx]);
            }
        });
        Ok(())
    }

    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
        table.for_each_found(rows, |mut group, row| group.state(self.moments).combine(row.state(self.moments)));
        Ok(())
    }

    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef> {
        Ok(Arc::new(rows.iter().map(|row| self.result_of(row.state(self.moments))).collect::<Float64Array>()))
    }
}
