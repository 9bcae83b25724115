//! The second half: which value has a place, by counting ever more bits of the keys that may be it.
//!
//! Memory: 512 KiB of counts for each beginning that is looked for, at most eight at once; then the few keys that are left.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray};

use super::Stream;
use super::sink::{COUNTED_BITS, Collected, Counts};
use crate::error::{Error, Result};
use crate::exec::QueryContext;
use crate::memory::Page;
use crate::operators::ordered_aggregate::Pick;
use crate::row::{RowPage, RowPointers, gather};

/// Beginnings that are looked for in one reading of the pages.
const AT_ONCE: usize = 8;

/// Keys that begin with the same bits, some of which are wanted.
struct Search {
    /// The bits, at the lower end.
    prefix: u64,
    n_bits: u32,
    /// Keys that begin so.
    n_keys: u64,
    /// Wanted places among them, ascending, with their places among all.
    wanted: Vec<(u64, u64)>,
    found: Finding,
}

enum Finding {
    Nothing,
    Counts(Counts),
    Keys(Vec<u64>),
}

/// Keys of a stream that can be read again and again.
struct Keys<'a> {
    stream: &'a Stream,
    pages: Vec<Option<Page>>,
    rest: Vec<u64>,
    cx: &'a QueryContext,
}

/// The results of `picks` from what was collected of a stream.
pub(super) fn find_values(
    stream: &Stream,
    collected: Collected,
    picks: impl Iterator<Item = Pick> + Clone,
    cx: &QueryContext,
) -> Result<Vec<ArrayRef>> {
    let Collected { pages, rest, counts } = collected;
    let n_keys = counts.as_ref().map_or(0, |counts| counts.as_slice().iter().sum::<u64>());
    let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
    if n_keys > 0 {
        wanted.extend(picks.clone().flat_map(|pick| {
            let place = pick.place(n_keys);
            [(place.lower, 0), (place.upper, 0)]
        }));
    }
    if let Some(counts) = counts {
        let places = wanted.keys().map(|&place| (place, place)).collect();
        let all = Search { prefix: 0, n_bits: 0, n_keys, wanted: places, found: Finding::Counts(counts) };
        let pages = pages.into_pages().into_iter().map(Some).collect();
        find_keys(vec![all], &mut Keys { stream, pages, rest, cx }, &mut wanted)?;
    }
    let value = |place: u64| stream.kind.value(wanted.get(&place).copied(), &stream.data_type);
    let results = picks.map(|pick| {
        let place = pick.place(n_keys.max(1));
        pick.result(&value(place.lower)?, &value(place.upper)?, &[place.weight], &stream.data_type)
    });
    results.collect()
}

/// Narrows `searches` down until every wanted place has its key.
fn find_keys(mut searches: Vec<Search>, keys: &mut Keys<'_>, wanted: &mut BTreeMap<u64, u64>) -> Result<()> {
    let collect_up_to = keys.cx.memory.sizes().batch_bytes as u64 / 8;
    let mut open: Vec<Search> = Vec::new();
    loop {
        for search in searches.drain(..) {
            search.narrow(&mut open, wanted)?;
        }
        if open.is_empty() {
            return Ok(());
        }
        searches = open.drain(..open.len().min(AT_ONCE)).collect();
        for search in &mut searches {
            search.found = match search.n_keys <= collect_up_to {
                true => Finding::Keys(Vec::with_capacity(search.n_keys as usize)),
                false => Finding::Counts(Counts::new(&keys.cx.memory)?),
            };
        }
        keys.for_each_piece(|piece| searches.iter_mut().for_each(|search| search.look_at(piece)))?;
    }
}

impl Search {
    /// Notes the keys of `piece` that begin with the prefix.
    fn look_at(&mut self, piece: &[u64]) {
        let (prefix, n_bits) = (self.prefix, self.n_bits);
        let matching = piece.iter().copied().filter(|key| key >> (u64::BITS - n_bits) == prefix);
        match &mut self.found {
            Finding::Counts(counts) => matching.for_each(|key| counts.count(key, n_bits)),
            Finding::Keys(keys) => keys.extend(matching),
            Finding::Nothing => {}
        }
    }

    /// Gives wanted places their keys where they are known, and adds a search for each longer beginning.
    fn narrow(self, open: &mut Vec<Search>, wanted: &mut BTreeMap<u64, u64>) -> Result<()> {
        let counts = match self.found {
            Finding::Nothing => return Err(Error::query("a percentile was looked for nowhere")),
            Finding::Keys(mut keys) => {
                keys.sort_unstable();
                for (among, place) in self.wanted {
                    let key = keys.get(among as usize).ok_or_else(lost)?;
                    wanted.insert(place, *key);
                }
                return Ok(());
            }
            Finding::Counts(counts) => counts,
        };
        let n_bits = self.n_bits + COUNTED_BITS;
        let mut places = self.wanted.into_iter().peekable();
        let mut n_before = 0;
        for (bits, &n_keys) in counts.as_slice().iter().enumerate() {
            let mut here = Vec::new();
            while let Some((among, place)) = places.next_if(|(among, _)| *among < n_before + n_keys) {
                here.push((among - n_before, place));
            }
            n_before += n_keys;
            let prefix = self.prefix << COUNTED_BITS | bits as u64;
            if n_bits == u64::BITS {
                wanted.extend(here.iter().map(|(_, place)| (*place, prefix)));
            } else if !here.is_empty() {
                open.push(Search { prefix, n_bits, n_keys, wanted: here, found: Finding::Nothing });
            }
        }
        if places.peek().is_some() { Err(lost()) } else { Ok(()) }
    }
}

fn lost() -> Error {
    Error::query("a value of a percentile was lost")
}

impl Keys<'_> {
    /// Reads all keys, a page at a time.
    fn for_each_piece(&mut self, mut look_at: impl FnMut(&[u64])) -> Result<()> {
        let mut ptrs = RowPointers::default();
        let mut piece: Vec<u64> = Vec::new();
        for slot in &mut self.pages {
            self.cx.cancel.check()?;
            let Some(page) = slot.take() else { return Err(lost()) };
            let page = RowPage::restored(page.pin()?, &self.stream.layout)?;
            let rows = gather(&self.stream.layout, 0, page.rows(&mut ptrs))?;
            *slot = Some(page.unpin(0, 0)?);
            let bytes = rows.as_fixed_size_binary().value_data();
            piece.clear();
            piece.extend(bytes.as_chunks::<8>().0.iter().map(|key| u64::from_le_bytes(*key)));
            look_at(&piece);
        }
        look_at(&self.rest);
        Ok(())
    }
}
