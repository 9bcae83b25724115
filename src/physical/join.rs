//! Lowering of joins: which side is built, which columns are kept, and what a condition reads.
//!
//! Keys that are not plain columns are computed by a projection before. The build side is the one with fewer rows, as
//! far as that is known, else the right one.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{DFSchema, JoinType as LogicalType, NullEquality};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, ExprSchemable, Join, LogicalPlan};

use super::cardinality::{estimate_rows, row_bytes};
use super::expression::{Evaluator, plain_column};
use super::failure::query_failure;
use super::known_keys::{WantedKeys, cannot_fail, worth_telling};
use super::lower::{Lowering, Stream, Wishes};
use super::range_join::RangeCondition;
use crate::error::{Error, Result};
use crate::exec::Node;
use crate::operators::join::{HashJoin, JoinColumn, JoinOptions, JoinSpec, JoinType, Residual};
use crate::operators::project::Column;

/// A join as the executor sees it: conditions sorted into keys and the rest.
pub(super) struct Condition {
    pub(super) keys: Vec<(Expr, Expr)>,
    pub(super) residual: Option<Expr>,
    pub(super) null_aware: bool,
}

/// One input: its plan, its key columns, and its stream when it has been lowered.
pub(super) struct Input<'a> {
    pub(super) plan: &'a LogicalPlan,
    pub(super) keys: Vec<Expr>,
}

