//! A summary of every column.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};

use super::data_frame::DataFrame;
use super::expr::{Expr, QuantileMethod, col};
use super::lazy::LazyFrame;
use super::resolve::is_text;
use crate::error::Result;

/// The rows of a summary.
const STATISTICS: [&str; 9] = ["count", "null_count", "mean", "std", "min", "25%", "50%", "75%", "max"];

impl LazyFrame {
    /// Count, NULLs, mean, standard deviation, least and greatest value and quartiles of every column, in one pass over the
    /// rows. Columns of numbers are summarized as numbers, all others as text.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let summary = rows.describe()?;
    /// assert_eq!(summary.texts("statistic")[..3], ["count", "null_count", "mean"]);
    /// assert_eq!(summary.texts("n")[..3], ["3.0", "0.0", "2.0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn describe(&self) -> Result<DataFrame> {
        let schema = self.collect_schema()?;
        let mut exprs = Vec::new();
        for (idx, field) in schema.fields().iter().enumerate() {
            for name in STATISTICS {
                exprs.extend(statistic(field, name).map(|expr| expr.alias(cell(idx, name))));
            }
        }
        let summary = self.clone().select(exprs).collect()?;
        let mut fields = vec![Field::new("statistic", DataType::Utf8, false)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(STATISTICS))];
        for (idx, field) in schema.fields().iter().enumerate() {
            let values = STATISTICS.map(|name| summary.column(&cell(idx, name)).ok());
            let column: ArrayRef = match is_number(field.data_type()) {
                true => Arc::new(values.iter().map(|value| number_in(value.as_ref())).collect::<Float64Array>()),
                false => Arc::new(values.iter().map(|value| text_in(value.as_ref())).collect::<StringArray>()),
            };
            fields.push(Field::new(field.name(), column.data_type().clone(), true));
            columns.push(column);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        self.session.data_frame(vec![batch])
    }
}

fn cell(idx: usize, statistic: &str) -> String {
    format!("{idx} {statistic}")
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || *data_type == DataType::Boolean
}

/// The expression of one cell; `None` where it means nothing.
fn statistic(field: &Field, name: &str) -> Option<Expr> {
    let (data_type, value) = (field.data_type(), col(field.name()));
    let to = if is_number(data_type) { DataType::Float64 } else { DataType::Utf8 };
    let is_flag = *data_type == DataType::Boolean;
    let value = if is_flag { value.cast(DataType::Int64) } else { value };
    let has_quartiles = is_number(data_type) || data_type.is_temporal();
    let has_order = is_number(data_type) || data_type.is_temporal() || is_text(data_type);
    // Of dates and times there are no numbers to choose the nearest from.
    let method = if is_number(data_type) { QuantileMethod::Nearest } else { QuantileMethod::Discrete };
    let quartile = |at: f64| value.clone().quantile(at, method);
    let expr = match name {
        "count" => value.count(),
        "null_count" => value.null_count(),
        "min" if has_order => value.min(),
        "max" if has_order => value.max(),
        "25%" if has_quartiles => quartile(0.25),
        "50%" if has_quartiles => quartile(0.5),
        "75%" if has_quartiles => quartile(0.75),
        _ if !is_number(data_type) => return None,
        "mean" => value.mean(),
        "std" => value.std(1),
        _ => return None,
    };
    Some(expr.cast(to))
}

fn number_in(value: Option<&ArrayRef>) -> Option<f64> {
    value?.as_primitive_opt::<Float64Type>()?.iter().next().flatten()
}

fn text_in(value: Option<&ArrayRef>) -> Option<String> {
    value?.as_string_opt::<i32>()?.iter().next().flatten().map(str::to_string)
}
