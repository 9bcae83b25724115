//! A zeroed array of words, mapped outside the allocator: hash table entries, which are large and accessed at random.
//!
//! Memory: exactly its length; the caller holds the reservation. From 2 MiB on it asks for large system pages, because a
//! random access to small ones costs a second miss, in the page table. Its length is a power of two, so that large pages do
//! not round it up.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::frames::map_anonymous;

/// A boxed slice of words that begins as zeros.
pub struct ZeroedWords {
    start: NonNull<u64>,
    len: usize,
}

// SAFETY: the array is owned, like a Box<[u64]>.
unsafe impl Send for ZeroedWords {}
// SAFETY: shared access only reads.
unsafe impl Sync for ZeroedWords {}

impl ZeroedWords {
    /// No words.
    pub fn empty() -> Self {
        ZeroedWords { start: NonNull::dangling(), len: 0 }
    }

    /// `len` zeros, or `None` when the system has no address space left.
    pub fn new(len: usize) -> Option<Self> {
        const HUGE_PAGE: usize = 2 << 20;
        if len == 0 {
            return Some(Self::empty());
        }
        let bytes = len * size_of::<u64>();
        let start = map_anonymous(bytes)?;
        if bytes >= HUGE_PAGE {
            // SAFETY: the range is the mapping just made; the advice does not change its contents.
            unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        Some(ZeroedWords { start: start.cast(), len })
    }
}

impl Deref for ZeroedWords {
    type Target = [u64];

    #[inline(always)]
    fn deref(&self) -> &[u64] {
        // SAFETY: the array owns `len` initialized (zeroed by the system) words from `start`, which a mapping aligns.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for ZeroedWords {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u64] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for ZeroedWords {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the array owns this whole mapping and is consumed here.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * size_of::<u64>()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_as_zeros_and_hold_what_is_written() {
        let mut words = ZeroedWords::new(1 << 18).expect("address space");
        assert!(words.iter().all(|&word| word == 0));
        words[12_345] = 7;
        assert_eq!(words.iter().sum::<u64>(), 7);
        assert!(ZeroedWords::empty().is_empty());
    }
}