impl Lowering<'_> {
    /// Lowers a join that gives the columns `picked` of its schema, under the names of `schema`.
    pub(super) fn lower_join(
        &mut self,
        join: &Join,
        picked: &[usize],
        schema: SchemaRef,
        wishes: &Wishes,
    ) -> Result<Stream> {
        let condition = Condition::of(join)?;
        if let Some(range) = RangeCondition::worth(join, &condition) {
            return self.lower_range_join(join, range, picked, schema);
        }
        let mut detail = self.describe_join(join, &condition);
        let builds_right = builds_right(join);
        detail += if builds_right { ", build right" } else { ", build left" };
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = condition.keys.iter().cloned().unzip();
        let left = Input { plan: &join.left, keys: left_keys };
        let right = Input { plan: &join.right, keys: right_keys };
        let (probe, build) = if builds_right { (left, right) } else { (right, left) };
        let all = output_columns(join, builds_right);
        let output: Vec<JoinColumn> = picked.iter().map(|&idx| all[idx]).collect();
        let residual = condition.residual.as_ref().map(|filter| self.compile_residual(filter, join, builds_right));
        let residual = residual.transpose()?;
        let join_type = join_type(join.join_type, builds_right);
        let conditions_cannot_fail = condition.cannot_fail(join);
        let source = |wanted: fn(&JoinColumn) -> Option<usize>| {
            let output = &output;
            // Rows that are not wanted may be missing before the keys are computed and the condition is asked.
            let is_total = conditions_cannot_fail;
            wishes.keys_through(move |idx| output.get(idx).and_then(wanted).filter(|_| is_total))
        };
        let build_wishes = Wishes {
            dictionary: vec![true; build.plan.schema().fields().len()],
            in_order: false,
            keys: source(|column| if let JoinColumn::Build(idx) = column { Some(*idx) } else { None }),
        };
        let mut probe_wishes = probe_wishes(&probe, &output, residual.as_ref(), wishes);
        probe_wishes.keys = source(|column| if let JoinColumn::Probe(idx) = column { Some(*idx) } else { None });
        let sides = ((probe.plan, probe.keys.as_slice()), (build.plan, build.keys.as_slice()));
        let told = worth_telling(join, join_type, sides.0, sides.1, &self.cx.memory);
        probe_wishes.keys.extend(told.iter().map(|(_, wanted)| wanted.clone()));
        let (mut build_stream, build_keys) = self.lower_join_input(&build, &build_wishes)?;
        let after_build = self.n_pipelines();
        let (mut probe_stream, probe_keys) = self.lower_join_input(&probe, &probe_wishes)?;
        match only_asks_for_any_row(join, &condition) {
            Some(right_is_asked) if right_is_asked == builds_right => {
                build_stream = self.limit(build_stream, 0, Some(1));
            }
            Some(_) => probe_stream = self.limit(probe_stream, 0, Some(1)),
            None => {}
        }
        let spec = JoinSpec {
            probe: probe_stream.schema.clone(),
            build: build_stream.schema.clone(),
            keys: probe_keys.into_iter().zip(build_keys).collect(),
            join_type,
            null_equal: join.null_equality == NullEquality::NullEqualsNull,
            null_aware: condition.null_aware,
            residual,
            output,
            schema: schema.clone(),
        };
        let operator = HashJoin::new(&spec, JoinOptions::default(), self.cx)?;
        let tops = [probe_stream.top(), build_stream.top()];
        let inputs = if builds_right { tops.to_vec() } else { vec![tops[1], tops[0]] };
        let node = self.add_node(Node { name: "Join", detail, inputs, report: Some(operator.clone()) });
        drop(probe_wishes);
        let is_asked = |(_, wanted): &(usize, WantedKeys)| Arc::strong_count(&wanted.known) > 1;
        let noted: Vec<_> = told.into_iter().filter(is_asked).map(|(place, wanted)| (place, wanted.known)).collect();
        if noted.is_empty() || self.n_pipelines() == after_build {
            self.close(build_stream, node, operator.build_sink_noting(noted));
        } else {
            // What comes before the probe side's last pipeline asks which keys the build side has.
            operator.build_first();
            self.close_before(after_build, build_stream, node, operator.build_sink_noting(noted));
        }
        let mut stream = probe_stream.then(node, operator.probe(), schema);
        stream.ordered = false;
        Ok(stream)
    }

    /// Lowers one input and computes the keys that are not there yet; they follow the input's own columns.
    pub(super) fn lower_join_input(&mut self, input: &Input<'_>, wishes: &Wishes) -> Result<(Stream, Vec<usize>)> {
        let schema = input.plan.schema();
        let stream = self.lower_plan(input.plan, wishes)?;
        let n_columns = schema.fields().len();
        let mut columns: Vec<Column> = (0..n_columns).map(Column::Input).collect();
        let mut fields: Vec<FieldRef> = stream.schema.fields().iter().cloned().collect();
        let mut computed = Vec::new();
        let mut keys = Vec::with_capacity(input.keys.len());
        for key in &input.keys {
            if let Some(idx) = plain_column(key, schema) {
                keys.push(idx);
                continue;
            }
            let field = key.to_field(schema.as_ref()).map_err(query_failure)?.1;
            fields.push(Arc::new(Field::clone(&field).with_name(self.namer.text(key))));
            keys.push(columns.len());
            columns.push(self.compile_column(key, input.plan)?);
            computed.push(key.clone());
        }
        if computed.is_empty() {
            return Ok((stream, keys));
        }
        let detail = self.namer.list(&computed);
        let stream = self.project(stream, columns, Arc::new(Schema::new(fields)), format!("adding {detail}"));
        Ok((stream, keys))
    }

    /// Compiles what must hold besides equal keys, over just the columns that it reads.
    pub(super) fn compile_residual(&self, filter: &Expr, join: &Join, builds_right: bool) -> Result<Residual> {
        let (left, right) = (join.left.schema(), join.right.schema());
        let both = left.join(right).map_err(query_failure)?;
        let n_left = left.fields().len();
        let mut read: Vec<usize> =
            filter.column_refs().into_iter().filter_map(|column| both.maybe_index_of_column(column)).collect();
        read.sort_unstable();
        read.dedup();
        let side = |idx: usize| match idx.checked_sub(n_left) {
            Some(idx) if builds_right => JoinColumn::Build(idx),
            Some(idx) => JoinColumn::Probe(idx),
            None if builds_right => JoinColumn::Probe(idx),
            None => JoinColumn::Build(idx),
        };
        let fields = read.iter().map(|&idx| {
            let (qualifier, field) = both.qualified_field(idx);
            (qualifier.cloned(), field.clone())
        });
        let narrow = DFSchema::new_with_metadata(fields.collect(), Default::default()).map_err(query_failure)?;
        let evaluator = Evaluator::compile(filter, &narrow, self.props())?;
        Ok(Residual {
            predicate: Arc::new(evaluator),
            columns: read.into_iter().map(side).collect(),
            schema: narrow.inner().clone(),
        })
    }

    pub(super) fn describe_join(&self, join: &Join, condition: &Condition) -> String {
        let name = match join.join_type {
            LogicalType::Inner if condition.keys.is_empty() && condition.residual.is_none() => "cross",
            LogicalType::Inner => "inner",
            LogicalType::Left => "left",
            LogicalType::Right => "right",
            LogicalType::Full => "full",
            LogicalType::LeftSemi => "left semi",
            LogicalType::RightSemi => "right semi",
            LogicalType::LeftAnti => "left anti",
            LogicalType::RightAnti => "right anti",
            LogicalType::LeftMark => "left mark",
            LogicalType::RightMark => "right mark",
        };
        let null_equal = join.null_equality == NullEquality::NullEqualsNull;
        let equals = if null_equal { "IS NOT DISTINCT FROM" } else { "=" };
        let key =
            |(left, right): &(Expr, Expr)| format!("{} {equals} {}", self.namer.text(left), self.namer.text(right));
        let mut parts: Vec<String> = condition.keys.iter().map(key).collect();
        parts.extend(condition.residual.as_ref().map(|residual| self.namer.text(residual)));
        let aware = if condition.null_aware { " (NOT IN)" } else { "" };
        match parts.is_empty() {
            true => format!("{name}{aware}"),
            false => format!("{name}{aware}, {}", parts.join(" AND ")),
        }
    }
}

