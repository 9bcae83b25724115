//! Phase one: each worker groups what it is given.
//!
//! Memory: a worker's pages up to its share, its hash entries, and one scratch block for a piece of 2,048 rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;

use super::Shared;
use super::codes::{Coded, KeyCoder};
use super::dense::Dense;
use super::library::{LibrarySealer, LibraryStates};
use super::narrow::DictionaryCodes;
use super::spec::AggregateCall;
use super::state::selection_of;
use crate::error::Result;
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};
use crate::memory::Reservation;
use crate::row::{CodeMap, Columns, Hash, RowScratch, RowTable, SealedPages, hash_rows};

pub(super) struct AggregateSink {
    pub(super) shared: Arc<Shared>,
}

/// How a worker treats its next rows.
enum Mode {
    /// Look every key up; count rows and new groups to see whether it pays.
    Probing { n_rows: usize, n_new: usize, n_repeated: usize },
    /// Keys are nearly all different: append so many rows before looking again.
    Appending { n_left: usize },
}

/// Rows after which probing is judged. With 1 Mi rows of 50 million keys 99 % are new. Tests have fewer rows and see all modes.
const JUDGED_AFTER_ROWS: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };
/// From this share of new groups on, looking keys up costs more than it saves, even when memory is plenty.
const NEARLY_ALL_NEW: f64 = 0.99;
/// When this share of rows is new or has the key of the row before it, equal keys stand together and old groups need not be
/// found again.
const NEARLY_ALL_TOGETHER: f64 = 0.98;
/// Groups after which a table forgets, when it need not find them again: their entries fit into a second-level cache.
const REMEMBERED_GROUPS: usize = if cfg!(test) { 1 << 7 } else { 1 << 16 };
/// A table up to this size misses neither the cache nor the page table much.
const CACHED_BYTES: u64 = if cfg!(test) { 1 << 12 } else { 8 << 20 };
/// Judgements after which a table that gets few new groups is moved to large system pages: there may be many rows to come.
const SETTLED_AFTER: u32 = 4;
/// From this share on, a table that has run out of memory has not saved enough to be tried again.
const MOSTLY_NEW: f64 = 0.8;
/// Rows appended before probing is tried again, in case the input has changed.
const APPENDED_ROWS: usize = if cfg!(test) { 1 << 12 } else { 1 << 24 };

impl Mode {
    const PROBING: Mode = Mode::Probing { n_rows: 0, n_new: 0, n_repeated: 0 };
}

/// The part of the governed memory that the maps of all workers take at most.
const MAPS_PART: u64 = 32;
/// Codes beyond which looking a key up by its hash is as good.
const MANY_CODES: usize = 1 << 22;

/// The most codes that a worker keeps a map for.
fn most_codes(cx: &TaskContext) -> usize {
    let share = cx.memory.governed_bytes() / MAPS_PART / cx.n_workers.max(1) as u64;
    ((share / CodeMap::bytes_for(1)) as usize).clamp(CodeMap::FEW_CODES, MANY_CODES)
}

struct LocalAggregate {
    shared: Arc<Shared>,
    table: RowTable,
    library: Option<LibraryStates>,
    sealed: Vec<SealedPages>,
    scratch: RowScratch,
    scratch_memory: Reservation,
    hashes: Vec<Hash>,
    coder: KeyCoder,
    dictionaries: Vec<DictionaryCodes>,
    map: CodeMap,
    map_memory: Reservation,
    missing: Vec<u32>,
    dense: Dense,
    mode: Mode,
    /// Whether equal keys stand together: see [`NEARLY_ALL_TOGETHER`].
    together: bool,
    /// How often in a row few keys of a large table were new.
    n_settled: u32,
    share_bytes: u64,
    /// Rows of a piece.
    piece_rows: usize,
    /// Bytes of a piece, unless a single row is larger.
    piece_bytes: usize,
    n_rows: u64,
}

