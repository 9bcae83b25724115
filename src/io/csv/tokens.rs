//! Complete rows of a block, as positions of field ends.
//!
//! Memory: one table of positions, [`Tokens::bytes_for`] bytes. A piece of text is as many rows as fit in that table, so
//! that positions and text stay in the second-level cache between this step and the columns.
//!
//! In the common piece every row has the right number of fields. That is checked by counting newlines and looking at
//! the last end of every row; only a piece that fails the check is walked row by row. Rows that are made to fit (short
//! ones filled up, long ones cut) get ends of their own in a second table of the same size.

use super::options::Ragged as Policy;
use super::structure::{CHUNK, Dialect, Matcher, QuoteState, clip};

/// Positions in a table when rows are narrow: 64 KiB, half of a small second-level cache together with the text.
const MIN_POSITIONS: usize = 16 * 1024;

/// Field ends of a piece of text and the rows they make.
pub(super) struct Tokens {
    /// `ends[0]` is the byte before the piece (wrapping), then the position of every delimiter and newline.
    ends: Vec<u32>,
    n_fields: usize,
    dialect: Dialect,
    policy: Policy,
    /// Ends of rows that were made to fit, each with the end before it.
    fitted: Vec<u32>,
    /// Consecutive rows with the right number of fields.
    pub(super) runs: Vec<Run>,
    /// Rows with the wrong number.
    pub(super) ragged: Vec<Ragged>,
}

/// `n_rows` rows whose ends follow `ends[first]`, which is the end of whatever came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) n_rows: usize,
    /// It is a row that was made to fit.
    is_fitted: bool,
}

/// A row with the wrong number of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ragged {
    pub(super) start: usize,
    /// Where its newline is.
    pub(super) end: usize,
    pub(super) n_fields: usize,
}

/// Some rows as the columns see them: text and field ends, `n_fields` a row.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [u8],
    ends: &'a [u32],
    n_fields: usize,
    pub(super) n_rows: usize,
}

impl<'a> Rows<'a> {
    /// Where field `column` of row `row` starts and ends. A carriage return before the newline belongs to the newline.
    /// Fields that a row lacks are empty: they end where the one before them ended.
    #[inline(always)]
    pub(super) fn field(&self, row: usize, column: usize) -> (usize, usize) {
        let idx = row * self.n_fields + column;
        let (start, end) = (self.ends[idx].wrapping_add(1) as usize, self.ends[idx + 1] as usize);
        if column + 1 == self.n_fields && end > start && self.data[end - 1] == b'\r' && self.data[end] == b'\n' {
            return (start, end - 1);
        }
        (start.min(end), end)
    }

    /// Where row `row` starts and where its newline is.
    pub(super) fn row(&self, row: usize) -> (usize, usize) {
        let idx = row * self.n_fields;
        (self.ends[idx].wrapping_add(1) as usize, self.ends[idx + self.n_fields] as usize)
    }

    /// Some of these rows.
    pub(super) fn slice(&self, from: usize, n_rows: usize) -> Rows<'a> {
        let ends = &self.ends[from * self.n_fields..=(from + n_rows) * self.n_fields];
        Rows { ends, n_rows, ..*self }
    }

    /// How many rows from the first on take at most `bytes` of text together.
    pub(super) fn n_rows_within(&self, bytes: usize) -> usize {
        let start = self.row(0).0;
        let (mut low, mut high) = (0, self.n_rows);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if self.row(middle - 1).1 - start <= bytes { low = middle } else { high = middle - 1 }
        }
        low
    }
}

struct Scanned {
    n_ends: usize,
    n_newlines: usize,
}

impl Tokens {
    /// Bytes that a table for rows of `n_fields` fields takes.
    pub(super) fn bytes_for(n_fields: usize, policy: Policy) -> u64 {
        let n_tables = if policy == Policy::Fail { 1 } else { 2 };
        (n_tables * Self::n_positions(n_fields) * size_of::<u32>()) as u64
    }

    fn n_positions(n_fields: usize) -> usize {
        (4 * n_fields).max(MIN_POSITIONS) + CHUNK + 1
    }

