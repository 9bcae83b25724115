//! The spill store: blocks of any length in temporary files.
//!
//! Memory: the workspaces of [`super::block`] and the table of [`super::extents`]; and 8 bytes per page length for blocks
//! that are longer than a page, which are cut into pieces. Writing and reading allocate nothing else.
//!
//! Threads write in parallel: locks are held to take room and to choose a codec, never while compressing or in a file
//! call. The surprising part: room is taken after compressing, because only then is the length known, and the checksum
//! is made after that, because it covers the place.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::block::{Codec, Workspace, Workspaces};
use super::choice::{CodecChoice, Outcome};
use super::config::Place;
use super::extents::{Extents, Hole, Location, NoRoom, Range, Shape};
use super::files::Files;
use super::{Disk, SpillConfig};
use crate::error::{Error, Result};
use crate::memory::{BlockId, Memory, PageStore, Reservation};

/// What [`crate::memory::PageFormat::encode`] may add to a page.
const ENCODED_EXTRA: usize = 64;

/// With less governed memory than this, zstd's contexts (0.6 MiB a thread) are worth more as pages.
const ZSTD_FROM_GOVERNED: u64 = 128 << 20;

/// An extent holds at least so many pages, so that the tail left free stays small.
const PAGES_PER_EXTENT: usize = 16;

/// With less room than this for the page cache, full extents are written out at once. With more they are left alone,
/// because what is freed soon never has to be written: 1 GiB written, read and freed took 2.3 s instead of 4.6 s.
const EARLY_BELOW_SPARE: u64 = 512 << 20;

/// The longest queue of extents that the page cache may keep: 32 KiB of memory.
const MAX_SETTLING: u64 = 8192;

/// Marks the name of a block that was cut into pieces; the rest is its place in the list of those.
const CUT: u64 = 1 << 63;

/// Stores blocks in unlinked temporary files. Everything is given back when it is dropped.
pub struct SpillStore {
    files: Files,
    extents: Extents,
    workspaces: Workspaces,
    choice: CodecChoice,
    cut: Mutex<CutBlocks>,
    piece_bytes: usize,
    writes_early: bool,
    counters: Counters,
    _reservation: Reservation,
}

/// The pieces of each block that is longer than a workspace.
#[derive(Default)]
struct CutBlocks {
    blocks: Vec<Box<[Location]>>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Counters {
    raw: AtomicU64,
    stored: AtomicU64,
    read: AtomicU64,
}

/// What spilling has cost so far. Units: bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SpillCounters {
    /// Written, before compression.
    pub raw_bytes: u64,
    /// Written to disk.
    pub stored_bytes: u64,
    /// Read back from disk.
    pub read_bytes: u64,
    /// On disk now.
    pub on_disk_bytes: u64,
    /// The most that was on disk at once.
    pub peak_on_disk_bytes: u64,
}

impl SpillStore {
    /// A store in the directories of `config`, with buffers for the threads and pages of `memory`. No file is made before
    /// the first write.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`] when a directory cannot be used, [`crate::ErrorKind::Budget`] when the buffers do not
    /// fit.
    pub fn new(config: &SpillConfig, memory: &Memory, disk: Arc<Disk>) -> Result<Arc<Self>> {
        let Place { dirs, limit_bytes } = config.resolve(&disk)?;
        let sizes = memory.sizes();
        let piece_bytes = sizes.page_bytes + ENCODED_EXTRA;
        let extent_bytes = (sizes.page_bytes * PAGES_PER_EXTENT).clamp(256 << 10, 1 << 20) as u32;
        let with_zstd = memory.governed_bytes() >= ZSTD_FROM_GOVERNED;
        let mut reservation = memory.reserve("Spill");
        let mut workspaces = Vec::with_capacity(sizes.threads + 1);
        for _ in 0..=sizes.threads {
            let workspace = Workspace::new(piece_bytes, with_zstd);
            reservation.try_grow(workspace.held_bytes() as u64)?;
            workspaces.push(workspace);
        }
        let files = Files::new(disk, dirs, sizes.threads);
        let spare = memory.budget().spare_beside();
        let n_settling = (spare / 2 / u64::from(extent_bytes)).clamp(8, MAX_SETTLING) as usize;
        let (n_dirs, n_lanes) = (files.n_dirs(), files.n_lanes());
        let shape = Shape { extent_bytes, n_dirs, n_lanes, n_settling, limit_bytes };
        Ok(Arc::new(SpillStore {
            files,
            extents: Extents::new(shape),
            workspaces: Workspaces::new(workspaces),
            choice: CodecChoice::new(with_zstd),
            cut: Mutex::default(),
            piece_bytes,
            writes_early: spare < EARLY_BELOW_SPARE,
            counters: Counters::default(),
            _reservation: reservation,
        }))
    }