impl Sink for AggregateSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let shared = self.shared.clone();
        let plan = &shared.plan;
        let row_bytes = plan.layout.row_bytes() + size_of::<Hash>() * 4;
        let piece_rows = (cx.sizes().batch_bytes / row_bytes).clamp(16, RowScratch::MAX_ROWS);
        let mut scratch_memory = cx.memory.reserve("Aggregate");
        scratch_memory.try_grow((piece_rows * row_bytes) as u64)?;
        let table = RowTable::new(
            plan.layout.clone(),
            &shared.table_owner,
            0,
            shared.partition_bits,
            cx.memory.reserve("Aggregate"),
        );
        Ok(Box::new(LocalAggregate {
            table,
            library: LibraryStates::new(plan, cx.memory.reserve("Aggregate"))?,
            sealed: (0..1usize << shared.partition_bits).map(|_| SealedPages::default()).collect(),
            scratch: RowScratch::new(plan.layout.clone()),
            scratch_memory,
            hashes: Vec::new(),
            coder: KeyCoder::new(plan.spec.keys.len(), most_codes(cx)),
            dictionaries: plan.spec.keys.iter().map(|_| DictionaryCodes::default()).collect(),
            map: CodeMap::default(),
            map_memory: cx.memory.reserve("Aggregate"),
            missing: Vec::new(),
            dense: Dense::default(),
            mode: Mode::PROBING,
            together: false,
            n_settled: 0,
            share_bytes: shared.input_share(cx.n_workers),
            piece_rows,
            piece_bytes: (piece_rows * row_bytes).max(cx.sizes().batch_bytes),
            n_rows: 0,
            shared,
        }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        self.shared.form_morsels()
    }
}

impl LocalSink for LocalAggregate {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let n_rows = batch.n_rows();
        self.n_rows += n_rows as u64;
        let keys = self.shared.plan.key_columns(batch.data.columns())?;
        let coded = self.library.is_none() && matches!(self.take_codes(&keys), Coded::Yes { .. });
        let mut columns = None;
        for start in (0..n_rows).step_by(self.piece_rows) {
            let len = self.piece_rows.min(n_rows - start);
            if coded && self.push_coded(&batch, &keys, start, len)? {
                continue;
            }
            let prepared = match columns.take() {
                Some(columns) => columns,
                None => self.prepare(&keys)?,
            };
            self.push_piece(&batch, &prepared, start, len)?;
            columns = Some(prepared);
        }
        self.keep_share()?;
        Ok(Flow::More)
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        self.seal()?;
        self.shared.n_input_rows.fetch_add(self.n_rows, Ordering::Relaxed);
        let mut partitions = super::lock(&self.shared.partitions);
        for (all, mine) in partitions.iter_mut().zip(self.sealed) {
            all.append(mine);
        }
        Ok(())
    }
}

impl LocalAggregate {
    /// Key columns, ready to be written into rows.
    fn prepare(&mut self, keys: &[ArrayRef]) -> Result<Columns> {
        let plan = &self.shared.plan;
        let keys = plan.encode_keys(keys, &mut self.dictionaries)?;
        Columns::new(&plan.layout, &keys)
    }

    fn take_codes(&mut self, keys: &[ArrayRef]) -> Coded {
        let coded = self.coder.take(keys);
        let n_codes = match coded {
            Coded::Yes { renumbered: false } => return coded,
            Coded::Yes { renumbered: true } => self.coder.n_codes(),
            Coded::No => 0,
        };
        if n_codes == 0 && self.map_memory.bytes() == 0 {
            return coded;
        }
        let bytes = if n_codes > CodeMap::FEW_CODES { CodeMap::bytes_for(n_codes) } else { 0 };
        self.map.reset(0);
        if self.map_memory.try_resize(bytes).is_err() {
            self.coder.refuse();
            self.map_memory.shrink(self.map_memory.bytes());
            return Coded::No;
        }
        self.map.reset(n_codes);
        coded
    }

