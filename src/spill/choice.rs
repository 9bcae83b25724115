//! Which codec a block gets: lz4, zstd where the disk is the bottleneck, none where compressing does not pay.
//!
//! Streams that differ only in their lower 32 bits belong to one operator and hold the same kind of data, so what one of
//! them teaches holds for all. A codec's cost is its own time plus the time its output takes to write, per raw byte, as
//! measured in this run.
//!
//! Memory: a fixed table of 5 KiB. Two kinds that fall on one entry take turns in forgetting what they learned.

use std::sync::Mutex;
use std::time::Duration;

use super::block::Codec;

/// More kinds than operators that spill at once.
const N_KINDS: usize = 64;

/// So many blocks in a row that did not compress make a kind incompressible ...
const POOR_BLOCKS: u32 = 8;

/// ... until one block in so many finds otherwise.
const RETRY_EVERY: u32 = 64;

/// One block in so many tries the codec that is not in favour: about 3 %, which costs below 3 % of the codec's time.
const EXPLORE_EVERY: u32 = 32;

/// Figures fade with a half-life of so many raw bytes, so that a disk that gets busy is noticed within a second.
const HALF_LIFE_BYTES: u64 = 64 << 20;

/// What was learned so far.
pub(super) struct CodecChoice {
    with_zstd: bool,
    learned: Mutex<Learned>,
}

struct Learned {
    kinds: [Kind; N_KINDS],
    write: Rate,
}

#[derive(Clone, Copy, Default)]
struct Kind {
    name: u64,
    n_blocks: u32,
    n_poor: u32,
    lz4: Trial,
    zstd: Trial,
}

/// What one codec did with one kind of data.
#[derive(Clone, Copy, Default)]
struct Trial {
    time: Rate,
    raw_bytes: u64,
    stored_bytes: u64,
}

/// Time over bytes, fading.
#[derive(Clone, Copy, Default)]
struct Rate {
    ns: u64,
    bytes: u64,
}

/// How one block went.
pub(super) struct Outcome {
    pub(super) tried: Codec,
    pub(super) raw_bytes: usize,
    pub(super) stored_bytes: usize,
    pub(super) paid: bool,
    pub(super) compress_time: Duration,
    pub(super) write_time: Duration,
}

impl CodecChoice {
    pub(super) fn new(with_zstd: bool) -> Self {
        let learned = Learned { kinds: [Kind::default(); N_KINDS], write: Rate::default() };
        CodecChoice { with_zstd, learned: Mutex::new(learned) }
    }

    /// The codec for the next block of `stream`.
    pub(super) fn choose(&self, stream: u64) -> Codec {
        let mut learned = self.lock();
        let write = learned.write;
        let kind = learned.kind(stream);
        kind.n_blocks = kind.n_blocks.wrapping_add(1);
        if kind.n_poor >= POOR_BLOCKS && !kind.n_blocks.is_multiple_of(RETRY_EVERY) {
            return Codec::None;
        }
        if !self.with_zstd {
            return Codec::Lz4;
        }
        let zstd_wins = match (kind.lz4.cost(write), kind.zstd.cost(write)) {
            (Some(lz4), Some(zstd)) => zstd < lz4,
            _ => false,
        };
        match zstd_wins != (kind.n_blocks % EXPLORE_EVERY == POOR_BLOCKS) {
            true => Codec::Zstd,
            false => Codec::Lz4,
        }
    }

    /// Learns from a block of `stream`.
    pub(super) fn learn(&self, stream: u64, outcome: &Outcome) {
        let mut learned = self.lock();
        learned.write.add(outcome.write_time, outcome.stored_bytes as u64);
        let kind = learned.kind(stream);
        match outcome.tried {
            Codec::None => return,
            Codec::Lz4 => kind.lz4.add(outcome),
            Codec::Zstd => kind.zstd.add(outcome),
        }
        kind.n_poor = if outcome.paid { 0 } else { kind.n_poor.saturating_add(1) };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Learned {
    fn kind(&mut self, stream: u64) -> &mut Kind {
        let name = stream >> 32;
        let kind = &mut self.kinds[name as usize % N_KINDS];
        if kind.name != name {
            *kind = Kind { name, ..Kind::default() };
        }
        kind
    }
}

impl Trial {
    fn add(&mut self, outcome: &Outcome) {
        if self.time.bytes >= HALF_LIFE_BYTES {
            (self.raw_bytes, self.stored_bytes) = (self.raw_bytes / 2, self.stored_bytes / 2);
        }
        self.time.add(outcome.compress_time, outcome.raw_bytes as u64);
        self.raw_bytes += outcome.raw_bytes as u64;
        self.stored_bytes += outcome.stored_bytes as u64;
    }

    /// Nanoseconds per raw byte, or `None` before anything is known.
    fn cost(&self, write: Rate) -> Option<f64> {
        let ratio = self.stored_bytes as f64 / (self.raw_bytes > 0).then_some(self.raw_bytes as f64)?;
        Some(self.time.ns_per_byte()? + ratio * write.ns_per_byte()?)
    }
}

impl Rate {
    fn add(&mut self, time: Duration, bytes: u64) {
        if self.bytes >= HALF_LIFE_BYTES {
            (self.ns, self.bytes) = (self.ns / 2, self.bytes / 2);
        }
        self.ns = self.ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.bytes += bytes;
    }

    fn ns_per_byte(self) -> Option<f64> {
        (self.bytes > 0).then(|| self.ns as f64 / self.bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds blocks of 100 bytes until the choice settles; returns how often each codec was chosen in the last 320.
    fn run(choice: &CodecChoice, sizes: [usize; 2], compress_ns: [u64; 2], write_ns_per_byte: u64) -> [usize; 3] {
        let mut chosen = [0; 3];
        for block in 0..640 {
            let tried = choice.choose((7 << 32) | (block % 5));
            let stored_bytes = match tried {
                Codec::None => 100,
                Codec::Lz4 => sizes[0],
                Codec::Zstd => sizes[1],
            };
            let time = match tried {
                Codec::None => 0,
                Codec::Lz4 => compress_ns[0],
                Codec::Zstd => compress_ns[1],
            };
            let write_time = Duration::from_nanos(write_ns_per_byte * stored_bytes as u64);
            let compress_time = Duration::from_nanos(time);
            let paid = stored_bytes <= 90;
            choice.learn(7 << 32, &Outcome { tried, raw_bytes: 100, stored_bytes, paid, compress_time, write_time });
            if block >= 320 {
                chosen[tried as usize] += 1;
            }
        }
        chosen
    }

    #[test]
    fn a_fast_disk_keeps_lz4_and_a_slow_one_turns_to_zstd() {
        assert_eq!(run(&CodecChoice::new(true), [50, 30], [150, 400], 1), [0, 310, 10]);
        assert_eq!(run(&CodecChoice::new(true), [50, 30], [150, 400], 100), [0, 10, 310]);
        assert_eq!(run(&CodecChoice::new(false), [50, 30], [150, 400], 100), [0, 320, 0]);
    }

    #[test]
    fn what_does_not_compress_is_left_alone_but_retried() {
        let choice = CodecChoice::new(true);
        assert_eq!(run(&choice, [100, 100], [150, 400], 3), [315, 5, 0]);
        assert_eq!(run(&choice, [50, 30], [150, 400], 1)[0], 0);
    }
}
