//! Runs one blocking operator over batches, for tests: on several threads, with little memory, and with refusals.

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::exec::{Batch, CancelToken, QueryContext, Sequence, Sink, Source, TaskContext};
use crate::memory::{Memory, PagePool};
use crate::spill::{Disk, SpillConfig, SpillStore};

/// How an operator is run.
#[derive(Clone)]
pub(crate) struct Trial {
    /// Governed memory.
    pub governed_bytes: u64,
    /// Worker threads, at most.
    pub threads: usize,
    /// Refuse every n-th reservation; 0 never.
    pub refuse_every: u64,
    /// Evict every page as soon as it is unpinned.
    pub evict_always: bool,
    /// The disk that spills go to.
    pub disk: Arc<Disk>,
}

impl Trial {
    /// Plenty of memory and a working disk.
    pub fn new(governed_bytes: u64, threads: usize) -> Self {
        Trial { governed_bytes, threads, refuse_every: 0, evict_always: false, disk: Disk::real() }
    }

    /// What operators are made with.
    pub fn context(&self) -> QueryContext {
        let memory = Memory::with_governed(self.governed_bytes, self.threads);
        let store = SpillStore::new(&SpillConfig::default(), &memory, self.disk.clone()).expect("a spill store");
        let pages = PagePool::new(memory.clone(), store).expect("a page pool");
        pages.evict_always(self.evict_always);
        memory.refuse_every(self.refuse_every);
        QueryContext { memory, pages, cancel: CancelToken::default() }
    }

    /// Pushes `batches` through `sink` on all threads, then drains `source`; batches come back in order of sequence.
    pub fn run(
        &self,
        cx: &QueryContext,
        batches: &[RecordBatch],
        sink: &dyn Sink,
        source: &dyn Source,
    ) -> Result<Vec<RecordBatch>> {
        let waiting = Mutex::new(batches.iter().enumerate());
        self.on_all_threads(cx, |task| {
            let mut local = sink.local(task)?;
            loop {
                let Some((idx, data)) = waiting.lock().expect("no panic").next() else { break };
                let sequence = Sequence { morsel: idx as u64, batch: 0 };
                local.push(Batch { data: data.clone(), sequence, last_of_morsel: true })?;
            }
            local.combine()
        })?;
        sink.finish(&self.task(cx, 0))?;
        let found = Mutex::new(Vec::new());
        self.on_all_threads(cx, |task| {
            let mut local = source.local(task)?;
            while let Some(batch) = local.next()? {
                found.lock().expect("no panic").push(batch);
            }
            Ok(())
        })?;
        let mut found = found.into_inner().expect("no panic");
        found.sort_by_key(|batch| batch.sequence);
        check_ends_of_morsels(&found);
        Ok(found.into_iter().map(|batch| batch.data).collect())
    }

    /// What the roles of a worker are made with.
    pub fn task(&self, cx: &QueryContext, worker_idx: usize) -> TaskContext {
        TaskContext {
            memory: cx.memory.clone(),
            pages: cx.pages.clone(),
            cancel: cx.cancel.clone(),
            worker_idx,
            n_workers: self.n_workers(cx),
        }
    }

    /// As many workers as the memory allows, like the driver.
    fn n_workers(&self, cx: &QueryContext) -> usize {
        self.threads.min(cx.memory.sizes().threads)
    }

    fn on_all_threads(&self, cx: &QueryContext, work: impl Fn(&TaskContext) -> Result<()> + Sync) -> Result<()> {
        std::thread::scope(|scope| {
            let spawn = |idx| {
                let (task, work) = (self.task(cx, idx), &work);
                scope.spawn(move || work(&task))
            };
            let threads: Vec<_> = (0..self.n_workers(cx)).map(spawn).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).fold(Ok(()), Result::and)
        })
    }
}

/// Every morsel ends with exactly one batch that says so.
fn check_ends_of_morsels(batches: &[Batch]) {
    for pair in batches.windows(2) {
        let same = pair[0].sequence.morsel == pair[1].sequence.morsel;
        assert_eq!(pair[0].last_of_morsel, !same, "at {:?}", pair[0].sequence);
    }
    assert!(batches.last().is_none_or(|batch| batch.last_of_morsel));
}
