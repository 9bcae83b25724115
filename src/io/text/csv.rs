//! CSV after RFC 4180, with a header.
//!
//! NULL is an empty cell and an empty string is `""`. Floats are the shortest text that reads back as the same number,
//! times are ISO 8601, lists and structs are JSON. Lines end in a line feed.
//!
//! Memory: the text of one chunk of rows, twice: each column is formatted on its own in one tight loop, and then the
//! cells are laid out row by row.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cells::{Cells, push_quoted};
use super::rows::RowFormat;
use crate::error::Result;

/// Most cells are at most this long, and copying a fixed number of bytes is one instruction.
const SHORT_CELL_BYTES: usize = 16;

/// Comma-separated values.
#[derive(Clone)]
pub struct CsvFormat {
    schema: SchemaRef,
    columns: Vec<Cells>,
}

impl CsvFormat {
    /// Rows of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        let columns = vec![Cells::default(); schema.fields().len()];
        CsvFormat { schema, columns }
    }
}

impl RowFormat for CsvFormat {
    fn header(&self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        for field in self.schema.fields() {
            push_quoted(field.name().as_bytes(), &mut line);
            line.push(b',');
        }
        line.pop();
        line.push(b'\n');
        Ok(line)
    }

    fn format(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for (cells, column) in self.columns.iter_mut().zip(batch.columns()) {
            cells.fill(column)?;
        }
        lay_out_rows(&mut self.columns, batch.num_rows(), out);
        Ok(())
    }
}

