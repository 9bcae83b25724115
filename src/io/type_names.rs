//! Columns and types as they are written in `--schema` and pipeline files: `id=varchar,price=decimal(10,2),day=date(%d.%m.%Y)`.

use arrow::datatypes::{DataType, TimeUnit};

/// A column as the user declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeclaredColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// How its dates or times are written: the `%d.%m.%Y` of `date(%d.%m.%Y)`.
    pub(crate) format: Option<String>,
}

/// Reads `col=type` or several with commas between them: `price=double,id=varchar`.
pub(crate) fn parse_columns(text: &str) -> Result<Vec<DeclaredColumn>, String> {
    split_outside_parentheses(text).into_iter().map(parse_column).collect()
}

fn parse_column(text: &str) -> Result<DeclaredColumn, String> {
    let (column, type_name) =
        text.rsplit_once('=').ok_or_else(|| format!("{text:?} is not col=type, for example price=double"))?;
    let name = column.trim().to_string();
    // Without changing case: `%M` is not `%m`.
    if let Some((kind, format)) = type_name.trim().strip_suffix(')').and_then(|text| text.split_once('('))
        && format.contains('%')
    {
        let data_type = parse_type(kind)?;
        return match data_type {
            DataType::Date32 | DataType::Timestamp(_, _) | DataType::Time64(_) => {
                Ok(DeclaredColumn { name, data_type, format: Some(format.to_string()) })
            }
            _ => Err(format!("{kind} has no format; date, time and timestamp have")),
        };
    }
    Ok(DeclaredColumn { name, data_type: parse_type(type_name)?, format: None })
}

/// Commas between parentheses belong to a type: `decimal(10,2)`.
fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .collect()
}

/// Reads the name of a type, as SQL or Arrow spell it.
pub(crate) fn parse_type(text: &str) -> Result<DataType, String> {
    let name = text.trim().to_ascii_lowercase();
    if let Some(arguments) = name.strip_prefix("decimal").or_else(|| name.strip_prefix("numeric")) {
        return parse_decimal(arguments).ok_or_else(|| format!("{text:?} is not a decimal, for example decimal(10,2)"));
    }
    Ok(match name.as_str() {
        "bool" | "boolean" => DataType::Boolean,
        "tinyint" | "int8" => DataType::Int8,
        "smallint" | "int16" => DataType::Int16,
        "int" | "integer" | "int32" => DataType::Int32,
        "bigint" | "long" | "int64" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "real" | "float" | "float32" => DataType::Float32,
        "double" | "float64" | "double precision" => DataType::Float64,
        "varchar" | "text" | "string" | "utf8" | "str" | "char" => DataType::Utf8,
        "date" | "date32" => DataType::Date32,
        "time" | "time64" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" | "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => {
            return Err(format!(
                "{text:?} is not a type; known are boolean, int, bigint, float, double, decimal(p,s), varchar, date, \
                 time, timestamp, timestamptz"
            ));
        }
    })
}

/// The SQL name of a type that [`parse_type`] gives.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INT UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Date32 => "DATE",
        DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ",
        DataType::Timestamp(_, None) => "TIMESTAMP(6)",
        DataType::Decimal128(precision, scale) => return format!("DECIMAL({precision}, {scale})"),
        _ => "VARCHAR",
    }
    .to_string()
}

/// The name that SQL and `--schema` know a type by; Arrow's own for those that they do not know.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt8 => "uint8".into(),
        DataType::UInt16 => "uint16".into(),
        DataType::UInt32 => "uint32".into(),
        DataType::UInt64 => "uint64".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".into(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp".into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => "timestamptz".into(),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("\"{}\" {}", field.name().replace('"', "\"\""), type_name(field.data_type())))
                .collect();
            format!("struct({})", fields.join(", "))
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("{}[]", type_name(item.data_type()))
        }
        other => other.to_string().to_lowercase(),
    }
}

/// `(10,2)`, `(10)` or nothing.
fn parse_decimal(arguments: &str) -> Option<DataType> {
    if arguments.is_empty() {
        return Some(DataType::Decimal128(38, 10));
    }
    let inner = arguments.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let (precision, scale) = (precision.trim().parse::<u8>().ok()?, scale.trim().parse::<i8>().ok()?);
    let fits = (1..=38).contains(&precision) && (0..=precision as i8).contains(&scale);
    fits.then_some(DataType::Decimal128(precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_by_any_of_their_names() {
        assert_eq!(parse_type(" DECIMAL(10,2)"), Ok(DataType::Decimal128(10, 2)));
        assert_eq!(parse_type("text"), Ok(DataType::Utf8));
        for text in ["", "intt", "decimal(50,2)", "decimal(3,4)"] {
            assert!(parse_type(text).is_err(), "{text}");
        }
    }
}