    /// A piece whose keys have codes: rows are looked up by code, and only codes without a row by key. False when there
    /// was no memory for the rows of all codes; nothing has been added then.
    fn push_coded(&mut self, batch: &Batch, keys: &[ArrayRef], start: usize, len: usize) -> Result<bool> {
        let range = start..start + len;
        let mut missing = std::mem::take(&mut self.missing);
        self.map.missing(&self.table, &self.coder.codes()[range.clone()], &mut missing);
        let learnt = missing.is_empty() || self.learn_codes(keys, &range, &missing)?;
        self.missing = missing;
        if !learnt {
            self.seal()?;
            return Ok(false);
        }
        self.update_coded(batch, range)
    }

    /// Adds a piece to groups that are all known by code. False, with nothing done, when memory was refused on the way and
    /// the table sealed: rows known by code have left it.
    fn update_coded(&mut self, batch: &Batch, range: std::ops::Range<usize>) -> Result<bool> {
        let codes = &self.coder.codes()[range.clone()];
        let dense = self.dense.begin(codes, self.coder.n_codes());
        let shared = self.shared.clone();
        let mut is_located = false;
        for (call, spec) in shared.plan.native_calls() {
            let args: Vec<ArrayRef> =
                spec.args.iter().map(|&arg| batch.data.column(arg).slice(range.start, range.len())).collect();
            let all_count = spec.filter.is_none() && args.iter().all(|arg| arg.logical_null_count() == 0);
            if dense && all_count {
                let Some(mut groups) = self.map.groups(&mut self.table) else { return Ok(false) };
                if call.update_dense(&mut groups, codes, &args, &mut self.dense)? {
                    continue;
                }
            }
            if !is_located && !self.map.locate(&mut self.table, codes) {
                return Ok(false);
            }
            is_located = true;
            let selected = selection(batch, spec, &range);
            call.update(&mut self.table, &args, selected.as_ref())?;
        }
        Ok(true)
    }

    /// Enters the keys at `missing` positions of the piece; false when memory was refused.
    fn learn_codes(&mut self, keys: &[ArrayRef], range: &std::ops::Range<usize>, missing: &[u32]) -> Result<bool> {
        let positions = UInt32Array::from_iter_values(missing.iter().map(|&position| position + range.start as u32));
        let keys = keys.iter().map(|key| take(key, &positions, None)).collect::<Result<Vec<_>, _>>()?;
        let columns = self.prepare(&keys)?;
        if self.fill_scratch(&columns, 0, missing.len())? < missing.len() {
            return Ok(false);
        }
        let located = self.table.find_or_insert(self.scratch.rows(), &self.hashes);
        if located.refused.is_none() {
            self.map.learn(&self.table, &self.coder.codes()[range.clone()], missing);
        }
        Ok(located.refused.is_none())
    }

    /// Turns up to `len` rows into rows in the scratch block, fewer when their values are long; returns how many.
    fn fill_scratch(&mut self, columns: &Columns, start: usize, mut len: usize) -> Result<usize> {
        let mut bytes = self.scratch.bytes_for(columns, start, len);
        while bytes > self.piece_bytes && len > 1 {
            len = len.div_ceil(2);
            bytes = self.scratch.bytes_for(columns, start, len);
        }
        self.scratch.shrink_to(self.piece_bytes * 2);
        let bytes = (bytes.max(self.scratch.bytes()) + len * size_of::<Hash>()) as u64;
        if bytes > self.scratch_memory.bytes() && self.scratch_memory.try_resize(bytes).is_err() {
            self.seal()?;
            self.scratch_memory.try_resize(bytes)?;
        }
        self.scratch.fill(columns, start, len)?;
        hash_rows(&self.shared.plan.layout, self.scratch.rows(), &mut self.hashes);
        Ok(len)
    }

