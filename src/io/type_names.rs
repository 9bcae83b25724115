//! Column types as they are written in `--schema` and in pipeline files.

use arrow::datatypes::{DataType, TimeUnit};

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
