//! Every buffer size, as a function of the governed memory and the thread count.

/// The sizes that follow from governed memory `G` and thread count `T`. Units: bytes, except where named otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Worker threads.
    pub threads: usize,
    /// One page of rows: `clamp(pow2_floor(G / 512 T), 16 KiB, 256 KiB)`.
    pub page_bytes: usize,
    /// The bound on a batch: `clamp(pow2_floor(G / 64 T), 64 KiB, 2 MiB)`.
    pub batch_bytes: usize,
    /// The bound on the rows of a batch.
    pub batch_rows: usize,
    /// One buffer of file input or output: `clamp(pow2_floor(G / 32 T), 128 KiB, 1 MiB)`.
    pub io_block_bytes: usize,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The most rows of a batch. 16,384 rows of a few columns stay in the second-level cache.
const MAX_BATCH_ROWS: usize = 16_384;

impl Sizes {
    /// What a worker thread needs beside its operators: batches in flight and the scratch of its expressions.
    const BATCHES_PER_THREAD: u64 = 12;

    /// What a reader of one column holds: a page of the usual size of a file, packed and unpacked, and the values made of it.
    const READER_BYTES: u64 = 4 * MIB;

    /// The sizes for `governed` bytes and up to `threads` workers. With too little memory, first batches shrink, then
    /// threads, then pages; the caller fails only below [`Sizes::smallest_governed`].
    pub fn new(governed: u64, threads: usize) -> Self {
        let mut threads = threads.max(1) as u64;
        while threads > 1 && governed < threads * Self::per_thread_min() {
            threads -= 1;
        }
        let clamp =
            |share: u64, low: u64, high: u64| pow2_floor(governed / (share * threads)).clamp(low, high) as usize;
        Sizes {
            threads: threads as usize,
            page_bytes: clamp(512, 16 * KIB, 256 * KIB),
            batch_bytes: clamp(64, 64 * KIB, 2 * MIB),
            batch_rows: MAX_BATCH_ROWS,
            io_block_bytes: clamp(32, 128 * KIB, MIB),
        }
    }

    /// The least governed memory that any query needs.
    pub fn smallest_governed() -> u64 {
        Self::per_thread_min()
    }

    /// What is left of `bytes` beside scans of `n_columns` columns in all threads: between a half and three quarters.
    pub fn beside_readers(&self, bytes: u64, n_columns: usize) -> u64 {
        let n_readers = (self.threads * n_columns) as u64;
        bytes - (n_readers * Self::READER_BYTES).clamp(bytes / 4, bytes / 2)
    }

    /// What is on its way between operators at most: the batches and file buffers of all workers.
    pub fn in_flight_bytes(self) -> u64 {
        let of_worker = Self::BATCHES_PER_THREAD * self.batch_bytes as u64 + 2 * self.io_block_bytes as u64;
        self.threads as u64 * of_worker
    }

    fn per_thread_min() -> u64 {
        Self::BATCHES_PER_THREAD * 64 * KIB + 2 * 128 * KIB + 32 * 16 * KIB
    }
}

/// The largest power of two that is at most `n`; 1 for 0.
fn pow2_floor(n: u64) -> u64 {
    if n == 0 { 1 } else { 1 << n.ilog2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_blueprint() {
        let small = Sizes::new(46 * MIB, 2);
        assert_eq!((small.page_bytes, small.batch_bytes, small.io_block_bytes), (32 << 10, 256 << 10, 512 << 10));
        let large = Sizes::new(4096 * MIB, 8);
        assert_eq!((large.page_bytes, large.batch_bytes, large.io_block_bytes), (256 << 10, 2 << 20, 1 << 20));
    }

    #[test]
    fn readers_take_between_a_quarter_and_a_half() {
        let sizes = Sizes::new(100 * MIB, 2);
        for (n_columns, left) in [(0, 75), (3, 75), (5, 60), (10, 50)] {
            assert_eq!(sizes.beside_readers(100 * MIB, n_columns), left * MIB, "{n_columns} columns");
        }
    }

    #[test]
    fn threads_shrink_before_failing() {
        assert_eq!(Sizes::new(2 * MIB, 8).threads, 1);
    }
}
