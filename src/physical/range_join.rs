//! Lowering of joins by order: both sides are sorted together by (equal keys, place on a line) and then met in one sweep.
//!
//! A condition `l <= r` of the left and the right side says that the left row begins before the right one ends, `r <= l`
//! the other way round. With one of each kind, both rows are intervals (or points, where begin and end are the same). With
//! only one, the rows of one side reach to the end of the line: those of the smaller side, since they are kept. Other
//! conditions are checked for the pairs that are found.

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion_common::{DFSchema, NullEquality};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Between, BinaryExpr, Expr, ExprSchemable, Join, Operator};

use super::cardinality::join_candidates;
use super::join::{Condition, Input, join_type, output_columns};
use super::known_keys::{cannot_fail, casts, is_widening};
use super::lower::{Lowering, Stream, Wishes};
use crate::error::Result;
use crate::exec::{Node, Step};
use crate::operators::join::{JoinColumn, Residual};
use crate::operators::range_join::{NAME, RangeJoin, RangeJoinSpec, Until};
use crate::operators::rank::has_rank;
use crate::operators::sort::{Sort, SortKey, SortSpec};
use crate::operators::tagged::{LEFT, RIGHT, TaggedLayout, TaggedSide};

/// Pairs with equal keys for every row of both sides from which on sorting is worth it: comparing a pair takes about 10 ns,
/// sorting a row about 300 ns.
const PAIRS_PER_ROW: f64 = 32.0;

/// A join with at least one condition of order between its sides.
pub(super) struct RangeCondition {
    keys: Vec<(Expr, Expr)>,
    /// `left <= right`, or `<`.
    up: Option<Comparison>,
    /// `right <= left`, or `<`.
    down: Option<Comparison>,
    residual: Option<Expr>,
    /// Whether the left side has fewer rows.
    left_is_smaller: bool,
}

/// An inequality between an expression of the left side and one of the right.
#[derive(Debug, Clone)]
struct Comparison {
    left: Expr,
    right: Expr,
    strict: bool,
    is_up: bool,
    data_type: DataType,
}

impl Comparison {
    fn of(left: &Expr, op: Operator, right: &Expr, join: &Join) -> Option<Self> {
        let of_side = |expr: &Expr, schema: &DFSchema| {
            let refs = expr.column_refs();
            let is_own = !refs.is_empty() && refs.iter().all(|column| schema.has_column(column));
            is_own && !expr.is_volatile() && hardly_fails(expr, schema)
        };
        let schemas = [join.left.schema().as_ref(), join.right.schema().as_ref()];
        let (left, op, right) = match () {
            () if of_side(left, schemas[LEFT]) && of_side(right, schemas[RIGHT]) => (left, op, right),
            () if of_side(right, schemas[LEFT]) && of_side(left, schemas[RIGHT]) => (right, op.swap()?, left),
            () => return None,
        };
        let (is_up, strict) = match op {
            Operator::Lt => (true, true),
            Operator::LtEq => (true, false),
            Operator::Gt => (false, true),
            Operator::GtEq => (false, false),
            _ => return None,
        };
        let types = [left.get_type(schemas[LEFT]).ok()?, right.get_type(schemas[RIGHT]).ok()?];
        let [data_type, other] = types;
        let comparable = data_type == other && has_rank(&data_type);
        comparable.then(|| Comparison { left: left.clone(), right: right.clone(), strict, is_up, data_type })
    }
}

/// Whether `expr` may be computed for rows that another condition would have left out. Sums do overflow and times do not
/// fit finer units, but not for values that anybody compares.
fn hardly_fails(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus | Operator::Minus, right }) => {
            hardly_fails(left, schema) && hardly_fails(right, schema)
        }
        Expr::Cast(cast) => casts(cast, schema, hardly_narrows) && hardly_fails(&cast.expr, schema),
        Expr::Alias(alias) => hardly_fails(&alias.expr, schema),
        other => cannot_fail(other, schema),
    }
}

fn hardly_narrows(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Timestamp(_, from), Timestamp(_, to)) => from == to,
        // Nanoseconds end in 2262, and 9999-12-31 is a common end of nothing.
        (Date32 | Date64, Timestamp(unit, None)) => *unit != TimeUnit::Nanosecond,
        (Date32, Date64) => true,
        _ => is_widening(from, to),
    }
}

/// The comparisons that `part` is made of; none unless all of it is.
fn comparisons(part: &Expr, join: &Join) -> Vec<Comparison> {
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Comparison::of(left, *op, right, join).into_iter().collect()
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let low = Comparison::of(expr, Operator::GtEq, low, join);
            let high = Comparison::of(expr, Operator::LtEq, high, join);
            low.zip(high).map(|(low, high)| vec![low, high]).unwrap_or_default()
        }
        _ => vec![],
    }
}

