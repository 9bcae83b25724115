//! `brimful describe`.
//!
//! One pass: all figures of all columns are aggregates of one query, whose only row is turned into one row a column.
//! Memory: the states of the aggregates, small ones each unless --exact sorts the columns.

use arrow::datatypes::{DataType, Field};

use super::args::{DescribeArgs, session_options};
use super::delivery::{Delivery, output_of};
use super::input::{Input, literal, quoted};
use super::schema::type_name;
use crate::error::Result;
use crate::exec::CancelToken;
use crate::session::Session;

/// Longer texts are cut: they are there to be looked at.
const MOST_LETTERS: usize = 60;

/// Summarizes every column.
pub(super) fn run(args: &DescribeArgs, cancel: &CancelToken) -> Result<()> {
    let output = output_of(&args.output)?;
    let session = Session::new(session_options(&args.session, &args.reading))?;
    let input = Input::open(&session, &args.input.files)?;
    let fields = input.fields(&args.columns)?;
    let fields: Vec<&Field> = fields.iter().map(AsRef::as_ref).collect();
    let sql = summary(&fields, args.exact, &input.sql());
    Delivery::new(&session, &args.messages, cancel).run(session.sql(&sql)?, &output).map(|_| ())
}

/// One figure of the summary.
struct Figure {
    name: &'static str,
    sql_type: &'static str,
    /// The aggregate over a column, if it has this figure.
    aggregate: fn(&Summarized<'_>) -> Option<String>,
}

/// A column, and how exactly it is summarized.
struct Summarized<'a> {
    column: String,
    data_type: &'a DataType,
    exact: bool,
}

const FIGURES: [Figure; 10] = [
    Figure { name: "count", sql_type: "BIGINT", aggregate: |of| Some(format!("count({})", of.column)) },
    Figure { name: "nulls", sql_type: "BIGINT", aggregate: |of| Some(format!("count(*) - count({})", of.column)) },
    Figure { name: "distinct", sql_type: "BIGINT", aggregate: |of| of.distinct() },
    Figure { name: "mean", sql_type: "DOUBLE", aggregate: |of| of.numeric(|x| format!("avg({x})")) },
    Figure { name: "std", sql_type: "DOUBLE", aggregate: |of| of.numeric(|x| format!("stddev({x})")) },
    Figure { name: "min", sql_type: "VARCHAR", aggregate: |of| of.extreme("min") },
    Figure { name: "q25", sql_type: "DOUBLE", aggregate: |of| of.quantile("0.25") },
    Figure { name: "median", sql_type: "DOUBLE", aggregate: |of| of.quantile("0.5") },
    Figure { name: "q75", sql_type: "DOUBLE", aggregate: |of| of.quantile("0.75") },
    Figure { name: "max", sql_type: "VARCHAR", aggregate: |of| of.extreme("max") },
];

impl Figure {
    /// Its type, and with `has_days` that of figures that are days for some columns and numbers for others.
    fn shown_type(&self, has_days: bool) -> &'static str {
        match self.name {
            "q25" | "median" | "q75" if has_days => "VARCHAR",
            _ => self.sql_type,
        }
    }

    /// Its name in the result: approximate figures say so.
    fn shown_name(&self, exact: bool) -> String {
        match self.name {
            "distinct" | "q25" | "median" | "q75" if !exact => format!("approx_{}", self.name),
            name => name.to_string(),
        }
    }
}

impl Summarized<'_> {
    fn numeric(&self, aggregate: impl Fn(&str) -> String) -> Option<String> {
        self.data_type.is_numeric().then(|| aggregate(&format!("CAST({} AS DOUBLE)", self.column)))
    }

    fn quantile(&self, part: &str) -> Option<String> {
        let function = if self.exact { "percentile_cont" } else { "approx_percentile_cont" };
        self.numeric(|x| format!("{function}({part}) WITHIN GROUP (ORDER BY {x})"))
            .or_else(|| self.quantile_of_days(part))
    }

    /// Of dates and timestamps, as text: one of the values, or the moment nearest to the approximate number.
    fn quantile_of_days(&self, part: &str) -> Option<String> {
        let column = &self.column;
        let number = match self.data_type {
            DataType::Date32 => "Int32",
            DataType::Timestamp(..) => "Int64",
            _ => return None,
        };
        if self.exact {
            return Some(format!("CAST(percentile_disc({part}) WITHIN GROUP (ORDER BY {column}) AS VARCHAR)"));
        }
        let place = format!("CAST(arrow_cast({column}, '{number}') AS DOUBLE)");
        let found = format!("round(approx_percentile_cont({part}) WITHIN GROUP (ORDER BY {place}))");
        let moment = format!("arrow_cast(arrow_cast({found}, '{number}'), {})", literal(&self.data_type.to_string()));
        Some(format!("CAST({moment} AS VARCHAR)"))
    }

    fn has_days(&self) -> bool {
        matches!(self.data_type, DataType::Date32 | DataType::Timestamp(..))
    }

    fn distinct(&self) -> Option<String> {
        let column = &self.column;
        match self.data_type {
            nested if nested.is_nested() => None,
            DataType::Null => None,
            _ if self.exact => Some(format!("count(DISTINCT {column})")),
            number if number.is_integer() => Some(self.sketched(column)),
            DataType::Utf8 => Some(self.sketched(column)),
            // The sketch does not know the other types.
            _ => Some(self.sketched(&format!("CAST({column} AS VARCHAR)"))),
        }
    }

    /// A sketch may count more values than there are rows.
    fn sketched(&self, values: &str) -> String {
        format!("least(CAST(approx_distinct({values}) AS BIGINT), count({}))", self.column)
    }

    fn extreme(&self, function: &str) -> Option<String> {
        let column = &self.column;
        match self.data_type {
            nested if nested.is_nested() => None,
            DataType::Null | DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => None,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
                Some(format!("left({function}({column}), {MOST_LETTERS})"))
            }
            _ => Some(format!("CAST({function}({column}) AS VARCHAR)")),
        }
    }
}

/// The query: aggregates in one row, then lists of them side by side, then a row for every element.
fn summary(fields: &[&Field], exact: bool, table: &str) -> String {
    let columns: Vec<Summarized<'_>> = fields
        .iter()
        .map(|field| Summarized { column: quoted(field.name()), data_type: field.data_type(), exact })
        .collect();
    let has_days = columns.iter().any(Summarized::has_days);
    let texts = |text: fn(&Field) -> String| {
        let texts: Vec<String> = fields.iter().map(|field| literal(&text(field))).collect();
        texts.join(", ")
    };
    let mut lists = vec![
        format!("unnest(make_array({})) AS \"column\"", texts(|field| field.name().clone())),
        format!("unnest(make_array({})) AS \"type\"", texts(|field| type_name(field.data_type()))),
    ];
    let mut aggregates = Vec::new();
    for figure in &FIGURES {
        let elements: Vec<String> = columns
            .iter()
            .map(|column| match (figure.aggregate)(column) {
                Some(aggregate) => {
                    let name = format!("f{}", aggregates.len());
                    let sql_type = figure.shown_type(has_days);
                    aggregates.push(format!("{aggregate} AS {name}"));
                    if sql_type == figure.sql_type { name } else { format!("CAST({name} AS {sql_type})") }
                }
                None => format!("CAST(NULL AS {})", figure.shown_type(has_days)),
            })
            .collect();
        lists.push(format!("unnest(make_array({})) AS \"{}\"", elements.join(", "), figure.shown_name(exact)));
    }
    format!("SELECT {} FROM (SELECT {} FROM {table}) AS summary", lists.join(", "), aggregates.join(", "))
}
