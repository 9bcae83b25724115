//! Which values a key column of the build side has: what a scan far below the probe side may ask, so that rows without a
//! partner are not even read.
//!
//! A bit for each value, in a bitmap that wraps around: exact where the values span no more than its bits, else a filter
//! that lets some others pass. Its smallest and largest value tell which row groups can be skipped. Nothing is said before
//! every build row is known, so that no row with a partner is lost.
//!
//! Memory: the bitmap, under a reservation: a few bytes for each build row as far as these are guessed, and at most a small
//! part of the governed memory. It is made when the first build row comes; when it is refused, every row passes.
//! The surprising part: where most rows pass, asking is given up, since it costs more than it saves.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type};

use super::NAME;
use crate::memory::{Memory, Reservation};

/// The part of the governed memory that one bitmap takes at most.
const PART: u64 = 64;
const MIN_BITS: u64 = 1 << 12;

/// Rows after which it is judged whether asking pays, and again after each so many.
const JUDGED_AFTER_ROWS: u64 = 1 << 16;
/// When more than this share of rows pass, it does not.
const MOST_PASSED: f64 = 0.8;

/// Bits where nothing is known of the build side: 1 MiB.
const BITS_OF_UNKNOWN: u64 = 1 << 23;
/// So many bits are always worth it for telling keys apart exactly: 8 MiB. Guesses of how many keys come are often too low.
const CHEAP_BITS: u64 = 1 << 26;
/// Bits for each build row.
const BITS_OF_ROW: f64 = 32.0;

/// The values of one key column.
pub struct KnownKeys {
    /// Made when the first build rows come; `None` where there was no memory.
    words: OnceLock<Option<Words>>,
    n_bits: u64,
    memory: Memory,
    spread: Spread,
    min: AtomicI64,
    max: AtomicI64,
    is_complete: AtomicBool,
    is_useless: AtomicBool,
    n_asked: AtomicU64,
    n_passed: AtomicU64,
}

struct Words {
    words: Vec<AtomicU64>,
    _memory: Reservation,
}

/// How values are laid over the bits.
#[derive(Clone, Copy)]
enum Spread {
    /// Neighbours lie side by side.
    Wrapped { mask: u64 },
    /// Values with large common factors, such as times, are mixed.
    Mixed { shift: u32 },
}

impl KnownKeys {
    /// An empty set of values of `data_type`, which span `range` values in about `n_rows` rows, as far as that is known.
    /// `None` for types that it cannot note.
    pub fn new(data_type: &DataType, range: Option<f64>, n_rows: Option<f64>, memory: &Memory) -> Option<Arc<Self>> {
        let is_mixed = width(data_type)? == Width::Mixed;
        let most = (memory.governed_bytes() / PART * 8).max(MIN_BITS * 2).next_power_of_two() / 2;
        let for_rows = n_rows.map_or(BITS_OF_UNKNOWN, |n_rows| (n_rows * BITS_OF_ROW).min(1e15) as u64);
        let wanted = match range.filter(|_| !is_mixed) {
            Some(range) => (range.clamp(1.0, 1e15) as u64).min(for_rows.max(CHEAP_BITS)),
            None => for_rows,
        };
        let n_bits = wanted.min(most).next_power_of_two().clamp(MIN_BITS, most);
        Some(Arc::new(KnownKeys {
            words: OnceLock::new(),
            n_bits,
            memory: memory.clone(),
            spread: match is_mixed {
                true => Spread::Mixed { shift: 64 - n_bits.ilog2() },
                false => Spread::Wrapped { mask: n_bits - 1 },
            },
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
            is_complete: AtomicBool::new(false),
            is_useless: AtomicBool::new(false),
            n_asked: AtomicU64::new(0),
            n_passed: AtomicU64::new(0),
        }))
    }

    fn make_words(&self) -> Option<Words> {
        let mut reservation = self.memory.reserve(NAME);
        reservation.try_grow(self.n_bits / 8).ok()?;
        let words = (0..self.n_bits / 64).map(|_| AtomicU64::new(0)).collect();
        Some(Words { words, _memory: reservation })
    }

    /// Notes all values of `column`, of which NULL is nobody's partner; all workers may do so at once.
    pub(super) fn add(&self, column: &ArrayRef) {
        let words = self.words.get_or_init(|| self.make_words());
        let (Some(words), Some((numbers, nulls))) = (words, numbers(column)) else {
            return self.is_useless.store(true, Ordering::Relaxed);
        };
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for (row, &value) in numbers.iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            (min, max) = (min.min(value), max.max(value));
            let (word, bit) = self.place(&words.words, value);
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        self.min.fetch_min(min, Ordering::Relaxed);
        self.max.fetch_max(max, Ordering::Relaxed);
    }

    /// All build rows are known.
    pub(super) fn complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    /// Whether it is worth asking.
    pub fn is_active(&self) -> bool {
        self.is_complete.load(Ordering::Acquire) && !self.is_useless.load(Ordering::Relaxed)
    }

    /// For each row of `column` whether it may have a partner; `None` when nothing is known.
    pub fn may_have(&self, column: &ArrayRef) -> Option<BooleanArray> {
        if !self.is_active() {
            return None;
        }
        let (numbers, nulls) = numbers(column)?;
        let bits = match self.words.get().and_then(Option::as_ref) {
            Some(words) => BooleanBuffer::collect_bool(numbers.len(), |row| self.has(&words.words, numbers[row])),
            // No build row has come.
            None => BooleanBuffer::new_unset(numbers.len()),
        };
        let bits = nulls.map_or(bits.clone(), |nulls| &bits & nulls.inner());
        let n_passed = bits.count_set_bits() as u64;
        self.judge(bits.len() as u64, n_passed);
        Some(BooleanArray::new(bits, None))
    }