    /// What spilling has cost so far.
    pub fn counters(&self) -> SpillCounters {
        let (on_disk_bytes, peak_on_disk_bytes) = self.extents.occupied_and_peak();
        SpillCounters {
            raw_bytes: self.counters.raw.load(Ordering::Relaxed),
            stored_bytes: self.counters.stored.load(Ordering::Relaxed),
            read_bytes: self.counters.read.load(Ordering::Relaxed),
            on_disk_bytes,
            peak_on_disk_bytes,
        }
    }

    /// Streams that still have an open extent.
    #[cfg(test)]
    pub(crate) fn n_streams(&self) -> usize {
        self.extents.n_streams()
    }

    /// The temporary files made so far.
    #[cfg(test)]
    pub(super) fn opened_files(&self) -> impl Iterator<Item = &std::fs::File> {
        self.files.all_opened()
    }

    /// Compresses and writes one piece.
    fn write_piece(&self, stream: u64, raw: &[u8]) -> Result<Location> {
        self.workspaces.with(|workspace| {
            let tried = self.choice.choose(stream);
            let began = Instant::now();
            let (made, bytes) = workspace.encode(raw, tried);
            let compressed = Instant::now();
            let location = self.write_block(stream, workspace, bytes)?;
            let outcome = Outcome {
                tried,
                raw_bytes: raw.len(),
                stored_bytes: bytes,
                paid: made != Codec::None,
                compress_time: compressed - began,
                write_time: compressed.elapsed(),
            };
            self.choice.learn(stream, &outcome);
            self.counters.raw.fetch_add(raw.len() as u64, Ordering::Relaxed);
            self.counters.stored.fetch_add(bytes as u64, Ordering::Relaxed);
            Ok(location)
        })
    }

    /// Finds room for the block in `workspace` and writes it there. A directory that turns out to be full is tried again
    /// after giving back what this store can spare, and then left for the others.
    fn write_block(&self, stream: u64, workspace: &mut Workspace, bytes: usize) -> Result<Location> {
        let mut n_attempts = 0;
        loop {
            let room = match self.extents.take_room(stream, bytes as u32) {
                Ok(room) => room,
                Err(NoRoom::Limit) if self.give_back_spares() => continue,
                Err(no_room) => return Err(self.no_room(no_room)),
            };
            let filled = room.filled.filter(|_| self.writes_early);
            [filled, room.settled].into_iter().flatten().for_each(|range| self.files.drop_behind(range));
            let Err(error) = self.files.write(room.range, workspace.seal(room.location)) else {
                return Ok(room.location);
            };
            self.free_piece(room.location);
            n_attempts += 1;
            if !is_full(&error) || n_attempts > 1 + self.files.n_dirs() {
                return Err(self.write_failed(room.range, &error));
            }
            if !self.give_back_spares() {
                if self.files.n_dirs() == 1 {
                    return Err(self.write_failed(room.range, &error));
                }
                self.extents.mark_full(self.files.dir(room.range.file).0);
            }
        }
    }

    fn read_piece(&self, location: Location, into: &mut [u8]) -> Result<()> {
        let range = self.extents.range(location).ok_or_else(|| Error::query("a block that does not exist was read"))?;
        if let Some(whole) = self.extents.extent_that_starts_with(location) {
            self.files.read_ahead(whole);
        }
        self.workspaces.with(|workspace| {
            let damaged = |what| self.damaged(range, what);
            let block = workspace.block_mut(location.bytes()).ok_or_else(|| damaged("no block is that long"))?;
            self.files.read(range, block).map_err(|error| self.read_failed(range, &error))?;
            workspace.decode(location, into).map_err(|why| damaged(why.0))?;
            self.counters.read.fetch_add(location.bytes() as u64, Ordering::Relaxed);
            Ok(())
        })
    }

    fn free_piece(&self, location: Location) {
        if let Some(hole) = self.extents.free(location) {
            self.punch(hole);
        }
    }

    /// Gives freed extents back to the file system that were kept for reuse; false when there are none.
    fn give_back_spares(&self) -> bool {
        let mut gave_back = false;
        while let Some(hole) = self.extents.take_spare() {
            if !self.punch(hole) {
                break;
            }
            gave_back = true;
        }
        gave_back
    }

    fn punch(&self, hole: Hole) -> bool {
        let punched = self.files.punch(hole.range);
        let supported = !matches!(&punched, Err(error) if error.kind() == io::ErrorKind::Unsupported);
        let punched = punched.is_ok();
        self.extents.punched(hole, punched, supported);
        punched
    }

