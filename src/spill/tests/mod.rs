//! The spill store as a whole: round trips, damage, limits, failing disks, threads.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Disk, Fault, SpillConfig, SpillStore};
use crate::ErrorKind;
use crate::memory::{BlockId, Memory, PageStore};

mod pages;

const MIB: u64 = 1 << 20;

fn store_with(config: &SpillConfig, governed: u64, disk: Arc<Disk>) -> crate::Result<Arc<SpillStore>> {
    SpillStore::new(config, &Memory::with_governed(governed, 2), disk)
}

fn store_in(dir: &Path, governed: u64) -> Arc<SpillStore> {
    store_with(&SpillConfig::in_dir(dir), governed, Disk::real()).unwrap()
}

/// Bytes that compress to about a third, or not at all.
fn bytes(seed: u64, len: usize, compressible: bool) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..len).map(|at| if compressible && at % 16 > 3 { (at >> 10) as u8 } else { next() as u8 }).collect()
}

fn read(store: &SpillStore, block: BlockId, len: usize) -> crate::Result<Vec<u8>> {
    let mut into = vec![0xAA; len];
    store.read(block, &mut into)?;
    Ok(into)
}

fn disk_use(store: &SpillStore) -> u64 {
    store.opened_files().map(|file| file.metadata().unwrap().blocks() * 512).sum()
}

#[derive(Debug, Clone)]
enum Step {
    Write { stream: u64, len: usize, compressible: bool },
    Read(usize),
    Free(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let len =
        prop_oneof![Just(0), Just(1), 1..200usize, 1_000..20_000usize, 16_000..17_000usize, 100_000..900_000usize];
    prop_oneof![
        4 => (0..4u64, len, any::<bool>())
            .prop_map(|(stream, len, compressible)| Step::Write { stream: stream << 31, len, compressible }),
        2 => any::<usize>().prop_map(Step::Read),
        3 => any::<usize>().prop_map(Step::Free),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_was_written_comes_back(steps in prop::collection::vec(step(), 1..60), with_zstd in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let store = store_in(dir.path(), if with_zstd { 160 * MIB } else { 4 * MIB });
        let mut live: Vec<(BlockId, Vec<u8>)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write { stream, len, compressible } => {
                    let raw = bytes(number as u64, len, compressible);
                    live.push((store.write(stream, &raw).unwrap().0, raw));
                }
                Step::Read(pick) if !live.is_empty() => {
                    let (block, raw) = &live[pick % live.len()];
                    prop_assert_eq!(&read(&store, *block, raw.len()).unwrap(), raw);
                }
                Step::Free(pick) if !live.is_empty() => store.free(live.swap_remove(pick % live.len()).0),
                Step::Read(_) | Step::Free(_) => {}
            }
        }
        for (block, raw) in live {
            prop_assert_eq!(read(&store, block, raw.len()).unwrap(), raw);
            store.free(block);
        }
        prop_assert_eq!(store.n_streams(), 0);
    }
}

#[test]
fn any_flipped_bit_is_an_error_and_never_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    for (compressible, governed) in [(true, 4 * MIB), (false, 4 * MIB), (true, 160 * MIB)] {
        let store = store_in(dir.path(), governed);
        let raw = bytes(1, 3000, compressible);
        let (block, stored) = store.write(0, &raw).unwrap();
        let file = store.opened_files().next().unwrap();
        for at in 0..stored {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at).unwrap();
            let error = read(&store, block, raw.len()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Disk, "byte {at}");
            assert!(error.message().contains(dir.path().to_str().unwrap()), "{error}");
            file.write_all_at(&byte, at).unwrap();
        }
        assert_eq!(read(&store, block, raw.len()).unwrap(), raw);
    }
}

#[test]
fn a_block_from_another_place_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path(), 4 * MIB);
    let (first, stored) = store.write(0, &bytes(1, 5000, false)).unwrap();
    let (second, _) = store.write(0, &bytes(2, 5000, false)).unwrap();
    let file = store.opened_files().next().unwrap();
    let mut block = vec![0; stored as usize];
    file.read_exact_at(&mut block, 0).unwrap();
    file.write_all_at(&block, stored).unwrap();
    assert_eq!(read(&store, second, 5000).unwrap_err().kind(), ErrorKind::Disk);
    assert_eq!(read(&store, first, 4999).unwrap_err().kind(), ErrorKind::Disk);
    assert_eq!(read(&store, first, 5000).unwrap(), bytes(1, 5000, false));
}

