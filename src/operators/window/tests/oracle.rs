//! Window functions as plainly as they can be said: for every row its partition, for every row of that whether it is in
//! the frame, and the function over those.

use std::cmp::Ordering;

use arrow::array::*;
use arrow::datatypes::*;

use super::{KEY, Moved, PARTITION, REAL, TEXT};
use crate::operators::sort::SortKey;
use crate::operators::window::{Bound, FoldFunction, Frame, FrameEdges, Unit, WindowCall, WindowFunction, WindowSpec};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
}

pub(super) fn cell(array: &ArrayRef, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => Cell::Int(array.as_primitive::<UInt64Type>().value(row) as i64),
        DataType::Float64 => Cell::Real(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_string()),
        other => panic!("the oracle does not know {other}"),
    }
}

/// Whether two results are the same, but for the last bits of floats.
pub(super) fn same(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Cell::Real(a), Cell::Real(b)) => {
            a.is_nan() && b.is_nan()
                || (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0)
                || (a - b).abs() < 16.0 && a.abs() > 1e14
        }
        _ => a == b,
    }
}

/// The order of values: NaN is the largest, and there is one zero.
fn compare(a: &Cell, b: &Cell) -> Ordering {
    match (a, b) {
        (Cell::Int(a), Cell::Int(b)) => a.cmp(b),
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        (Cell::Real(a), Cell::Real(b)) => match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(b).unwrap(),
            (a, b) => a.cmp(&b),
        },
        _ => panic!("values of one column have one type"),
    }
}

fn compare_keys(a: &Cell, b: &Cell, key: &SortKey) -> Ordering {
    let nulls = if key.nulls_first { Ordering::Less } else { Ordering::Greater };
    match (a, b) {
        (Cell::Null, Cell::Null) => Ordering::Equal,
        (Cell::Null, _) => nulls,
        (_, Cell::Null) => nulls.reverse(),
        _ if key.descending => compare(b, a),
        _ => compare(a, b),
    }
}

