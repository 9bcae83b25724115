//! Which part of which file holds what.
//!
//! A file is cut into extents of one size; an extent belongs to one stream while it has live blocks, and is given back
//! when the last of them is freed. A block's [`Location`] packs extent, offset and length into its 64-bit name, so blocks
//! need no table.
//!
//! Memory: 36 bytes per extent that was ever in use at once (32 in the table, 4 in a free list), about 32 bytes per stream
//! with an open extent, and a queue of fixed length. Up to three times that for a moment while a table grows.
//!
//! The surprising part: a freed extent is first kept as a spare, because writing over it costs no call to the file
//! system; beyond [`MAX_SPARES`] of them, holes are punched.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// Freed extents that keep their space on disk for the next writer.
const MAX_SPARES: usize = 16;

/// Blocks start at multiples of this, which keeps a location within 63 bits.
const ALIGN: u32 = 16;

/// The file system gives space in units of this size.
const FS_BLOCK: u32 = 4096;

/// Marks "no extent".
const NONE: u32 = u32::MAX;

/// Extent, offset and length of a block: `extent << 33 | offset / 16 << 17 | bytes / 16`. The top bit is always 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location(pub(super) u64);

impl Location {
    const MAX_EXTENT: u32 = (1 << 30) - 1;

    fn new(extent: u32, offset: u32, bytes: u32) -> Self {
        debug_assert!(extent <= Self::MAX_EXTENT && offset < 1 << 20 && bytes <= 1 << 20);
        Location((u64::from(extent) << 33) | (u64::from(offset / ALIGN) << 17) | u64::from(bytes / ALIGN))
    }

    fn extent(self) -> u32 {
        (self.0 >> 33) as u32 & Self::MAX_EXTENT
    }

    fn offset(self) -> u32 {
        ((self.0 >> 17) as u32 & 0xFFFF) * ALIGN
    }

    /// Bytes of the block on disk, header and padding included.
    pub(super) fn bytes(self) -> usize {
        (self.0 as u32 & 0x1_FFFF) as usize * ALIGN as usize
    }
}

/// `bytes` rounded up to where the next block may start.
pub(super) fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN as usize)
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) file: usize,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// Room for one block, and what to tell the system about extents that are full.
pub(super) struct Room {
    pub(super) location: Location,
    pub(super) range: Range,
    /// An extent that is full now.
    pub(super) filled: Option<Range>,
    /// An extent that has been full for a while; the page cache is wanted for others.
    pub(super) settled: Option<Range>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The limit on bytes on disk. There may be spares to give back first.
    Limit,
    /// Every directory was found full.
    Full,
    /// More extents than a location can name.
    TooMany,
}

/// An extent whose hole is to be punched; handed back by [`Extents::punched`].
#[derive(Debug)]
pub(super) struct Hole {
    extent: u32,
    pub(super) range: Range,
}

/// What [`Extents::new`] needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) extent_bytes: u32,
    pub(super) n_dirs: usize,
    pub(super) n_lanes: usize,
    pub(super) n_settling: usize,
    pub(super) limit_bytes: u64,
}

/// All extents of all files.
pub(super) struct Extents {
    extent_bytes: u32,
    n_dirs: usize,
    limit_bytes: u64,
    table: Mutex<Table>,
}

struct Table {
    extents: Vec<Extent>,
    /// The extent to which each stream appends.
    open: HashMap<u64, u32>,
    /// Freed extents that still hold space.
    spares: Vec<u32>,
    files: Vec<FileState>,
    next_file: usize,
    /// The extents that became full last, oldest at `next_settling`.
    settling: Vec<u32>,
    next_settling: usize,
    occupied_bytes: u64,
    peak_bytes: u64,
    can_punch: bool,
}

struct Extent {
    stream: u64,
    n_live: u32,
    /// Where the next block goes; the size of the extent once it is closed.
    used_bytes: u32,
    /// Space it takes on disk, which a spare keeps.
    disk_bytes: u32,
    file: u32,
    /// Its number within the file.
    place: u32,
}

struct FileState {
    n_extents: u32,
    /// Extents whose hole was punched.
    blank: Vec<u32>,
    occupied_bytes: u64,
    full: bool,
}

