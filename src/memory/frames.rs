//! Frames: page-sized pieces of one anonymous mapping, and single mappings for pages that are larger.
//!
//! Memory: address space only; a frame becomes resident when it is first written and stops being so when it is released.
//! `unsafe` stands here because pages are given back to the system exactly (`madvise`), which no allocator promises.

use std::ptr::NonNull;
use std::sync::Mutex;

/// A large system page of the usual processors. Frames are smaller, and a power of two.
const LARGE_PAGE: usize = 2 << 20;
/// Linux 6.1 and later; missing in the bindings.
const MADV_COLLAPSE: libc::c_int = 25;

/// Whether the system hands out large pages unasked. Frames must then be kept from them, and cannot be moved to them.
fn large_pages_are_the_default() -> bool {
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    setting.is_ok_and(|setting| setting.contains("[always]"))
}

/// The address space from which pages of the standard size are cut.
pub(super) struct FrameArena {
    /// The mapping, in which the frames begin at a large page.
    mapping: NonNull<u8>,
    base: NonNull<u8>,
    frame_bytes: usize,
    n_frames: usize,
    free: Mutex<FreeFrames>,
}

struct FreeFrames {
    /// Frames that were used and are still resident, the most recent last.
    resident: Vec<u32>,
    /// Frames given back to the system.
    released: Vec<u32>,
    /// Frames from here on have never been used.
    untouched: u32,
}

/// Exclusive ownership of a piece of memory; returned to its arena by hand.
pub(super) struct Frame {
    start: NonNull<u8>,
    bytes: usize,
    /// `None` for a mapping of its own.
    idx: Option<u32>,
}

// SAFETY: a frame is the only owner of its bytes, like a Box<[u8]>.
unsafe impl Send for Frame {}
// SAFETY: shared access only reads.
unsafe impl Sync for Frame {}
// SAFETY: the base pointer is only used to compute addresses of frames that the free list hands out once each.
unsafe impl Send for FrameArena {}
// SAFETY: as above; the free list is behind a mutex.
unsafe impl Sync for FrameArena {}

/// Maps `bytes` of zeroed anonymous memory, or `None` when the system has no address space left.
pub(super) fn map_anonymous(bytes: usize) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh private anonymous mapping at an address the kernel chooses aliases nothing.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()) }
}

impl FrameArena {
    /// Address space for `n_frames` frames. They begin on small system pages: with large ones from the first touch on, TPC-H
    /// at scale 10 and 1 GiB took up to a quarter more CPU (a touch clears 2 MiB, of memory that the system has to find in
    /// one piece) and up to 200 MiB more resident memory. See [`FrameArena::use_large_pages`].
    pub(super) fn new(frame_bytes: usize, n_frames: usize) -> Option<Self> {
        let mapping = map_anonymous(frame_bytes * n_frames + LARGE_PAGE)?;
        let to_large_page = mapping.as_ptr().align_offset(LARGE_PAGE);
        // SAFETY: the distance to the next large page is less than its size, by which the mapping is longer.
        let base = unsafe { mapping.add(to_large_page) };
        if large_pages_are_the_default() {
            // SAFETY: the range lies in the mapping made above; the advice does not change its contents.
            unsafe { libc::madvise(base.as_ptr().cast(), frame_bytes * n_frames, libc::MADV_NOHUGEPAGE) };
        }
        let free = FreeFrames { resident: Vec::new(), released: Vec::new(), untouched: 0 };
        Some(FrameArena { mapping, base, frame_bytes, n_frames, free: Mutex::new(free) })
    }