#[test]
fn no_file_before_the_first_write_and_none_with_a_name_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path(), 4 * MIB);
    assert_eq!(store.opened_files().count(), 0);
    store.write(0, &[1; 1000]).unwrap();
    assert_eq!(store.opened_files().count(), 1);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn disk_use_falls_while_reading() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path(), 4 * MIB);
    let blocks: Vec<_> = (0..2500).map(|n| store.write(n % 3, &bytes(n, 16_000, false)).unwrap().0).collect();
    let full = disk_use(&store);
    assert!(full >= 2500 * 16_000, "{full}");
    let own = store.counters().on_disk_bytes;
    assert!(full <= own + own / 50, "the store's own figure is that of the system, but for metadata: {own}, {full}");
    let mut last = full;
    for quarter in blocks.chunks(625) {
        quarter.iter().for_each(|&block| store.free(block));
        let now = disk_use(&store);
        assert!(now + 625 * 16_000 / 2 < last, "{last} -> {now}");
        last = now;
    }
    assert!(last <= 16 * 256 * 1024, "only spares are left: {last}");
    let written_before = store.counters().stored_bytes;
    (0..2500).for_each(|n| store.free(store.write(n, &bytes(n, 16_000, false)).unwrap().0));
    assert!(store.counters().stored_bytes > written_before + 2500 * 16_000);
    assert!(disk_use(&store) <= 16 * 256 * 1024, "freed space is used again");
}

#[test]
fn the_limit_is_an_error_of_the_disk_that_says_what_to_try() {
    let dir = tempfile::tempdir().unwrap();
    let config = SpillConfig { limit_bytes: Some(2 * MIB), ..SpillConfig::in_dir(dir.path()) };
    let store = store_with(&config, 4 * MIB, Disk::real()).unwrap();
    let mut blocks = Vec::new();
    let error = loop {
        match store.write(blocks.len() as u64 % 5, &bytes(1, 16_000, false)) {
            Ok((block, _)) => blocks.push(block),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Disk);
    assert!(error.message().contains("2 MiB") && error.hint().unwrap().contains("--spill-limit"), "{error}");
    assert!(blocks.len() > 100, "{} blocks of 16 KB in 2 MiB", blocks.len());
    assert!(disk_use(&store) <= 2 * MIB && store.counters().peak_on_disk_bytes <= 2 * MIB);
    let n_before = blocks.len();
    blocks.drain(..).for_each(|block| store.free(block));
    for n in 0..n_before as u64 {
        store.write(n % 5, &bytes(1, 16_000, false)).unwrap();
    }
}

#[test]
fn a_block_that_does_not_fit_whole_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = SpillConfig { limit_bytes: Some(2 * MIB), ..SpillConfig::in_dir(dir.path()) };
    let store = store_with(&config, 4 * MIB, Disk::real()).unwrap();
    assert_eq!(store.write(0, &bytes(1, 3_000_000, false)).unwrap_err().kind(), ErrorKind::Disk);
    assert_eq!(store.n_streams(), 0);
    let raw = bytes(2, 1_900_000, false);
    let (block, _) = store.write(0, &raw).unwrap();
    assert_eq!(read(&store, block, raw.len()).unwrap(), raw);
}

#[test]
fn several_directories_take_turns() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let config = SpillConfig { dirs: dirs.iter().map(|dir| dir.path().to_path_buf()).collect(), limit_bytes: None };
    let store = store_with(&config, 4 * MIB, Disk::real()).unwrap();
    let blocks: Vec<_> = (0..300).map(|n| (n, store.write(n % 7, &bytes(n, 16_000, false)).unwrap().0)).collect();
    let sizes: Vec<u64> = store.opened_files().map(|file| file.metadata().unwrap().blocks() * 512).collect();
    assert!(sizes.len() == 6 && sizes.iter().all(|&size| size > 300_000), "{sizes:?}");
    for (n, block) in blocks {
        assert_eq!(read(&store, block, 16_000).unwrap(), bytes(n, 16_000, false));
    }
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let error = store_with(&SpillConfig::in_dir("/nowhere/at/all"), 4 * MIB, Disk::real()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Disk);
    assert!(error.to_string().contains("/nowhere/at/all") && error.to_string().contains("--spill-dir"), "{error}");
}