    /// An empty table for rows of `n_fields` fields.
    pub(super) fn new(n_fields: usize, dialect: Dialect, policy: Policy) -> Self {
        let ends = vec![0; Self::n_positions(n_fields)];
        Tokens { ends, n_fields, dialect, policy, fitted: Vec::new(), runs: Vec::new(), ragged: Vec::new() }
    }

    /// Fields a row.
    pub(super) fn n_fields(&self) -> usize {
        self.n_fields
    }

    /// The rows of a run.
    pub(super) fn rows<'a>(&'a self, data: &'a [u8], run: Run) -> Rows<'a> {
        let table = if run.is_fitted { &self.fitted } else { &self.ends };
        let ends = &table[run.first..=run.first + run.n_rows * self.n_fields];
        Rows { data, ends, n_fields: self.n_fields, n_rows: run.n_rows }
    }

    /// Finds rows in `data[from..to]`, which starts and ends at record boundaries, and replaces `runs` and `ragged`.
    /// Returns where the next piece starts. `data` is readable for [`CHUNK`] bytes past `to`.
    pub(super) fn find_rows(&mut self, data: &[u8], from: usize, to: usize, has_quotes: bool) -> usize {
        self.runs.clear();
        self.ragged.clear();
        self.fitted.clear();
        let scanned = match has_quotes || self.dialect.has_comments() {
            true => self.find_ends::<true>(data, from, to),
            false => self.find_ends::<false>(data, from, to),
        };
        let n_rows = scanned.n_ends / self.n_fields;
        // A comment counts as one field, so where rows have one field too it has to be looked for.
        let may_have_comments = self.n_fields == 1 && self.dialect.has_comments();
        let is_regular = n_rows == scanned.n_newlines && n_rows > 0 && !may_have_comments;
        if is_regular && self.rows_end_in_newlines(data, n_rows) {
            self.runs.push(Run { first: 0, n_rows, is_fitted: false });
            return self.ends[n_rows * self.n_fields] as usize + 1;
        }
        self.walk_rows(data, to, scanned.n_ends)
    }

    /// Leaves only the rows that start before `at`.
    pub(super) fn end_runs_before(&mut self, data: &[u8], at: usize) {
        let mut runs = std::mem::take(&mut self.runs);
        for run in &mut runs {
            let rows = self.rows(data, *run);
            run.n_rows = (0..run.n_rows).take_while(|&row| rows.row(row).0 < at).count();
        }
        runs.retain(|run| run.n_rows > 0);
        self.runs = runs;
    }

    fn find_ends<const QUOTES: bool>(&mut self, data: &[u8], from: usize, to: usize) -> Scanned {
        let matcher = Matcher::new(self.dialect);
        let mut state = QuoteState::RECORD_START;
        let ends = &mut self.ends[..];
        ends[0] = (from as u32).wrapping_sub(1);
        let (mut n_ends, mut n_newlines, mut at) = (0, 0, from);
        while at < to {
            let Some(out) = ends[n_ends + 1..].first_chunk_mut::<CHUNK>() else { break };
            let Some(chunk) = data[at..].first_chunk::<CHUNK>() else { break };
            let n = CHUNK.min(to - at);
            let masks = clip(matcher.masks::<QUOTES>(chunk), n);
            let structure = if QUOTES { matcher.structure(chunk, n, masks, &mut state) } else { masks.ends };
            n_newlines += (structure & masks.newlines).count_ones() as usize;
            n_ends += flatten(structure, at as u32, out);
            at += n;
        }
        Scanned { n_ends, n_newlines }
    }

    fn rows_end_in_newlines(&self, data: &[u8], n_rows: usize) -> bool {
        let lasts = self.ends[1..=n_rows * self.n_fields].chunks_exact(self.n_fields).map(|row| row[row.len() - 1]);
        let mut all = true;
        for last in lasts {
            all &= data[last as usize] == b'\n';
        }
        all
    }

