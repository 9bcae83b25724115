//! JSON lines: one object a row, NULLs written out.
//!
//! Memory: none besides the text.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;

use super::rows::RowFormat;
use crate::error::{Error, Result};

/// One JSON object a line.
#[derive(Clone)]
pub struct JsonLinesFormat {
    _schema: SchemaRef,
}

impl JsonLinesFormat {
    /// Rows of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        JsonLinesFormat { _schema: schema }
    }
}

impl RowFormat for JsonLinesFormat {
    fn header(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn format(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let failed = |error| Error::query(format!("cannot write the result as JSON: {error}"));
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(out);
        writer.write(batch).map_err(failed)?;
        writer.finish().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringArray};
    use expect_test::expect;

    use super::*;

    #[test]
    fn one_object_a_line_with_nulls() {
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("a", Arc::new(StringArray::from(vec![Some("x\n\"y\""), None])) as _, true),
            ("b", Arc::new(Float64Array::from(vec![0.1, f64::NAN])) as _, true),
        ])
        .unwrap();
        let mut out = Vec::new();
        JsonLinesFormat::new(batch.schema()).format(&batch, &mut out).unwrap();
        expect![[r#"
            {"a":"x\n\"y\"","b":0.1}
            {"a":null,"b":null}
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
