//! Pairs of spilled partitions, joined one after the other by each worker.
//!
//! The smaller side becomes the table, whichever it is. A pair whose smaller side does not fit is split by the next four
//! bits of the hash, up to eight times. When that does not help, because one key has most of the rows, the table is made
//! over one side a chunk at a time, and all of the other side streams past each chunk. If rows of one side are given alone,
//! that side is cut into chunks, so that its marks are complete when a chunk ends, and the workers share the chunks. Only a
//! full join has to keep marks of rows that stream past, and keeps them in those rows.
//!
//! Memory: the table of one chunk up to the worker's share, and one page of the other side.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;

use super::build::split_pages;
use super::matcher::{Matcher, Pass};
use super::plan::{BUILD, PROBE, Roles};
use super::remainder::page_batch;
use super::rows::PartitionWriter;
use super::{NAME, Shared};
use crate::error::Result;
use crate::memory::{Page, PinnedPage};
use crate::row::{
    Hash, JoinTable, RowPage, RowPointers, SealedPages, gather_fields, hash_rows, matched_bits, set_matched_bits,
};

/// Bits of the hash by which a pair is split.
const SPLIT_BITS: u32 = 4;
/// How often a pair is split at most.
const MAX_DEPTH: u64 = 8;

/// Rows of both sides whose keys have the same bits.
pub(super) struct Pair {
    /// By side, the probe side first.
    pub(super) sides: [SealedPages; 2],
    /// How many bits of the hash were used to find them.
    pub(super) used_bits: u32,
    /// How often they have been split.
    pub(super) depth: u64,
    /// Whether splitting did not help.
    pub(super) is_stuck: bool,
}

/// What a worker is handed.
pub(super) enum Task {
    Pair(Pair),
    /// Part of a pair that is joined in chunks.
    Part(Part),
}

/// Some pages of one side, to be joined with all of the other, which the workers share.
pub(super) struct Part {
    roles: Roles,
    build: VecDeque<Page>,
    probe: Arc<Vec<Page>>,
}

/// Joins pairs on behalf of one worker.
pub(super) struct PairJoiner {
    shared: Arc<Shared>,
    share_bytes: u64,
    n_workers: usize,
    /// Memory for the next page that streams past, by side.
    spare: [Option<PinnedPage>; 2],
    ptrs: RowPointers,
    hashes: Vec<Hash>,
    run: Option<Run>,
}

/// A pair that is being joined.
struct Run {
    roles: Roles,
    matcher: Matcher,
    /// Build pages that are not in a table yet.
    waiting: VecDeque<Page>,
    chunk: Chunk,
    probe: Streamed,
}

/// All pages of the other side.
enum Streamed {
    /// Of this worker alone, until the last chunk has used them.
    Own(VecDeque<Page>),
    /// Of several workers, and the next one to be read.
    Shared { pages: Arc<Vec<Page>>, next: usize },
}

/// The table over some of the build rows, and how far it has come.
struct Chunk {
    table: JoinTable,
    pass: Pass,
    /// Pages of the other side still to stream past.
    n_left: usize,
    /// The one that does, and its first row that has not been looked at.
    current: Option<Streaming>,
    /// The page of the table whose rows are given alone next.
    next_page: usize,
}

struct Streaming {
    page: RowPage,
    at: usize,
    piece_rows: usize,
}

/// What is to be done with a pair.
enum Step {
    /// With a table over all of one side.
    Join(Roles),
    /// With a table over a chunk of one side at a time.
    JoinInChunks(Roles),
    Split,
    Drop,
}

impl PairJoiner {
    pub(super) fn new(shared: Arc<Shared>, share_bytes: u64, n_workers: usize) -> Self {
        let spare = [PROBE, BUILD].map(|side| {
            let owner = &shared.owners[side];
            owner.allocate(owner.page_bytes()).ok()
        });
        let (ptrs, hashes) = (RowPointers::default(), Vec::new());
        PairJoiner { shared, share_bytes, n_workers, spare, ptrs, hashes, run: None }
    }