    /// Sorts rows into runs and ragged ones. Comments and empty lines are no rows; where there is one column only, an
    /// empty line is one.
    #[cold]
    fn walk_rows(&mut self, data: &[u8], to: usize, n_ends: usize) -> usize {
        let mut before = 0;
        for idx in 1..=n_ends {
            let end = self.ends[idx] as usize;
            if data[end] != b'\n' {
                continue;
            }
            let n_fields = idx - before;
            let start = self.ends[before].wrapping_add(1) as usize;
            let is_empty = n_fields == 1 && (end == start || (end == start + 1 && data[start] == b'\r'));
            if n_fields == 1 && self.dialect.comment.begins(&data[start..end]) {
                // No row.
            } else if n_fields == self.n_fields {
                self.push_row(before);
            } else if !is_empty && self.may_fit(n_fields) {
                if self.fitted.len() + self.n_fields + 1 > Self::n_positions(self.n_fields) {
                    // The rest is the next piece, whose table of fitted rows is empty again.
                    return start;
                }
                self.fit_row(data, before, n_fields);
            } else if !is_empty {
                self.ragged.push(Ragged { start, end, n_fields });
            }
            before = idx;
        }
        if before > 0 {
            return self.ends[before] as usize + 1;
        }
        self.skip_wide_row(data, to)
    }

    fn push_row(&mut self, first: usize) {
        match self.runs.last_mut() {
            Some(run) if !run.is_fitted && run.first + run.n_rows * self.n_fields == first => run.n_rows += 1,
            _ => self.runs.push(Run { first, n_rows: 1, is_fitted: false }),
        }
    }

    /// Whether a row of `n_fields` fields is made to fit.
    fn may_fit(&self, n_fields: usize) -> bool {
        match self.policy {
            Policy::Fail => false,
            Policy::Pad => n_fields < self.n_fields,
            Policy::Fit => true,
        }
    }

    /// Makes a row of the `n_fields` fields behind `ends[before]`: the first of them, or all and empty ones. A row that was
    /// filled up ends in its newline, so that one that follows belongs to the same run.
    fn fit_row(&mut self, data: &[u8], before: usize, n_fields: usize) {
        let n_kept = n_fields.min(self.n_fields);
        let (ends, fitted) = (&self.ends[before..=before + n_kept], &mut self.fitted);
        match self.runs.last_mut() {
            Some(run) if run.is_fitted && fitted.last() == ends.first() => run.n_rows += 1,
            _ => {
                self.runs.push(Run { first: fitted.len(), n_rows: 1, is_fitted: true });
                fitted.push(ends[0]);
            }
        }
        fitted.extend_from_slice(&ends[1..]);
        if n_kept < self.n_fields {
            let (start, newline) = (ends[n_kept - 1].wrapping_add(1), ends[n_kept]);
            let has_return = newline > start && data[newline as usize - 1] == b'\r';
            let end = if has_return { newline - 1 } else { newline };
            fitted.pop();
            fitted.extend(std::iter::repeat_n(end, self.n_fields - n_kept));
            fitted.push(newline);
        }
    }

    /// A row that does not fit in the table has too many fields: the table holds four rows of the right number.
    fn skip_wide_row(&mut self, data: &[u8], to: usize) -> usize {
        let start = self.ends[0].wrapping_add(1) as usize;
        let (mut state, mut n_fields) = (QuoteState::RECORD_START, 0);
        for (end, &byte) in data.iter().enumerate().take(to).skip(start) {
            n_fields += usize::from(state.step(byte, self.dialect));
            if byte == b'\n' && !state.in_quote {
                match self.may_fit(n_fields) {
                    true => self.fit_row(data, 0, self.n_fields),
                    false => self.ragged.push(Ragged { start, end, n_fields }),
                }
                return end + 1;
            }
        }
        to
    }
}