impl RangeCondition {
    /// The condition of `join` as one of order, if it is one and sorting is better than comparing rows with equal keys.
    pub(super) fn worth(join: &Join, condition: &Condition) -> Option<Self> {
        if condition.null_aware {
            return None;
        }
        let range = RangeCondition::of(join, condition)?;
        let (left, right, candidates) = join_candidates(join);
        let is_worth = candidates >= PAIRS_PER_ROW * (left + right);
        is_worth.then_some(RangeCondition { left_is_smaller: left < right, ..range })
    }

    fn of(join: &Join, condition: &Condition) -> Option<Self> {
        let parts = split_conjunction_owned(condition.residual.clone()?);
        let found: Vec<(usize, Comparison)> = parts
            .iter()
            .enumerate()
            .flat_map(|(idx, part)| comparisons(part, join).into_iter().map(move |found| (idx, found)))
            .collect();
        let of_kind = |is_up: bool| found.iter().filter(move |(_, one)| one.is_up == is_up);
        // Two that share an expression are a point in an interval; any two of one type will do.
        let pairs = of_kind(true).flat_map(|up| of_kind(false).map(move |down| (up, down)));
        let pairs = pairs.filter(|(up, down)| up.1.data_type == down.1.data_type);
        let fit = |((_, up), (_, down)): &(&(usize, Comparison), &(usize, Comparison))| {
            usize::from(up.left == down.left) + usize::from(up.right == down.right)
        };
        let (up, down) = match pairs.max_by_key(fit) {
            Some((up, down)) => (Some(up.clone()), Some(down.clone())),
            None => (of_kind(true).next().cloned(), of_kind(false).next().cloned()),
        };
        // Of different types: one of them is enough.
        let down = down.filter(|(_, down)| up.as_ref().is_none_or(|(_, up)| up.data_type == down.data_type));
        if up.is_none() && down.is_none() {
            return None;
        }
        let used = |idx: usize| {
            let n_found = found.iter().filter(|(part, _)| *part == idx).count();
            let n_used = [&up, &down].into_iter().flatten().filter(|(part, _)| *part == idx).count();
            n_found > 0 && n_found == n_used
        };
        let rest = parts.iter().enumerate().filter(|(idx, _)| !used(*idx)).map(|(_, part)| part.clone());
        Some(RangeCondition {
            keys: condition.keys.clone(),
            residual: conjunction(rest.collect::<Vec<_>>()),
            up: up.map(|(_, up)| up),
            down: down.map(|(_, down)| down),
            left_is_smaller: false,
        })
    }

    /// What the sides are sorted by, and where they end.
    fn line(&self) -> Line {
        let point = |expr: &Expr| (expr.clone(), None, Until::Place);
        let ray = |expr: &Expr| (expr.clone(), None, Until::Forever);
        match (&self.up, &self.down) {
            (Some(up), Some(down)) => {
                let side = |place: &Expr, last: &Expr| match place == last {
                    true => point(place),
                    false => (place.clone(), Some(last.clone()), Until::Last),
                };
                let sides = [side(&up.left, &down.left), side(&down.right, &up.right)];
                Line { sides, strict: [up.strict, down.strict], descending: false }
            }
            (Some(one), None) | (None, Some(one)) => {
                // Ascending, the side that comes first is kept; descending, the other one.
                let left_is_kept = self.left_is_smaller;
                let sides = match left_is_kept {
                    true => [ray(&one.left), point(&one.right)],
                    false => [point(&one.left), ray(&one.right)],
                };
                let mut strict = [false; 2];
                strict[if left_is_kept { LEFT } else { RIGHT }] = one.strict;
                Line { sides, strict, descending: one.is_up != left_is_kept }
            }
            (None, None) => unreachable!("there is at least one"),
        }
    }
}

/// See [`RangeCondition::line`]: place, last place, and where rows end.
struct Line {
    sides: [(Expr, Option<Expr>, Until); 2],
    strict: [bool; 2],
    descending: bool,
}

