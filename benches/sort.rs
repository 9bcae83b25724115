//! How fast Sort and Top-N are, without reading or writing files.
//!
//! `cargo bench --bench sort -- [million rows, default 20] [budget MiB, default 2048] [threads, default 2] [limit]`. Rows
//! have the shape of a group-by table: three short strings, five integers, one price; the order is that of the third
//! string, then the price. With a limit it is a top-n by price.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use brimful::exec::{Batch, CancelToken, QueryContext, Report, Sequence, Sink, Source, TaskContext};
use brimful::memory::{CountingAllocator, Memory, PagePool};
use brimful::operators::sort::{Sort, SortKey, SortSpec};
use brimful::operators::top_n::TopN;
use brimful::spill::{Disk, SpillConfig, SpillStore};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const BATCH_ROWS: usize = 8192;
const BATCHES_PER_MORSEL: usize = 8;

fn main() -> brimful::Result<()> {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |at: usize, default: u64| numbers.get(at).copied().unwrap_or(default);
    let (n_rows, budget, threads) = (number(0, 20) * 1_000_000, number(1, 2048) << 20, number(2, 2) as usize);
    let memory = Memory::with_governed(budget, threads);
    let store = SpillStore::new(&SpillConfig::default(), &memory, Disk::real())?;
    let pages = PagePool::new(memory.clone(), store.clone())?;
    let cx = QueryContext { memory, pages, cancel: CancelToken::default() };
    let key = |column: usize, descending| SortKey { column, descending, nulls_first: false };
    match numbers.get(3) {
        None => {
            let spec = SortSpec {
                schema: schema(),
                keys: vec![key(2, false), key(8, false)],
                limit: None,
                n_grouping_keys: 0,
            };
            let sort = Sort::new(spec, &cx)?;
            run(&cx, threads, n_rows, &*sort.sink(), &*sort.source(), &*sort)?;
        }
        limit => {
            let spec =
                SortSpec { schema: schema(), keys: vec![key(8, true)], limit: limit.copied(), n_grouping_keys: 0 };
            let top_n = TopN::new(spec, &cx)?;
            run(&cx, threads, n_rows, &*top_n.sink(), &*top_n.source(), &*top_n)?;
        }
    }
    let counters = store.counters();
    println!("store: raw {} MiB, stored {} MiB", counters.raw_bytes >> 20, counters.stored_bytes >> 20);
    Ok(())
}

fn run(
    cx: &QueryContext,
    threads: usize,
    n_rows: u64,
    sink: &dyn Sink,
    source: &dyn Source,
    report: &dyn Report,
) -> brimful::Result<()> {
    let task = |worker_idx| TaskContext {
        memory: cx.memory.clone(),
        pages: cx.pages.clone(),
        cancel: cx.cancel.clone(),
        worker_idx,
        n_workers: threads,
    };
    let batches = on_threads(threads, |worker| Ok(make_batches(n_rows, worker, threads)))?;
    let batches: Vec<RecordBatch> = batches.into_iter().flatten().collect();
    let next = AtomicUsize::new(0);
    let (began, cpu_began) = (Instant::now(), cpu_seconds());
    on_threads(threads, |worker| {
        let mut local = sink.local(&task(worker))?;
        loop {
            let morsel = next.fetch_add(1, Ordering::Relaxed);
            let first = morsel * BATCHES_PER_MORSEL;
            if first >= batches.len() {
                return local.combine();
            }
            for (idx, data) in batches[first..].iter().take(BATCHES_PER_MORSEL).enumerate() {
                let sequence = Sequence { morsel: morsel as u64, batch: idx as u32 };
                let last_of_morsel = idx + 1 == BATCHES_PER_MORSEL;
                local.push(Batch { data: data.clone(), sequence, last_of_morsel })?;
            }
        }
    })?;
    let (collected, cpu_collected) = (began.elapsed(), cpu_seconds());
    sink.finish(&task(0))?;
    let (finished, cpu_finished) = (began.elapsed(), cpu_seconds());
    let n_out = on_threads(threads, |worker| {
        let mut local = source.local(&task(worker))?;
        let mut n_rows = 0;
        while let Some(batch) = local.next()? {
            n_rows += batch.n_rows();
        }
        Ok(n_rows)
    })?;
    let total = began.elapsed();
    let cpu_total = cpu_seconds();
    println!("rows out by worker: {n_out:?}");
    let line = |what: &str, seconds: f64, cpu: f64| {
        println!("{what:8} {seconds:7.2} s, CPU {cpu:7.2} s, {:6.0} ns a row", cpu * 1e9 / n_rows as f64);
    };
    line("collect", collected.as_secs_f64(), cpu_collected - cpu_began);
    line("finish", (finished - collected).as_secs_f64(), cpu_finished - cpu_collected);
    line("merge", (total - finished).as_secs_f64(), cpu_total - cpu_finished);
    line("total", total.as_secs_f64(), cpu_total - cpu_began);
    println!("{:?}", report.report());
    Ok(())
}

/// CPU time of this process, user and system, as the system reports it in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn schema() -> SchemaRef {
    let types = [DataType::Utf8, DataType::Utf8, DataType::Utf8];
    let names = ["id1", "id2", "id3", "id4", "id5", "id6", "v1", "v2", "v3"];
    let types = types.into_iter().chain([(); 5].map(|()| DataType::Int32)).chain([DataType::Float64]);
    Arc::new(Schema::new(
        names.into_iter().zip(types).map(|(name, kind)| Field::new(name, kind, true)).collect::<Vec<_>>(),
    ))
}

/// Every `threads`-th batch, beginning with number `worker`.
fn make_batches(n_rows: u64, worker: usize, threads: usize) -> Vec<RecordBatch> {
    let n_batches = (n_rows as usize).div_ceil(BATCH_ROWS);
    let mut state = 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(worker as u64 + 1);
    let mut below = move |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % n
    };
    let n_groups = 1_000_000;
    let mut batches = Vec::new();
    for _ in (worker..n_batches).step_by(threads) {
        let mut strings = |n_digits: usize, most: u64| {
            let mut bytes = Vec::with_capacity(BATCH_ROWS * (n_digits + 2));
            for _ in 0..BATCH_ROWS {
                let (mut number, start) = (below(most) + 1, bytes.len() + 2);
                bytes.extend_from_slice(b"id");
                bytes.resize(start + n_digits, b'0');
                for digit in bytes[start..].iter_mut().rev() {
                    *digit += (number % 10) as u8;
                    number /= 10;
                }
            }
            let offsets = OffsetBuffer::from_repeated_length(n_digits + 2, BATCH_ROWS);
            Arc::new(StringArray::new(offsets, Buffer::from_vec(bytes), None)) as ArrayRef
        };
        let mut columns = vec![strings(3, 100), strings(3, 100), strings(10, n_groups)];
        for most in [100, 100, n_groups, 5, 15] {
            let numbers = (0..BATCH_ROWS).map(|_| below(most) as i32 + 1);
            columns.push(Arc::new(numbers.collect::<Int32Array>()));
        }
        let prices = (0..BATCH_ROWS).map(|_| below(100_000_000) as f64 / 1e6);
        columns.push(Arc::new(Float64Array::from_iter_values(prices)));
        batches.push(RecordBatch::try_new(schema(), columns).unwrap_or_else(|error| panic!("{error}")));
    }
    batches
}

fn on_threads<R: Send>(threads: usize, work: impl Fn(usize) -> brimful::Result<R> + Sync) -> brimful::Result<Vec<R>> {
    std::thread::scope(|scope| {
        let work = &work;
        let spawned: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        spawned
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