    /// A piece whose keys are looked up by hash, or appended.
    fn push_piece(&mut self, batch: &Batch, columns: &Columns, start: usize, len: usize) -> Result<()> {
        if self.shared.plan.spec.keys.is_empty() {
            return self.push_ungrouped(batch, start, len);
        }
        let n_filled = self.fill_scratch(columns, start, len)?;
        self.push_filled(batch, start, n_filled)?;
        if n_filled < len {
            return self.push_piece(batch, columns, start + n_filled, len - n_filled);
        }
        Ok(())
    }

    /// Adds the rows in the scratch block, which are `len` rows of the batch from `start` on.
    fn push_filled(&mut self, batch: &Batch, start: usize, len: usize) -> Result<()> {
        let mut done = 0;
        while done < len {
            let appending = matches!(self.mode, Mode::Appending { .. });
            if appending {
                self.table.unpin_full(&mut self.sealed)?;
            }
            let rows = self.scratch.rows().slice(done, len - done);
            let hashes = &self.hashes[done..];
            let located =
                if appending { self.table.append(rows, hashes) } else { self.table.find_or_insert(rows, hashes) };
            if located.n_rows > 0 {
                let (n_new, n_repeated) = (self.table.n_new(), self.table.n_repeated());
                self.update(batch, start + done, located.n_rows)?;
                self.judge(located.n_rows, n_new, n_repeated)?;
                done += located.n_rows;
            }
            match located.refused {
                Some(refused) if located.n_rows == 0 && self.table.n_rows() == 0 && self.table.pinned_bytes() == 0 => {
                    return Err(refused.into());
                }
                Some(_) => self.make_room()?,
                None => {}
            }
        }
        Ok(())
    }

    /// A piece without keys: all rows belong to the one group.
    fn push_ungrouped(&mut self, batch: &Batch, start: usize, len: usize) -> Result<()> {
        self.scratch.fill_empty();
        hash_rows(&self.shared.plan.layout, self.scratch.rows(), &mut self.hashes);
        let located = self.table.find_or_insert(self.scratch.rows(), &self.hashes);
        if let Some(refused) = located.refused {
            return Err(refused.into());
        }
        if let Some(library) = &mut self.library {
            library.number_new(&self.shared.plan, &mut self.table);
        }
        self.table.repeat_located(len);
        self.update(batch, start, len)
    }

    /// Counts the piece located last and decides how the next one is treated.
    fn judge(&mut self, n_located: usize, n_found_new: usize, n_found_repeated: usize) -> Result<()> {
        match &mut self.mode {
            Mode::Probing { n_rows, n_new, n_repeated } => {
                *n_rows += n_located;
                *n_new += n_found_new;
                *n_repeated += n_found_repeated;
                if *n_rows >= JUDGED_AFTER_ROWS {
                    let is_most = |n: usize, share: f64| n as f64 > *n_rows as f64 * share;
                    let nearly_all_new = is_most(*n_new, NEARLY_ALL_NEW);
                    self.together = self.library.is_none() && is_most(*n_new + *n_repeated, NEARLY_ALL_TOGETHER);
                    let is_settled = *n_new * 10 < *n_rows && self.table.held_bytes() > CACHED_BYTES;
                    self.n_settled = if is_settled { self.n_settled + 1 } else { 0 };
                    self.mode = Mode::PROBING;
                    if self.n_settled == SETTLED_AFTER {
                        self.shared.cx.pages.use_large_pages();
                    }
                    if nearly_all_new {
                        return self.start_appending();
                    }
                }
                if self.together && self.table.n_rows() > REMEMBERED_GROUPS {
                    self.table.forget_groups(REMEMBERED_GROUPS + 2 * RowScratch::MAX_ROWS, &mut self.sealed)?;
                }
            }
            Mode::Appending { n_left } => {
                *n_left = n_left.saturating_sub(n_located);
                if *n_left == 0 {
                    self.mode = Mode::PROBING;
                    self.seal()?;
                }
            }
        }
        Ok(())
    }

