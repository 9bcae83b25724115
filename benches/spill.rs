//! How fast the spill store writes, reads and frees pages.
//!
//! `cargo bench --bench spill -- [MiB, default 2048] [threads, default 2] [page KiB, default 64] [dir]`. Pages hold
//! columns of a group-by table: hashes, small and large integers, prices. Run it in a memory cgroup to see the disk and
//! not the page cache.

use std::time::Instant;

use brimful::memory::{BlockId, Memory, PageStore};
use brimful::spill::{Disk, SpillConfig, SpillStore};

/// Streams a thread writes to in turn, as partitions of an aggregation are.
const N_STREAMS: u64 = 16;

fn main() -> brimful::Result<()> {
    let numbers: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |at: usize, default: u64| numbers.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (mib, threads, page_bytes) = (number(0, 2048), number(1, 2), number(2, 64) << 10);
    let memory = Memory::with_governed(page_bytes * 512 * threads, threads as usize);
    let mut config = SpillConfig::default();
    config.dirs.extend(numbers.get(3).map(Into::into));
    let store = SpillStore::new(&config, &memory, Disk::real())?;
    let pages: Vec<Vec<u8>> = (0..64).map(|seed| page(seed, page_bytes as usize)).collect();
    let n_blocks = (mib << 20) / page_bytes / threads;

    let began = Instant::now();
    let blocks = on_threads(threads, |thread| {
        let write = |n| store.write((1 << 32) | (thread * N_STREAMS + n % N_STREAMS), &pages[n as usize % 64]);
        (0..n_blocks).map(|n| write(n).map(|(block, _)| block)).collect::<brimful::Result<Vec<BlockId>>>()
    })?;
    report("write", mib, began);
    let after_writing = store.counters();

    let began = Instant::now();
    on_threads(threads, |thread| {
        let mut into = vec![0; page_bytes as usize];
        for stream in 0..N_STREAMS {
            for n in (stream..n_blocks).step_by(N_STREAMS as usize) {
                let block = blocks[thread as usize][n as usize];
                store.read(block, &mut into)?;
                assert!(into == pages[n as usize % 64]);
                store.free(block);
            }
        }
        Ok(())
    })?;
    report("read and free", mib, began);
    let ratio = after_writing.stored_bytes as f64 / after_writing.raw_bytes as f64;
    println!("ratio {ratio:.3}, at most {} MiB on disk", after_writing.peak_on_disk_bytes >> 20);
    Ok(())
}

fn report(what: &str, mib: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    println!("{what}: {:.0} MiB/s in {seconds:.2} s", mib as f64 / seconds);
}

fn on_threads<R: Send>(threads: u64, work: impl Fn(u64) -> brimful::Result<R> + Sync) -> brimful::Result<Vec<R>> {
    std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let work = &work;
                    move || work(thread)
                })
            })
            .collect();
        spawned
            .into_iter()
            .map(|thread| thread.join().map_err(|_| brimful::Error::query("a thread panicked"))?)
            .collect()
    })
}

/// Five columns, one after the other.
fn page(seed: u64, page_bytes: usize) -> Vec<u8> {
    let n_rows = page_bytes / 28;
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut page = Vec::with_capacity(page_bytes);
    (0..n_rows).for_each(|_| page.extend(random().to_le_bytes()));
    (0..n_rows).for_each(|_| page.extend(((random() % 100) as u32).to_le_bytes()));
    (0..n_rows).for_each(|_| page.extend(((random() % 1_000_000) as u32).to_le_bytes()));
    (0..n_rows).for_each(|_| page.extend(((random() % 5) as u32).to_le_bytes()));
    (0..n_rows).for_each(|_| page.extend(((random() % 100_000_000) as f64 / 1e6).to_le_bytes()));
    page.resize(page_bytes, 0);
    page
}
