//! Rows that are equal in the grouping keys come in one morsel.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;

use super::oracle::{are_equal, sorted};
use super::rows::random_rows;
use super::{Bed, MIB, any_key, key, spec};
use crate::error::Result;
use crate::exec::Report;
use crate::operators::sort::{GroupLimit, Sort, SortKey, SortSpec};
use crate::spill::Disk;

/// Sorts, and checks that no group is in two morsels; returns the rows and the number of morsels.
fn run_groups(bed: &Bed, rows: &RecordBatch, batch_rows: usize, spec: &SortSpec) -> Result<(RecordBatch, u64)> {
    let sort = Sort::new(spec.clone(), &bed.cx)?;
    let batches = bed.run_batches(rows, batch_rows, &*sort.sink(), || sort.source())?;
    let found = concat_batches(&rows.schema(), batches.iter().map(|batch| &batch.data))?;
    let mut start = 0;
    let mut before: Option<u64> = None;
    for batch in batches.iter().filter(|batch| batch.n_rows() > 0) {
        if before.is_some_and(|before| before < batch.sequence.morsel) {
            let is_cut = are_equal(&found, start - 1, start, spec, spec.n_grouping_keys);
            assert!(!is_cut, "rows {} and {start} are of one group", start - 1);
        }
        start += batch.n_rows();
        before = Some(batch.sequence.morsel);
    }
    Ok((found, batches.last().map_or(0, |batch| batch.sequence.morsel + 1)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn groups_stay_together(
        (n_rows, seed) in (0..12_000usize, any::<u64>()),
        keys in prop::collection::vec(any_key(), 1..4),
        n_grouping_keys in 1..4usize,
        batch_rows in prop_oneof![5..100usize, Just(1024), Just(8192)],
        threads in prop_oneof![Just(1usize), Just(2), Just(8)],
        governed in prop_oneof![Just(2 * MIB), Just(3 * MIB), Just(8 * MIB), Just(256 * MIB)],
        evict_always in any::<bool>(),
    ) {
        let rows = random_rows(n_rows, seed);
        let n_grouping_keys = n_grouping_keys.min(keys.len());
        let spec = SortSpec { n_grouping_keys, ..spec(keys, None) };
        let bed = Bed::new(governed, threads, Disk::real()).unwrap();
        bed.cx.pages.evict_always(evict_always);
        match run_groups(&bed, &rows, batch_rows, &spec) {
            Ok((found, _)) => prop_assert_eq!(found, sorted(&rows, &spec)),
            Err(error) => prop_assert!(error.kind() == crate::ErrorKind::Budget && threads == 8, "{}", error),
        }
        bed.close();
    }
}

/// `n_rows` rows of `n_groups` groups, whose numbers differ by `step`.
fn numbered(n_rows: i64, n_groups: i64, step: i64) -> RecordBatch {
    let group = Int64Array::from_iter_values((0..n_rows).map(|row| row * 7919 % n_rows * n_groups / n_rows * step));
    let order = Int64Array::from_iter_values((0..n_rows).map(|row| row * 31 % 1009));
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![field("group"), field("order")]));
    RecordBatch::try_new(schema, vec![Arc::new(group), Arc::new(order)]).unwrap()
}

fn by_number(rows: &RecordBatch) -> SortSpec {
    let key = |column| SortKey { column, descending: false, nulls_first: false };
    SortSpec { schema: rows.schema(), keys: vec![key(0), key(1)], limit: None, n_grouping_keys: 1 }
}

#[test]
fn many_groups_are_many_morsels_and_one_group_is_one() {
    for (governed, evict_always) in [(2 * MIB, false), (3 * MIB, true), (256 * MIB, false)] {
        for (n_groups, step) in [(1, 1), (2, 1), (20, 1 << 40), (5000, 1), (5000, 1 << 40)] {
            let rows = numbered(100_003, n_groups, step);
            let bed = Bed::new(governed, 2, Disk::real()).unwrap();
            bed.cx.pages.evict_always(evict_always);
            let (_, n_morsels) = run_groups(&bed, &rows, 1000, &by_number(&rows)).unwrap();
            let wanted = if n_groups == 1 { 1..2 } else { 2..n_groups as u64 + 2 };
            assert!(wanted.contains(&n_morsels), "{n_morsels} morsels of {n_groups} groups in {governed} bytes");
            bed.close();
        }
    }
}

