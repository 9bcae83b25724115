//! The buffer of a page that is done with, for the next page of its column.
//!
//! Memory: where there is plenty, one page a column beside the one that is being decoded, under its own reservation; a page
//! and its successor are alive together for a moment anyway. The surprising part: most of what this saves is not the
//! allocation but zeros written over bytes that are overwritten at once.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::error::Result;
use crate::memory::{Memory, Reservation};

/// Below this much governed memory no buffer is kept.
const KEEP_FROM_GOVERNED: u64 = 512 << 20;

/// Where one buffer may lie between two pages.
#[derive(Clone)]
pub(super) struct SparePage(Option<Arc<Mutex<Option<Buffer>>>>);

/// Bytes that have been written before, whatever they are, and the memory they were granted.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    _granted: Option<Reservation>,
}

/// The bytes of one page.
pub(super) struct PageBuffer {
    buffer: Buffer,
    n_bytes: usize,
    home: SparePage,
}

impl SparePage {
    /// No buffer yet.
    pub(super) fn new(memory: &Memory) -> Self {
        SparePage((memory.governed_bytes() >= KEEP_FROM_GOVERNED).then(Arc::default))
    }

    /// A buffer with room for `n_bytes`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`].
    pub(super) fn room_for(&self, n_bytes: usize, memory: &Memory) -> Result<PageBuffer> {
        let kept = self.0.as_ref().and_then(|place| lock(place).take());
        let buffer = match kept.filter(|buffer| buffer.bytes.capacity() >= n_bytes) {
            Some(buffer) => buffer,
            None => {
                let mut granted = memory.reserve("Scan");
                granted.try_grow(n_bytes as u64)?;
                Buffer { bytes: Vec::with_capacity(n_bytes), _granted: Some(granted) }
            }
        };
        Ok(PageBuffer { buffer, n_bytes: 0, home: self.clone() })
    }
}

impl PageBuffer {
    /// Makes the buffer begin with `beginning`; the `n_bytes` behind it are to be overwritten.
    pub(super) fn overwrite(&mut self, beginning: &[u8], n_bytes: usize) -> &mut [u8] {
        let bytes = &mut self.buffer.bytes;
        let end = beginning.len() + n_bytes;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[..beginning.len()].copy_from_slice(beginning);
        &mut bytes[beginning.len()..end]
    }

    /// Makes the buffer begin with `beginning`, and nothing behind it.
    pub(super) fn start_with(&mut self, beginning: &[u8]) -> &mut Vec<u8> {
        self.buffer.bytes.clear();
        self.buffer.bytes.extend_from_slice(beginning);
        &mut self.buffer.bytes
    }

    /// The first `n_bytes`, which have been written.
    pub(super) fn into_bytes(mut self, n_bytes: usize) -> Bytes {
        self.n_bytes = n_bytes;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PageBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes[..self.n_bytes]
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        if let Some(place) = &self.home.0 {
            let mut place = lock(place);
            if place.is_none() {
                *place = Some(std::mem::take(&mut self.buffer));
            }
        }
    }
}

fn lock(place: &Mutex<Option<Buffer>>) -> std::sync::MutexGuard<'_, Option<Buffer>> {
    place.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a buffer of `n_bytes` with `byte`, behind a beginning of two bytes.
    fn page(spare: &SparePage, n_bytes: usize, byte: u8, memory: &Memory) -> Bytes {
        let mut page = spare.room_for(n_bytes + 1, memory).unwrap();
        page.overwrite(b"ab", n_bytes - 2).fill(byte);
        page.into_bytes(n_bytes)
    }

    fn expected(n_bytes: usize, byte: u8) -> Vec<u8> {
        let mut bytes = vec![byte; n_bytes];
        bytes[..2].copy_from_slice(b"ab");
        bytes
    }

    #[test]
    fn a_page_never_changes_under_its_reader() {
        for (governed_mib, is_kept) in [(64, false), (1024, true)] {
            let memory = Memory::with_governed(governed_mib << 20, 1);
            let spare = SparePage::new(&memory);
            let mut last = page(&spare, 1000, 1, &memory);
            for (n_bytes, byte) in [(300, 2), (1000, 3), (999, 4), (2, 5), (500, 6)] {
                let next = page(&spare, n_bytes, byte, &memory);
                assert_eq!(next, expected(n_bytes, byte));
                assert_eq!(last[2..].iter().find(|&&found| found != byte - 1), None, "the page before it, {n_bytes}");
                last = next;
            }
            drop(last);
            assert_eq!(memory.reserved_bytes() > 0, is_kept, "of {governed_mib} MiB");
            drop(spare);
            assert_eq!(memory.reserved_bytes(), 0);
        }
    }

    #[test]
    fn a_kept_buffer_begins_anew() {
        let memory = Memory::with_governed(1 << 30, 1);
        let spare = SparePage::new(&memory);
        drop(page(&spare, 1000, 7, &memory));
        let mut reused = spare.room_for(500, &memory).unwrap();
        reused.start_with(b"xy").extend_from_slice(b"z");
        assert_eq!(reused.into_bytes(3), Bytes::from_static(b"xyz"));
    }
}
