//! From a step to the query that computes it, over the names of what it reads.
//!
//! Steps are queries over one another's names, planned as one whole: a filter far down reaches the scan, and a column that
//! nobody uses is never read.

use super::fields::Text;
use super::relations::{Relation, Relations, RowOrder};
use super::source::{Place, Source};
use super::spec::{How, Item, Join, Operation, SortKey, Step};
use super::sql_text::{SqlText, quoted};
use super::{aggregate_sql, fillers, traps};
use crate::error::{Error, Result};
use crate::io::type_names::{parse_type, sql_name};

/// A column of numbers that rows get on the way and lose again.
const ROW_NUMBER: &str = "__brimful_row";
/// The random number of a row.
const PICK: &str = "__brimful_pick";

/// The query of a step, and in which order its rows come.
pub(super) struct StepSql {
    pub(super) sql: SqlText,
    pub(super) order: RowOrder,
}

/// What a step is translated with.
pub(super) struct StepCx<'a> {
    pub(super) source: &'a Source,
    pub(super) step: &'a Step,
    pub(super) relations: &'a Relations,
    /// Columns that the pipeline's date ranges are of.
    pub(super) date_columns: &'a [String],
}

/// Translates a step.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] with its place for columns that are not there and for the traps of [`traps`].
pub(super) fn translate(cx: &StepCx<'_>) -> Result<StepSql> {
    match &cx.step.operation {
        Operation::Join(join) => cx.join(join),
        Operation::JoinAsof(join) => super::asof::translate(cx, join),
        Operation::Union { diagonal } => cx.union(*diagonal),
        Operation::Sql(sql) => {
            let mut text = SqlText::default();
            text.user_sql(sql);
            Ok(StepSql { sql: text, order: RowOrder::Unknown })
        }
        _ => {
            let input = cx.input(0)?;
            let relation = cx.relations.get(input)?;
            cx.of_one(input, relation)
        }
    }
}

