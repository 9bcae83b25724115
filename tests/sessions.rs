//! Several sessions in one process: each keeps within its own budget, whatever the others hold.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use brimful::frame::{LazyFrame, SortOptions, col};
use brimful::memory::{Budget, ResidentSet};
use brimful::{ErrorKind, Session, SessionOptions};

#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

const MIB: u64 = 1 << 20;

fn session(mib: u64) -> Session {
    let budget = Some(Budget::from_bytes(mib * MIB));
    Session::new(SessionOptions { budget, threads: Some(2), ..Default::default() }).unwrap()
}

/// The squares below `millions` million, one a row.
fn numbers(session: &Session, millions: i64) -> LazyFrame {
    let values = |n: i64| Arc::new((0..n).collect::<Int64Array>()) as ArrayRef;
    let batch = |name, n| session.from_batches(vec![RecordBatch::try_from_iter([(name, values(n))]).unwrap()]);
    batch("a", 1000).cross_join(batch("b", 1000)).cross_join(batch("c", millions)).select([((col("a") * 1000
        + col("b"))
        * millions
        + col("c"))
    .alias("n")])
}

#[test]
fn sessions_with_different_budgets_live_side_by_side() {
    let start = ResidentSet::read().unwrap().resident_bytes / MIB;
    let large = session(start + 1280);
    let small = session(start + 288);
    // More than the whole budget of the other session.
    let values: ArrayRef = Arc::new(Int64Array::from(vec![7; 50_000_000]));
    let held = large.from_columns(vec![("n".to_string(), values)]).unwrap();
    assert!(held.estimated_size() > 380 * MIB);
    // Before they were reserved, the values were charged to both; the guards look every 10 ms.
    std::thread::sleep(std::time::Duration::from_millis(1000));
    // The small one is not in want of memory because of them.
    let sorted = || numbers(&small, 2).sort("n", SortOptions::new().with_order_descending(true));
    let (mut n_rows, first) = (0, sorted().head(1).collect().unwrap());
    for batch in sorted().collect_batches().unwrap() {
        n_rows += batch.unwrap().num_rows();
    }
    assert_eq!((n_rows, first.text(0, "n")), (2_000_000, Some("1999999".to_string())));
    assert!(small.memory().peak_reserved_bytes() <= small.memory().governed_bytes());
    assert_eq!(numbers(&small, 60).collect().unwrap_err().kind(), ErrorKind::Budget);
    assert!(small.memory().governed_bytes() < large.memory().governed_bytes());
    drop(held);
    let peak = ResidentSet::read().unwrap().peak_bytes / MIB;
    assert!(peak <= (start + 1280) + (start + 288), "{peak} MiB resident at most, {start} at the start");
}