impl Extents {
    /// Extents in `n_dirs * n_lanes` files; file `i` lies in directory `i % n_dirs`. The page cache is to keep the last
    /// `n_settling` full extents.
    pub(super) fn new(shape: Shape) -> Self {
        let Shape { extent_bytes, n_dirs, n_lanes, n_settling, limit_bytes } = shape;
        let new_file = |_| FileState { n_extents: 0, blank: Vec::new(), occupied_bytes: 0, full: false };
        let table = Table {
            extents: Vec::new(),
            open: HashMap::new(),
            spares: Vec::new(),
            files: (0..n_dirs * n_lanes).map(new_file).collect(),
            next_file: 0,
            settling: vec![NONE; n_settling.max(1)],
            next_settling: 0,
            occupied_bytes: 0,
            peak_bytes: 0,
            can_punch: true,
        };
        Extents { extent_bytes, n_dirs, limit_bytes, table: Mutex::new(table) }
    }

    pub(super) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Room for `bytes` (aligned, at most an extent) of `stream`, counted as live.
    pub(super) fn take_room(&self, stream: u64, bytes: u32) -> Result<Room, NoRoom> {
        debug_assert!(bytes > 0 && bytes <= self.extent_bytes && bytes.is_multiple_of(ALIGN));
        let mut table = self.lock();
        let (mut filled, mut settled) = (None, None);
        let open = table.open.get(&stream).copied();
        let extent = match open {
            Some(extent) if self.fits(&table, extent, bytes) => extent,
            _ => {
                let extent = self.open_extent(&mut table, bytes)?;
                if let Some(full) = table.open.insert(stream, extent) {
                    table.extents[full as usize].used_bytes = self.extent_bytes;
                    filled = Some(self.range_of(&table, full));
                    settled = self.settle(&mut table, full);
                }
                table.extents[extent as usize].stream = stream;
                extent
            }
        };
        let offset = match self.append(&mut table, extent, bytes) {
            Ok(offset) => offset,
            Err(no_room) => {
                table.give_up_if_empty(stream, extent);
                return Err(no_room);
            }
        };
        let location = Location::new(extent, offset, bytes);
        let range = self.range_in(&table, location);
        Ok(Room { location, range, filled, settled })
    }

    /// Where a block lies.
    pub(super) fn range(&self, location: Location) -> Option<Range> {
        let table = self.lock();
        let exists = (location.extent() as usize) < table.extents.len();
        exists.then(|| self.range_in(&table, location))
    }

    /// The whole extent when `location` is its first block: who reads that will read the others.
    pub(super) fn extent_that_starts_with(&self, location: Location) -> Option<Range> {
        let table = self.lock();
        let used = table.extents.get(location.extent() as usize)?.disk_bytes;
        let starts = location.offset() == 0 && location.bytes() < used as usize;
        starts.then(|| Range { bytes: u64::from(used), ..self.range_of(&table, location.extent()) })
    }

    /// Frees a block. When its extent is empty then and there are spares enough, returns the hole to punch.
    pub(super) fn free(&self, location: Location) -> Option<Hole> {
        let mut table = self.lock();
        let idx = location.extent();
        let extent = table.extents.get_mut(idx as usize)?;
        debug_assert!(extent.n_live > 0, "a block is freed once");
        extent.n_live = extent.n_live.saturating_sub(1);
        if extent.n_live > 0 {
            return None;
        }
        let stream = extent.stream;
        extent.used_bytes = 0;
        if table.open.get(&stream) == Some(&idx) {
            table.open.remove(&stream);
        }
        if table.spares.len() < MAX_SPARES || !table.can_punch {
            table.spares.push(idx);
            return None;
        }
        Some(Hole { extent: idx, range: self.range_of(&table, idx) })
    }

    /// A spare to give back to the file system, if there is one.
    pub(super) fn take_spare(&self) -> Option<Hole> {
        let mut table = self.lock();
        if !table.can_punch {
            return None;
        }
        let extent = table.spares.pop()?;
        Some(Hole { extent, range: self.range_of(&table, extent) })
    }

    /// Takes back the extent of a hole that was punched, or that could not be.
    pub(super) fn punched(&self, hole: Hole, punched: bool, supported: bool) {
        let mut table = self.lock();
        table.can_punch &= supported;
        if !punched {
            table.spares.push(hole.extent);
            return;
        }
        let extent = &mut table.extents[hole.extent as usize];
        let (bytes, file) = (u64::from(std::mem::take(&mut extent.disk_bytes)), extent.file as usize);
        table.occupied_bytes -= bytes;
        table.files[file].occupied_bytes -= bytes;
        table.files[file].blank.push(hole.extent);
        let dir = file % self.n_dirs;
        table.files.iter_mut().skip(dir).step_by(self.n_dirs).for_each(|file| file.full = false);
    }

