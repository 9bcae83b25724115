//! Some of a table's files, for a scan that reads no others, and which morsels came out of which.
//!
//! Memory: three numbers a file, reserved.
//! The surprising part: some of the files may turn out not to be needed once the scan has begun, when joins know their keys.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::Result;
use crate::memory::{Memory, Reservation};

/// The files that a scan reads, as places in the table's list of files, and where each begins among the morsels. Whoever
/// hands out morsels notes it; whoever gets a batch may ask.
pub struct SelectedFiles {
    files: Vec<usize>,
    /// What leaves out more files when the first one is asked for.
    late: Option<Box<LateChoice>>,
    /// Those of `files` that are left.
    left: OnceLock<Vec<usize>>,
    /// The first morsel of each file that was begun, in order.
    begun: Mutex<Vec<(u64, usize)>>,
    _reserved: Reservation,
}

/// Which of some files are still wanted once the scan has begun. Asked once.
pub type LateChoice = dyn Fn(&[usize]) -> Vec<usize> + Send + Sync;

impl SelectedFiles {
    /// The `files` that are to be read, in ascending order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`] when there is no room to note where they begin.
    pub fn new(files: Vec<usize>, memory: &Memory) -> Result<Self> {
        let mut reserved = memory.reserve("Scan");
        reserved.try_grow((files.len() * (2 * size_of::<usize>() + size_of::<(u64, usize)>())) as u64)?;
        let begun = Mutex::new(Vec::with_capacity(files.len()));
        Ok(SelectedFiles { files, late: None, left: OnceLock::new(), begun, _reserved: reserved })
    }

    /// With a choice among the files that is made when the first one is read.
    pub fn with_late_choice(self, late: Box<LateChoice>) -> Self {
        SelectedFiles { late: Some(late), ..self }
    }

    /// The file to read as number `position`; for the workers of a scan that has begun.
    pub fn get(&self, position: usize) -> Option<usize> {
        let files = match &self.late {
            Some(late) => self.left.get_or_init(|| late(&self.files)),
            None => &self.files,
        };
        files.get(position).copied()
    }

    /// How many files are read, as far as that is known now.
    pub fn len(&self) -> usize {
        self.left.get().unwrap_or(&self.files).len()
    }

    /// Whether no file is read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

    #[test]
    fn a_late_choice_is_made_once_the_first_file_is_asked_for() {
        let memory = Memory::with_governed(1 << 20, 1);
        let late = |files: &[usize]| files.iter().copied().filter(|file| file % 2 == 1).collect();
        let files = SelectedFiles::new(vec![2, 5, 9], &memory).unwrap().with_late_choice(Box::new(late));
        assert_eq!(files.len(), 3);
        assert_eq!((files.get(0), files.get(1), files.get(2), files.len()), (Some(5), Some(9), None, 2));
    }
}
