//! Frames: page-sized pieces of one anonymous mapping, and single mappings for pages that are larger.
//!
//! Memory: address space only; a frame becomes resident when it is first written and stops being so when it is released.
//! `unsafe` stands here because pages are given back to the system exactly (`madvise`), which no allocator promises.

use std::ptr::NonNull;
use std::sync::Mutex;

/// The address space from which pages of the standard size are cut.
pub(super) struct FrameArena {
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
    /// Address space for `n_frames` frames. They stay on small system pages: with large ones, TPC-H at scale 10 and 1 GiB
    /// took up to a quarter more CPU (a first touch clears 2 MiB, of memory that the system has to find in one piece) and
    /// up to 200 MiB more resident memory; grouping 100 million rows by a million keys took 4.4 s either way, also when the
    /// table was moved to large pages once it had settled.
    pub(super) fn new(frame_bytes: usize, n_frames: usize) -> Option<Self> {
        let base = map_anonymous(frame_bytes * n_frames)?;
        // SAFETY: the range is the mapping made above; the advice does not change its contents.
        unsafe { libc::madvise(base.as_ptr().cast(), frame_bytes * n_frames, libc::MADV_NOHUGEPAGE) };
        let free = FreeFrames { resident: Vec::new(), released: Vec::new(), untouched: 0 };
        Some(FrameArena { base, frame_bytes, n_frames, free: Mutex::new(free) })
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
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.frame_bytes * self.n_frames) };
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