impl StepCx<'_> {
    pub(super) fn input(&self, idx: usize) -> Result<&str> {
        let input = self.step.inputs.get(idx).map(Text::as_str);
        input.ok_or_else(|| Error::query(format!("the step {} reads nothing; this is a bug", self.step.id.text)))
    }

    /// A step that reads one other.
    fn of_one(&self, input: &str, relation: &Relation) -> Result<StepSql> {
        let kept = || relation.order.clone();
        let from = |sql: SqlText, order| Ok(StepSql { sql: ending(sql, &format!(" FROM {}", quoted(input))), order });
        match &self.step.operation {
            Operation::Select(items) => from(self.select(items, input, relation)?, order_with(relation, items)),
            Operation::Filter(conditions) => {
                let mut sql = all_of(input);
                conditions_after(&mut sql, conditions);
                Ok(StepSql { sql, order: kept() })
            }
            Operation::WithColumns(columns) => {
                let order = without(kept(), columns.iter().map(|(name, _)| name.as_str()));
                from(computed(relation, columns, |sql, expr| sql.user_expr(expr)), order)
            }
            Operation::Rename(columns) => self.rename(columns, input, relation),
            Operation::Drop(columns) => {
                for name in columns {
                    relation.column(self.source, input, name)?;
                }
                let is_kept = |column: &&str| !columns.iter().any(|name| name.text == *column);
                let mut sql = SqlText::new("SELECT ");
                sql.list(relation.columns().filter(is_kept), |sql, column| sql.name(column));
                from(sql, without(kept(), columns.iter().map(Text::as_str)))
            }
            Operation::Cast { columns, strict } => from(self.cast(columns, *strict, input, relation)?, kept()),
            Operation::GroupBy { keys, aggregations } => {
                let (sql, keys) = aggregate_sql::group_by(self, keys, aggregations, input, relation)?;
                Ok(StepSql { sql, order: RowOrder::Keys(keys) })
            }
            Operation::Sort(keys) => Ok(StepSql { sql: self.sort(keys, input, relation)?, order: RowOrder::Given }),
            Operation::Limit { n, offset } => Ok(StepSql { sql: limit(*n, *offset, input, relation), order: kept() }),
            Operation::Unique { subset, order, last } => self.unique(subset, order, *last, input, relation),
            Operation::Window { partition, order, columns, frame } => {
                let over = self.over(partition, order, frame.as_ref(), input, relation)?;
                from(computed(relation, columns, |sql, expr| over_window(sql, expr, &over)), RowOrder::Unknown)
            }
            Operation::Sample { n, fraction, seed } => Ok(sample(*n, *fraction, *seed, input, relation)),
            Operation::FillNull { columns, all } => {
                let fillers = fillers::fillers(self, columns, all.as_ref(), input, relation)?;
                from(computed(relation, &fillers, |sql, filler| sql.user_sql(filler)), kept())
            }
            Operation::DropNulls(columns) => {
                for name in columns {
                    relation.column(self.source, input, name)?;
                }
                let mut sql = all_of(input);
                let checked: Vec<&str> = match columns.is_empty() {
                    true => relation.columns().collect(),
                    false => columns.iter().map(Text::as_str).collect(),
                };
                for (idx, column) in checked.into_iter().enumerate() {
                    sql.push(if idx == 0 { " WHERE " } else { " AND " }).name(column).push(" IS NOT NULL");
                }
                Ok(StepSql { sql, order: kept() })
            }
            Operation::Join(_) | Operation::JoinAsof(_) | Operation::Union { .. } | Operation::Sql(_) => {
                Err(Error::query("a step of several inputs was taken for one of one; this is a bug"))
            }
        }
    }

    fn select(&self, items: &[Item], input: &str, relation: &Relation) -> Result<SqlText> {
        let mut sql = SqlText::new("SELECT ");
        let mut wrong = Ok(());
        sql.list(items, |sql, item| match &item.alias {
            Some(alias) if relation.has(item.expr.as_str()) => sql.user_name(&item.expr).push(" AS ").user_name(alias),
            None if relation.has(item.expr.as_str()) => sql.user_name(&item.expr),
            Some(alias) => sql.user_expr(&item.expr).push(" AS ").user_name(alias),
            None if is_word(&item.expr.text) => {
                wrong = Err(relation.no_column(self.source, input, &item.expr));
                sql
            }
            None => sql.user_sql(&item.expr),
        });
        wrong.map(|()| sql)
    }

    fn rename(&self, columns: &[(Text, Text)], input: &str, relation: &Relation) -> Result<StepSql> {
        for (old, _) in columns {
            relation.column(self.source, input, old)?;
        }
        let new_name = |column: &str| columns.iter().find(|(old, _)| old.text == column).map(|(_, new)| new);
        let mut sql = SqlText::new("SELECT ");
        sql.list(relation.columns(), |sql, column| match new_name(column) {
            Some(new) => sql.name(column).push(" AS ").user_name(new),
            None => sql.name(column),
        });
        sql.push(&format!(" FROM {}", quoted(input)));
        let order = match relation.order.clone() {
            RowOrder::Keys(keys) => {
                RowOrder::Keys(keys.into_iter().map(|key| new_name(&key).map_or(key, |new| new.text.clone())).collect())
            }
            other => other,
        };
        Ok(StepSql { sql, order })
    }

    fn cast(&self, columns: &[(Text, Text)], strict: bool, input: &str, relation: &Relation) -> Result<SqlText> {
        let mut casts = Vec::with_capacity(columns.len());
        for (name, type_name) in columns {
            relation.column(self.source, input, name)?;
            let data_type = parse_type(&type_name.text);
            let data_type = data_type.map_err(|message| self.source.error(type_name.place, message))?;
            let function = if strict { "CAST" } else { "TRY_CAST" };
            let cast = format!("{function}({} AS {})", quoted(&name.text), sql_name(&data_type));
            casts.push((name.clone(), Text::made(cast, name.place)));
        }
        Ok(computed(relation, &casts, |sql, cast| sql.user_sql(cast)))
    }

    /// ` ORDER BY ..` for keys of the user's.
    fn order_by(&self, keys: &[SortKey], last: bool, input: &str, relation: &Relation) -> Result<SqlText> {
        let mut sql = SqlText::default();
        for (idx, key) in keys.iter().enumerate() {
            sql.push(if idx == 0 { "ORDER BY " } else { ", " });
            if relation.has(key.expr.as_str()) {
                sql.user_name(&key.expr);
            } else if is_word(key.expr.as_str()) {
                return Err(relation.no_column(self.source, input, &key.expr));
            } else {
                sql.user_expr(&key.expr);
            }
            sql.push(if key.descending != last { " DESC" } else { " ASC" });
            // As the frame has it: NULL comes first wherever nothing else is said.
            let nulls_last = key.nulls_last.unwrap_or(false);
            sql.push(if nulls_last != last { " NULLS LAST" } else { " NULLS FIRST" });
        }
        Ok(sql)
    }

    fn sort(&self, keys: &[SortKey], input: &str, relation: &Relation) -> Result<SqlText> {
        let mut sql = all_of(input);
        sql.push(" ").append(self.order_by(keys, false, input, relation)?);
        Ok(sql)
    }

    /// The row of each key that comes first.
    fn unique(
        &self,
        subset: &[Text],
        order: &[SortKey],
        last: bool,
        input: &str,
        relation: &Relation,
    ) -> Result<StepSql> {
        for name in subset {
            relation.column(self.source, input, name)?;
        }
        let names: Vec<String> = match subset.is_empty() {
            true => relation.columns().map(str::to_string).collect(),
            false => subset.iter().map(|name| name.text.clone()).collect(),
        };
        let mut sql = SqlText::new("SELECT ");
        if subset.is_empty() || names.len() == relation.schema.fields().len() {
            sql.push("DISTINCT * FROM ").name(input);
            return Ok(StepSql { sql, order: RowOrder::Keys(names) });
        }
        sql.list(relation.columns(), |sql, column| sql.name(column));
        sql.push(" FROM (SELECT *, row_number() OVER (PARTITION BY ");
        sql.list(&names, |sql, name| sql.name(name));
        sql.push(" ");
        sql.append(self.order_by(order, last, input, relation)?);
        // The rest decides between rows that the order leaves equal, so that every run picks the same.
        sql.push(if order.is_empty() { "ORDER BY " } else { ", " });
        let rest = relation.columns().filter(|column| !names.iter().any(|name| name == column));
        sql.list(rest, |sql, column| sql.name(column));
        sql.push(&format!(") AS {ROW_NUMBER} FROM ")).name(input).push(&format!(") WHERE {ROW_NUMBER} = 1"));
        Ok(StepSql { sql, order: RowOrder::Keys(names) })
    }

    fn over(
        &self,
        partition: &[Text],
        order: &[SortKey],
        frame: Option<&Text>,
        input: &str,
        relation: &Relation,
    ) -> Result<SqlText> {
        let mut sql = SqlText::default();
        for (idx, name) in partition.iter().enumerate() {
            sql.push(if idx == 0 { "PARTITION BY " } else { ", " });
            if relation.has(name.as_str()) {
                sql.user_name(name);
            } else if is_word(name.as_str()) {
                return Err(relation.no_column(self.source, input, name));
            } else {
                sql.user_expr(name);
            }
        }
        if !order.is_empty() {
            sql.push(" ").append(self.order_by(order, false, input, relation)?);
        }
        if let Some(frame) = frame {
            sql.push(" ").user_sql(frame);
        }
        Ok(sql)
    }

    fn join(&self, join: &Join) -> Result<StepSql> {
        let (left_name, right_name) = (self.input(0)?, self.input(1)?);
        let (left, right) = (self.relations.get(left_name)?, self.relations.get(right_name)?);
        for (left_key, right_key) in join.left_on.iter().zip(&join.right_on) {
            let left_type = left.column(self.source, left_name, left_key)?.data_type();
            let right_type = right.column(self.source, right_name, right_key)?.data_type();
            traps::check_key_types(self, (left_key, left_type), (right_key, right_type))?;
        }
        let mut sql = SqlText::new("SELECT ");
        join_columns(&mut sql, join, left, right);
        sql.push(" FROM ").name(left_name).push(" AS l ").push(join_words(join.how)).push(" ");
        sql.name(right_name).push(" AS r");
        for (idx, (left_key, right_key)) in join.left_on.iter().zip(&join.right_on).enumerate() {
            sql.push(if idx == 0 { " ON " } else { " AND " });
            sql.push("l.").user_name(left_key).push(" = r.").user_name(right_key);
        }
        Ok(StepSql { sql, order: RowOrder::Unknown })
    }

    fn union(&self, diagonal: bool) -> Result<StepSql> {
        let first = self.relations.get(self.input(0)?)?;
        let mut sql = SqlText::default();
        let mut given = true;
        for (idx, input) in self.step.inputs.iter().enumerate() {
            let relation = self.relations.get(input.as_str())?;
            given &= relation.order == RowOrder::Given;
            if idx > 0 {
                sql.push(if diagonal { " UNION ALL BY NAME " } else { " UNION ALL " });
            }
            if diagonal {
                sql.push("SELECT * FROM ").name(&input.text);
                continue;
            }
            if let Some(difference) = differing_columns(first, relation) {
                let message = format!("{} and {} have different columns: {difference}", self.input(0)?, input.text);
                let error = self.source.error(input.place, message);
                return Err(error.with_hint("how: diagonal fills what is missing with NULL"));
            }
            sql.push("SELECT ").list(first.columns(), |sql, column| sql.name(column));
            sql.push(" FROM ").name(&input.text);
        }
        Ok(StepSql { sql, order: if given { RowOrder::Given } else { RowOrder::Unknown } })
    }
}

