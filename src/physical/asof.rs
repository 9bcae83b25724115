//! The plan node of [`crate::operators::asof`], and how it is lowered: to a sort of both sides together and a transform.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, JoinType, ScalarValue};
use datafusion_expr::logical_plan::builder::build_join_schema;
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, Extension, LogicalPlan, Operator, UserDefinedLogicalNodeCore, binary_expr,
};

use super::failure::query_failure;
use super::join::Input;
use super::lower::{Lowering, Stream, Wishes};
use crate::error::{Error, Result};
use crate::exec::Node;
use crate::operators::asof::{AsofJoin as AsofOperator, AsofSpec, Direction, NAME, Tolerance};
use crate::operators::join::JoinColumn;
use crate::operators::rank::has_rank;
use crate::operators::tagged::{LEFT, RIGHT, TaggedLayout, TaggedSide};

/// Which right row a left row takes, within equal keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AsofMatch {
    /// Where a left row is.
    pub left_on: Expr,
    /// Where a right row is.
    pub right_on: Expr,
    /// Where the right row is looked for.
    pub direction: Direction,
    /// Whether a right row at the same place does not count. Not with [`Direction::Nearest`].
    pub strict: bool,
    /// How far away it may be: a number, or an interval or duration for times and dates.
    pub tolerance: Option<ScalarValue>,
}

impl AsofMatch {
    /// As `left_on op right_on` says: `>=` and `>` look back.
    pub fn of_comparison(left_on: Expr, op: Operator, right_on: Expr) -> Self {
        let direction = match op {
            Operator::Lt | Operator::LtEq => Direction::Forward,
            _ => Direction::Backward,
        };
        let strict = matches!(op, Operator::Lt | Operator::Gt);
        AsofMatch { left_on, right_on, direction, strict, tolerance: None }
    }

    /// The two places as one expression, so that they get one type.
    fn comparison(&self) -> Expr {
        let op = match (self.direction, self.strict) {
            (Direction::Forward, false) => Operator::LtEq,
            (Direction::Forward, true) => Operator::Lt,
            (_, false) => Operator::GtEq,
            (_, true) => Operator::Gt,
        };
        binary_expr(self.left_on.clone(), op, self.right_on.clone())
    }
}

/// Each row of the left input with one row of the right input.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct AsofJoin {
    left: LogicalPlan,
    right: LogicalPlan,
    /// Keys that must be equal, of the left and the right side.
    by: Vec<(Expr, Expr)>,
    matching: AsofMatch,
    keeps_left: bool,
    schema: DFSchemaRef,
}

impl AsofJoin {
    /// The node over `left` and `right`, whose columns it has, in that order. `by` are expressions that must be equal; with
    /// `keeps_left` left rows without a right row stay, with NULL.
    ///
    /// # Errors
    /// When both sides have a column of one name, for what [`AsofMatch`] excludes, and for a tolerance that does not go with
    /// the type of the places.
    pub fn plan(
        left: LogicalPlan,
        right: LogicalPlan,
        by: Vec<(Expr, Expr)>,
        matching: AsofMatch,
        keeps_left: bool,
    ) -> Result<LogicalPlan, DataFusionError> {
        if matching.strict && matching.direction == Direction::Nearest {
            let error = Error::usage("the nearest row of both directions may always be at the same place");
            return Err(DataFusionError::External(Box::new(error)));
        }
        let node = AsofJoin::new(left, right, by, matching, keeps_left)?;
        node.check_places().map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// Whether places have an order and the tolerance goes with them, as far as that is known before their types are made
    /// the same.
    fn check_places(&self) -> Result<()> {
        let type_of = |expr: &Expr, side: &LogicalPlan| expr.get_type(side.schema()).map_err(query_failure);
        let left = type_of(&self.matching.left_on, &self.left)?;
        if left != type_of(&self.matching.right_on, &self.right)? {
            return Ok(());
        }
        check_ranked(&left)?;
        self.matching.tolerance.as_ref().map_or(Ok(()), |value| tolerance(value, &left).map(drop))
    }

    fn new(
        left: LogicalPlan,
        right: LogicalPlan,
        by: Vec<(Expr, Expr)>,
        matching: AsofMatch,
        keeps_left: bool,
    ) -> Result<Self, DataFusionError> {
        let join_type = if keeps_left { JoinType::Left } else { JoinType::Inner };
        let schema = Arc::new(build_join_schema(left.schema(), right.schema(), &join_type)?);
        Ok(AsofJoin { left, right, by, matching, keeps_left, schema })
    }
}

impl PartialOrd for AsofJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.left, &self.right, &self.by).partial_cmp(&(&other.left, &other.right, &other.by))
    }
}