/// Appends the cells row by row, with commas between them and a line feed behind them.
fn lay_out_rows(columns: &mut [Cells], n_rows: usize, out: &mut Vec<u8>) {
    if columns.is_empty() {
        return;
    }
    let n_bytes = columns.iter().map(|cells| cells.bytes.len()).sum::<usize>() + columns.len() * n_rows;
    for cells in columns.iter_mut() {
        cells.bytes.extend_from_slice(&[0; SHORT_CELL_BYTES]);
    }
    let first = out.len();
    out.resize(first + n_bytes + SHORT_CELL_BYTES, 0);
    let text = &mut out[first..];
    let mut at = 0;
    let mut starts = vec![0; columns.len()];
    for row in 0..n_rows {
        for (cells, start) in columns.iter().zip(&mut starts) {
            let end = cells.ends[row];
            let n = end - *start;
            // A short cell takes what follows it along; the next cell and at last `truncate` write over that.
            let copied = if n <= SHORT_CELL_BYTES { SHORT_CELL_BYTES } else { n };
            text[at..at + copied].copy_from_slice(&cells.bytes[*start..*start + copied]);
            at += n;
            text[at] = b',';
            at += 1;
            *start = end;
        }
        text[at - 1] = b'\n';
    }
    out.truncate(first + n_bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field, Float64Type, Int32Type};
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn format(columns: Vec<(&str, ArrayRef)>) -> String {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut format = CsvFormat::new(batch.schema());
        let mut out = format.header().unwrap();
        format.format(&batch.slice(0, 1), &mut out).unwrap();
        format.format(&batch.slice(1, batch.num_rows() - 1), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn check(column: impl Array + 'static, expected: Expect) {
        expected.assert_eq(&format(vec![("a", Arc::new(column)), ("n", Arc::new(Int32Array::from(vec![7; 3])))]));
    }

    #[test]
    fn a_column_of_nothing_but_null_is_empty() {
        check(
            NullArray::new(3),
            expect![[r#"
            a,n
            ,7
            ,7
            ,7
        "#]],
        );
    }

    #[test]
    fn numbers() {
        check(
            Int64Array::from(vec![Some(i64::MIN), None, Some(0)]),
            expect![["a,n\n-9223372036854775808,7\n,7\n0,7\n"]],
        );
        check(UInt8Array::from(vec![1, 2, 255]), expect![["a,n\n1,7\n2,7\n255,7\n"]]);
        check(Float64Array::from(vec![Some(0.1), Some(1e300), None]), expect![["a,n\n0.1,7\n1e300,7\n,7\n"]]);
        check(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY, 3.0]), expect![["a,n\nNaN,7\n-inf,7\n3.0,7\n"]]);
        check(BooleanArray::from(vec![Some(true), None, Some(false)]), expect![["a,n\ntrue,7\n,7\nfalse,7\n"]]);
        let decimals = Decimal128Array::from(vec![Some(-5), Some(12345), None]).with_precision_and_scale(9, 3).unwrap();
        check(decimals, expect![["a,n\n-0.005,7\n12.345,7\n,7\n"]]);
    }

    #[test]
    fn text_is_quoted_only_where_it_must_be() {
        check(
            StringArray::from(vec!["plain", "longer than sixteen bytes", "x"]),
            expect![[r#"
            a,n
            plain,7
            longer than sixteen bytes,7
            x,7
        "#]],
        );
        check(
            StringArray::from(vec![Some(""), None, Some("say \"hi\", she said\n")]),
            expect![[r#"
            a,n
            "",7
            ,7
            "say ""hi"", she said
            ",7
        "#]],
        );
        check(StringViewArray::from(vec![Some("a,b"), None, Some("c")]), expect![["a,n\n\"a,b\",7\n,7\nc,7\n"]]);
        let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("x")].into_iter().collect();
        check(dictionary, expect![["a,n\nx,7\n,7\nx,7\n"]]);
    }

    #[test]
    fn times_and_nested_values() {
        check(Date32Array::from(vec![Some(0), None, Some(19_782)]), expect![["a,n\n1970-01-01,7\n,7\n2024-02-29,7\n"]]);
        let times = TimestampMillisecondArray::from(vec![0, 1, 1_709_164_800_000]);
        check(
            times.clone(),
            expect![[r#"
            a,n
            1970-01-01T00:00:00,7
            1970-01-01T00:00:00.001,7
            2024-02-29T00:00:00,7
        "#]],
        );
        check(
            times.with_timezone("UTC"),
            expect![[r#"
            a,n
            1970-01-01T00:00:00Z,7
            1970-01-01T00:00:00.001Z,7
            2024-02-29T00:00:00Z,7
        "#]],
        );
        let item = Arc::new(Field::new_list_field(DataType::Int32, true));
        let values = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let lists = ListArray::new(item, OffsetBuffer::from_lengths([2, 0, 1]), values, None);
        check(
            lists,
            expect![[r#"
            a,n
            "[1,2]",7
            [],7
            [3],7
        "#]],
        );
    }

    proptest! {
        /// What is written is read back by another implementation as it was.
        #[test]
        fn another_reader_reads_the_same(
            text in prop::collection::vec("[a,\"\n\r é]{0,20}", 2..50),
            seed in any::<u64>(),
        ) {
            let floats = text.iter().zip(0u64..).map(|(_, n)| f64::from_bits(seed.wrapping_mul(2 * n + 1)));
            let floats: Vec<f64> = floats.map(|x| if x.is_finite() { x } else { 0.5 }).collect();
            let csv = format(vec![
                ("text", Arc::new(StringArray::from(text.clone()))),
                ("float", Arc::new(Float64Array::from(floats.clone()))),
            ]);
            let schema = Arc::new(arrow::datatypes::Schema::new(vec![
                Field::new("text", DataType::Utf8, true),
                Field::new("float", DataType::Float64, true),
            ]));
            let mut reader = arrow::csv::ReaderBuilder::new(schema).with_header(true).build(csv.as_bytes()).unwrap();
            let batch = reader.next().unwrap().unwrap();
            // The other reader takes "" for NULL.
            let read: Vec<_> = batch.column(0).as_string::<i32>().iter().map(|v| v.unwrap_or("").to_string()).collect();
            prop_assert_eq!(read, text);
            let read = batch.column(1).as_primitive::<Float64Type>();
            prop_assert_eq!(read.values().to_vec(), floats);
        }
    }
}
