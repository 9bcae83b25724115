//! Handing out the rows of all files to the workers, in file order.
//!
//! Memory: the footer of the file that is being handed out, those of the files that workers still read, and those that
//! were kept when the table was opened.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::footer::OpenFile;
use crate::error::Result;
use crate::io::SelectedFiles;
use crate::memory::Memory;

/// A file up to this size is opened and read by the worker that gets it, so that thousands of small files are opened in
/// parallel.
const SMALL_FILE_BYTES: u64 = 16 << 20;

/// Rows of one row group.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) file: Arc<OpenFile>,
    pub(super) row_group: usize,
    pub(super) rows: Range<u64>,
}

/// What a worker is handed.
pub(super) struct Morsel {
    pub(super) number: u64,
    pub(super) work: Work,
}

pub(super) enum Work {
    Pieces(Vec<Piece>),
    /// All rows of a file that is not open yet.
    WholeFile(usize),
}

/// The files of a table; some of them open.
pub(super) struct Files {
    pub(super) paths: Vec<PathBuf>,
    pub(super) n_bytes: Vec<u64>,
    pub(super) open: Vec<Option<Arc<OpenFile>>>,
}

/// Which row groups are worth reading.
pub(super) type KeepRowGroup = dyn Fn(&OpenFile, usize) -> Result<bool> + Send + Sync;

/// Cuts the files into morsels.
pub(super) struct MorselQueue {
    files: Arc<Files>,
    /// The only files to read, if not all.
    selected: Option<Arc<SelectedFiles>>,
    keep: Box<KeepRowGroup>,
    read_bytes: Arc<AtomicU64>,
    memory: Memory,
    target_rows: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the next file among those that are read.
    next_file: usize,
    /// The place of the current file in the table.
    file: usize,
    next_number: u64,
    current: Option<Position>,
}

struct Position {
    file: Arc<OpenFile>,
    row_group: usize,
    row: u64,
}

impl MorselQueue {
    /// Morsels of about `target_rows` rows of all files.
    pub(super) fn new(
        files: Arc<Files>,
        keep: Box<KeepRowGroup>,
        read_bytes: Arc<AtomicU64>,
        memory: Memory,
        target_rows: u64,
    ) -> Self {
        let target_rows = target_rows.max(1);
        MorselQueue { files, selected: None, keep, read_bytes, memory, target_rows, state: Mutex::default() }
    }

    /// Only of the files that are `selected`.
    pub(super) fn of(self, selected: Option<Arc<SelectedFiles>>) -> Self {
        MorselQueue { selected, ..self }
    }

    /// The next morsel in file order, or `None` when all are handed out or there was an error.
    pub(super) fn take(&self) -> Result<Option<Morsel>> {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let number = state.next_number;
        match self.next_work(&mut state) {
            Ok(Some(work)) => {
                if let Some(selected) = &self.selected {
                    selected.begin(number, state.file);
                }
                state.next_number += 1;
                Ok(Some(Morsel { number, work }))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                (state.next_file, state.current) = (self.files.paths.len(), None);
                Err(error.in_morsel(number))
            }
        }
    }

    fn next_work(&self, state: &mut State) -> Result<Option<Work>> {
        loop {
            if let Some(position) = &mut state.current {
                let pieces = self.cut(position)?;
                if !pieces.is_empty() {
                    return Ok(Some(Work::Pieces(pieces)));
                }
                state.current = None;
            }
            let next = match &self.selected {
                Some(selected) => selected.get(state.next_file),
                None => Some(state.next_file),
            };
            let Some(idx) = next.filter(|&idx| idx < self.files.paths.len()) else { return Ok(None) };
            (state.file, state.next_file) = (idx, state.next_file + 1);
            match &self.files.open[idx] {
                Some(file) => state.current = Some(Position { file: file.clone(), row_group: 0, row: 0 }),
                None if self.files.n_bytes[idx] <= SMALL_FILE_BYTES => return Ok(Some(Work::WholeFile(idx))),
                None => {
                    let file = Arc::new(self.open(idx)?);
                    state.current = Some(Position { file, row_group: 0, row: 0 });
                }
            }
        }
    }

    /// Opens file `idx`.
    pub(super) fn open(&self, idx: usize) -> Result<OpenFile> {
        OpenFile::open(&self.files.paths[idx], &self.read_bytes, &self.memory)
    }

    /// All rows of `file` that are worth reading.
    pub(super) fn all_pieces(&self, file: &Arc<OpenFile>) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for row_group in 0..file.metadata.num_row_groups() {
            if (self.keep)(file, row_group)? {
                let rows = 0..file.row_group(row_group).num_rows() as u64;
                pieces.push(Piece { file: file.clone(), row_group, rows });
            }
        }
        Ok(pieces)
    }

    /// The next rows from `position` on: a part of a large row group, or several small row groups. Empty at the end.
    fn cut(&self, position: &mut Position) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut n_rows = 0;
        let file = position.file.clone();
        while position.row_group < file.metadata.num_row_groups() && n_rows < self.target_rows {
            let row_group = position.row_group;
            let total = file.row_group(row_group).num_rows() as u64;
            if position.row == 0 && (total == 0 || !(self.keep)(&file, row_group)?) {
                position.row_group += 1;
                continue;
            }
            let part = part_rows(total, self.target_rows);
            if n_rows > 0 && n_rows + part > self.target_rows {
                break;
            }
            let end = (position.row + part).min(total);
            pieces.push(Piece { file: file.clone(), row_group, rows: position.row..end });
            n_rows += end - position.row;
            position.row = end;
            if end == total {
                position.row_group += 1;
                position.row = 0;
            }
        }
        Ok(pieces)
    }
}

/// Cuts `total` rows into equal parts near `target`.
fn part_rows(total: u64, target: u64) -> u64 {
    /// Parts are a multiple of this, so that batches are full.
    const STEP: u64 = 1024;
    let n_parts = ((total + target / 2) / target).max(1);
    total.div_ceil(n_parts).div_ceil(STEP) * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_near_the_target_and_cover_all_rows() {
        for (total, target, n_parts) in
            [(1_000_000, 1 << 20, 1), (10_000_000, 1 << 20, 10), (100, 65_536, 1), (65_537, 65_536, 1)]
        {
            let part = part_rows(total, target);
            assert_eq!(u64::div_ceil(total, part), n_parts, "{total}");
        }
    }
}
