//! Which rows of a batch the filters kept, and how to read only those.
//!
//! Memory: one bit a row, and two numbers a run of kept rows.

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, new_null_array};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::{concat, filter};
use arrow::datatypes::Int32Type;

use super::row_group::Run;
use crate::error::Result;

/// Starting and ending a run costs about as much as decoding this many values.
/// Measured with `benches`: skipping pays once a quarter of the work is saved.
const RUN_COST_ROWS: usize = 24;

/// The rows of a batch that are kept.
#[derive(Clone)]
pub(super) struct Selection {
    mask: BooleanBuffer,
    n_kept: usize,
}

impl Selection {
    /// All of `n_rows` rows.
    pub(super) fn all(n_rows: usize) -> Self {
        Selection { mask: BooleanBuffer::new_set(n_rows), n_kept: n_rows }
    }

    /// Every row of `mask` that is true and not NULL.
    pub(super) fn of(mask: &BooleanArray) -> Self {
        let kept = match mask.nulls() {
            Some(nulls) => mask.values() & nulls.inner(),
            None => mask.values().clone(),
        };
        let n_kept = kept.count_set_bits();
        Selection { mask: kept, n_kept }
    }

    /// Of the rows kept so far, those that `of_kept` keeps, which has one bit for each of them.
    pub(super) fn narrowed(&self, of_kept: &Selection) -> Self {
        let mut answers = BitReader::new(&of_kept.mask);
        let words =
            self.mask.bit_chunks().iter_padded().map(|kept| scatter_bits(answers.take(kept.count_ones()), kept));
        let words: Vec<u64> = words.take(self.n_rows().div_ceil(64)).collect();
        Selection { mask: BooleanBuffer::new(Buffer::from_vec(words), 0, self.n_rows()), n_kept: of_kept.n_kept }
    }

    /// For each row kept so far, whether `of_all` keeps it, which has one bit for each row.
    pub(super) fn of_kept(&self, of_all: &Selection) -> Result<Self> {
        if self.keeps_all() {
            return Ok(of_all.clone());
        }
        Ok(Selection::of(filter(&of_all.to_array(), &self.to_array())?.as_boolean()))
    }

    /// The rows that both keep.
    pub(super) fn and(&self, other: &Selection) -> Self {
        let mask = &self.mask & &other.mask;
        Selection { n_kept: mask.count_set_bits(), mask }
    }

    pub(super) fn n_rows(&self) -> usize {
        self.mask.len()
    }

    pub(super) fn n_kept(&self) -> usize {
        self.n_kept
    }

    pub(super) fn keeps_all(&self) -> bool {
        self.n_kept == self.mask.len()
    }

    pub(super) fn to_array(&self) -> BooleanArray {
        BooleanArray::new(self.mask.clone(), None)
    }

    /// The kept rows as runs and the rows after the last run, if reading these is cheaper than reading all rows.
    pub(super) fn runs(&self) -> Option<(Vec<Run>, usize)> {
        let budget = self.n_rows() * 3 / 4;
        if self.n_kept >= budget {
            return None;
        }
        let max_runs = (budget - self.n_kept) / RUN_COST_ROWS;
        let mut runs = Vec::new();
        let mut at = 0;
        for (start, end) in self.mask.set_slices() {
            if runs.len() == max_runs {
                return None;
            }
            runs.push(Run { n_skip: start - at, n_read: end - start });
            at = end;
        }
        Some((runs, self.n_rows() - at))
    }
}

/// Bits taken from the front, up to 64 at a time.
struct BitReader {
    words: Vec<u64>,
    at: usize,
}

impl BitReader {
    fn new(bits: &BooleanBuffer) -> Self {
        BitReader { words: bits.bit_chunks().iter_padded().collect(), at: 0 }
    }

    fn take(&mut self, n: u32) -> u64 {
        let (word, shift) = (self.at / 64, self.at % 64);
        self.at += n as usize;
        let of = |idx: usize| self.words.get(idx).copied().unwrap_or(0);
        let low = of(word) >> shift;
        if shift == 0 { low } else { low | of(word + 1) << (64 - shift) }
    }
}

/// The lowest bits of `bits` in the places of the bits of `places`, in order.
fn scatter_bits(mut bits: u64, mut places: u64) -> u64 {
    if places == u64::MAX {
        return bits;
    }
    let mut scattered = 0;
    while places != 0 {
        let lowest = places & places.wrapping_neg();
        scattered |= lowest * (bits & 1);
        bits >>= 1;
        places ^= lowest;
    }
    scattered
}

