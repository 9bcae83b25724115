//! Some of a table's files, for a scan that reads no others, and which morsels came out of which.
//!
//! Memory: two numbers a file, reserved.

use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::memory::{Memory, Reservation};

/// The files that a scan reads, as places in the table's list of files, and where each begins among the morsels. Whoever
/// hands out morsels notes it; whoever gets a batch may ask.
pub struct SelectedFiles {
    files: Vec<usize>,
    /// The first morsel of each file that was begun, in order.
    begun: Mutex<Vec<(u64, usize)>>,
    _reserved: Reservation,
}

impl SelectedFiles {
    /// The `files` that are to be read, in ascending order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`] when there is no room to note where they begin.
    pub fn new(files: Vec<usize>, memory: &Memory) -> Result<Self> {
        let mut reserved = memory.reserve("Scan");
        reserved.try_grow((files.len() * (size_of::<usize>() + size_of::<(u64, usize)>())) as u64)?;
        let begun = Mutex::new(Vec::with_capacity(files.len()));
        Ok(SelectedFiles { files, begun, _reserved: reserved })
    }

    /// The file to read as number `position`.
    pub fn get(&self, position: usize) -> Option<usize> {
        self.files.get(position).copied()
    }

    /// How many files are read.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no file is read.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Notes that `morsel` is of `file`. Morsels come in ascending order.
    pub fn begin(&self, morsel: u64, file: usize) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.last().is_none_or(|(_, last)| *last != file) {
            begun.push((morsel, file));
        }
    }

    /// The file that `morsel` came out of, once that was noted.
    pub fn file_of(&self, morsel: u64) -> Option<usize> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let after = begun.partition_point(|(first, _)| *first <= morsel);
        Some(begun.get(after.checked_sub(1)?)?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn morsels_are_of_the_file_that_began_last_before_them() {
        let files = SelectedFiles::new(vec![2, 5, 9], &Memory::with_governed(1 << 20, 1)).unwrap();
        assert_eq!(files.file_of(0), None);
        for (morsel, file) in [(0, 2), (1, 2), (2, 9), (5, 9)] {
            files.begin(morsel, file);
        }
        assert_eq!([0, 1, 2, 7].map(|morsel| files.file_of(morsel)), [Some(2), Some(2), Some(9), Some(9)]);
        assert_eq!((files.get(1), files.get(3), files.len()), (Some(5), None, 3));
    }
}