    fn start_appending(&mut self) -> Result<()> {
        if self.library.is_none() {
            self.mode = Mode::Appending { n_left: APPENDED_ROWS };
            self.seal()?;
            self.table.drop_entries();
        }
        Ok(())
    }

    /// Makes room when memory was refused: the table starts anew, or is given up when it saved little.
    fn make_room(&mut self) -> Result<()> {
        if let Mode::Probing { n_rows, n_new, .. } = self.mode {
            self.mode = Mode::PROBING;
            if n_new as f64 > n_rows as f64 * MOSTLY_NEW && n_rows > RowScratch::MAX_ROWS {
                return self.start_appending();
            }
        }
        self.seal()
    }

    /// Adds rows `start..start + len` of the batch to the rows located last.
    fn update(&mut self, batch: &Batch, start: usize, len: usize) -> Result<()> {
        self.update_native(batch, start, len)?;
        let Some(library) = &mut self.library else { return Ok(()) };
        let fits = library.update(&self.shared.plan, &mut self.table, batch, start, len)?
            && library.bytes() <= self.share_bytes / 3;
        if !fits {
            self.seal()?;
        }
        Ok(())
    }

    fn update_native(&mut self, batch: &Batch, start: usize, len: usize) -> Result<()> {
        for (state, spec) in self.shared.plan.native_calls() {
            let args: Vec<ArrayRef> = spec.args.iter().map(|&arg| batch.data.column(arg).slice(start, len)).collect();
            let selected = selection(batch, spec, &(start..start + len));
            state.update(&mut self.table, &args, selected.as_ref())?;
        }
        Ok(())
    }

    /// Gives memory back when this worker holds more than its share.
    fn keep_share(&mut self) -> Result<()> {
        let states = self.library.as_ref().map_or(0, LibraryStates::bytes);
        if self.table.held_bytes() + states > self.share_bytes { self.make_room() } else { Ok(()) }
    }

    /// Hands all pages to the pool and starts anew.
    fn seal(&mut self) -> Result<()> {
        match &mut self.library {
            None => self.table.seal(&mut self.sealed)?,
            Some(library) => {
                let shared = &self.shared;
                let memory = shared.cx.memory.reserve("Aggregate");
                let mut sealer = LibrarySealer::new(&shared.plan, &shared.owner, 0, shared.partition_bits, memory);
                library.seal(&shared.plan, &mut self.table, &mut sealer, &mut self.sealed)?;
            }
        }
        Ok(())
    }
}

/// The rows of a piece that a call counts; `None` means all.
fn selection(batch: &Batch, call: &AggregateCall, range: &std::ops::Range<usize>) -> Option<NullBuffer> {
    let filter = |idx: usize| batch.data.column(idx).as_boolean().slice(range.start, range.len());
    call.filter.map(|idx| selection_of(&filter(idx)))
}

impl Shared {
    /// Groups small partitions, so that the next phase has pieces worth their while.
    fn form_morsels(&self) -> Result<()> {
        let partitions = std::mem::take(&mut *super::lock(&self.partitions));
        let n_rows: usize = partitions.iter().map(SealedPages::n_rows).sum();
        let target = (n_rows / 64).max(16 * 1024);
        let mut morsels: Vec<SealedPages> = Vec::new();
        for partition in partitions {
            match morsels.last_mut() {
                Some(last) if last.n_rows() + partition.n_rows() <= target => last.append(partition),
                _ => morsels.push(partition),
            }
        }
        morsels.retain(|morsel| morsel.n_rows() > 0);
        if morsels.is_empty() && !self.plan.spec.keys.is_empty() {
            return Ok(());
        }
        if morsels.is_empty() {
            morsels.push(SealedPages::default());
        }
        morsels.reverse();
        *super::lock(&self.morsels) = morsels;
        Ok(())
    }
}
