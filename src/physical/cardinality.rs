//! How many rows a plan gives, guessed before it runs.
//!
//! Row counts and bounds come from file metadata; distinct values from dictionaries, from the range of whole numbers, or
//! else every row counts as different. Distinct values are those of the column before rows were dropped: a filtered
//! side of a join still stands for its share of all keys.
//!
//! Guesses decide the order of joins, build sides and what is worth computing once; never the result.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Aggregate, Distinct, Expr, FetchType, Join, JoinType, LogicalPlan, TableScan};

use super::expression::plain_column;
use super::selectivity::{named_values, number, share_of};
use super::shared::SharedPlan;
use super::table::FileTable;
use crate::io::ColumnStatistics;

/// Rows of a table whose size is not known at all.
const UNKNOWN_ROWS: f64 = 10_000.0;
/// What a row takes beside its values.
const ROW_BYTES: f64 = 16.0;
/// What a text takes, about.
const LONG_VALUE_BYTES: usize = 24;
/// What a value takes in a text file, about.
const TEXT_VALUE_BYTES: f64 = 8.0;
/// Most of what can be said against a row by EXISTS.
const LEAST_ANTI_SHARE: f64 = 0.1;
/// From this share of rows on, different values count as one a row.
const UNIQUE_SHARE: f64 = 0.9;

/// What is guessed of the result of a plan.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// Rows.
    pub rows: f64,
    /// One entry a column of the plan's schema.
    pub columns: Vec<ColumnEstimate>,
}

/// What is guessed of one column.
#[derive(Debug, Clone)]
pub struct ColumnEstimate {
    /// Distinct values before any rows were dropped.
    pub distinct: f64,
    /// How many of them conditions leave that name the values.
    pub named: Option<f64>,
    /// Rows that the column had then.
    pub base_rows: f64,
    /// Smallest and largest value, where the type is a line.
    pub range: Option<(f64, f64)>,
    /// The share of NULLs.
    pub null_share: f64,
}

/// The rows that `plan` will give, about. `None` when nothing is known of one of its tables.
pub fn estimate_rows(plan: &LogicalPlan) -> Option<f64> {
    is_known(plan).then(|| estimate(plan).rows)
}

/// What a row of `plan` takes, about.
pub fn row_bytes(plan: &LogicalPlan) -> f64 {
    let fields = plan.schema().fields().iter();
    let widths = fields.map(|field| field.data_type().primitive_width().unwrap_or(LONG_VALUE_BYTES));
    ROW_BYTES + widths.sum::<usize>() as f64
}

fn is_known(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<FileTable>().is_some_and(|table| {
            let statistics = table.statistics();
            statistics.n_rows.is_some() || statistics.file_bytes > 0
        }),
        other => other.inputs().into_iter().all(is_known),
    }
}

impl ColumnEstimate {
    /// A column of `rows` values of which nothing is known.
    pub fn unknown(rows: f64) -> Self {
        ColumnEstimate { distinct: rows.max(1.0), named: None, base_rows: rows.max(1.0), range: None, null_share: 0.0 }
    }

    /// Whether no value was there twice.
    pub fn is_unique(&self) -> bool {
        self.distinct >= UNIQUE_SHARE * self.base_rows
    }

    /// The share of all values that `rows` of the column have.
    pub fn partners(&self, rows: f64) -> f64 {
        match self.is_unique() {
            true => rows / self.base_rows,
            false => self.distinct_among(rows) / self.distinct.max(1.0),
        }
    }

    /// Distinct values that there may still be.
    pub fn distinct_left(&self) -> f64 {
        self.named.map_or(self.distinct, |named| named.min(self.distinct))
    }

    /// Distinct values that `rows` of the column have, when they are drawn at random.
    fn distinct_among(&self, rows: f64) -> f64 {
        expected_distinct(self.distinct, rows)
    }
}

/// Different values among `rows` draws of `distinct` values.
pub fn expected_distinct(distinct: f64, rows: f64) -> f64 {
    let distinct = distinct.max(1.0);
    (distinct * -(-rows / distinct).exp_m1()).clamp(1.0, rows.max(1.0))
}