    /// Begins with a task, or divides it; its parts are to be done instead.
    pub(super) fn start(&mut self, task: Task) -> Result<Vec<Task>> {
        let pair = match task {
            Task::Pair(pair) => pair,
            Task::Part(Part { roles, build, probe }) => {
                self.join(roles, build, Streamed::Shared { pages: probe, next: 0 })?;
                return Ok(Vec::new());
            }
        };
        self.shared.deepest.fetch_max(pair.depth, Ordering::Relaxed);
        match self.step_for(&pair) {
            Step::Drop => Ok(Vec::new()),
            Step::Split => Ok(self.split(pair)?.into_iter().map(Task::Pair).collect()),
            Step::Join(roles) => {
                let (build, probe) = pair.into_pages(roles);
                self.join(roles, build.into(), Streamed::Own(probe.into()))?;
                Ok(Vec::new())
            }
            Step::JoinInChunks(roles) => {
                let (build, probe) = pair.into_pages(roles);
                if self.n_workers > 1 && build.len() > 1 && !roles.join_type.gives_probe_rows() {
                    return Ok(self.divide(roles, build, probe));
                }
                self.join(roles, build.into(), Streamed::Own(probe.into()))?;
                Ok(Vec::new())
            }
        }
    }

    fn join(&mut self, roles: Roles, mut waiting: VecDeque<Page>, mut probe: Streamed) -> Result<()> {
        let matcher = Matcher::new(self.shared.clone(), roles);
        let chunk = self.next_chunk(roles, &mut waiting, probe.rewind(), true)?;
        self.run = Some(Run { roles, matcher, waiting, chunk, probe });
        Ok(())
    }

    /// Gives each worker some pages of one side. No rows of the other are given alone, so nobody has to know whether they
    /// match what others have.
    fn divide(&self, roles: Roles, build: Vec<Page>, probe: Vec<Page>) -> Vec<Task> {
        let n_parts = self.n_workers.min(build.len());
        let mut parts: Vec<VecDeque<Page>> = (0..n_parts).map(|_| VecDeque::new()).collect();
        build.into_iter().enumerate().for_each(|(idx, page)| parts[idx % n_parts].push_back(page));
        let probe = Arc::new(probe);
        parts.into_iter().map(|build| Task::Part(Part { roles, build, probe: probe.clone() })).collect()
    }

    fn step_for(&self, pair: &Pair) -> Step {
        let plan = &self.shared.plan;
        let roles = plan.roles();
        let n_rows = |side: usize| pair.sides[side].n_rows();
        let gives_nothing = (n_rows(roles.build) == 0 && roles.join_type.needs_build_rows())
            || (n_rows(roles.probe) == 0 && roles.swapped().join_type.needs_build_rows());
        if gives_nothing {
            return Step::Drop;
        }
        let need = |roles: Roles| {
            let build = &pair.sides[roles.build];
            build.bytes() as u64 + JoinTable::entry_bytes(build.n_rows())
        };
        let smaller = if need(roles.swapped()) < need(roles) { roles.swapped() } else { roles };
        if need(smaller) <= self.share_bytes {
            return Step::Join(smaller);
        }
        let can_split = plan.n_keys > 0 && pair.depth < MAX_DEPTH && pair.used_bits + SPLIT_BITS <= 64;
        if can_split && !pair.is_stuck {
            return Step::Split;
        }
        match (smaller.join_type.gives_probe_rows(), smaller.swapped().join_type.gives_probe_rows()) {
            (true, false) => Step::JoinInChunks(smaller.swapped()),
            _ => Step::JoinInChunks(smaller),
        }
    }

    fn split(&mut self, pair: Pair) -> Result<Vec<Pair>> {
        let Pair { sides, used_bits, depth, .. } = pair;
        let total = sides.iter().map(SealedPages::n_rows).min().unwrap_or(0);
        let mut split = Vec::with_capacity(2);
        for (side, pages) in sides.into_iter().enumerate() {
            self.shared.cx.cancel.check()?;
            let layout = &self.shared.plan.sides[side].layout;
            let mut writer = PartitionWriter::new(layout, &self.shared.owners[side], used_bits, SPLIT_BITS);
            split_pages(pages, layout, &mut writer)?;
            split.push(writer.finish()?);
        }
        let (build, probe) = (split.pop().unwrap_or_default(), split.pop().unwrap_or_default());
        let part = |(probe, build): (SealedPages, SealedPages)| {
            let smaller = probe.n_rows().min(build.n_rows());
            let is_stuck = smaller > total / 8 * 7;
            Pair { sides: [probe, build], used_bits: used_bits + SPLIT_BITS, depth: depth + 1, is_stuck }
        };
        Ok(probe.into_iter().zip(build).map(part).filter(|pair| !pair.is_empty()).collect())
    }

