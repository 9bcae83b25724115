//! Columns and types as they are written in `--schema`: `id=varchar,price=decimal(10,2),day=date(%d.%m.%Y)`.

use arrow::datatypes::DataType;

use crate::io::type_names::parse_type;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_with_types_are_read() {
        let columns = parse_columns("a=int,b = DECIMAL(10,2), c=d=varchar").unwrap();
        let declared = |name: &str, data_type| DeclaredColumn { name: name.to_string(), data_type, format: None };
        let decimal = DataType::Decimal128(10, 2);
        let expected = [declared("a", DataType::Int32), declared("b", decimal), declared("c=d", DataType::Utf8)];
        assert_eq!(columns, expected);
    }

    #[test]
    fn dates_and_times_may_have_a_form() {
        let columns = parse_columns("day=date(%d.%m.%Y),at=timestamp(%B %d, %Y %H:%M)").unwrap();
        let formats: Vec<_> = columns.iter().map(|column| column.format.as_deref()).collect();
        assert_eq!(formats, [Some("%d.%m.%Y"), Some("%B %d, %Y %H:%M")]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["a", "a=", "a=intt", "a=decimal(50,2)", "a=decimal(3,4)", "a=int(%d)"] {
            assert!(parse_columns(text).is_err(), "{text}");
        }
    }
}