/// Guesses the rows and columns of `plan`.
pub fn estimate(plan: &LogicalPlan) -> Estimate {
    match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan),
        LogicalPlan::Projection(projection) => {
            let input = estimate(&projection.input);
            let columns = projection.expr.iter().map(|expr| input.of_expression(expr, projection.input.schema()));
            Estimate { columns: columns.collect(), rows: input.rows }
        }
        LogicalPlan::Filter(filter) => {
            let input = estimate(&filter.input);
            let schema = filter.input.schema();
            let share = input.share_of([&filter.predicate], schema);
            let mut columns = input.columns;
            note_named_values([&filter.predicate], &mut columns, |column| schema.maybe_index_of_column(column));
            Estimate { rows: (input.rows * share).max(1.0), columns }
        }
        LogicalPlan::Join(join) => of_join(join),
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let input = estimate(input);
            let rows = n_groups(&input.columns, input.rows);
            Estimate { rows, ..input }
        }
        LogicalPlan::Limit(limit) => {
            let input = estimate(&limit.input);
            let fetch = match limit.get_fetch_type() {
                Ok(FetchType::Literal(Some(fetch))) => fetch as f64,
                _ => f64::INFINITY,
            };
            Estimate { rows: input.rows.min(fetch), ..input }
        }
        LogicalPlan::Sort(sort) => {
            let input = estimate(&sort.input);
            Estimate { rows: sort.fetch.map_or(input.rows, |fetch| input.rows.min(fetch as f64)), ..input }
        }
        LogicalPlan::SubqueryAlias(alias) => estimate(&alias.input),
        LogicalPlan::Extension(extension)
            if let Some(shared) = extension.node.as_any().downcast_ref::<SharedPlan>() =>
        {
            estimate(shared.input())
        }
        LogicalPlan::Union(union) => {
            let rows = union.inputs.iter().map(|input| estimate(input).rows).sum();
            of_unknown(rows, plan)
        }
        LogicalPlan::Values(values) => of_unknown(values.values.len() as f64, plan),
        LogicalPlan::EmptyRelation(empty) => of_unknown(f64::from(u8::from(empty.produce_one_row)), plan),
        LogicalPlan::Window(window) => {
            let input = estimate(&window.input);
            let more = plan.schema().fields().len() - input.columns.len();
            let new = std::iter::repeat_n(ColumnEstimate::unknown(input.rows), more);
            Estimate { columns: input.columns.iter().cloned().chain(new).collect(), rows: input.rows }
        }
        other => {
            let rows = other.inputs().iter().map(|input| estimate(input).rows).fold(1.0, f64::max);
            of_unknown(rows, plan)
        }
    }
}

fn of_unknown(rows: f64, plan: &LogicalPlan) -> Estimate {
    Estimate { rows, columns: vec![ColumnEstimate::unknown(rows); plan.schema().fields().len()] }
}

fn of_scan(scan: &TableScan) -> Estimate {
    let schema = scan.source.schema();
    let n_columns = schema.fields().len();
    let Some(table) = scan.source.downcast_ref::<FileTable>() else {
        let columns = vec![ColumnEstimate::unknown(UNKNOWN_ROWS); scan.projected_schema.fields().len()];
        return Estimate { rows: UNKNOWN_ROWS, columns };
    };
    let statistics = table.statistics();
    let from_bytes = match statistics.file_bytes {
        0 => UNKNOWN_ROWS,
        bytes => (bytes as f64 / (TEXT_VALUE_BYTES * n_columns.max(1) as f64)).max(1.0),
    };
    let rows = statistics.n_rows.map_or(from_bytes, |n_rows| n_rows as f64);
    let of_column = |idx: usize| match statistics.columns.get(idx) {
        Some(known) => of_statistics(known, schema.field(idx).data_type(), rows),
        None => ColumnEstimate::unknown(rows),
    };
    let mut all: Vec<ColumnEstimate> = (0..n_columns).map(of_column).collect();
    let lookup = |column: &Column| schema.index_of(&column.name).ok().map(|idx| &all[idx]);
    let share = share_of(&scan.filters, &lookup);
    note_named_values(&scan.filters, &mut all, |column| schema.index_of(&column.name).ok());
    let kept = if rows == 0.0 { 0.0 } else { (rows * share).max(1.0) };
    let rows = scan.fetch.map_or(kept, |fetch| kept.min(fetch as f64));
    let columns = match &scan.projection {
        Some(projection) => projection.iter().map(|&idx| all[idx].clone()).collect(),
        None => all,
    };
    Estimate { rows, columns }
}

