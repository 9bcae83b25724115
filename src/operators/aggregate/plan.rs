//! Everything about an aggregation that is decided before it runs: the row's layout and the place of each state.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::AggregateOptions;
use super::narrow::{DictionaryCodes, KeyForm};
use super::spec::{AggregateCall, AggregateFunction, AggregateSpec, LibraryFunction};
use super::state::{State, make_state, place_states, state_size};
use crate::error::Result;
use crate::memory::Memory;
use crate::operators::equality::normalize;
use crate::row::{Layout, LayoutBuilder, Rows, StateOffset, gather};

/// A prepared aggregation.
pub(super) struct AggregatePlan {
    pub(super) spec: AggregateSpec,
    /// How each key is kept in rows.
    pub(super) key_forms: Vec<KeyForm>,
    /// Rows in tables: keys and states.
    pub(super) layout: Arc<Layout>,
    /// Rows handed to the pool: keys, states, and the state columns of library functions. The same as `layout` when there
    /// are none.
    pub(super) spilled_layout: Arc<Layout>,
    pub(super) calls: Vec<Call>,
    /// Where the number of a group lies in its row; only with library functions.
    pub(super) group_number: Option<StateOffset<u64>>,
}

/// How one call is computed.
pub(super) enum Call {
    Native(Arc<dyn State>),
    Library { function: Arc<dyn LibraryFunction>, state_fields: std::ops::Range<usize> },
}

impl AggregatePlan {
    pub(super) fn new(spec: AggregateSpec, options: &AggregateOptions, memory: &Memory) -> Result<Self> {
        let arg_types = |args: &[usize]| -> Vec<DataType> {
            args.iter().map(|&idx| spec.input.field(idx).data_type().clone()).collect()
        };
        let sizes: Vec<_> = spec.calls.iter().map(|call| state_size(&call.function, &arg_types(&call.args))).collect();
        let (places, mut state_bytes) = place_states(&sizes);
        let has_library = spec.calls.iter().any(|call| matches!(call.function, AggregateFunction::Library(_)));
        let number_at = state_bytes.next_multiple_of(8);
        if has_library {
            state_bytes = number_at + 8;
        }
        let mut keys = LayoutBuilder::default();
        let mut key_forms = Vec::with_capacity(spec.keys.len());
        for (idx, &key) in spec.keys.iter().enumerate() {
            let data_type = spec.input.field(key).data_type();
            let statistics = options.key_statistics.get(idx).and_then(Option::as_ref);
            let form = KeyForm::new(data_type, statistics, memory);
            keys = keys.key(form.field_type(data_type));
            key_forms.push(form);
        }
        let layout = keys.clone().states(state_bytes).build()?;
        let mut spilled = keys.states(state_bytes);
        let mut calls = Vec::with_capacity(spec.calls.len());
        let mut n_fields = spec.keys.len();
        for (call, place) in spec.calls.iter().zip(places) {
            calls.push(match &call.function {
                AggregateFunction::Library(function) => {
                    let fields = function.state_fields()?;
                    for field in &fields {
                        spilled = spilled.trailing(field.data_type().clone());
                    }
                    n_fields += fields.len();
                    Call::Library { function: function.clone(), state_fields: n_fields - fields.len()..n_fields }
                }
                _ => Call::Native(make_state(call, &arg_types(&call.args), &layout, place)?),
            });
        }
        let spilled_layout = if has_library { spilled.build()? } else { layout.clone() };
        let group_number = has_library.then(|| layout.state(number_at));
        Ok(AggregatePlan { spec, key_forms, layout, spilled_layout, calls, group_number })
    }

    /// The calls whose states lie in rows.
    pub(super) fn native_calls(&self) -> impl Iterator<Item = (&Arc<dyn State>, &AggregateCall)> {
        self.calls.iter().zip(&self.spec.calls).filter_map(|(call, spec)| match call {
            Call::Native(state) => Some((state, spec)),
            Call::Library { .. } => None,
        })
    }

    /// Whether any call goes through accumulators that are not ours.
    pub(super) fn has_library(&self) -> bool {
        self.group_number.is_some()
    }

    /// Key columns as rows keep them; `caches` are the worker's own.
    pub(super) fn encode_keys(&self, keys: &[ArrayRef], caches: &mut [DictionaryCodes]) -> Result<Vec<ArrayRef>> {
        let forms = self.key_forms.iter().zip(keys).zip(caches);
        forms.map(|((form, key), cache)| form.encode(key, cache)).collect()
    }

    /// The `idx`-th key of `rows` as the query knows it.
    pub(super) fn gather_key(&self, idx: usize, rows: Rows<'_>) -> Result<ArrayRef> {
        let data_type = self.spec.input.field(self.spec.keys[idx]).data_type();
        self.key_forms[idx].decode(gather(&self.layout, idx, rows)?, data_type)
    }

    /// The key columns of a batch in the form in which equal keys are equal bytes: -0.0 becomes 0.0 and every NaN the same.
    pub(super) fn key_columns(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        self.spec.keys.iter().map(|&key| normalize(&columns[key])).collect()
    }
}