/// Keys stand once, as the left side's; a full join takes what is not NULL.
pub(super) fn join_columns(sql: &mut SqlText, join: &Join, left: &Relation, right: &Relation) {
    let key_of = |column: &str| join.left_on.iter().position(|key| key.text == column);
    sql.list(left.columns(), |sql, column| match (key_of(column), join.how) {
        (Some(idx), How::Full | How::Right) => {
            let (left, right) = (quoted(column), quoted(&join.right_on[idx].text));
            sql.push(&format!("coalesce(l.{left}, r.{right}) AS {left}"))
        }
        _ => sql.push("l.").name(column),
    });
    if matches!(join.how, How::Semi | How::Anti) {
        return;
    }
    let is_key = |column: &&str| join.right_on.iter().any(|key| key.text == *column);
    for column in right.columns().filter(|column| !is_key(column)) {
        sql.push(", r.").name(column);
        if left.has(column) {
            sql.push(" AS ").name(&format!("{column}{}", join.suffix));
        }
    }
}

fn join_words(how: How) -> &'static str {
    match how {
        How::Inner => "JOIN",
        How::Left => "LEFT JOIN",
        How::Right => "RIGHT JOIN",
        How::Full => "FULL JOIN",
        How::Semi => "LEFT SEMI JOIN",
        How::Anti => "LEFT ANTI JOIN",
        How::Cross => "CROSS JOIN",
    }
}

