//! How many rows the next batch may have, so that batches keep to a number of bytes whatever the values are.
//!
//! Memory: none. What is known beforehand is a guess from the footer; what batches turned out to be corrects it.

/// The first batch of a column whose value lengths nobody states.
const FIRST_ROWS_WHEN_UNKNOWN: usize = 1024;
/// Growth from one batch to the next, so that one batch of short values does not open the door too far.
const MAX_GROWTH: usize = 4;

/// Adapts the rows of batches to a bound in bytes.
#[derive(Debug)]
pub(super) struct BatchRows {
    max_rows: usize,
    max_bytes: usize,
    row_bytes: f64,
    last_rows: usize,
}

impl BatchRows {
    /// At most `max_rows` rows of together about `max_bytes`.
    pub(super) fn new(max_rows: usize, max_bytes: usize) -> Self {
        BatchRows { max_rows, max_bytes, row_bytes: 1.0, last_rows: 0 }
    }

    /// A row group begins whose rows take `row_bytes`, as far as its footer tells; `is_certain` when no column can be
    /// much larger than that.
    pub(super) fn begin(&mut self, row_bytes: f64, is_certain: bool) {
        self.row_bytes = self.row_bytes.max(row_bytes).max(1.0);
        if is_certain {
            self.row_bytes = row_bytes.max(1.0);
            self.last_rows = self.max_rows;
        } else if self.last_rows == 0 {
            self.last_rows = FIRST_ROWS_WHEN_UNKNOWN / MAX_GROWTH;
        }
    }

    /// Rows of the next batch; at least 1.
    pub(super) fn next(&self) -> usize {
        let fitting = (self.max_bytes as f64 / self.row_bytes) as usize;
        fitting.min(self.last_rows.saturating_mul(MAX_GROWTH)).clamp(1, self.max_rows)
    }

    /// A batch of `n_rows` rows took `n_bytes`.
    pub(super) fn learn(&mut self, n_rows: usize, n_bytes: usize) {
        if n_rows == 0 {
            return;
        }
        let measured = (n_bytes as f64 / n_rows as f64).max(1.0);
        // Larger counts at once, smaller only bit by bit.
        self.row_bytes = if measured > self.row_bytes { measured } else { (self.row_bytes + measured) / 2.0 };
        self.last_rows = n_rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_makes_the_next_one_small_and_growth_is_slow() {
        let mut rows = BatchRows::new(16_384, 1 << 20);
        rows.begin(8.0, false);
        assert_eq!(rows.next(), FIRST_ROWS_WHEN_UNKNOWN);
        rows.learn(1024, 8 * 1024);
        assert_eq!(rows.next(), 4096);
        rows.learn(4096, 64 << 20);
        assert_eq!(rows.next(), 64);
        rows.learn(64, 64 * 8);
        assert!(rows.next() <= 256);
        rows.learn(1, 64 << 20);
        assert_eq!(rows.next(), 1);
    }

    #[test]
    fn rows_of_known_size_fill_the_first_batch() {
        let mut rows = BatchRows::new(16_384, 1 << 20);
        rows.begin(16.0, true);
        assert_eq!(rows.next(), 16_384);
        rows.begin(1024.0, true);
        assert_eq!(rows.next(), 1024);
    }
}
