//! A zeroed array of words: hash table entries, which are large and accessed at random.
//!
//! Memory: exactly its length; the caller holds the reservation. Below 2 MiB it is the allocator's, which often has the
//! memory of the one before. From there on it is mapped with large system pages, because a random access to small ones
//! costs a second miss, in the page table; its length is a power of two, so that they do not round it up. The system makes
//! all pages at once: a page that is read before it is written costs two faults, and one that other threads hear of.

use std::alloc::{Layout, alloc_zeroed, dealloc};
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

/// From this size on an array is mapped.
const HUGE_PAGE: usize = 2 << 20;

impl ZeroedWords {
    /// No words.
    pub fn empty() -> Self {
        ZeroedWords { start: NonNull::dangling(), len: 0 }
    }

    /// `len` zeros, or `None` when the system has no address space left.
    pub fn new(len: usize) -> Option<Self> {
        let start = match Self::layout(len)? {
            layout if layout.size() == 0 => return Some(Self::empty()),
            layout if layout.size() < HUGE_PAGE => {
                // SAFETY: the layout has a size.
                NonNull::new(unsafe { alloc_zeroed(layout) })?
            }
            layout => {
                let start = map_anonymous(layout.size())?;
                for advice in [libc::MADV_HUGEPAGE, libc::MADV_POPULATE_WRITE] {
                    // SAFETY: the range is the mapping just made; neither advice changes what it reads as. A system that
                    // does not know one goes on without.
                    unsafe { libc::madvise(start.as_ptr().cast(), layout.size(), advice) };
                }
                start
            }
        };
        Some(ZeroedWords { start: start.cast(), len })
    }

    /// Lines of the cache do not hold words of other arrays.
    fn layout(len: usize) -> Option<Layout> {
        Layout::array::<u64>(len).and_then(|layout| layout.align_to(64)).ok()
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
        match Self::layout(self.len) {
            Some(layout) if layout.size() == 0 => {}
            // SAFETY: the array was allocated with this layout and is consumed here.
            Some(layout) if layout.size() < HUGE_PAGE => unsafe { dealloc(self.start.as_ptr().cast(), layout) },
            _ => {
                // SAFETY: the array owns this whole mapping and is consumed here.
                unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * size_of::<u64>()) };
            }
        }
    }
}