/// What one has and the other has not.
fn differing_columns(first: &Relation, other: &Relation) -> Option<String> {
    let missing = first.columns().filter(|column| !other.has(column)).map(|column| format!("{column} is missing"));
    let added = other.columns().filter(|column| !first.has(column)).map(|column| format!("{column} is new"));
    let differences: Vec<String> = missing.chain(added).collect();
    (!differences.is_empty()).then(|| differences.join(", "))
}

/// `SELECT * FROM input`.
pub(super) fn all_of(input: &str) -> SqlText {
    SqlText::new(&format!("SELECT * FROM {}", quoted(input)))
}

/// ` WHERE (..) AND (..)`.
pub(super) fn conditions_after(sql: &mut SqlText, conditions: &[Text]) {
    for (idx, condition) in conditions.iter().enumerate() {
        sql.push(if idx == 0 { " WHERE " } else { " AND " }).user_expr(condition);
    }
}

/// The columns of `relation`, those of `columns` computed by `add` in their place, new ones at the end.
fn computed(
    relation: &Relation,
    columns: &[(Text, Text)],
    add: impl for<'s> Fn(&'s mut SqlText, &Text) -> &'s mut SqlText,
) -> SqlText {
    let mut sql = SqlText::new("SELECT ");
    let of = |column: &str| columns.iter().find(|(name, _)| name.text == column);
    sql.list(relation.columns(), |sql, column| match of(column) {
        Some((name, expr)) => add(sql, expr).push(" AS ").user_name(name),
        None => sql.name(column),
    });
    for (name, expr) in columns.iter().filter(|(name, _)| !relation.has(name.as_str())) {
        sql.push(", ");
        add(&mut sql, expr).push(" AS ").user_name(name);
    }
    sql
}

