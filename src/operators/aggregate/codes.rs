//! Keys with few values as small codes: dictionary codes, small integers, Booleans.
//!
//! The codes of all keys are combined into one number that indexes a map of rows, so that a piece needs no hashing and no
//! comparing. Memory: the map, under a reservation where it is not small, and 4 bytes a row of one batch.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::compute::{max, min};
use arrow::datatypes::*;

use crate::row::CodeMap;

/// Turns key columns into codes as long as the keys have few values.
pub(super) struct KeyCoder {
    keys: Vec<KeyCodes>,
    /// One code a row of the batch taken last.
    codes: Vec<u32>,
    n_codes: usize,
    most_codes: usize,
    /// Batches whose keys had too many values; after some the coder is not asked again.
    n_refused: u32,
}

/// How one key's values become codes; code 0 is NULL.
#[derive(Clone)]
enum KeyCodes {
    Unknown,
    /// The dictionary all codes so far belong to.
    Dictionary(ArrayRef),
    /// The values from `low` to `high`.
    Range {
        low: i64,
        high: i64,
    },
    Boolean,
}

impl KeyCodes {
    fn n_codes(&self) -> usize {
        match self {
            KeyCodes::Unknown => usize::MAX,
            KeyCodes::Dictionary(values) => values.len() + 1,
            KeyCodes::Range { low, high } => {
                usize::try_from(high.abs_diff(*low)).map_or(usize::MAX, |span| span.saturating_add(2))
            }
            KeyCodes::Boolean => 3,
        }
    }
}

/// What became of a batch.
pub(super) enum Coded {
    /// Every row has a code; when `renumbered`, codes given before mean something else.
    Yes { renumbered: bool },
    /// The keys have too many values.
    No,
}

impl KeyCoder {
    /// After so many refused batches hashing is used for good.
    const MAX_REFUSED: u32 = 8;

    /// For keys that together have at most `most_codes` codes.
    pub(super) fn new(n_keys: usize, most_codes: usize) -> Self {
        KeyCoder { keys: vec![KeyCodes::Unknown; n_keys], codes: Vec::new(), n_codes: 0, most_codes, n_refused: 0 }
    }

    /// There is no memory for so many codes.
    pub(super) fn refuse(&mut self) {
        self.keys.fill(KeyCodes::Unknown);
        self.n_refused = Self::MAX_REFUSED;
    }

    /// Codes for the rows of a batch.
    pub(super) fn take(&mut self, columns: &[ArrayRef]) -> Coded {
        if self.n_refused >= Self::MAX_REFUSED || columns.is_empty() {
            return Coded::No;
        }
        let Some(renumbered) = self.adapt(columns) else {
            self.n_refused += 1;
            return Coded::No;
        };
        self.codes.clear();
        self.codes.resize(columns[0].len(), 0);
        for (key, column) in self.keys.iter().zip(columns) {
            add_codes(key, column, &mut self.codes);
        }
        Coded::Yes { renumbered }
    }

    /// One code a row of the batch taken last.
    pub(super) fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// All codes are below this.
    pub(super) fn n_codes(&self) -> usize {
        self.n_codes
    }

    /// Makes room for the values of this batch; whether codes changed, or `None` when there are too many.
    fn adapt(&mut self, columns: &[ArrayRef]) -> Option<bool> {
        let mut changed = false;
        for (key, column) in self.keys.iter_mut().zip(columns) {
            match codes_for(key, column) {
                Some(Some(next)) => {
                    *key = next;
                    changed = true;
                }
                Some(None) => {}
                None => {
                    self.keys.fill(KeyCodes::Unknown);
                    return None;
                }
            }
        }
        let total = self.keys.iter().try_fold(1usize, |product, key| product.checked_mul(key.n_codes()));
        match total {
            Some(total) if total <= self.most_codes => {
                self.n_codes = total;
                Some(changed)
            }
            _ => {
                self.keys.fill(KeyCodes::Unknown);
                None
            }
        }
    }
}

