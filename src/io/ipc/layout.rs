//! Which nodes and buffers of a record batch belong to which column.
//!
//! Memory: three ranges a column.

use std::ops::Range;

use arrow::datatypes::{DataType, FieldRef};

/// The parts of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnParts {
    pub(super) nodes: Range<usize>,
    pub(super) buffers: Range<usize>,
    /// Entries in the list of how many buffers each column of views has.
    pub(super) counts: Range<usize>,
}

/// The parts of all columns. `counts` are the numbers of data buffers of the columns of views. `None` for a type that is
/// not read, or counts that are missing.
pub(super) fn parts_of_columns(fields: &[FieldRef], counts: &[i64]) -> Option<Vec<ColumnParts>> {
    let mut walk = Walk { node: 0, buffer: 0, count: 0, counts };
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let (node, buffer, count) = (walk.node, walk.buffer, walk.count);
        walk.pass(field.data_type())?;
        let (nodes, buffers, counts) = (node..walk.node, buffer..walk.buffer, count..walk.count);
        columns.push(ColumnParts { nodes, buffers, counts });
    }
    Some(columns)
}

/// Whether columns of this type are read.
pub(super) fn is_readable(data_type: &DataType) -> bool {
    // Views need counts; any will do for the question.
    Walk { node: 0, buffer: 0, count: 0, counts: &[0; 1024] }.pass(data_type).is_some()
}

struct Walk<'a> {
    node: usize,
    buffer: usize,
    count: usize,
    counts: &'a [i64],
}

impl Walk<'_> {
    fn pass(&mut self, data_type: &DataType) -> Option<()> {
        self.node += 1;
        match data_type {
            DataType::Null => {}
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => self.buffer += 3,
            DataType::Utf8View | DataType::BinaryView => {
                self.buffer += 2 + usize::try_from(*self.counts.get(self.count)?).ok()?;
                self.count += 1;
            }
            DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
                self.buffer += 2;
                self.pass(item.data_type())?;
            }
            DataType::FixedSizeList(item, _) => {
                self.buffer += 1;
                self.pass(item.data_type())?;
            }
            DataType::Struct(fields) => {
                self.buffer += 1;
                fields.iter().try_for_each(|field| self.pass(field.data_type()))?;
            }
            DataType::Union(..) | DataType::RunEndEncoded(..) | DataType::ListView(_) | DataType::LargeListView(_) => {
                return None;
            }
            // The keys of a dictionary among them.
            _ => self.buffer += 2,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn parts_are_counted_by_type() {
        let field = |data_type: DataType| Arc::new(Field::new("a", data_type, true));
        let fields = [
            field(DataType::Int64),
            field(DataType::Utf8View),
            field(DataType::Struct(
                vec![Field::new("x", DataType::Utf8, true), Field::new("n", DataType::Null, true)].into(),
            )),
            field(DataType::new_list(DataType::Utf8View, true)),
        ];
        let parts = parts_of_columns(&fields, &[3, 0]).unwrap();
        let shown: Vec<_> = parts.into_iter().map(|parts| (parts.nodes, parts.buffers, parts.counts)).collect();
        assert_eq!(shown, [(0..1, 0..2, 0..0), (1..2, 2..7, 0..1), (2..5, 7..11, 1..1), (5..7, 11..15, 1..2)]);
        assert_eq!(parts_of_columns(&fields, &[3]), None);
        assert!(!is_readable(&DataType::RunEndEncoded(field(DataType::Int32), field(DataType::Int64))));
        assert!(is_readable(&DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8))));
    }
}