/// `expr OVER (..)`; OVER stands behind the call, without parentheses around it.
fn over_window<'s>(sql: &'s mut SqlText, expr: &Text, over: &SqlText) -> &'s mut SqlText {
    sql.user_sql(expr).push(" OVER (").append(over.clone()).push(")")
}

/// Rows in an order that is the same every time, as far as there is one.
pub(super) fn ordered(input: &str, relation: &Relation) -> SqlText {
    let mut sql = all_of(input);
    if let RowOrder::Keys(keys) = &relation.order
        && !keys.is_empty()
    {
        sql.push(" ORDER BY ").list(keys, |sql, key| sql.name(key));
    }
    sql
}

/// Rows in an order that is the same every time, by all columns where nothing else tells them apart: which rows are picked
/// must not depend on threads.
fn settled(input: &str, relation: &Relation) -> SqlText {
    let mut sql = ordered(input, relation);
    if relation.order == RowOrder::Unknown {
        sql.push(" ORDER BY ").list(relation.columns(), |sql, column| sql.name(column));
    }
    sql
}

fn limit(n: Option<u64>, offset: u64, input: &str, relation: &Relation) -> SqlText {
    let mut sql = settled(input, relation);
    if let Some(n) = n {
        sql.push(&format!(" LIMIT {n}"));
    }
    if offset > 0 {
        sql.push(&format!(" OFFSET {offset}"));
    }
    sql
}

/// Rows by a random number that follows from the place of the row and the seed, in the order they come in.
fn sample(n: Option<u64>, fraction: Option<f64>, seed: u64, input: &str, relation: &Relation) -> StepSql {
    let mut sql = SqlText::new("SELECT ");
    sql.list(relation.columns(), |sql, column| sql.name(column));
    let number = format!("(SELECT *, row_number() OVER () - 1 AS {ROW_NUMBER} FROM (");
    let pick = format!("sample_key({ROW_NUMBER}, {seed})");
    let mut order = relation.order.clone();
    match (n, fraction) {
        (Some(n), _) => {
            sql.push(&format!(" FROM (SELECT *, {pick} AS {PICK} FROM {number}"));
            sql.append(settled(input, relation));
            sql.push(&format!(")) ORDER BY {PICK}, {ROW_NUMBER} LIMIT {n}) ORDER BY {ROW_NUMBER}"));
            order = RowOrder::Given;
        }
        (None, fraction) => {
            sql.push(&format!(" FROM {number}")).append(settled(input, relation));
            sql.push(&format!(")) WHERE {pick} < {:?}", fraction.unwrap_or(1.0)));
        }
    }
    StepSql { sql, order }
}

/// Whether a text can only be the name of a column.
pub(super) fn is_word(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|letter| letter.is_alphabetic() || letter == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null")
}

/// The order that is left when only `items` are.
fn order_with(relation: &Relation, items: &[Item]) -> RowOrder {
    let kept = |key: &String| items.iter().any(|item| item.expr.text == *key && item.alias.is_none());
    match &relation.order {
        RowOrder::Keys(keys) if !keys.iter().all(kept) => RowOrder::Unknown,
        other => other.clone(),
    }
}

/// The order that is left when `changed` columns are others.
fn without<'a>(order: RowOrder, mut changed: impl Iterator<Item = &'a str>) -> RowOrder {
    match order {
        RowOrder::Keys(keys) if changed.any(|name| keys.iter().any(|key| key == name)) => RowOrder::Unknown,
        other => other,
    }
}

fn ending(mut sql: SqlText, end: &str) -> SqlText {
    sql.push(end);
    sql
}

/// The place that a step's SQL is told at when nothing of the user's is to blame.
pub(super) fn fallback(step: &Step) -> Place {
    match &step.operation {
        Operation::Sql(sql) => sql.place,
        _ => step.place,
    }
}