/// What a filter says of each value of a dictionary, and of NULL.
pub(super) struct DictionaryAnswers {
    values: ArrayData,
    keeps_value: Vec<bool>,
    keeps_null: bool,
}

impl DictionaryAnswers {
    /// Asks for all values of the dictionary of `column`; for NULL only where the column may be NULL.
    pub(super) fn ask(
        column: &ArrayRef,
        nullable: bool,
        ask: impl FnOnce(ArrayRef) -> Result<BooleanArray>,
    ) -> Result<Self> {
        let values = column.as_any_dictionary().values();
        let asked = match nullable {
            true => concat(&[values, &new_null_array(values.data_type(), 1)])?,
            false => values.clone(),
        };
        let answers = Selection::of(&ask(asked)?).mask;
        let keeps_value = (0..values.len()).map(|idx| answers.value(idx)).collect();
        let keeps_null = nullable && answers.value(values.len());
        Ok(DictionaryAnswers { values: values.to_data(), keeps_value, keeps_null })
    }

    /// Whether `column` has the dictionary that was asked about.
    pub(super) fn are_for(&self, column: &ArrayRef) -> bool {
        column.as_any_dictionary().values().to_data().ptr_eq(&self.values)
    }

    /// The rows to keep.
    pub(super) fn of_rows(&self, column: &ArrayRef) -> Option<Selection> {
        let keys = column.as_dictionary_opt::<Int32Type>()?.keys();
        let value = |row: usize| self.keeps_value.get(keys.values()[row] as usize).copied().unwrap_or(false);
        let mask =
            match keys.nulls() {
                None => BooleanBuffer::collect_bool(keys.len(), value),
                Some(nulls) => BooleanBuffer::collect_bool(keys.len(), |row| {
                    if nulls.is_valid(row) { value(row) } else { self.keeps_null }
                }),
            };
        let n_kept = mask.count_set_bits();
        Some(Selection { mask, n_kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_exactly_the_kept_rows() {
        let mut values = vec![false; 1000];
        values[10..20].fill(true);
        values[500..700].fill(true);
        let (runs, rest) = Selection::of(&BooleanArray::from(values)).runs().unwrap();
        assert_eq!(runs, [Run { n_skip: 10, n_read: 10 }, Run { n_skip: 480, n_read: 200 }]);
        assert_eq!(rest, 300);
    }

    #[test]
    fn scattered_rows_are_read_whole() {
        let every_second: BooleanArray = (0..1000).map(|row| Some(row % 2 == 0)).collect();
        assert!(Selection::of(&every_second).runs().is_none());
    }

    #[test]
    fn kept_rows_are_narrowed_in_their_places() {
        let select = |bits: &[u8]| Selection::of(&bits.iter().map(|bit| Some(*bit == 1)).collect());
        let both = select(&[0, 1, 1, 0, 0, 1, 0]).narrowed(&select(&[1, 0, 1]));
        assert_eq!(both.mask.iter().collect::<Vec<_>>(), [false, true, false, false, false, true, false]);
        assert_eq!((both.n_rows(), both.n_kept()), (7, 2));
    }

    #[test]
    fn narrowing_goes_on_over_words() {
        let rows: Vec<bool> = (0..1000).map(|row| row % 3 != 0 || row < 130).collect();
        let of_kept: Vec<bool> = (0..rows.iter().filter(|kept| **kept).count()).map(|idx| idx % 7 < 4).collect();
        let mut answers = of_kept.iter();
        let expected: Vec<bool> = rows.iter().map(|&kept| kept && *answers.next().unwrap()).collect();
        let select = |bits: &[bool]| Selection::of(&BooleanArray::from(bits.to_vec()));
        let both = select(&rows).narrowed(&select(&of_kept));
        assert_eq!(both.mask.iter().collect::<Vec<_>>(), expected);
        assert_eq!(both.n_kept(), both.mask.count_set_bits());
        let again = select(&rows).of_kept(&select(&expected)).unwrap();
        assert_eq!(again.mask.iter().collect::<Vec<_>>(), of_kept);
    }

    #[test]
    fn null_drops_the_row() {
        let mask = BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]);
        let selection = Selection::of(&mask);
        assert_eq!((selection.n_kept(), selection.n_rows()), (2, 4));
    }
}