    /// The next batch of the pair begun last, or `None` at its end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(mut run) = self.run.take() {
            self.shared.cx.cancel.check()?;
            if let Some(data) = self.next_of_chunk(&mut run)? {
                self.run = Some(run);
                return Ok(Some(data));
            }
            if !run.waiting.is_empty() {
                let Run { roles, matcher, mut waiting, chunk, mut probe } = run;
                drop(chunk);
                let chunk = self.next_chunk(roles, &mut waiting, probe.rewind(), false)?;
                self.run = Some(Run { roles, matcher, waiting, chunk, probe });
            }
        }
        Ok(None)
    }

    /// A table over as many of the `waiting` pages as fit, at least one.
    fn next_chunk(
        &mut self,
        roles: Roles,
        waiting: &mut VecDeque<Page>,
        n_probe: usize,
        is_first: bool,
    ) -> Result<Chunk> {
        let side = &self.shared.plan.sides[roles.build];
        let (mut pages, mut bytes, mut n_rows) = (Vec::new(), 0, 0);
        while let Some(page) = waiting.pop_front() {
            let need = (bytes + page.len()) as u64 + JoinTable::entry_bytes(n_rows + n_rows / pages.len().max(1));
            if !pages.is_empty() && need > self.share_bytes {
                waiting.push_front(page);
                break;
            }
            let pinned = if pages.is_empty() { page.pin().map_err(|error| (None, error)) } else { try_pin(page) };
            match pinned {
                Ok(page) => {
                    let page = RowPage::restored(page, &side.layout)?;
                    (bytes, n_rows) = (bytes + page.len(), n_rows + page.n_rows());
                    pages.push(page);
                }
                Err((Some(page), error)) if error.kind() == crate::ErrorKind::Budget => {
                    waiting.push_front(page);
                    break;
                }
                Err((_, error)) => return Err(error),
            }
        }
        let table = self.table_over(pages, roles, waiting)?;
        for page_idx in 0..table.n_pages() {
            table.enter_page(page_idx, &mut self.ptrs, &mut self.hashes);
        }
        let pass = match waiting.is_empty() {
            true if is_first => Pass::Only,
            true => Pass::Last,
            false => Pass::Part,
        };
        Ok(Chunk { table, pass, n_left: n_probe, current: None, next_page: 0 })
    }

    /// A table over `pages`; when there is no memory for its entries, over half of them, and so on.
    fn table_over(&self, mut pages: Vec<RowPage>, roles: Roles, waiting: &mut VecDeque<Page>) -> Result<JoinTable> {
        let side = &self.shared.plan.sides[roles.build];
        loop {
            let memory = self.shared.cx.memory.reserve(NAME);
            match JoinTable::new(side.layout.clone(), side.link, pages, memory) {
                Ok(table) => return Ok(table),
                Err((all, error)) if all.len() <= 1 => return Err(error),
                Err((all, _)) => pages = all,
            }
            for page in pages.split_off(pages.len() / 2) {
                waiting.push_front(page.unpin(0, 0)?);
            }
        }
    }

    fn next_of_chunk(&mut self, run: &mut Run) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(data) = run.matcher.next(&run.chunk.table)? {
                return Ok(Some(data));
            }
            self.end_piece(run)?;
            if !self.next_piece(run)? {
                break;
            }
        }
        if !run.roles.join_type.gives_build_rows() {
            return Ok(None);
        }
        while run.chunk.next_page < run.chunk.table.n_pages() {
            let page_idx = run.chunk.next_page;
            run.chunk.next_page += 1;
            if let Some(data) = page_batch(&mut run.matcher, &run.chunk.table, page_idx, &mut self.ptrs)? {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Writes down what is known of the rows of the piece, and lets go of its page when it was the last.
    fn end_piece(&mut self, run: &mut Run) -> Result<()> {
        let Some(mut streaming) = run.chunk.current.take() else { return Ok(()) };
        let keeps_marks = run.keeps_marks();
        if keeps_marks && streaming.piece_rows > 0 {
            let rows = streaming.page.rows(&mut self.ptrs).slice(streaming.at, streaming.piece_rows);
            set_matched_bits(rows, self.shared.plan.sides[run.roles.probe].link, run.matcher.matched());
        }
        streaming.at += streaming.piece_rows;
        streaming.piece_rows = 0;
        if streaming.at < streaming.page.n_rows() {
            run.chunk.current = Some(streaming);
        } else if keeps_marks {
            run.probe.put_back(streaming.page.unpin(0, 0)?);
        } else if streaming.page.len() == self.shared.owners[run.roles.probe].page_bytes() {
            self.spare[run.roles.probe] = Some(streaming.page.into_memory());
        }
        Ok(())
    }

    /// Begins with the next piece of rows that stream past; false when there are no more for this chunk.
    fn next_piece(&mut self, run: &mut Run) -> Result<bool> {
        let shared = self.shared.clone();
        let side = &shared.plan.sides[run.roles.probe];
        let mut streaming = match run.chunk.current.take() {
            Some(streaming) => streaming,
            None if run.chunk.n_left == 0 => return Ok(false),
            None => {
                run.chunk.n_left -= 1;
                let page = RowPage::restored(self.bring_back(run)?, &side.layout)?;
                Streaming { page, at: 0, piece_rows: 0 }
            }
        };
        let rows = streaming.page.rows(&mut self.ptrs);
        let n_rows = run.matcher.piece_rows().min(rows.len() - streaming.at);
        let rows = rows.slice(streaming.at, n_rows);
        streaming.piece_rows = n_rows;
        let mut columns = vec![None; side.inputs.len()];
        for (&field, column) in side.read.iter().zip(gather_fields(&side.layout, &side.read, rows)?) {
            columns[field] = Some(column);
        }
        let is_tracked = run.chunk.pass != Pass::Only && run.roles.join_type.gives_probe_rows();
        let matched = if is_tracked { matched_bits(rows, side.link) } else { Vec::new() };
        hash_rows(&side.layout, rows, &mut self.hashes);
        run.matcher.begin(&run.chunk.table, columns, n_rows, run.chunk.pass, matched);
        run.chunk.table.look_up(rows, &self.hashes, run.matcher.matches());
        run.chunk.current = Some(streaming);
        Ok(true)
    }

    /// The next page that streams past. Pages that are needed again stay as they are, unless marks are written to them.
    fn bring_back(&mut self, run: &mut Run) -> Result<PinnedPage> {
        let is_last = run.chunk.pass != Pass::Part;
        let keeps_marks = run.keeps_marks();
        let side = run.roles.probe;
        match &mut run.probe {
            Streamed::Shared { pages, next } => {
                *next += 1;
                pages[*next - 1].copy_into(self.take_spare(side)?)
            }
            Streamed::Own(pages) => {
                let page = pages.pop_front().ok_or_else(|| crate::Error::query("a join has lost a page"))?;
                if !is_last && !keeps_marks {
                    let copy = page.copy_into(self.take_spare(side)?)?;
                    pages.push_back(page);
                    return Ok(copy);
                }
                match self.spare[side].take_if(|_| !keeps_marks) {
                    None => page.pin(),
                    Some(spare) => {
                        let (pinned, spare) = page.pin_into(spare)?;
                        self.spare[side] = spare;
                        Ok(pinned)
                    }
                }
            }
        }
    }

    /// Memory for a page of `side`.
    fn take_spare(&mut self, side: usize) -> Result<PinnedPage> {
        let owner = &self.shared.owners[side];
        match self.spare[side].take() {
            Some(spare) => Ok(spare),
            // A refusal may be due to what another worker holds for a moment.
            None => Ok(owner.allocate(owner.page_bytes()).or_else(|_| owner.allocate(owner.page_bytes()))?),
        }
    }
}

impl Streamed {
    /// Begins anew; returns how many pages there are.
    fn rewind(&mut self) -> usize {
        match self {
            Streamed::Own(pages) => pages.len(),
            Streamed::Shared { pages, next } => {
                *next = 0;
                pages.len()
            }
        }
    }

    /// Takes a page back that must remember its marks.
    fn put_back(&mut self, page: Page) {
        match self {
            Streamed::Own(pages) => pages.push_back(page),
            Streamed::Shared { .. } => debug_assert!(false, "pages with marks are not shared"),
        }
    }
}

impl Run {
    /// Whether rows that stream past must remember for later chunks that they have matched.
    fn keeps_marks(&self) -> bool {
        self.chunk.pass == Pass::Part && self.roles.join_type.gives_probe_rows()
    }
}

impl Pair {
    /// The pages of the build side and of the probe side.
    fn into_pages(self, roles: Roles) -> (Vec<Page>, Vec<Page>) {
        let [probe, build] = self.sides.map(SealedPages::into_pages);
        if roles.build == BUILD { (build, probe) } else { (probe, build) }
    }

    fn is_empty(&self) -> bool {
        self.sides.iter().all(|pages| pages.n_rows() == 0)
    }
}

fn try_pin(page: Page) -> Result<PinnedPage, (Option<Page>, crate::Error)> {
    page.try_pin().map_err(|(page, error)| (Some(page), error))
}