impl UserDefinedLogicalNodeCore for AsofJoin {
    fn name(&self) -> &str {
        NAME
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let equal = self.by.iter().map(|(left, right)| left.clone().eq(right.clone()));
        equal.chain([self.matching.comparison()]).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{NAME}")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self, DataFusionError> {
        let wrong = |what: &str| DataFusionError::Internal(format!("an as-of join got {what}"));
        let [left, right] = <[LogicalPlan; 2]>::try_from(inputs).map_err(|_| wrong("another number of inputs"))?;
        let mut pairs = Vec::with_capacity(exprs.len());
        for expr in exprs {
            // Rules keep the names of expressions whose types they change.
            let Expr::BinaryExpr(BinaryExpr { left: one, right: other, .. }) = expr.unalias() else {
                return Err(wrong("a condition that compares nothing"));
            };
            let is_left = one.column_refs().iter().all(|column| left.schema().has_column(column));
            pairs.push(if is_left { (*one, *other) } else { (*other, *one) });
        }
        let (left_on, right_on) = pairs.pop().ok_or_else(|| wrong("no conditions"))?;
        let matching = AsofMatch { left_on, right_on, ..self.matching.clone() };
        AsofJoin::new(left, right, pairs, matching, self.keeps_left)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schemas = [self.left.schema(), self.right.schema()];
        let n_left = schemas[LEFT].fields().len();
        let mut needed = [Vec::new(), Vec::new()];
        for &column in output_columns {
            match column.checked_sub(n_left) {
                None => needed[LEFT].push(column),
                Some(column) => needed[RIGHT].push(column),
            }
        }
        let exprs = self.expressions();
        for column in exprs.iter().flat_map(Expr::column_refs) {
            for (needed, schema) in needed.iter_mut().zip(schemas) {
                needed.extend(schema.maybe_index_of_column(column));
            }
        }
        for needed in &mut needed {
            needed.sort_unstable();
            needed.dedup();
        }
        Some(needed.into())
    }
}

impl Lowering<'_> {
    pub(super) fn lower_asof(&mut self, join: &AsofJoin) -> Result<Stream> {
        let matching = &join.matching;
        let place_type = check_types(join)?;
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = join.by.iter().cloned().unzip();
        let inputs = [(&join.left, left_keys, &matching.left_on), (&join.right, right_keys, &matching.right_on)];
        let (mut streams, mut sides) = (Vec::with_capacity(2), Vec::with_capacity(2));
        for (plan, mut keys, place) in inputs {
            let n_columns = plan.schema().fields().len();
            keys.push(place.clone());
            let (stream, mut keys) = self.lower_join_input(&Input { plan, keys }, &Wishes::none(n_columns))?;
            let place = keys.pop().unwrap_or_default();
            sides.push(TaggedSide { keys, place, last: None, columns: (0..n_columns).collect() });
            streams.push(stream);
        }
        let Ok(sides) = <[TaggedSide; 2]>::try_from(sides) else { return Err(Error::query("a join of one side")) };
        let input = TaggedLayout::new(&sides, [&streams[LEFT].schema, &streams[RIGHT].schema]);
        let tolerance = matching.tolerance.as_ref().map(|value| tolerance(value, &place_type)).transpose()?;
        let schema = join.schema.inner().clone();
        let left = (0..input.n_columns[LEFT]).map(JoinColumn::Probe);
        let spec = AsofSpec {
            direction: matching.direction,
            strict: matching.strict,
            tolerance,
            keeps_left: join.keeps_left,
            output: left.chain((0..input.n_columns[RIGHT]).map(JoinColumn::Build)).collect(),
            schema: schema.clone(),
            input,
        };
        let by = [(spec.input.place(), matching.direction == Direction::Forward), (spec.input.side(), !spec.strict)];
        let stream = self.sort_tagged(streams, &sides, &spec.input, &by)?;
        let operator = AsofOperator::new(spec, self.cx)?;
        let detail = self.describe_asof(join);
        let node = Node { name: NAME, detail, inputs: vec![stream.top()], report: Some(operator.clone()) };
        let node = self.add_node(node);
        Ok(stream.then(node, operator, schema))
    }

    fn describe_asof(&self, join: &AsofJoin) -> String {
        let matching = &join.matching;
        let kind = if join.keeps_left { "left" } else { "inner" };
        let mut parts: Vec<String> = join
            .by
            .iter()
            .map(|(left, right)| format!("{} = {}", self.namer.text(left), self.namer.text(right)))
            .collect();
        let places = [&matching.left_on, &matching.right_on].map(|expr| self.namer.text(expr));
        parts.push(match (matching.direction, matching.strict) {
            (Direction::Nearest, _) => format!("{} nearest to {}", places[RIGHT], places[LEFT]),
            (Direction::Forward, strict) => {
                format!("{} {} {}", places[LEFT], if strict { "<" } else { "<=" }, places[RIGHT])
            }
            (_, strict) => format!("{} {} {}", places[LEFT], if strict { ">" } else { ">=" }, places[RIGHT]),
        });
        let within = matching.tolerance.as_ref().map_or(String::new(), |value| format!(" within {value}"));
        format!("{kind}, {}{within}", parts.join(" AND "))
    }
}