/// The results of a call for the rows in the order of the input.
pub(super) fn results(rows: &RecordBatch, spec: &WindowSpec, call: &WindowCall) -> Vec<Cell> {
    let cells: Vec<Vec<Cell>> =
        rows.columns().iter().map(|column| (0..rows.num_rows()).map(|row| cell(column, row)).collect()).collect();
    let mut left: Vec<usize> = (0..rows.num_rows()).collect();
    let mut found = vec![Cell::Null; rows.num_rows()];
    while let Some(&first) = left.first() {
        let is_same = |&row: &usize| {
            let equal = |&column: &usize| match (&cells[column][first], &cells[column][row]) {
                (Cell::Null, Cell::Null) => true,
                (Cell::Null, _) | (_, Cell::Null) => false,
                (a, b) => compare(a, b).is_eq(),
            };
            debug_assert!(spec.partition.iter().all(|column| [PARTITION, TEXT].contains(column)));
            spec.partition.iter().all(equal)
        };
        let (mut partition, rest): (Vec<usize>, Vec<usize>) = left.iter().partition(|row| is_same(row));
        left = rest;
        partition.sort_by(|&a, &b| {
            let by = |key: &SortKey| compare_keys(&cells[key.column][a], &cells[key.column][b], key);
            spec.order.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        let partition = Partition { rows, cells: &cells, order: &spec.order, partition: &partition };
        for idx in 0..partition.partition.len() {
            found[partition.partition[idx]] = partition.result(idx, call, &spec.frames[call.frame]);
        }
    }
    found
}

struct Partition<'a> {
    rows: &'a RecordBatch,
    cells: &'a [Vec<Cell>],
    order: &'a [SortKey],
    /// The numbers of its rows, in order.
    partition: &'a [usize],
}

impl Partition<'_> {
    fn are_peers(&self, a: usize, b: usize, n_order: usize) -> bool {
        let equal = |key: &SortKey| {
            let cell = |idx: usize| &self.cells[key.column][self.partition[idx]];
            compare_keys(cell(a), cell(b), key).is_eq()
        };
        self.order[..n_order].iter().all(equal)
    }

    /// The number of the group of peers that a row is in.
    fn group(&self, idx: usize, n_order: usize) -> i64 {
        (1..=idx).filter(|&row| !self.are_peers(row - 1, row, n_order)).count() as i64
    }

    fn is_in_frame(&self, other: usize, idx: usize, frame: &Frame) -> bool {
        let reach = |bound: &Bound| match (bound, frame.unit) {
            (Bound::Unbounded, _) => None,
            (Bound::Offset(by), Unit::Rows) => Some((other as i64).cmp(&(idx as i64 + by))),
            (Bound::Offset(by), _) => {
                Some(self.group(other, frame.n_order).cmp(&(self.group(idx, frame.n_order) + by)))
            }
            (Bound::Value(edges), _) => {
                let bounds = edges.evaluate(self.rows).unwrap().keys;
                let bound = cell(&bounds, self.partition[idx]);
                debug_assert!(Moved(0).evaluate(self.rows).is_ok());
                Some(compare_keys(&self.cells[KEY][self.partition[other]], &bound, &self.order[0]))
            }
        };
        reach(&frame.start).is_none_or(Ordering::is_ge) && reach(&frame.end).is_none_or(Ordering::is_le)
    }

    fn result(&self, idx: usize, call: &WindowCall, frame: &Frame) -> Cell {
        let n_order = frame.n_order;
        let n_rows = self.partition.len();
        let peers = || (0..n_rows).filter(|&row| self.are_peers(row, idx, n_order));
        let rank = || peers().next().unwrap() as i64 + 1;
        let values = || {
            let column = &self.cells[call.args.first().copied().unwrap_or(REAL)];
            self.partition.iter().map(|&row| column[row].clone()).collect::<Vec<_>>()
        };
        let framed = || {
            let values = values();
            let rows = (0..n_rows).filter(|&row| self.is_in_frame(row, idx, frame));
            rows.map(|row| values[row].clone()).collect::<Vec<_>>()
        };
        let kept = |values: Vec<Cell>, ignore_nulls: bool| {
            values.into_iter().filter(|value| !ignore_nulls || *value != Cell::Null).collect::<Vec<_>>()
        };
        match &call.function {
            WindowFunction::RowNumber => Cell::Int(idx as i64 + 1),
            WindowFunction::Rank => Cell::Int(rank()),
            WindowFunction::DenseRank => Cell::Int(self.group(idx, n_order) + 1),
            WindowFunction::PercentRank if n_rows == 1 => Cell::Real(0.0),
            WindowFunction::PercentRank => Cell::Real((rank() - 1) as f64 / (n_rows - 1) as f64),
            WindowFunction::CumeDist => Cell::Real((peers().next_back().unwrap() + 1) as f64 / n_rows as f64),
            WindowFunction::Ntile(n) => {
                let n = *n as usize;
                let sizes = (0..n).map(|part| n_rows / n + usize::from(part < n_rows % n));
                let mut end = 0;
                let part = sizes.take_while(|size| {
                    end += size;
                    end <= idx
                });
                Cell::Int(part.count() as i64 + 1)
            }
            WindowFunction::Shift { by, default, ignore_nulls } => {
                let values = values();
                let step = if *by < 0 { -1 } else { 1 };
                let (mut at, mut steps) = (idx as i64, by.abs());
                while steps > 0 && (0..n_rows as i64).contains(&at) {
                    at += step;
                    let is_null = (0..n_rows as i64).contains(&at) && values[at as usize] == Cell::Null;
                    steps -= i64::from(!(*ignore_nulls && is_null));
                }
                match (0..n_rows as i64).contains(&at) {
                    true => values[at as usize].clone(),
                    false => default.as_ref().map_or(Cell::Null, |default| cell(default, 0)),
                }
            }
            WindowFunction::First { ignore_nulls } => {
                kept(framed(), *ignore_nulls).first().cloned().unwrap_or(Cell::Null)
            }
            WindowFunction::Last { ignore_nulls } => {
                kept(framed(), *ignore_nulls).last().cloned().unwrap_or(Cell::Null)
            }
            WindowFunction::Nth { n, ignore_nulls } => {
                kept(framed(), *ignore_nulls).get(*n as usize - 1).cloned().unwrap_or(Cell::Null)
            }
            WindowFunction::Fold(FoldFunction::CountStar) => Cell::Int(framed().len() as i64),
            WindowFunction::Fold(function) => fold(*function, &kept(framed(), true)),
            WindowFunction::Library { .. } => panic!("the oracle does not know the library"),
        }
    }
}

fn fold(function: FoldFunction, values: &[Cell]) -> Cell {
    let reals: Vec<f64> =
        values.iter().filter_map(|value| if let Cell::Real(value) = value { Some(*value) } else { None }).collect();
    let n = reals.len() as f64;
    let spread = |sample: bool| {
        let mean = reals.iter().sum::<f64>() / n;
        let squares: f64 = reals.iter().map(|value| (value - mean) * (value - mean)).sum();
        (n > f64::from(u8::from(sample))).then(|| squares / (n - f64::from(u8::from(sample))))
    };
    let real = |value: Option<f64>| value.map_or(Cell::Null, Cell::Real);
    match function {
        FoldFunction::CountStar | FoldFunction::Count => Cell::Int(values.len() as i64),
        _ if values.is_empty() => Cell::Null,
        FoldFunction::Sum => match &values[0] {
            Cell::Int(_) => {
                Cell::Int(values.iter().map(|value| if let Cell::Int(value) = value { *value } else { 0 }).sum())
            }
            _ => Cell::Real(reals.iter().sum()),
        },
        FoldFunction::Avg => Cell::Real(reals.iter().sum::<f64>() / n),
        FoldFunction::Min => values.iter().min_by(|a, b| compare(a, b)).cloned().unwrap_or(Cell::Null),
        FoldFunction::Max => values.iter().max_by(|a, b| compare(a, b)).cloned().unwrap_or(Cell::Null),
        FoldFunction::Var { sample } => real(spread(sample)),
        FoldFunction::StdDev { sample } => real(spread(sample).map(f64::sqrt)),
    }
}