    /// Moves what is resident now to large system pages, where all frames of such a page are: worth it before millions of
    /// accesses at random, which then miss the page table less. A system that cannot do this goes on with small ones.
    pub(super) fn use_large_pages(&self) {
        let frames_per_page = LARGE_PAGE / self.frame_bytes;
        let free = self.lock();
        let n_used = free.untouched as usize;
        let mut is_whole = vec![true; n_used / frames_per_page];
        for &idx in &free.released {
            if let Some(whole) = is_whole.get_mut(idx as usize / frames_per_page) {
                *whole = false;
            }
        }
        for (large, _) in is_whole.iter().enumerate().filter(|(_, whole)| **whole) {
            // SAFETY: all frames of this large page were handed out, so it lies in the arena; its contents stay.
            let start = unsafe { self.base.add(large * LARGE_PAGE) };
            // SAFETY: as above.
            if unsafe { libc::madvise(start.as_ptr().cast(), LARGE_PAGE, MADV_COLLAPSE) } != 0 {
                return;
            }
        }
    }

    /// A frame that is already resident, if one is free.
    pub(super) fn take_resident(&self) -> Option<Frame> {
        let idx = self.lock().resident.pop()?;
        Some(self.frame(idx))
    }

    /// A frame that is not resident yet.
    pub(super) fn take_fresh(&self) -> Option<Frame> {
        let mut free = self.lock();
        let idx = match free.released.pop() {
            Some(idx) => idx,
            None if (free.untouched as usize) < self.n_frames => {
                free.untouched += 1;
                free.untouched - 1
            }
            None => return None,
        };
        drop(free);
        Some(self.frame(idx))
    }

    /// Keeps the frame resident for the next taker.
    pub(super) fn put_back(&self, frame: Frame) {
        if let Some(idx) = frame.idx {
            self.lock().resident.push(idx);
        }
    }

    /// Gives the memory of `frame` back to the system.
    pub(super) fn release(&self, frame: Frame) {
        match frame.idx {
            Some(idx) => {
                // SAFETY: the frame is owned, so nobody reads these bytes; they read as zero afterwards.
                unsafe { libc::madvise(frame.start.as_ptr().cast(), frame.bytes, libc::MADV_DONTNEED) };
                self.lock().released.push(idx);
            }
            None => {
                // SAFETY: the frame owns this whole mapping and is consumed here.
                unsafe { libc::munmap(frame.start.as_ptr().cast(), frame.bytes) };
            }
        }
    }

    /// A mapping of its own for a page larger than a frame.
    pub(super) fn map_large(&self, bytes: usize) -> Option<Frame> {
        Some(Frame { start: map_anonymous(bytes)?, bytes, idx: None })
    }

    fn frame(&self, idx: u32) -> Frame {
        debug_assert!((idx as usize) < self.n_frames);
        // SAFETY: idx < n_frames, so the offset lies inside the mapping.
        let start = unsafe { self.base.add(idx as usize * self.frame_bytes) };
        Frame { start, bytes: self.frame_bytes, idx: Some(idx) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, FreeFrames> {
        self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for FrameArena {
    fn drop(&mut self) {
        // SAFETY: frames are only held by pages, which hold the pool that holds this arena; none is left.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.frame_bytes * self.n_frames + LARGE_PAGE) };
    }
}

impl Frame {
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the frame owns `bytes` readable, initialized (zeroed by the system) bytes from `start`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_large(&self) -> bool {
        self.idx.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_their_bytes_on_large_pages() {
        let arena = FrameArena::new(256 << 10, 64).unwrap();
        let mut frames: Vec<Frame> = (0..44).map(|_| arena.take_fresh().unwrap()).collect();
        for (n, frame) in frames.iter_mut().enumerate() {
            frame.bytes_mut().fill(n as u8 + 1);
        }
        // One frame of the second large page is not resident.
        arena.release(frames.remove(9));
        for _ in 0..2 {
            arena.use_large_pages();
            let kept = frames.iter().map(|frame| (frame.bytes()[0], frame.bytes()[frame.len() - 1]));
            let expected = (1..=44u8).filter(|n| *n != 10).map(|n| (n, n));
            assert!(kept.eq(expected));
        }
        let again = arena.take_fresh().unwrap();
        assert!(again.bytes().iter().all(|byte| *byte == 0), "a released frame reads as zero");
    }
}