/// The type of places, which must be one that has an order and the same on both sides.
fn check_types(join: &AsofJoin) -> Result<DataType> {
    let type_of = |expr: &Expr, schema: &DFSchema| expr.get_type(schema).map_err(query_failure);
    let schemas = [join.left.schema().as_ref(), join.right.schema().as_ref()];
    let places = (&join.matching.left_on, &join.matching.right_on);
    let pairs = join.by.iter().map(|(left, right)| (left, right)).chain([places]);
    let mut last = DataType::Null;
    for (left, right) in pairs {
        let types = [type_of(left, schemas[LEFT])?, type_of(right, schemas[RIGHT])?];
        if types[LEFT] != types[RIGHT] {
            let message = format!("an as-of join compares {} with {}", types[LEFT], types[RIGHT]);
            return Err(Error::usage(message).with_hint("cast one of them"));
        }
        last = types[LEFT].clone();
    }
    check_ranked(&last)?;
    Ok(last)
}

fn check_ranked(place_type: &DataType) -> Result<()> {
    match has_rank(place_type) {
        true => Ok(()),
        false => Err(Error::usage(format!("an as-of join needs numbers, dates or times to compare, not {place_type}"))),
    }
}

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// `value` in units of `place_type`: a number for numbers, an interval or duration for dates and times. Nothing is rounded,
/// except that parts of a step more or less make no difference.
fn tolerance(value: &ScalarValue, place_type: &DataType) -> Result<Tolerance> {
    let wrong = || {
        let error = Error::usage(format!("a tolerance of {value} does not go with places of type {place_type}"));
        error.with_hint(match nanos_per_step(place_type) {
            Some(_) => "dates and times want a duration, such as 90 minutes or 2 days",
            None if place_type.is_floating() => "numbers want a number from 0 on",
            None => "numbers want a number from 0 on, of no more decimals than theirs",
        })
    };
    let found = match nanos_per_step(place_type) {
        Some(per_step) => Tolerance::Steps(nanos(value)?.ok_or_else(wrong)? / per_step),
        None if !value.data_type().is_numeric() => return Err(wrong()),
        None if place_type.is_floating() => {
            let far = cast_one(value, &DataType::Float64).ok_or_else(wrong)?;
            Tolerance::Float(far.as_primitive::<Float64Type>().value(0))
        }
        None => Tolerance::Steps(steps(value, place_type).ok_or_else(wrong)?),
    };
    let is_negative = match found {
        Tolerance::Steps(steps) => steps < 0,
        Tolerance::Float(far) => far < 0.0 || far.is_nan(),
    };
    if value.is_null() || is_negative { Err(wrong()) } else { Ok(found) }
}

fn cast_one(value: &ScalarValue, to: &DataType) -> Option<ArrayRef> {
    let one = value.to_array().ok()?;
    let found = arrow::compute::cast(&one, to).ok()?;
    found.is_valid(0).then_some(found)
}