/// Writes the positions of the bits of `mask`; the first eight and the next eight without a branch each.
#[inline(always)]
fn flatten(mut mask: u64, base: u32, out: &mut [u32; CHUNK]) -> usize {
    let n = mask.count_ones() as usize;
    for slot in &mut out[..8] {
        *slot = base + mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
    }
    if n > 8 {
        for slot in &mut out[8..16] {
            *slot = base + mask.trailing_zeros();
            mask &= mask.wrapping_sub(1);
        }
    }
    if n > 16 {
        for slot in &mut out[16..n] {
            *slot = base + mask.trailing_zeros();
            mask &= mask.wrapping_sub(1);
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::csv::structure::Comment;

    const DIALECT: Dialect = Dialect { delimiter: b',', quote: b'"', comment: Comment::NONE };

    fn check(text: &str, n_fields: usize, want_runs: &[(usize, usize)], want_ragged: &[(usize, usize, usize)]) {
        let mut data = text.as_bytes().to_vec();
        data.resize(text.len() + CHUNK, 0);
        let mut tokens = Tokens::new(n_fields, DIALECT, Policy::Fail);
        for has_quotes in [true, false] {
            if !has_quotes && text.contains('"') {
                continue;
            }
            let next = tokens.find_rows(&data, 0, text.len(), has_quotes);
            assert_eq!(next, text.len(), "{text:?}");
            let runs: Vec<_> = tokens.runs.iter().map(|run| (run.first, run.n_rows)).collect();
            let ragged: Vec<_> = tokens.ragged.iter().map(|row| (row.start, row.end, row.n_fields)).collect();
            assert_eq!((&runs[..], &ragged[..]), (want_runs, want_ragged), "{text:?}");
        }
    }

    #[test]
    fn rows_are_told_from_ragged_ones() {
        check("1,2\n3,4\n", 2, &[(0, 2)], &[]);
        check("1,2\n3\n4,5\n", 2, &[(0, 1), (3, 1)], &[(4, 5, 1)]);
        check("1,2,3\n4\n", 2, &[], &[(0, 5, 3), (6, 7, 1)]);
        check("1,2\n\n\r\n4,5\n", 2, &[(0, 1), (4, 1)], &[]);
        check("a\n\nb\n", 1, &[(0, 3)], &[]);
        check("\"a\nb\",\",\"\nc,d\"e\n", 2, &[(0, 2)], &[]);
    }

    /// All fields of the rows that fit and of those that were made to fit.
    fn fields(text: &str, n_fields: usize, dialect: Dialect, policy: Policy) -> Vec<Vec<String>> {
        let mut data = text.as_bytes().to_vec();
        data.resize(text.len() + CHUNK, 0);
        let mut tokens = Tokens::new(n_fields, dialect, policy);
        let (mut at, mut found) = (0, Vec::new());
        while at < text.len() {
            at = tokens.find_rows(&data, at, text.len(), text.contains('"'));
            for run in &tokens.runs {
                let rows = tokens.rows(&data, *run);
                found.extend((0..run.n_rows).map(|row| {
                    let field = |column| rows.field(row, column);
                    (0..n_fields).map(field).map(|(start, end)| text[start..end].to_string()).collect()
                }));
            }
        }
        found
    }

    #[test]
    fn rows_are_made_to_fit() {
        let text = "1\r\n1,2,3,4\n\n1,2\n\"a,b\",2,3\n";
        let fitted: Vec<Vec<&str>> =
            vec![vec!["1", "", ""], vec!["1", "2", "3"], vec!["1", "2", ""], vec!["\"a,b\"", "2", "3"]];
        assert_eq!(fields(text, 3, DIALECT, Policy::Fit), fitted);
        assert_eq!(fields(text, 3, DIALECT, Policy::Pad), [&fitted[..1], &fitted[2..]].concat());
        assert_eq!(fields(&"1\n".repeat(50_000), 3, DIALECT, Policy::Pad), vec![["1", "", ""]; 50_000]);
        assert_eq!(
            fields("1\r\n2,x\r\n\r\n3\r\n", 3, DIALECT, Policy::Pad),
            [["1", "", ""], ["2", "x", ""], ["3", "", ""]]
        );
        let wide = format!("{}\n1\n", ",".repeat(100_000));
        assert_eq!(fields(&wide, 2, DIALECT, Policy::Fit), [["", ""], ["1", ""]]);
    }

    #[test]
    fn comments_are_no_rows() {
        let dialect = Dialect { comment: Comment::new(b"#").unwrap(), ..DIALECT };
        assert_eq!(fields("1,2\n#3,4\n\"#\",#\n#", 2, dialect, Policy::Fit), [["1", "2"], ["\"#\"", "#"]]);
        assert_eq!(fields("1\n#3\n\n", 1, dialect, Policy::Fail), [["1"], [""]]);
    }

    #[test]
    fn a_row_wider_than_the_table_is_ragged() {
        let wide = format!("{}\n", ",".repeat(100_000));
        check(&wide, 2, &[], &[(0, 100_000, 100_001)]);
    }
}