/// How the values of `column` become codes: `Some(None)` when `key` says so already, `None` when they cannot.
fn codes_for(key: &KeyCodes, column: &ArrayRef) -> Option<Option<KeyCodes>> {
    if let Some(coded) = column.as_dictionary_opt::<Int32Type>() {
        return codes_for_dictionary(key, coded);
    }
    if *column.data_type() == DataType::Boolean {
        return Some(if matches!(key, KeyCodes::Boolean) { None } else { Some(KeyCodes::Boolean) });
    }
    let (low, high) = range_of(column)?;
    match *key {
        KeyCodes::Range { low: known_low, high: known_high } => {
            let covered = known_low <= low && high <= known_high;
            Some((!covered).then(|| widened((low.min(known_low), high.max(known_high)), (known_low, known_high))))
        }
        _ => Some(Some(KeyCodes::Range { low, high })),
    }
}

/// The range `all`, which grew from `known`. A large one is made larger than need be on the sides where it grew: keys that
/// ascend slowly would otherwise change all codes with every batch.
fn widened(all: (i64, i64), known: (i64, i64)) -> KeyCodes {
    let (low, high) = all;
    let slack = match high.abs_diff(low) {
        span if span < CodeMap::FEW_CODES as u64 / 2 => 0,
        span => i64::try_from(span / 8).unwrap_or(0),
    };
    KeyCodes::Range {
        low: if low < known.0 { low.saturating_sub(slack) } else { low },
        high: if high > known.1 { high.saturating_add(slack) } else { high },
    }
}

fn codes_for_dictionary(key: &KeyCodes, coded: &DictionaryArray<Int32Type>) -> Option<Option<KeyCodes>> {
    let values = coded.values();
    if values.null_count() > 0 || values.len() >= CodeMap::FEW_CODES {
        return None;
    }
    match key {
        KeyCodes::Dictionary(known)
            if std::sync::Arc::ptr_eq(known, values) || known.to_data().ptr_eq(&values.to_data()) =>
        {
            Some(None)
        }
        _ => Some(Some(KeyCodes::Dictionary(values.clone()))),
    }
}

macro_rules! for_integer {
    ($column:expr, $array:ident => $body:expr, else $other:expr) => {{
        macro_rules! arm {
            ($arrow:ty) => {{
                let $array = $column.as_primitive::<$arrow>();
                $body
            }};
        }
        match $column.data_type() {
            DataType::Int8 => arm!(Int8Type),
            DataType::Int16 => arm!(Int16Type),
            DataType::Int32 => arm!(Int32Type),
            DataType::Int64 => arm!(Int64Type),
            DataType::UInt8 => arm!(UInt8Type),
            DataType::UInt16 => arm!(UInt16Type),
            DataType::UInt32 => arm!(UInt32Type),
            DataType::Date32 => arm!(Date32Type),
            _ => $other,
        }
    }};
}

/// The smallest and largest value; an all-NULL column has the range of the value 0.
fn range_of(column: &ArrayRef) -> Option<(i64, i64)> {
    for_integer!(column, array => match (min(array), max(array)) {
        (Some(low), Some(high)) => Some((i64::from(low), i64::from(high))),
        _ => Some((0, 0)),
    }, else None)
}

/// Makes room in `codes` for one more key, and adds its codes.
fn add_codes(key: &KeyCodes, column: &ArrayRef, codes: &mut [u32]) {
    let n_codes = key.n_codes() as u32;
    match key {
        KeyCodes::Dictionary(_) => {
            let coded = column.as_dictionary::<Int32Type>();
            let keys = coded.keys();
            combine(codes, n_codes, keys, |row| keys.values()[row] as u32 + 1);
        }
        KeyCodes::Boolean => {
            let values = column.as_boolean();
            combine(codes, n_codes, values, |row| u32::from(values.value(row)) + 1);
        }
        KeyCodes::Range { low, .. } => for_integer!(column, array => {
            let values = array.values();
            combine(codes, n_codes, array, |row| i64::from(values[row]).wrapping_sub(*low) as u32 + 1);
        }, else ()),
        KeyCodes::Unknown => {}
    }
}

fn combine(codes: &mut [u32], n_codes: u32, array: &dyn Array, code: impl Fn(usize) -> u32) {
    match array.nulls() {
        None => codes.iter_mut().enumerate().for_each(|(row, total)| *total = *total * n_codes + code(row)),
        Some(nulls) => {
            for (row, total) in codes.iter_mut().enumerate() {
                *total = *total * n_codes + if nulls.is_valid(row) { code(row) } else { 0 };
            }
        }
    }
}