    /// Stops using a directory until some of its space is given back.
    pub(super) fn mark_full(&self, dir: usize) {
        self.lock().files.iter_mut().skip(dir).step_by(self.n_dirs).for_each(|file| file.full = true);
    }

    /// Bytes on disk now in a directory.
    pub(super) fn occupied_in(&self, dir: usize) -> u64 {
        self.lock().files.iter().skip(dir).step_by(self.n_dirs).map(|file| file.occupied_bytes).sum()
    }

    /// Bytes on disk now, and at most.
    pub(super) fn occupied_and_peak(&self) -> (u64, u64) {
        let table = self.lock();
        (table.occupied_bytes, table.peak_bytes)
    }

    /// Streams that have an open extent.
    #[cfg(test)]
    pub(super) fn n_streams(&self) -> usize {
        self.lock().open.len()
    }

    fn fits(&self, table: &Table, extent: u32, bytes: u32) -> bool {
        let extent = &table.extents[extent as usize];
        extent.used_bytes + bytes <= self.extent_bytes && !table.files[extent.file as usize].full
    }

    /// A spare, a blank one or a new one, in the next file whose directory is not full.
    fn open_extent(&self, table: &mut Table, bytes: u32) -> Result<u32, NoRoom> {
        if let Some(spare) = table.spares.pop() {
            return Ok(spare);
        }
        if table.occupied_bytes + u64::from(on_disk(bytes)) > self.limit_bytes {
            return Err(NoRoom::Limit);
        }
        let n_files = table.files.len();
        let turn = (0..n_files).map(|step| (table.next_file + step) % n_files).find(|&file| !table.files[file].full);
        let file = turn.ok_or(NoRoom::Full)?;
        table.next_file = (file + 1) % n_files;
        if let Some(blank) = table.files[file].blank.pop() {
            return Ok(blank);
        }
        let idx = table.extents.len() as u32;
        if idx > Location::MAX_EXTENT {
            return Err(NoRoom::TooMany);
        }
        let place = table.files[file].n_extents;
        table.files[file].n_extents += 1;
        let file = file as u32;
        table.extents.push(Extent { stream: 0, n_live: 0, used_bytes: 0, disk_bytes: 0, file, place });
        Ok(idx)
    }

    /// Counts a block at the end of an open extent; returns its offset there.
    fn append(&self, table: &mut Table, idx: u32, bytes: u32) -> Result<u32, NoRoom> {
        let extent = &mut table.extents[idx as usize];
        let offset = extent.used_bytes;
        let disk_bytes = on_disk(offset + bytes).max(extent.disk_bytes);
        let growth = u64::from(disk_bytes - extent.disk_bytes);
        if table.occupied_bytes + growth > self.limit_bytes {
            return Err(NoRoom::Limit);
        }
        extent.used_bytes += bytes;
        extent.disk_bytes = disk_bytes;
        extent.n_live += 1;
        table.files[extent.file as usize].occupied_bytes += growth;
        table.occupied_bytes += growth;
        table.peak_bytes = table.peak_bytes.max(table.occupied_bytes);
        Ok(offset)
    }

    /// Puts a full extent in the queue; returns the one that leaves it.
    fn settle(&self, table: &mut Table, full: u32) -> Option<Range> {
        let turn = table.next_settling;
        table.next_settling = (turn + 1) % table.settling.len();
        let oldest = std::mem::replace(&mut table.settling[turn], full);
        (oldest != NONE).then(|| self.range_of(table, oldest))
    }

    fn range_of(&self, table: &Table, idx: u32) -> Range {
        let extent = &table.extents[idx as usize];
        let bytes = u64::from(self.extent_bytes);
        Range { file: extent.file as usize, offset: u64::from(extent.place) * bytes, bytes }
    }

    fn range_in(&self, table: &Table, location: Location) -> Range {
        let whole = self.range_of(table, location.extent());
        Range { offset: whole.offset + u64::from(location.offset()), bytes: location.bytes() as u64, ..whole }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Table {
    /// An extent that was opened for a block which then found no room is nobody's again.
    fn give_up_if_empty(&mut self, stream: u64, idx: u32) {
        let extent = &self.extents[idx as usize];
        if extent.n_live > 0 {
            return;
        }
        self.open.remove(&stream);
        if extent.disk_bytes > 0 {
            self.spares.push(idx);
        } else {
            self.files[extent.file as usize].blank.push(idx);
        }
    }
}

fn on_disk(bytes: u32) -> u32 {
    bytes.next_multiple_of(FS_BLOCK)
}