#[test]
fn what_is_grouped_by_a_list_is_one_morsel() {
    let rows = random_rows(20_000, 3);
    let spec = SortSpec { n_grouping_keys: 1, ..spec(vec![key("list", false, true), key("int", true, false)], None) };
    let bed = Bed::new(2 * MIB, 2, Disk::real()).unwrap();
    let (found, n_morsels) = run_groups(&bed, &rows, 1000, &spec).unwrap();
    assert_eq!((found, n_morsels), (sorted(&rows, &spec), 1));
    bed.close();
}

/// The rows that are among the first of their group.
fn first_of_groups(sorted: &RecordBatch, spec: &SortSpec, limit: GroupLimit) -> RecordBatch {
    let (mut start, mut last) = (0, 0);
    let mut kept = Vec::new();
    for row in 0..sorted.num_rows() {
        if row == 0 || !are_equal(sorted, row - 1, row, spec, spec.n_grouping_keys) {
            (start, last) = (row, row);
        }
        if row - start < limit.n_rows {
            last = row;
        }
        if row == last || limit.with_ties && are_equal(sorted, last, row, spec, spec.keys.len()) {
            kept.push(row as u32);
        }
    }
    take_record_batch(sorted, &UInt32Array::from(kept)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_first_of_groups_are_never_dropped(
        (n_rows, seed) in (0..3000usize, any::<u64>()),
        keys in prop::collection::vec(any_key(), 2..4),
        n_grouping_keys in 1..3usize,
        (n_wanted, with_ties) in (1..5usize, any::<bool>()),
        batch_rows in prop_oneof![5..100usize, Just(1024)],
        threads in prop_oneof![Just(1usize), Just(2)],
        governed in prop_oneof![Just(2 * MIB), Just(256 * MIB)],
        evict_always in any::<bool>(),
    ) {
        let rows = random_rows(n_rows, seed);
        let spec = SortSpec { n_grouping_keys: n_grouping_keys.min(keys.len() - 1), ..spec(keys, None) };
        let limit = GroupLimit { n_rows: n_wanted, with_ties };
        let bed = Bed::new(governed, threads, Disk::real()).unwrap();
        bed.cx.pages.evict_always(evict_always);
        let sort = Sort::of_groups(spec.clone(), limit, &bed.cx).unwrap();
        let found = bed.run(&rows, batch_rows, &*sort.sink(), || sort.source()).unwrap();
        let expected = first_of_groups(&sorted(&rows, &spec), &spec, limit);
        prop_assert_eq!(first_of_groups(&found, &spec, limit), expected);
        drop(sort);
        bed.close();
    }
}

#[test]
fn most_rows_beyond_the_first_of_their_group_go_nowhere() {
    let rows = numbered(100_003, 500, 1);
    let limit = GroupLimit { n_rows: 2, with_ties: false };
    for governed in [3 * MIB, 256 * MIB] {
        let bed = Bed::new(governed, 1, Disk::real()).unwrap();
        let sort = Sort::of_groups(by_number(&rows), limit, &bed.cx).unwrap();
        let found = bed.run(&rows, 1000, &*sort.sink(), || sort.source()).unwrap();
        assert!(found.num_rows() < 20_000, "{} rows in {governed} bytes", found.num_rows());
        assert_eq!(sort.report().spilled_raw_bytes, 0);
        drop(sort);
        bed.close();
    }
}

#[test]
fn groups_of_one_row_give_their_table_back_and_lose_no_row() {
    // Of 3 MiB the table has 8,192 slots: it is judged after 131,072 rows, of which none was dropped.
    let rows = numbered(200_003, 200_003, 1);
    let limit = GroupLimit { n_rows: 2, with_ties: false };
    let bed = Bed::new(3 * MIB, 1, Disk::real()).unwrap();
    let sort = Sort::of_groups(by_number(&rows), limit, &bed.cx).unwrap();
    let found = bed.run(&rows, 1000, &*sort.sink(), || sort.source()).unwrap();
    assert_eq!(found, sorted(&rows, &by_number(&rows)));
    drop(sort);
    bed.close();
}