    fn judge(&self, n_rows: u64, n_passed: u64) {
        let n_passed = self.n_passed.fetch_add(n_passed, Ordering::Relaxed) + n_passed;
        let n_asked = self.n_asked.fetch_add(n_rows, Ordering::Relaxed) + n_rows;
        if n_asked > JUDGED_AFTER_ROWS && n_passed as f64 > n_asked as f64 * MOST_PASSED {
            self.is_useless.store(true, Ordering::Relaxed);
        }
    }

    /// The smallest and the largest value, as arrays of one row of `data_type`; `None` without any values.
    pub fn extremes(&self, data_type: &DataType) -> Option<(ArrayRef, ArrayRef)> {
        if !self.is_complete.load(Ordering::Acquire) || width(data_type)? == Width::Mixed && !is_time(data_type) {
            return None;
        }
        let (min, max) = (self.min.load(Ordering::Relaxed), self.max.load(Ordering::Relaxed));
        let one = |value: i64| cast(&Int64Array::from(vec![value]), &integer_of(data_type)).ok();
        let typed = |value: i64| cast(&one(value)?, data_type).ok().filter(|array| array.is_valid(0));
        if min > max { None } else { typed(min).zip(typed(max)) }
    }

    #[inline(always)]
    fn place<'w>(&self, words: &'w [AtomicU64], value: i64) -> (&'w AtomicU64, u64) {
        let bit = match self.spread {
            Spread::Wrapped { mask } => value as u64 & mask,
            Spread::Mixed { shift } => (value as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift,
        };
        (&words[(bit / 64) as usize], 1 << (bit % 64))
    }

    #[inline(always)]
    fn has(&self, words: &[AtomicU64], value: i64) -> bool {
        let (word, bit) = self.place(words, value);
        word.load(Ordering::Relaxed) & bit != 0
    }
}

/// How the values of a type are spread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Steps,
    Mixed,
}

fn width(data_type: &DataType) -> Option<Width> {
    use DataType::*;
    match data_type {
        UInt64 | Date64 | Timestamp(..) | Decimal128(..) => Some(Width::Mixed),
        Date32 => Some(Width::Steps),
        other if other.is_integer() => Some(Width::Steps),
        _ => None,
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date64 | DataType::Timestamp(..))
}

/// The integers that values of `data_type` are.
fn integer_of(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Date32 => DataType::Int32,
        _ => DataType::Int64,
    }
}

/// The values of `column` as 64-bit numbers: equal values are equal numbers. `None` for types that are not supported.
fn numbers(column: &ArrayRef) -> Option<(ScalarBuffer<i64>, Option<NullBuffer>)> {
    let numbers = match column.data_type() {
        DataType::Int64 | DataType::UInt64 | DataType::Date64 | DataType::Timestamp(..) => {
            let data = column.to_data();
            ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
        }
        DataType::Decimal128(..) => {
            column.as_primitive::<Decimal128Type>().values().iter().map(|&value| value as i64).collect()
        }
        DataType::Date32 => column.as_primitive::<Date32Type>().values().iter().map(|&days| i64::from(days)).collect(),
        other if other.is_integer() => {
            cast(column, &DataType::Int64).ok()?.as_primitive::<Int64Type>().values().clone()
        }
        _ => return None,
    };
    Some((numbers, column.nulls().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, TimestampMicrosecondArray};

    fn keys(values: &ArrayRef, range: Option<f64>) -> Arc<KnownKeys> {
        let keys = KnownKeys::new(values.data_type(), range, None, &Memory::with_governed(64 << 20, 1)).unwrap();
        keys.add(values);
        keys
    }

    #[test]
    fn nothing_is_said_before_all_keys_are_known() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let known = keys(&values, None);
        assert!(known.may_have(&values).is_none() && known.extremes(values.data_type()).is_none());
        known.complete();
        assert_eq!(known.may_have(&values).unwrap().true_count(), 2);
    }

    #[test]
    fn keys_in_range_are_told_apart_exactly_and_null_has_no_partner() {
        let known = keys(&(Arc::new(Int32Array::from(vec![Some(-5), None, Some(70)])) as ArrayRef), Some(76.0));
        known.complete();
        let asked: ArrayRef = Arc::new(Int32Array::from(vec![Some(-5), Some(-4), None, Some(70), Some(0)]));
        let answers: Vec<bool> = known.may_have(&asked).unwrap().values().iter().collect();
        assert_eq!(answers, [true, false, false, true, false]);
        let (min, max) = known.extremes(&DataType::Int32).unwrap();
        assert_eq!((min.as_primitive::<arrow::datatypes::Int32Type>().value(0), max.len()), (-5, 1));
    }

    #[test]
    fn every_key_passes_wherever_it_lies() {
        let micros: Vec<i64> = (0..2000).map(|day| day * 86_400_000_000).collect();
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros));
        let known = keys(&times, None);
        known.complete();
        assert_eq!(known.may_have(&times).unwrap().true_count(), 2000);
        let far: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, 1 << 40]));
        let known = keys(&far, Some(1e18));
        known.complete();
        assert_eq!(known.may_have(&far).unwrap().true_count(), 3);
    }

    #[test]
    fn asking_is_given_up_where_most_rows_pass() {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let known = keys(&values, Some(1000.0));
        known.complete();
        (0..70).for_each(|_| drop(known.may_have(&values)));
        assert!(!known.is_active() && known.may_have(&values).is_none());
    }
}
