//! Mistakes that look like pipelines: keys that no step derives, joins of numbers with texts, joins that multiply rows.

use arrow::datatypes::DataType;

use super::fields::Text;
use super::relations::{Relation, is_text, is_time};
use super::step_sql::StepCx;
use crate::error::{Error, Result};
use crate::exec::{NodeIdx, OperatorMetrics, RunMetrics, group_digits};

/// Keys that people expect to follow from a date, with the expression that gives them.
const DATE_PARTS: [&str; 9] = ["year", "quarter", "month", "week", "day", "hour", "minute", "weekday", "date"];

/// A key that is no column: with the step that would derive it, when it is a part of a date.
pub(super) fn missing_key(cx: &StepCx<'_>, key: &Text, input: &str, relation: &Relation) -> Error {
    let usual = relation.no_column(cx.source, input, key);
    let lower = key.text.to_ascii_lowercase();
    if !DATE_PARTS.contains(&lower.as_str()) {
        return usual;
    }
    let Some(from) = date_column(cx, relation) else { return usual };
    let parts = missing_parts(cx, relation);
    let columns: Vec<String> = parts.iter().map(|part| format!("{part}: \"{}\"", derive(part, &from))).collect();
    let step = format!("{{id: with_{lower}, type: with_columns, input: {input}, columns: {{{}}}}}", columns.join(", "));
    let message = format!("no step derives the key {:?}: {input} has no such column", key.text);
    cx.source
        .error(key.place, message)
        .with_hint(format!("add this step before {:?} and let it read that: - {step}", cx.step.id.text))
}

/// All parts of a date that this step lacks.
fn missing_parts(cx: &StepCx<'_>, relation: &Relation) -> Vec<String> {
    let super::spec::Operation::GroupBy { keys, .. } = &cx.step.operation else { return vec![] };
    let names = keys.iter().map(|key| key.expr.text.clone());
    names.filter(|name| !relation.has(name) && DATE_PARTS.contains(&name.to_ascii_lowercase().as_str())).collect()
}

/// The column that dates are most likely taken from, as SQL: that of the pipeline's date range, or else the first one.
fn date_column(cx: &StepCx<'_>, relation: &Relation) -> Option<String> {
    let as_time = |column: &str, data_type: &DataType| match is_text(data_type) {
        true => format!("CAST({} AS TIMESTAMP)", named(column)),
        false => named(column),
    };
    let ranged = cx.date_columns.iter().find_map(|column| relation.schema.field_with_name(column).ok());
    if let Some(field) = ranged.filter(|field| is_time(field.data_type()) || is_text(field.data_type())) {
        return Some(as_time(field.name(), field.data_type()));
    }
    if let Some(column) = relation.time_columns().first() {
        return Some(named(column));
    }
    let is_dated = |name: &str| ["timestamp", "date", "time", "_ts", "_at"].iter().any(|part| name.contains(part));
    let mut texts = relation.schema.fields().iter().filter(|field| is_text(field.data_type()));
    let text = texts.find(|field| is_dated(&field.name().to_ascii_lowercase()))?;
    Some(as_time(text.name(), text.data_type()))
}

/// A column as it would be written by hand.
fn named(column: &str) -> String {
    let plain = column.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if plain { column.to_string() } else { format!("\\\"{column}\\\"") }
}

fn derive(part: &str, column: &str) -> String {
    match part.to_ascii_lowercase().as_str() {
        "date" => format!("CAST({column} AS DATE)"),
        part => format!("{part}({column})"),
    }
}

/// `'01001' = 1001` compares as texts and never holds; nobody means it.
pub(super) fn check_key_types(cx: &StepCx<'_>, left: (&Text, &DataType), right: (&Text, &DataType)) -> Result<()> {
    let ((left_key, left_type), (right_key, right_type)) = (left, right);
    if is_text(left_type) == is_text(right_type) || !(left_type.is_numeric() || right_type.is_numeric()) {
        return Ok(());
    }
    let (text_idx, other) = if is_text(left_type) { (0, right_key) } else { (1, left_key) };
    let number_input = cx.input(1 - text_idx)?;
    let message = format!(
        "{:?} of {} is {left_type} and {:?} of {} is {right_type}: a text and a number are joined",
        left_key.text,
        cx.input(0)?,
        right_key.text,
        cx.input(1)?,
    );
    let hint = format!(
        "read it as a text (inputs: {number_input}: schema: {{{0}: varchar}}) or add a step: - {{type: cast, input: \
         {number_input}, columns: {{{0}: varchar}}}}",
        other.text
    );
    Err(cx.source.error(right_key.place, message).with_hint(hint))
}

/// A join whose key several rows of both sides have, so that it gave more rows than it would if one side had each once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Multiplied {
    pub(super) operator: NodeIdx,
    /// The kind of join and its condition.
    pub(super) join: String,
    pub(super) left_rows: u64,
    pub(super) right_rows: u64,
    pub(super) rows: u64,
    /// Rows beyond those that a key which is unique on one side would give, where the join counted them.
    pub(super) repeated: Option<u64>,
}

impl Multiplied {
    /// Rows that there would be if the key were unique on one side. What the join cannot count, since a further condition
    /// decides about pairs, is told from the rows alone.
    fn expected_rows(&self) -> u64 {
        if let Some(repeated) = self.repeated {
            return self.rows.saturating_sub(repeated).max(1);
        }
        let is_outer = ["left", "right", "full"].iter().any(|kind| self.join.starts_with(kind));
        let most = match is_outer {
            true => self.left_rows.saturating_add(self.right_rows),
            false => self.left_rows.max(self.right_rows),
        };
        most.max(1)
    }

    fn factor(&self) -> f64 {
        self.rows as f64 / self.expected_rows() as f64
    }

    /// What the user should know.
    pub(super) fn warning(&self, step: Option<&str>) -> String {
        let (left, right, rows) =
            (group_digits(self.left_rows), group_digits(self.right_rows), group_digits(self.rows));
        let step = step.map_or(String::new(), |step| format!(" {step:?}"));
        format!(
            "the join{step} ({}) multiplies rows by {:.1}: {left} and {right} rows give {rows}, since its key is unique on \
             neither side",
            self.join,
            self.factor()
        )
    }
}

/// The joins of a finished query that multiplied rows. Small differences are not worth a word.
pub(super) fn multiplied(metrics: &RunMetrics) -> Vec<Multiplied> {
    const LEAST_FACTOR: f64 = 1.05;
    let of = |(operator, join): (NodeIdx, &OperatorMetrics)| {
        let rows_of = |idx: usize| Some(metrics.operators.get(*join.inputs.get(idx)?)?.rows_out);
        let multiplied = Multiplied {
            operator,
            join: join.detail.split(", build ").next().unwrap_or_default().to_string(),
            left_rows: rows_of(0)?,
            right_rows: rows_of(1)?,
            rows: join.rows_out,
            repeated: join.n_repeated_pairs,
        };
        (multiplied.factor() >= LEAST_FACTOR && !join.detail.starts_with("cross")).then_some(multiplied)
    };
    metrics.operators.iter().enumerate().filter(|(_, operator)| operator.name == "Join").filter_map(of).collect()
}