impl Lowering<'_> {
    /// Lowers `join`, whose condition is `range`, to a sort and a sweep.
    pub(super) fn lower_range_join(
        &mut self,
        join: &Join,
        range: RangeCondition,
        picked: &[usize],
        schema: SchemaRef,
    ) -> Result<Stream> {
        let detail = self.describe_join(join, &Condition::of(join)?);
        let line = range.line();
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = range.keys.iter().cloned().unzip();
        let all = output_columns(join, true);
        let output: Vec<JoinColumn> = picked.iter().map(|&idx| all[idx]).collect();
        let residual = range.residual.as_ref().map(|filter| self.compile_residual(filter, join, true)).transpose()?;
        let inputs = [(&join.left, left_keys), (&join.right, right_keys)];
        let mut streams = Vec::with_capacity(2);
        let mut sides = Vec::with_capacity(2);
        for (side, (plan, keys)) in inputs.into_iter().enumerate() {
            let (place, last, _) = &line.sides[side];
            let n_keys = keys.len();
            let keys = keys.into_iter().chain([place.clone()]).chain(last.clone()).collect();
            let wishes = Wishes::none(plan.schema().fields().len());
            let (stream, mut columns) = self.lower_join_input(&Input { plan, keys }, &wishes)?;
            let rest = columns.split_off(n_keys);
            let needed = needed(side, &output, residual.as_ref());
            sides.push(TaggedSide { keys: columns, place: rest[0], last: rest.get(1).copied(), columns: needed });
            streams.push(stream);
        }
        let [left, right] = <[TaggedSide; 2]>::try_from(sides).expect("two sides");
        let sides = [left, right];
        let input = TaggedLayout::new(&sides, [&streams[LEFT].schema, &streams[RIGHT].schema]);
        let spec = RangeJoinSpec {
            descending: line.descending,
            until: [line.sides[LEFT].2, line.sides[RIGHT].2],
            strict: line.strict,
            join_type: join_type(join.join_type, true),
            null_equal: join.null_equality == NullEquality::NullEqualsNull,
            residual: residual.map(|residual| Residual { columns: renumber(&residual.columns, &sides), ..residual }),
            output: renumber(&output, &sides),
            schema: schema.clone(),
            input,
        };
        let stream = self.sort_tagged(streams, &sides, &spec.input, &[(spec.input.place(), spec.descending)])?;
        let operator = RangeJoin::new(spec, self.cx)?;
        let node = Node { name: NAME, detail, inputs: vec![stream.top()], report: Some(operator.clone()) };
        let node = self.add_node(node);
        Ok(stream.then(node, operator, schema))
    }

    /// Sorts the rows of both sides together, by keys and then by the columns `by` and whether they descend.
    pub(super) fn sort_tagged(
        &mut self,
        streams: Vec<Stream>,
        sides: &[TaggedSide; 2],
        tagged: &TaggedLayout,
        by: &[(usize, bool)],
    ) -> Result<Stream> {
        let schema = tagged.schema.clone();
        let mut parts = Vec::with_capacity(2);
        for (side, stream) in streams.into_iter().enumerate() {
            let columns = tagged.project(side, &sides[side]);
            let which = if side == LEFT { "rows of the left side" } else { "rows of the right side" };
            parts.push(self.project(stream, columns, schema.clone(), which.to_string()));
        }
        let stream = self.union(parts, schema.clone(), "both sides".to_string());
        let key = |(column, descending): (usize, bool)| SortKey { column, descending, nulls_first: false };
        let keys = (0..tagged.n_keys).map(|column| (column, false)).chain(by.iter().copied());
        let keys: Vec<SortKey> = keys.map(key).collect();
        let name = |key: &SortKey| {
            let direction = if key.descending { " DESC" } else { "" };
            format!("{}{direction}", self.namer.name(schema.field(key.column).name()))
        };
        let detail = format!("by {}", keys.iter().map(name).collect::<Vec<_>>().join(", "));
        // A sort with a limit, be it never reached, gives all its rows to one worker.
        let limit = (tagged.n_keys == 0).then_some(u64::MAX);
        let spec = SortSpec { schema: schema.clone(), keys, limit, n_grouping_keys: tagged.n_keys };
        let sort = Sort::new(spec, self.cx)?;
        let node = Node { name: "Sort", detail, inputs: vec![stream.top()], report: Some(sort.clone()) };
        let node = self.add_node(node);
        self.close(stream, node, sort.sink());
        Ok(Stream::new(Step { node, role: sort.source() }, schema, false))
    }
}

/// The input columns of `side` that somebody reads.
fn needed(side: usize, output: &[JoinColumn], residual: Option<&Residual>) -> Vec<usize> {
    let of_side = |column: &JoinColumn| match (column, side) {
        (JoinColumn::Probe(idx), LEFT) | (JoinColumn::Build(idx), RIGHT) => Some(*idx),
        _ => None,
    };
    let read = residual.iter().flat_map(|residual| &residual.columns);
    let mut needed: Vec<usize> = output.iter().chain(read).filter_map(of_side).collect();
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// Input columns as columns of the sorted rows.
fn renumber(columns: &[JoinColumn], sides: &[TaggedSide; 2]) -> Vec<JoinColumn> {
    let at = |side: usize, idx: usize| sides[side].columns.iter().position(|&column| column == idx).unwrap_or_default();
    let one = |column: &JoinColumn| match *column {
        JoinColumn::Probe(idx) => JoinColumn::Probe(at(LEFT, idx)),
        JoinColumn::Build(idx) => JoinColumn::Build(at(RIGHT, idx)),
        JoinColumn::Mark => JoinColumn::Mark,
    };
    columns.iter().map(one).collect()
}
