//! A block as it lies on disk, and the buffers to make and read one.
//!
//! ```text
//! 0   checksum, xxh3 with the block's location as seed, over everything that follows
//! 8   magic
//! 12  bytes before the codec
//! 16  bytes after it
//! 20  codec
//! 24  the bytes, then zeros up to a multiple of 16
//! ```
//!
//! Memory: one [`Workspace`] per thread and one more, made at the start: 1.1 blocks each, 16 KiB for lz4, and where memory
//! allows about 0.6 MiB for zstd. Nothing is allocated per block.
//!
//! The surprising part: the location in the checksum means that a block which was written to, or read from, the wrong
//! place is found out like a flipped bit.

use std::sync::{Condvar, Mutex};

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use xxhash_rust::xxh3::xxh3_64_with_seed;
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

use super::extents::{Location, aligned};

/// Bytes before a block's payload.
pub(super) const HEADER: usize = 24;

/// "BRM1" when read as little-endian text.
const MAGIC: u32 = u32::from_le_bytes(*b"BRM1");

/// Compressed at a tenth less or not at all: reading a block as it is saves the time of the codec.
const WORTH_NUM: usize = 9;
const WORTH_DEN: usize = 10;

/// How a block's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// As they are.
    None,
    /// Fast, about half the size.
    Lz4,
    /// Level 1: slower, smaller.
    Zstd,
}

/// Why a block is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) &'static str);

/// What it takes to make or read one block.
pub(super) struct Workspace {
    bytes: Vec<u8>,
    table: CompressTable,
    zstd: Option<Zstd>,
}

struct Zstd {
    compressor: CCtx<'static>,
    decompressor: DCtx<'static>,
}

impl Workspace {
    /// For blocks of up to `max_raw` bytes.
    pub(super) fn new(max_raw: usize, with_zstd: bool) -> Self {
        let bytes = vec![0; HEADER + aligned(get_maximum_output_size(max_raw))];
        let zstd = if with_zstd { Zstd::new(max_raw) } else { None };
        Workspace { bytes, table: CompressTable::large(), zstd }
    }

    /// Bytes held.
    pub(super) fn held_bytes(&self) -> usize {
        const LZ4_TABLE: usize = 4096 * 4;
        self.bytes.len() + LZ4_TABLE + self.zstd.as_ref().map_or(0, Zstd::held_bytes)
    }

    /// Compresses `raw` and leaves room for the header. Returns what it became, and the aligned length of the block.
    pub(super) fn encode(&mut self, raw: &[u8], codec: Codec) -> (Codec, usize) {
        let payload = &mut self.bytes[HEADER..];
        let made = match codec {
            Codec::None => None,
            Codec::Lz4 => compress_into_with_table(raw, payload, &mut self.table).ok(),
            Codec::Zstd => self.zstd.as_mut().and_then(|zstd| zstd.compressor.compress2(payload, raw).ok()),
        };
        let (codec, stored) = match made {
            Some(stored) if stored * WORTH_DEN <= raw.len() * WORTH_NUM => (codec, stored),
            _ => {
                payload[..raw.len()].copy_from_slice(raw);
                (Codec::None, raw.len())
            }
        };
        let block = aligned(HEADER + stored);
        self.bytes[HEADER + stored..block].fill(0);
        self.write_header(raw.len(), stored, codec);
        (codec, block)
    }

    /// The finished block for its place on disk.
    pub(super) fn seal(&mut self, location: Location) -> &[u8] {
        let block = location.bytes();
        let checksum = xxh3_64_with_seed(&self.bytes[8..block], location.0);
        self.bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        &self.bytes[..block]
    }

    /// Where a block is to be read to, or `None` when no block is that long.
    pub(super) fn block_mut(&mut self, block: usize) -> Option<&mut [u8]> {
        self.bytes.get_mut(..block).filter(|bytes| bytes.len() >= HEADER)
    }

    /// Checks the block that was read and restores its bytes.
    pub(super) fn decode(&mut self, location: Location, into: &mut [u8]) -> Result<Codec, Damaged> {
        let block = &self.bytes[..location.bytes()];
        let number = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        let checksum = u64::from(number(0)) | (u64::from(number(4)) << 32);
        if number(8) != MAGIC {
            return Err(Damaged("it does not start as a block does"));
        }
        if checksum != xxh3_64_with_seed(&block[8..], location.0) {
            return Err(Damaged("its checksum does not match"));
        }
        let (raw, stored) = (number(12) as usize, number(16) as usize);
        let payload = block[HEADER..].get(..stored).ok_or(Damaged("its length is wrong"))?;
        if raw != into.len() {
            return Err(Damaged("it is another block"));
        }
        let (codec, restored) = match number(20) {
            0 if stored == raw => {
                into.copy_from_slice(payload);
                (Codec::None, Some(raw))
            }
            1 => (Codec::Lz4, decompress_into(payload, into).ok()),
            2 => (Codec::Zstd, self.zstd.as_mut().and_then(|zstd| zstd.decompressor.decompress(into, payload).ok())),
            _ => return Err(Damaged("its codec is unknown")),
        };
        if restored == Some(raw) { Ok(codec) } else { Err(Damaged("it does not decompress")) }
    }

    fn write_header(&mut self, raw: usize, stored: usize, codec: Codec) {
        let fields = [MAGIC, raw as u32, stored as u32, codec as u32];
        for (place, field) in self.bytes[8..HEADER].chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
    }
}

impl Zstd {
    /// Contexts that have already done a block of `max_raw` bytes, so that they hold all they will ever need.
    fn new(max_raw: usize) -> Option<Self> {
        let mut compressor = CCtx::try_create()?;
        let mut decompressor = DCtx::try_create()?;
        compressor.set_parameter(CParameter::CompressionLevel(1)).ok()?;
        let raw: Vec<u8> = (0..max_raw).map(|at| ((at * at) >> 7) as u8).collect();
        let mut made = vec![0; get_maximum_output_size(max_raw)];
        let mut restored = vec![0; max_raw];
        let stored = compressor.compress2(made.as_mut_slice(), &raw).ok()?;
        decompressor.decompress(restored.as_mut_slice(), &made[..stored]).ok()?;
        Some(Zstd { compressor, decompressor })
    }

    fn held_bytes(&self) -> usize {
        self.compressor.sizeof() + self.decompressor.sizeof()
    }
}

/// The workspaces of a store. A thread that finds none waits: whoever has one is in a file call or a codec and waits for
/// nothing else, so this ends.
pub(super) struct Workspaces {
    free: Mutex<Vec<Workspace>>,
    returned: Condvar,
}

impl Workspaces {
    pub(super) fn new(all: Vec<Workspace>) -> Self {
        Workspaces { free: Mutex::new(all), returned: Condvar::new() }
    }

    /// Calls `work` with a workspace of its own.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Workspace) -> R) -> R {
        let mut lent = Lent { all: self, workspace: Some(self.take()) };
        match lent.workspace.as_mut() {
            Some(workspace) => work(workspace),
            None => unreachable!("it was put there a line above"),
        }
    }

    fn take(&self) -> Workspace {
        let mut free = self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        loop {
            if let Some(workspace) = free.pop() {
                return workspace;
            }
            free = self.returned.wait(free).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}

/// Goes back to the others on drop, whatever happened in between.
struct Lent<'a> {
    all: &'a Workspaces,
    workspace: Option<Workspace>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(workspace) = self.workspace.take() {
            self.all.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(workspace);
            self.all.returned.notify_one();
        }
    }
}