/// Writes, reads and frees; an error ends it, wrong bytes panic.
fn spill_and_restore(config: &SpillConfig, disk: Arc<Disk>) -> crate::Result<()> {
    let store = store_with(config, 4 * MIB, disk)?;
    let mut blocks = Vec::new();
    for n in 0..40 {
        blocks.push((n, store.write(n % 3, &bytes(n, 16_000, n % 2 == 0))?.0));
    }
    let long = bytes(99, 400_000, false);
    let (long_block, _) = store.write(9, &long)?;
    for (n, block) in blocks {
        assert_eq!(read(&store, block, 16_000)?, bytes(n, 16_000, n % 2 == 0));
        store.free(block);
    }
    assert_eq!(read(&store, long_block, long.len())?, long);
    store.free(long_block);
    Ok(())
}

#[test]
fn a_disk_that_fails_at_any_call_is_a_disk_error() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    for n_dirs in 1..=2 {
        let dirs = dirs[..n_dirs].iter().map(|dir| dir.path().to_path_buf()).collect();
        let config = SpillConfig { dirs, limit_bytes: None };
        for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
            let mut n_failed = 0;
            for n in 1.. {
                let disk = Disk::faulty(n, fault);
                match spill_and_restore(&config, disk.clone()) {
                    Ok(()) if disk.calls() < n => break,
                    Ok(()) => {} // The store could do without that call.
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Disk, "{error}");
                        assert!(error.hint().is_some(), "{error}");
                        n_failed += 1;
                    }
                }
                for dir in &config.dirs {
                    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);
                }
            }
            let survivable = n_dirs == 2 && fault != Fault::Io;
            assert!(survivable || n_failed > 50, "{fault:?}: {n_failed}");
        }
    }
}

#[test]
fn a_full_disk_is_survived_where_another_has_room() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let config = SpillConfig { dirs: dirs.iter().map(|dir| dir.path().to_path_buf()).collect(), limit_bytes: None };
    spill_and_restore(&config, Disk::faulty(9, Fault::NoSpace)).unwrap();
    let one = SpillConfig::in_dir(dirs[0].path());
    let error = spill_and_restore(&one, Disk::faulty(9, Fault::NoSpace)).unwrap_err();
    assert!(error.message().contains("No space left") && error.hint().unwrap().contains("--spill-dir"), "{error}");
}

#[test]
fn threads_write_and_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path(), 160 * MIB);
    std::thread::scope(|scope| {
        for thread in 0..6u64 {
            let store = &store;
            scope.spawn(move || {
                let mut live = Vec::new();
                for n in 0..300u64 {
                    let (seed, len) = (thread << 32 | n, 1 + (n as usize * 7919) % 70_000);
                    live.push((seed, len, store.write(n % 5, &bytes(seed, len, n % 3 != 0)).unwrap().0));
                    if n % 3 == 2 {
                        let (seed, len, block) = live.swap_remove(n as usize % live.len());
                        let at = seed & 0xFFFF_FFFF;
                        assert_eq!(read(store, block, len).unwrap(), bytes(seed, len, at % 3 != 0));
                        store.free(block);
                    }
                }
                for (seed, len, block) in live {
                    let at = seed & 0xFFFF_FFFF;
                    assert_eq!(read(store, block, len).unwrap(), bytes(seed, len, at % 3 != 0));
                    store.free(block);
                }
            });
        }
    });
    assert_eq!(store.n_streams(), 0);
    assert!(store.counters().on_disk_bytes <= 16 * MIB);
}

#[test]
fn compression_is_used_where_it_pays() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path(), 4 * MIB);
    for n in 0..50 {
        store.write(0, &bytes(n, 16_000, true)).unwrap();
    }
    let compressed = store.counters();
    assert!(compressed.stored_bytes * 2 < compressed.raw_bytes, "{compressed:?}");
}
