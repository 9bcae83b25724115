//! Everything about a join that is decided before it runs: which columns of each side are kept in rows and where, and how
//! output columns are made, from either side's point of view.
//!
//! The two sides are alike: rows of both have the same key fields, their needed columns, and a link. So a table can be
//! made of either, and where rows of both sides have been spilled the smaller side becomes the table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;

use super::spec::{JoinColumn, JoinSpec, JoinType, Residual};
use crate::error::{Error, Result};
use crate::operators::equality::{holds_floats, normalize};
use crate::row::{Layout, LayoutBuilder, StateOffset};

/// The number of a side in [`JoinPlan::sides`].
pub(super) const PROBE: usize = 0;
pub(super) const BUILD: usize = 1;

/// A prepared join.
pub(super) struct JoinPlan {
    pub(super) sides: [Side; 2],
    pub(super) join_type: JoinType,
    pub(super) n_keys: usize,
    pub(super) null_equal: bool,
    pub(super) null_aware: bool,
    pub(super) residual: Option<(Residual, Vec<Place>)>,
    pub(super) output: Vec<Place>,
    pub(super) schema: SchemaRef,
    /// Rows of keys alone.
    pub(super) key_layout: Arc<Layout>,
}

/// One side's rows.
pub(super) struct Side {
    pub(super) layout: Arc<Layout>,
    pub(super) link: StateOffset<u64>,
    /// The input column of each field; keys come first.
    pub(super) inputs: Vec<usize>,
    /// Fields that the output or the residual condition reads, ascending.
    pub(super) read: Vec<usize>,
}

/// Where a column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Field { side: usize, field: usize },
    Mark,
}

/// Who is who while rows are looked up: the same join can be run with its sides exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) join_type: JoinType,
    /// The side of the rows that look.
    pub(super) probe: usize,
    /// The side of the rows in the table.
    pub(super) build: usize,
}

impl Roles {
    /// The same with the sides exchanged.
    pub(super) fn swapped(self) -> Self {
        Roles { join_type: self.join_type.mirrored(), probe: self.build, build: self.probe }
    }
}

impl JoinPlan {
    pub(super) fn new(spec: &JoinSpec) -> Result<Self> {
        let keys = |side: usize| spec.keys.iter().map(move |&(probe, build)| [probe, build][side]);
        let mut builders = [SideBuilder::new(&spec.probe, keys(PROBE)), SideBuilder::new(&spec.build, keys(BUILD))];
        for ((probe, build), key_idx) in spec.keys.iter().zip(0..) {
            let types = [spec.probe.field(*probe).data_type(), spec.build.field(*build).data_type()];
            if types[0] != types[1] {
                let message = format!("join key {key_idx} compares {} with {}", types[0], types[1]);
                return Err(Error::query(message).with_hint("cast one of them"));
            }
        }
        let place = |column: JoinColumn, builders: &mut [SideBuilder; 2]| match column {
            JoinColumn::Probe(input) => Place::Field { side: PROBE, field: builders[PROBE].field_of(input) },
            JoinColumn::Build(input) => Place::Field { side: BUILD, field: builders[BUILD].field_of(input) },
            JoinColumn::Mark => Place::Mark,
        };
        let output = spec.output.iter().map(|&column| place(column, &mut builders)).collect();
        let residual = spec.residual.clone().map(|residual| {
            let places = residual.columns.iter().map(|&column| place(column, &mut builders)).collect();
            (residual, places)
        });
        let mut key_layout = LayoutBuilder::default();
        for key in keys(PROBE) {
            key_layout = key_layout.key(spec.probe.field(key).data_type().clone());
        }
        let [probe, build] = builders;
        Ok(JoinPlan {
            sides: [probe.build()?, build.build()?],
            join_type: spec.join_type,
            n_keys: spec.keys.len(),
            null_equal: spec.null_equal,
            null_aware: spec.null_aware,
            residual,
            output,
            schema: spec.schema.clone(),
            key_layout: key_layout.build()?,
        })
    }

    /// Who is who at first.
    pub(super) fn roles(&self) -> Roles {
        Roles { join_type: self.join_type, probe: PROBE, build: BUILD }
    }

    /// Whether all that matters of a build row is that its key is there, so that one row of each key is enough.
    pub(super) fn needs_keys_alone(&self) -> bool {
        let gives_probe_rows_only = self.join_type.gives_probe_rows() && !self.join_type.gives_pairs();
        gives_probe_rows_only && self.residual.is_none()
    }

    /// Key columns of a batch of one side in the form in which equal keys are equal bytes, and where any is NULL if such
    /// rows match nothing.
    pub(super) fn keys(&self, side: usize, columns: &[ArrayRef]) -> Result<(Vec<ArrayRef>, Option<NullBuffer>)> {
        let inputs = &self.sides[side].inputs[..self.n_keys];
        let keys = inputs.iter().map(|&input| normalize(&columns[input])).collect::<Result<Vec<_>>>()?;
        let mut nulls = None;
        if !self.null_equal {
            for key in &keys {
                nulls = NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref());
            }
        }
        Ok((keys, nulls.filter(|nulls| nulls.null_count() > 0)))
    }

    /// All columns of a batch as rows of `side` keep them, given its `keys`.
    pub(super) fn row_columns(&self, side: usize, mut keys: Vec<ArrayRef>, columns: &[ArrayRef]) -> Vec<ArrayRef> {
        keys.extend(self.sides[side].inputs[self.n_keys..].iter().map(|&input| columns[input].clone()));
        keys
    }

    /// The columns of a batch by field; only those that are read later.
    pub(super) fn read_columns(&self, side: usize, columns: &[ArrayRef]) -> Vec<Option<ArrayRef>> {
        let side = &self.sides[side];
        let mut by_field = vec![None; side.inputs.len()];
        for &field in &side.read {
            by_field[field] = Some(columns[side.inputs[field]].clone());
        }
        by_field
    }
}

/// Collects the fields of one side.
struct SideBuilder {
    schema: SchemaRef,
    inputs: Vec<usize>,
    n_keys: usize,
    read: Vec<usize>,
}

impl SideBuilder {
    fn new(schema: &SchemaRef, keys: impl Iterator<Item = usize>) -> Self {
        let inputs: Vec<usize> = keys.collect();
        SideBuilder { schema: schema.clone(), n_keys: inputs.len(), inputs, read: Vec::new() }
    }

    /// The field that holds input column `input`. A key's own field does, unless keys are kept in another form.
    fn field_of(&mut self, input: usize) -> usize {
        let changed = holds_floats(self.schema.field(input).data_type());
        let from = if changed { self.n_keys } else { 0 };
        let known = (from..self.inputs.len()).find(|&field| self.inputs[field] == input);
        let field = known.unwrap_or_else(|| {
            self.inputs.push(input);
            self.inputs.len() - 1
        });
        if !self.read.contains(&field) {
            self.read.push(field);
            self.read.sort_unstable();
        }
        field
    }

    fn build(self) -> Result<Side> {
        let mut layout = LayoutBuilder::default();
        for (field, &input) in self.inputs.iter().enumerate() {
            let data_type = self.schema.field(input).data_type().clone();
            layout = if field < self.n_keys { layout.key(data_type) } else { layout.payload(data_type) };
        }
        let layout = layout.states(size_of::<u64>()).build()?;
        Ok(Side { link: layout.state(0), layout, inputs: self.inputs, read: self.read })
    }
}
