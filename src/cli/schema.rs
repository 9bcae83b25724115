//! `brimful schema`.

use arrow::datatypes::{DataType, Field};
use serde_json::json;

use super::args::{SchemaArgs, SchemaFormat, session_options};
use super::input::{Input, quoted};
use super::{explain, messages};
use crate::error::Result;
pub(super) use crate::io::type_names::type_name;
use crate::session::Session;

/// Shows the columns and their types.
pub(super) fn run(args: &SchemaArgs) -> Result<()> {
    let session = Session::new(session_options(&args.session, &args.reading))?;
    let input = Input::open(&session, &args.input.files)?;
    let schema = input.schema();
    let fields: Vec<&Field> = schema.fields().iter().map(AsRef::as_ref).collect();
    messages::print(&match args.format {
        SchemaFormat::Text => as_text(&fields),
        SchemaFormat::Json => explain::pretty(&fields.iter().map(|field| as_json(field)).collect::<Vec<_>>())?,
        SchemaFormat::Sql => as_sql(&fields),
        SchemaFormat::Flag => as_flag(&fields),
    })
}

/// A line a column, types in one column of the text.
pub(super) fn as_text(fields: &[&Field]) -> String {
    let width = fields.iter().map(|field| field.name().chars().count()).max().unwrap_or(0);
    let line = |field: &&Field| {
        let nullable = if field.is_nullable() { "" } else { "  not null" };
        format!("{:width$}  {}{nullable}\n", field.name(), type_name(field.data_type()))
    };
    fields.iter().map(line).collect()
}

pub(super) fn as_json(field: &Field) -> serde_json::Value {
    json!({ "name": field.name(), "type": type_name(field.data_type()), "nullable": field.is_nullable() })
}

fn as_sql(fields: &[&Field]) -> String {
    let columns = fields.iter().map(|field| {
        let nullable = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("    {} {}{nullable}", quoted(field.name()), sql_type(field.data_type()))
    });
    format!("CREATE TABLE data (\n{}\n);\n", columns.collect::<Vec<_>>().join(",\n"))
}

/// What `--schema` takes, in quotes for a shell.
fn as_flag(fields: &[&Field]) -> String {
    let columns: Vec<String> =
        fields.iter().map(|field| format!("{}={}", field.name(), type_name(field.data_type()))).collect();
    format!("'{}'\n", columns.join(",").replace('\'', "'\\''"))
}

/// The same with the words of SQL in upper case; names stay as they are.
fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{} {}", quoted(field.name()), sql_type(field.data_type())))
                .collect();
            format!("STRUCT({})", fields.join(", "))
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("{}[]", sql_type(item.data_type()))
        }
        other => type_name(other).to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;
    use crate::io::type_names::parse_columns;

    #[test]
    fn the_flag_is_read_as_the_schema_it_was_made_of() {
        let types = [
            DataType::Boolean,
            DataType::Int16,
            DataType::UInt64,
            DataType::Float32,
            DataType::Decimal128(10, 2),
            DataType::Utf8,
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ];
        let fields: Vec<Field> =
            types.iter().enumerate().map(|(idx, kind)| Field::new(format!("c{idx}"), kind.clone(), true)).collect();
        let flag = as_flag(&fields.iter().collect::<Vec<_>>());
        let read = parse_columns(flag.trim().trim_matches('\'')).unwrap();
        let read: Vec<_> = read.into_iter().map(|column| (column.name, column.data_type)).collect();
        let expected: Vec<_> = fields.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
        assert_eq!(read, expected);
    }
}