/// A number in steps of whole numbers or decimals; `None` when it is none of them.
fn steps(value: &ScalarValue, place_type: &DataType) -> Option<i128> {
    let scale = match place_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => *scale,
        _ if !value.data_type().is_integer() => return None,
        _ => 0,
    };
    let fixed = cast_one(value, &DataType::Decimal128(38, scale))?;
    let is_same =
        ScalarValue::try_from_array(&cast_one(&ScalarValue::try_from_array(&fixed, 0).ok()?, &value.data_type())?, 0);
    (is_same.ok()? == *value).then(|| fixed.as_primitive::<Decimal128Type>().value(0))
}

/// An interval or duration in nanoseconds; `None` of anything else.
fn nanos(value: &ScalarValue) -> Result<Option<i128>> {
    match value.data_type() {
        DataType::Interval(_) => {
            let Some(interval) = cast_one(value, &DataType::Interval(IntervalUnit::MonthDayNano)) else {
                return Ok(None);
            };
            let interval = interval.as_primitive::<IntervalMonthDayNanoType>().value(0);
            if interval.months != 0 {
                let error = Error::usage(format!("a tolerance of {value}: months differ in length"));
                return Err(error.with_hint("write days"));
            }
            Ok(Some(i128::from(interval.days) * NANOS_PER_DAY + i128::from(interval.nanoseconds)))
        }
        DataType::Duration(unit) => {
            let ticks = cast_one(value, &DataType::Int64);
            Ok(ticks.map(|ticks| i128::from(ticks.as_primitive::<Int64Type>().value(0)) * nanos_per(&unit)))
        }
        _ => Ok(None),
    }
}

fn nanos_per(unit: &TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn nanos_per_step(place_type: &DataType) -> Option<i128> {
    use DataType::*;
    match place_type {
        Date32 => Some(NANOS_PER_DAY),
        Date64 => Some(1_000_000),
        Timestamp(unit, _) | Time32(unit) | Time64(unit) | Duration(unit) => Some(nanos_per(unit)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn days(months: i32, days: i32, nanos: i64) -> ScalarValue {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
    }

    #[test]
    fn a_tolerance_is_of_the_kind_of_the_places() {
        use DataType::*;
        let micros = Timestamp(TimeUnit::Microsecond, None);
        let steps = |n| Some(Tolerance::Steps(n));
        let decimal = |value| ScalarValue::Decimal128(Some(value), 5, 3);
        for (value, places, want) in [
            (ScalarValue::from(3i64), Int32, steps(3)),
            (ScalarValue::from(3u8), UInt64, steps(3)),
            (ScalarValue::from(u64::MAX), UInt64, steps(u64::MAX.into())),
            (ScalarValue::from(1.5f64), Int64, None),
            (ScalarValue::from(2.0f64), Int64, None),
            (ScalarValue::from(-1i64), Int64, None),
            (ScalarValue::from("3"), Int64, None),
            (ScalarValue::Int64(None), Int64, None),
            (days(0, 1, 0), Int64, None),
            (ScalarValue::from(2i64), Float32, Some(Tolerance::Float(2.0))),
            (ScalarValue::from(0.5f64), Float64, Some(Tolerance::Float(0.5))),
            (ScalarValue::from(f64::NAN), Float64, None),
            (days(0, 1, 0), Float64, None),
            (ScalarValue::from(0.5f64), Decimal128(10, 2), steps(50)),
            (ScalarValue::from(0.125f64), Decimal128(10, 2), None),
            (ScalarValue::from(7i64), Decimal64(10, 2), steps(700)),
            (decimal(1500), Decimal128(10, 2), steps(150)),
            (decimal(1501), Decimal128(10, 2), None),
            (ScalarValue::from(7i64), micros.clone(), None),
            (ScalarValue::from("7s"), micros.clone(), None),
            (days(0, 1, 1500), micros.clone(), steps(86_400_000_001)),
            (days(1, 0, 0), micros.clone(), None),
            (ScalarValue::DurationSecond(Some(2)), micros, steps(2_000_000)),
            (days(0, 2, 5), Date32, steps(2)),
            (ScalarValue::DurationNanosecond(Some(i64::MAX)), Date64, steps(9_223_372_036_854)),
            (ScalarValue::from(1i64), Date32, None),
        ] {
            let found = tolerance(&value, &places);
            assert_eq!(found.as_ref().ok(), want.as_ref(), "{value:?} for {places}: {found:?}");
        }
    }
}