/// Build columns are written to rows through their dictionaries. Probe columns may be dictionaries when they are only
/// compared, or passed on to somebody who wants them.
fn probe_wishes(probe: &Input<'_>, output: &[JoinColumn], residual: Option<&Residual>, wishes: &Wishes) -> Wishes {
    let mut mine = Wishes::none(probe.plan.schema().fields().len());
    for key in probe.keys.iter().filter_map(|key| plain_column(key, probe.plan.schema())) {
        mine.dictionary[key] = true;
    }
    let mut read = vec![None; mine.dictionary.len()];
    for (column, &wanted) in output.iter().zip(&wishes.dictionary) {
        if let JoinColumn::Probe(idx) = column {
            read[*idx] = Some(read[*idx].unwrap_or(true) && wanted);
        }
    }
    for column in residual.iter().flat_map(|residual| &residual.columns) {
        if let JoinColumn::Probe(idx) = column {
            read[*idx] = Some(false);
        }
    }
    for (wish, read) in mine.dictionary.iter_mut().zip(read) {
        *wish = read.unwrap_or(*wish);
    }
    mine
}

impl Condition {
    pub(super) fn of(join: &Join) -> Result<Self> {
        let keys = join.on.clone();
        let mut residual: Vec<Expr> = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
        residual.retain(|part| !is_true(part));
        if !join.null_aware {
            return Ok(Condition { keys, residual: conjunction(residual), null_aware: false });
        }
        // Any other NOT IN was spelled out before.
        if join.join_type != LogicalType::LeftAnti || keys.len() != 1 || !residual.is_empty() {
            return Err(Error::usage("this kind of NOT IN is not supported yet"));
        }
        Ok(Condition { keys, residual: None, null_aware: true })
    }

    /// Whether keys and the rest have a value for every row, or pair of rows.
    fn cannot_fail(&self, join: &Join) -> bool {
        let (left, right) = (join.left.schema(), join.right.schema());
        let keys = self.keys.iter().all(|(l, r)| cannot_fail(l, left) && cannot_fail(r, right));
        let both = || left.join(right).ok();
        keys && self.residual.as_ref().is_none_or(|rest| both().is_some_and(|both| cannot_fail(rest, &both)))
    }
}

fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(datafusion_common::ScalarValue::Boolean(Some(true)), _))
}

/// Whether all that matters of one side is that it has a row, and then whether that is the right one.
fn only_asks_for_any_row(join: &Join, condition: &Condition) -> Option<bool> {
    if !condition.keys.is_empty() || condition.residual.is_some() {
        return None;
    }
    match join.join_type {
        LogicalType::LeftSemi | LogicalType::LeftAnti | LogicalType::LeftMark => Some(true),
        LogicalType::RightSemi | LogicalType::RightAnti | LogicalType::RightMark => Some(false),
        LogicalType::Inner | LogicalType::Left | LogicalType::Right | LogicalType::Full => None,
    }
}

/// Whether the right side is built: it has fewer rows, as far as that is known.
fn builds_right(join: &Join) -> bool {
    let bytes = |plan| Some(estimate_rows(plan)? * row_bytes(plan));
    match (bytes(&join.left), bytes(&join.right)) {
        (Some(left), Some(right)) => right <= left,
        (Some(_), None) => false,
        (None, _) => true,
    }
}

pub(super) fn join_type(logical: LogicalType, builds_right: bool) -> JoinType {
    let with_right_built = match logical {
        LogicalType::Inner => JoinType::Inner,
        LogicalType::Left => JoinType::ProbeOuter,
        LogicalType::Right => JoinType::BuildOuter,
        LogicalType::Full => JoinType::Full,
        LogicalType::LeftSemi => JoinType::ProbeSemi,
        LogicalType::RightSemi => JoinType::BuildSemi,
        LogicalType::LeftAnti => JoinType::ProbeAnti,
        LogicalType::RightAnti => JoinType::BuildAnti,
        LogicalType::LeftMark => JoinType::ProbeMark,
        LogicalType::RightMark => JoinType::BuildMark,
    };
    if builds_right { with_right_built } else { with_right_built.mirrored() }
}

/// Where each output column comes from: those of the left side first, as the plan's schema has them.
pub(super) fn output_columns(join: &Join, builds_right: bool) -> Vec<JoinColumn> {
    let left = (0..join.left.schema().fields().len()).map(|idx| match builds_right {
        true => JoinColumn::Probe(idx),
        false => JoinColumn::Build(idx),
    });
    let right = (0..join.right.schema().fields().len()).map(|idx| match builds_right {
        true => JoinColumn::Build(idx),
        false => JoinColumn::Probe(idx),
    });
    match join.join_type {
        LogicalType::Inner | LogicalType::Left | LogicalType::Right | LogicalType::Full => left.chain(right).collect(),
        LogicalType::LeftSemi | LogicalType::LeftAnti => left.collect(),
        LogicalType::RightSemi | LogicalType::RightAnti => right.collect(),
        LogicalType::LeftMark => left.chain([JoinColumn::Mark]).collect(),
        LogicalType::RightMark => right.chain([JoinColumn::Mark]).collect(),
    }
}
