//! Counts and sums of one piece by key code, added to the groups' rows once a piece instead of once a row.
//!
//! Adding to a small array costs a third of adding through a pointer to each row's group, whose addresses the processor
//! has to compare with the stores before. Worth it only while a piece has many more rows than there are codes.
//!
//! Rows that follow one another mostly have few codes, and a sum that is added to again at once waits for itself. So each
//! array is there [`LANES`] times, and neighbouring rows add to different ones.
//!
//! Memory: three arrays of [`LANES`] times [`Dense::MAX_CODES`] numbers a worker.

use std::ops::AddAssign;

use crate::row::CodeMap;

/// How often each array is there.
const LANES: usize = 4;

/// The arrays of one worker.
#[derive(Default)]
pub(super) struct Dense {
    /// Rows of each code in this piece.
    pub(super) counts: Vec<u32>,
    pub(super) sums: DenseSums,
}

/// Sums of one argument by code.
#[derive(Default)]
pub(super) struct DenseSums {
    n_codes: usize,
    ints: Vec<i64>,
    floats: Vec<f64>,
}

impl Dense {
    /// With 2,048 rows a piece, each code stands for eight rows or more.
    pub(super) const MAX_CODES: usize = if CodeMap::FEW_CODES < 256 { CodeMap::FEW_CODES } else { 256 };

    /// Counts the codes of a piece, all below `n_codes`; false when there are too many of them for this to pay.
    pub(super) fn begin(&mut self, codes: &[u32], n_codes: usize) -> bool {
        if n_codes > Self::MAX_CODES {
            return false;
        }
        self.sums.n_codes = n_codes;
        add_up(&mut self.counts, n_codes, codes, codes, |_| 1);
        true
    }
}

impl DenseSums {
    /// The sum of each code's values, or `None` when one might not fit.
    pub(super) fn add_ints(&mut self, codes: &[u32], values: &[i64]) -> Option<&[i64]> {
        sum_fits(values.iter().fold(0, |bits, &value| bits | magnitude(value)), values.len())?;
        add_up(&mut self.ints, self.n_codes, codes, values, |value| value);
        Some(&self.ints)
    }

    /// The sum of each code's values, or `None` when one might need more than 64 bits.
    pub(super) fn add_decimals(&mut self, codes: &[u32], values: &[i128]) -> Option<&[i64]> {
        let (mut bits, mut beyond) = (0, 0);
        for &value in values {
            let narrow = value as i64;
            beyond |= (value >> 64) as i64 ^ (narrow >> 63);
            bits |= magnitude(narrow);
        }
        sum_fits(bits, values.len()).filter(|()| beyond == 0)?;
        add_up(&mut self.ints, self.n_codes, codes, values, |value| value as i64);
        Some(&self.ints)
    }

    /// The sum of each code's values.
    pub(super) fn add_floats(&mut self, codes: &[u32], values: &[f64]) -> &[f64] {
        add_up(&mut self.floats, self.n_codes, codes, values, |value| value);
        &self.floats
    }
}

/// Makes `sums` the sum of what `term` makes of each code's values.
#[inline(always)]
fn add_up<T: Copy, S: Copy + Default + AddAssign>(
    sums: &mut Vec<S>,
    n_codes: usize,
    codes: &[u32],
    values: &[T],
    term: impl Fn(T) -> S,
) {
    sums.clear();
    sums.resize(LANES * n_codes, S::default());
    // Slices: the length of a vector would be read again after each store.
    let mut lanes: [&mut [S]; LANES] = [&mut [], &mut [], &mut [], &mut []];
    let mut rest = sums.as_mut_slice();
    for lane in &mut lanes {
        (*lane, rest) = rest.split_at_mut(n_codes);
    }
    let (codes_of_all, last_codes) = codes.as_chunks::<LANES>();
    let (values_of_all, last_values) = values.as_chunks::<LANES>();
    for (codes, values) in codes_of_all.iter().zip(values_of_all) {
        for lane in 0..LANES {
            lanes[lane][codes[lane] as usize] += term(values[lane]);
        }
    }
    for (&code, &value) in last_codes.iter().zip(last_values) {
        lanes[0][code as usize] += term(value);
    }
    for lane in 1..LANES {
        for code in 0..n_codes {
            let sum = sums[lane * n_codes + code];
            sums[code] += sum;
        }
    }
    sums.truncate(n_codes);
}

/// What is not sign in `value`: one less than its distance from zero, where it is negative. To gather the bits of many
/// values costs less than to find the largest of them.
#[inline(always)]
fn magnitude(value: i64) -> u64 {
    (value ^ (value >> 63)) as u64
}

/// Whether `n` values that have no more than these `bits` of magnitude have a sum.
fn sum_fits(bits: u64, n: usize) -> Option<()> {
    let most = bits.checked_add(1)?.checked_mul(n as u64)?;
    (most <= i64::MAX as u64).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums() -> DenseSums {
        DenseSums { n_codes: 3, ..DenseSums::default() }
    }

    #[test]
    fn decimals_add_up_by_code() {
        let values = [5, -7, i128::from(i64::MAX / 16), 100, -i128::from(i64::MAX / 16)];
        assert_eq!(sums().add_decimals(&[0, 2, 1, 0, 1], &values), Some([105, 0, -7].as_slice()));
    }

    #[test]
    fn integers_add_up_by_code_where_they_fit() {
        let most = i64::MAX / 4;
        assert_eq!(sums().add_ints(&[0, 0, 2], &[1, -5, most]), Some([-4, 0, most].as_slice()));
        for values in [[i64::MAX, 1], [i64::MIN, -1], [0, i64::MIN]] {
            assert_eq!(sums().add_ints(&[0, 1], &values), None, "{values:?}");
        }
    }

    #[test]
    fn decimals_that_might_not_fit_are_refused() {
        let max = i128::from(i64::MAX);
        for values in [[max, 1], [max + 1, 0], [-max - 2, 0], [-max - 1, -1], [i128::MIN, 0], [1 << 64, 0]] {
            assert_eq!(sums().add_decimals(&[0, 1], &values), None, "{values:?}");
        }
    }
}
