//! What stays in memory of a build side that some workers have partitioned and others have not, under refusals.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};

use super::super::rows::partition_of;
use super::super::{HashJoin, JoinColumn, JoinOptions, JoinSpec, JoinType};
use super::*;
use crate::error::ErrorKind;
use crate::exec::QueryContext;
use crate::operators::trial::Trial;

const BITS: u32 = 2;

fn join(cx: &QueryContext, most_bytes: Option<u64>) -> Arc<HashJoin> {
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
    let spec = JoinSpec {
        probe: schema.clone(),
        build: schema.clone(),
        keys: vec![(0, 0)],
        join_type: JoinType::Inner,
        null_equal: false,
        null_aware: false,
        residual: None,
        output: vec![JoinColumn::Probe(0)],
        schema,
    };
    HashJoin::new(&spec, JoinOptions { most_bytes, partition_bits: Some(BITS) }, cx).unwrap()
}

/// Rows with the keys `range`, on pages by `bits` of their hashes.
fn written(shared: &Shared, task: &TaskContext, range: std::ops::Range<i64>, bits: u32) -> Vec<SealedPages> {
    let layout = &shared.plan.sides[BUILD].layout;
    let mut writer = PartitionWriter::new(layout, &shared.owners[BUILD], 0, bits);
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(range.clone()));
    let n_rows = column.len();
    append_all(&mut Stage::new(layout, task).unwrap(), &mut writer, &[column], n_rows, layout).unwrap();
    writer.finish().unwrap()
}

/// The partitions of all rows on pinned pages.
fn partitions_in(table: &JoinTable, layout: &Layout) -> (usize, HashSet<usize>) {
    let (mut ptrs, mut hashes) = (RowPointers::default(), Vec::new());
    let (mut n_rows, mut partitions) = (0, HashSet::new());
    for page_idx in 0..table.n_pages() {
        let rows = table.rows_of_page(page_idx, &mut ptrs);
        n_rows += rows.len();
        hash_rows(layout, rows, &mut hashes);
        partitions.extend(hashes.iter().map(|&hash| partition_of(hash, BITS)));
    }
    (n_rows, partitions)
}

/// Decides under a refusal of every k-th request; `None` when nothing can be done without it.
fn decided(every: u64, most_bytes: Option<u64>) -> Option<bool> {
    let trial = Trial { evict_always: true, ..Trial::new(14 << 20, 2) };
    let cx = trial.context();
    let task = trial.task(&cx, 0);
    let join = join(&cx, most_bytes);
    let shared = &join.shared;
    let mixed = written(shared, &task, 0..3000, 0).remove(0);
    let collected = Collected { mixed, partitions: written(shared, &task, 3000..9000, BITS), ..Collected::default() };
    cx.memory.refuse_every(every);
    let done = Residency::of(shared, collected).decide(&task);
    cx.memory.refuse_every(0);
    match done {
        Ok(()) => {}
        Err(error) if every > 0 && error.kind() == ErrorKind::Budget => return None,
        Err(error) => panic!("refusing every {every}: {error}"),
    }
    let built = shared.built().unwrap();
    let (n_resident, partitions) = partitions_in(&built.table, &shared.plan.sides[BUILD].layout);
    let n_spilled: usize = lock(&shared.spilled)[BUILD].iter().map(SealedPages::n_rows).sum();
    assert_eq!(n_resident + n_spilled, 9000, "refusing every {every}");
    let astray = partitions.iter().filter(|&&partition| built.is_spilled[partition]).collect::<Vec<_>>();
    assert!(astray.is_empty(), "refusing every {every}: partitions {astray:?} are in memory and spilled");
    Some(built.has_spilled && n_resident > 0)
}

#[test]
fn rows_of_a_spilled_partition_are_never_in_the_table() {
    assert_eq!(decided(0, None), Some(false));
    for most_bytes in [None, Some(300_000)] {
        let parted = (1..80).filter_map(|every| decided(every, most_bytes)).filter(|parted| *parted).count();
        assert!(parted >= 2, "only {parted} runs had rows both in memory and spilled");
    }
}