fn of_statistics(known: &ColumnStatistics, data_type: &DataType, rows: f64) -> ColumnEstimate {
    let value = |bound: &Option<ArrayRef>| number(&ScalarValue::try_from_array(bound.as_ref()?, 0).ok()?);
    let range = value(&known.min).zip(value(&known.max)).filter(|(min, max)| min <= max);
    let in_range = range.filter(|_| has_steps(data_type)).map(|(min, max)| max - min + 1.0);
    // The values of a row group say little about whole numbers, which often ascend through a file.
    let likely = known.likely_distinct.filter(|_| in_range.is_none());
    let in_dictionary = likely.or(known.max_distinct).map(|n| n as f64);
    let distinct = in_dictionary.unwrap_or(rows).min(in_range.unwrap_or(rows)).min(rows).max(1.0);
    let null_share = known.n_nulls.map_or(0.0, |n_nulls| (n_nulls as f64 / rows.max(1.0)).min(1.0));
    ColumnEstimate { distinct, named: None, base_rows: rows.max(1.0), range, null_share }
}

/// Notes in `columns` how many values `conditions` leave of those whose values they name.
fn note_named_values<'e>(
    conditions: impl IntoIterator<Item = &'e Expr>,
    columns: &mut [ColumnEstimate],
    place: impl Fn(&Column) -> Option<usize>,
) {
    for (column, n_values) in conditions.into_iter().flat_map(split_conjunction).filter_map(named_values) {
        if let Some(known) = place(column).and_then(|idx| columns.get_mut(idx)) {
            known.named = Some(known.named.map_or(n_values, |before| before.min(n_values)));
        }
    }
}

/// Whether neighbouring values differ by one.
fn has_steps(data_type: &DataType) -> bool {
    use DataType::*;
    data_type.is_integer() || matches!(data_type, Date32 | Boolean | Decimal128(_, 0))
}

impl Estimate {
    fn of_expression(&self, expr: &Expr, schema: &DFSchema) -> ColumnEstimate {
        if let Some(idx) = plain_column(expr, schema) {
            return self.columns[idx].clone();
        }
        if expr.column_refs().is_empty() {
            return ColumnEstimate { distinct: 1.0, ..ColumnEstimate::unknown(self.rows) };
        }
        // Something computed has no more values than what it is computed from.
        let refs = expr.column_refs();
        let sources = refs.iter().filter_map(|column| schema.maybe_index_of_column(column));
        let most: f64 = sources.map(|idx| self.columns[idx].distinct).product();
        ColumnEstimate { distinct: most.clamp(1.0, self.rows.max(1.0)), ..ColumnEstimate::unknown(self.rows) }
    }

    /// The share of rows that `conditions` keep.
    pub fn share_of<'e>(&self, conditions: impl IntoIterator<Item = &'e Expr>, schema: &DFSchema) -> f64 {
        let lookup = |column: &Column| schema.maybe_index_of_column(column).and_then(|idx| self.columns.get(idx));
        share_of(conditions, &lookup)
    }

    /// What is guessed of `expr` over the rows of a plan of `schema`.
    pub fn key(&self, expr: &Expr, schema: &DFSchema) -> ColumnEstimate {
        match expr {
            Expr::Cast(cast) => self.key(&cast.expr, schema),
            other => self.of_expression(other, schema),
        }
    }
}

fn of_aggregate(aggregate: &Aggregate) -> Estimate {
    let input = estimate(&aggregate.input);
    let schema = aggregate.input.schema();
    let n_columns = aggregate.schema.fields().len();
    let mut columns: Vec<ColumnEstimate> = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(set)] => {
            set.distinct_expr().into_iter().map(|expr| input.of_expression(expr, schema)).collect()
        }
        keys => keys.iter().map(|expr| input.of_expression(expr, schema)).collect(),
    };
    let rows = if columns.is_empty() { 1.0 } else { n_groups(&columns, input.rows) };
    for column in &mut columns {
        column.base_rows = rows.max(1.0);
        column.distinct = column.distinct.min(rows).max(1.0);
    }
    columns.resize(n_columns, ColumnEstimate::unknown(rows));
    Estimate { rows, columns }
}

/// Groups by all of `keys` among `rows`.
fn n_groups(keys: &[ColumnEstimate], rows: f64) -> f64 {
    keys.iter().map(|key| key.distinct_among(rows)).product::<f64>().clamp(rows.min(1.0), rows.max(1.0))
}

