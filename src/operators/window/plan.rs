//! What is decided about a window once, for all workers: what the log holds, and how long each call makes rows wait.
//!
//! ```text
//! columns of the log: those of the input, then for every order in use whether a row begins a group of peers
//! ```
//!
//! The order of no keys has the partitions for its groups; it is always there, as number 0. Memory: none.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::spec::{Bound, Frame, FrameEdges, Unit, WindowFunction, WindowSpec};
use crate::error::Result;
use crate::row::{Layout, LayoutBuilder};

/// See the module.
pub(super) struct WindowPlan {
    pub(super) spec: WindowSpec,
    pub(super) output: SchemaRef,
    pub(super) layout: Arc<Layout>,
    /// How many keys each order in use has; ascending, the first has none.
    pub(super) orders: Vec<usize>,
    /// Values that frames end at.
    pub(super) bounds: Vec<Arc<dyn FrameEdges>>,
    /// What the last row of a batch waits for.
    pub(super) needs: Vec<Need>,
}

/// What must have arrived before a row's results are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// So many rows after it.
    Rows(u64),
    /// The end of its peers, by that order.
    Peers(usize),
    /// The starts of so many groups after it, by that order.
    Groups(usize, u64),
    /// A row beyond that bound.
    Value(usize),
    /// The end of its partition.
    Partition,
}

impl WindowPlan {
    pub(super) fn new(spec: WindowSpec) -> Result<Self> {
        let mut orders: Vec<usize> = spec.frames.iter().map(|frame| frame.n_order).chain([0]).collect();
        orders.sort_unstable();
        orders.dedup();
        let mut builder = LayoutBuilder::default();
        for field in spec.input.fields() {
            builder = builder.payload(field.data_type().clone());
        }
        for _ in &orders {
            builder = builder.payload(DataType::Boolean);
        }
        let results = spec.calls.iter().map(|call| call.output.clone());
        let fields: Vec<_> = spec.input.fields().iter().cloned().chain(results).collect();
        let output = Arc::new(Schema::new(fields));
        let mut plan =
            WindowPlan { output, layout: builder.build()?, orders, bounds: Vec::new(), needs: Vec::new(), spec };
        for idx in 0..plan.spec.calls.len() {
            plan.add_needs(idx);
        }
        Ok(plan)
    }

    /// The number of the order with so many keys.
    pub(super) fn order(&self, n_keys: usize) -> usize {
        self.orders.iter().position(|&n| n == n_keys).unwrap_or(0)
    }

    /// The column of the log that has the starts of groups by order number `order`.
    pub(super) fn peers_column(&self, order: usize) -> usize {
        self.spec.input.fields().len() + order
    }

    /// How the first order key is sorted.
    pub(super) fn key_options(&self) -> SortOptions {
        let key = self.spec.order.first();
        key.map_or(SortOptions::default(), |key| SortOptions {
            descending: key.descending,
            nulls_first: key.nulls_first,
        })
    }

    fn add_needs(&mut self, call: usize) {
        let call = &self.spec.calls[call];
        let frame = self.spec.frames[call.frame].clone();
        let needs = match call.function {
            WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => vec![],
            WindowFunction::PercentRank | WindowFunction::CumeDist | WindowFunction::Ntile(_) => vec![Need::Partition],
            WindowFunction::Shift { by: ..=0, .. } => vec![],
            WindowFunction::Shift { ignore_nulls: true, .. } => vec![Need::Partition],
            WindowFunction::Shift { by, .. } => vec![Need::Rows(by.unsigned_abs())],
            _ => self.needs_of(&frame),
        };
        for need in needs {
            if !self.needs.contains(&need) {
                self.needs.push(need);
            }
        }
    }

    fn needs_of(&mut self, frame: &Frame) -> Vec<Need> {
        let order = self.order(frame.n_order);
        let mut needs = Vec::new();
        if let Bound::Unbounded = frame.end {
            needs.push(Need::Partition);
        }
        for (bound, is_end) in [(&frame.start, false), (&frame.end, true)] {
            match (bound, frame.unit) {
                (Bound::Unbounded, _) => {}
                (Bound::Offset(by), Unit::Rows) if *by > 0 => needs.push(Need::Rows(by.unsigned_abs())),
                (Bound::Offset(_), Unit::Rows) => {}
                (Bound::Offset(0), _) if is_end => needs.push(Need::Peers(order)),
                (Bound::Offset(by), _) if *by > 0 => {
                    needs.push(Need::Groups(order, by.unsigned_abs() + u64::from(is_end)));
                }
                (Bound::Offset(_), _) => {}
                (Bound::Value(edges), _) => {
                    self.bounds.push(edges.clone());
                    needs.push(Need::Value(self.bounds.len() - 1));
                }
            }
        }
        needs
    }
}