    fn lock_cut(&self) -> MutexGuard<'_, CutBlocks> {
        self.cut.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl PageStore for SpillStore {
    fn write(&self, stream: u64, raw: &[u8]) -> Result<(BlockId, u64)> {
        if raw.len() <= self.piece_bytes {
            let location = self.write_piece(stream, raw)?;
            return Ok((BlockId(location.0), location.bytes() as u64));
        }
        let mut pieces = Vec::with_capacity(raw.len().div_ceil(self.piece_bytes));
        for piece in raw.chunks(self.piece_bytes) {
            match self.write_piece(stream, piece) {
                Ok(location) => pieces.push(location),
                Err(error) => {
                    pieces.into_iter().for_each(|location| self.free_piece(location));
                    return Err(error);
                }
            }
        }
        let stored = pieces.iter().map(|location| location.bytes() as u64).sum();
        let idx = self.lock_cut().put(pieces.into_boxed_slice());
        Ok((BlockId(CUT | idx), stored))
    }

    fn read(&self, block: BlockId, into: &mut [u8]) -> Result<()> {
        if block.0 & CUT == 0 {
            return self.read_piece(Location(block.0), into);
        }
        for (idx, piece) in into.chunks_mut(self.piece_bytes).enumerate() {
            let location = self.lock_cut().piece(block, idx);
            let location = location.ok_or_else(|| Error::query("a block was read with another length"))?;
            self.read_piece(location, piece)?;
        }
        Ok(())
    }

    fn free(&self, block: BlockId) {
        if block.0 & CUT == 0 {
            return self.free_piece(Location(block.0));
        }
        let pieces = self.lock_cut().take(block);
        pieces.iter().for_each(|&location| self.free_piece(location));
    }
}

impl CutBlocks {
    fn put(&mut self, pieces: Box<[Location]>) -> u64 {
        match self.free.pop() {
            Some(idx) => {
                self.blocks[idx as usize] = pieces;
                u64::from(idx)
            }
            None => {
                self.blocks.push(pieces);
                self.blocks.len() as u64 - 1
            }
        }
    }

    fn piece(&self, block: BlockId, idx: usize) -> Option<Location> {
        self.blocks.get((block.0 & !CUT) as usize)?.get(idx).copied()
    }

    fn take(&mut self, block: BlockId) -> Box<[Location]> {
        let idx = block.0 & !CUT;
        let pieces = self.blocks.get_mut(idx as usize).map(std::mem::take).unwrap_or_default();
        if !pieces.is_empty() {
            self.free.push(idx as u32);
        }
        pieces
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What the user is told.
impl SpillStore {
    fn no_room(&self, why: NoRoom) -> Error {
        let (used, _) = self.extents.occupied_and_peak();
        let used = mib(used);
        match why {
            NoRoom::Limit => Error::disk(format!(
                "the limit on spilling, {} MiB, is reached with {used} MiB in {}",
                mib(self.extents.limit_bytes()),
                self.files.dir_names()
            ))
            .with_hint("raise --spill-limit, choose a larger disk with --spill-dir, or raise --memory-budget"),
            NoRoom::Full | NoRoom::TooMany => {
                Error::disk(format!("no space left for spilling in {}; {used} MiB are used", self.files.dir_names()))
                    .with_hint(MORE_SPACE)
            }
        }
    }

    fn write_failed(&self, range: Range, error: &io::Error) -> Error {
        let (dir, path) = self.files.dir(range.file);
        let used = mib(self.extents.occupied_in(dir));
        let hint = if is_full(error) { MORE_SPACE } else { OTHER_DISK };
        Error::disk(format!("cannot spill to {}: {error}; {used} MiB are spilled there", path.display()))
            .with_hint(hint)
    }

    fn read_failed(&self, range: Range, error: &io::Error) -> Error {
        let (_, path) = self.files.dir(range.file);
        Error::disk(format!("cannot read back what was spilled to {}: {error}", path.display())).with_hint(OTHER_DISK)
    }

    fn damaged(&self, range: Range, what: &str) -> Error {
        let (_, path) = self.files.dir(range.file);
        let place = format!("spill file {} in {}", range.file, path.display());
        Error::disk(format!("{place} is damaged: the block at byte {}: {what}", range.offset)).with_hint(OTHER_DISK)
    }
}

const MORE_SPACE: &str = "free some space, choose a larger disk with --spill-dir, or raise --memory-budget";
const OTHER_DISK: &str = "check the disk, or choose another one with --spill-dir";

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