/// How many different combinations of keys the two sides of a join have between them. `pairs` are the equal columns.
///
/// A side whose key is unique has all the values there are, so the other side's are among them. Otherwise the side with
/// fewer values is taken to have a part of those of the other.
pub fn key_domain(pairs: &[(ColumnEstimate, ColumnEstimate)]) -> f64 {
    let combined = |side: &dyn Fn(&(ColumnEstimate, ColumnEstimate)) -> ColumnEstimate| {
        let columns: Vec<ColumnEstimate> = pairs.iter().map(side).collect();
        let base_rows = columns.iter().map(|column| column.base_rows).fold(f64::INFINITY, f64::min);
        let distinct = columns.iter().map(|column| column.distinct).product::<f64>().min(base_rows);
        (distinct, distinct >= UNIQUE_SHARE * base_rows)
    };
    let (left, right) = (combined(&|pair| pair.0.clone()), combined(&|pair| pair.1.clone()));
    match (left, right) {
        ((left, true), (right, true)) => left.min(right),
        ((left, true), _) => left,
        (_, (right, true)) => right,
        ((left, _), (right, _)) => left.max(right),
    }
    .max(1.0)
}

/// Rows of the left and the right side of `join`, and pairs of them with equal keys.
pub fn join_candidates(join: &Join) -> (f64, f64, f64) {
    let (left, right) = (estimate(&join.left), estimate(&join.right));
    let key = |(l, r): &(Expr, Expr)| (left.key(l, join.left.schema()), right.key(r, join.right.schema()));
    let pairs: Vec<_> = join.on.iter().map(key).collect();
    let domain = if pairs.is_empty() { 1.0 } else { key_domain(&pairs) };
    (left.rows, right.rows, left.rows * right.rows / domain)
}

fn of_join(join: &Join) -> Estimate {
    let (left, right) = (estimate(&join.left), estimate(&join.right));
    let key = |(l, r): &(Expr, Expr)| (left.key(l, join.left.schema()), right.key(r, join.right.schema()));
    let pairs: Vec<_> = join.on.iter().map(key).collect();
    let domain = if pairs.is_empty() { 1.0 } else { key_domain(&pairs) };
    let both = Estimate {
        rows: left.rows * right.rows / domain,
        columns: left.columns.iter().chain(&right.columns).cloned().collect(),
    };
    let lookup = |column: &Column| {
        let of = |plan: &LogicalPlan| plan.schema().maybe_index_of_column(column);
        of(&join.left).map(|idx| &left.columns[idx]).or_else(|| of(&join.right).map(|idx| &right.columns[idx]))
    };
    let filter_share = join.filter.as_ref().map_or(1.0, |filter| share_of([filter], &lookup));
    let inner = both.rows * filter_share;
    let matched = |outer: &Estimate, inner_rows: f64| semi_share(&pairs, outer.rows, inner_rows, filter_share);
    let with_mark = |side: &Estimate| {
        let mark = ColumnEstimate { distinct: 2.0, ..ColumnEstimate::unknown(side.rows) };
        Estimate { rows: side.rows, columns: side.columns.iter().cloned().chain([mark]).collect() }
    };
    let anti = |share: f64| (1.0 - share).max(LEAST_ANTI_SHARE);
    match join.join_type {
        JoinType::Inner => Estimate { rows: inner, ..both },
        JoinType::Left => Estimate { rows: inner.max(left.rows), ..both },
        JoinType::Right => Estimate { rows: inner.max(right.rows), ..both },
        JoinType::Full => Estimate { rows: inner.max(left.rows + right.rows), ..both },
        JoinType::LeftSemi => Estimate { rows: left.rows * matched(&left, right.rows), ..left },
        JoinType::RightSemi => Estimate { rows: right.rows * matched(&right, left.rows), ..right },
        JoinType::LeftAnti => Estimate { rows: left.rows * anti(matched(&left, right.rows)), ..left },
        JoinType::RightAnti => Estimate { rows: right.rows * anti(matched(&right, left.rows)), ..right },
        JoinType::LeftMark => with_mark(&left),
        JoinType::RightMark => with_mark(&right),
    }
}

/// The share of rows that have a partner among `inner_rows`; of each pair in `pairs` either side may be the inner one.
pub fn semi_share(
    pairs: &[(ColumnEstimate, ColumnEstimate)],
    outer_rows: f64,
    inner_rows: f64,
    filter_share: f64,
) -> f64 {
    if pairs.is_empty() {
        return filter_share;
    }
    let domain = key_domain(pairs);
    let (partners, least) = (expected_distinct(domain, inner_rows) / domain, 1.0 / outer_rows.max(1.0));
    (partners * filter_share.max(0.5)).clamp(least.min(1.0), 1.0)
}
