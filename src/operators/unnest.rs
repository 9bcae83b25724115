//! UNNEST: a row for every element of its lists; the other columns are repeated. Struct columns become their fields.
//!
//! Several lists go side by side: the longest says how many rows there are, the others are filled up with NULL. A row
//! whose lists are all empty or NULL has no rows, or one with NULL where that is asked for.
//!
//! Memory: one batch of output at a time, with the places of its rows, however long a list is. What is noted of each list and
//! each element of the batch in hand is under a reservation.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};

use super::expression::assemble;
use super::value_bytes::{ValueBytes, has_long_values};
use crate::error::{Error, Result};
use crate::exec::{Batch, Emit, Flow, LocalTransform, TaskContext, Transform};
use crate::memory::Reservation;

/// Where a column of the output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnnestColumn {
    /// An input column as it is.
    Copied(usize),
    /// The elements of an input column of lists, `depth` levels down.
    Elements {
        /// The input column.
        column: usize,
        /// 1 for the elements themselves, 2 for the elements of those, and so on.
        depth: usize,
    },
    /// A field of an input column of structs.
    Field {
        /// The input column.
        column: usize,
        /// The number of the field.
        field: usize,
    },
}

/// Turns lists into rows.
pub struct Unnest {
    columns: Arc<[UnnestColumn]>,
    keeps_empty: bool,
    schema: SchemaRef,
}

struct LocalUnnest {
    columns: Arc<[UnnestColumn]>,
    keeps_empty: bool,
    schema: SchemaRef,
    batch_bytes: usize,
    batch_rows: usize,
    /// For what is noted of the lists in hand.
    memory: Reservation,
}

/// What is noted of a row of the output while it is made: its input row and its places.
const PLACE_BYTES: usize = 24;

impl Unnest {
    /// `columns` under `schema`. With `keeps_empty`, rows with empty lists only stay, with NULL.
    pub fn new(columns: Vec<UnnestColumn>, keeps_empty: bool, schema: SchemaRef) -> Self {
        Unnest { columns: columns.into(), keeps_empty, schema }
    }
}

impl Transform for Unnest {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        let sizes = cx.sizes();
        Ok(Box::new(LocalUnnest {
            columns: self.columns.clone(),
            keeps_empty: self.keeps_empty,
            schema: self.schema.clone(),
            batch_bytes: sizes.batch_bytes,
            batch_rows: sizes.batch_rows,
            memory: cx.memory.reserve("Unnest"),
        }))
    }
}

/// The lists of one column: all elements, and where each row's are.
struct Lists {
    values: ArrayRef,
    ranges: Vec<(usize, usize)>,
}

impl Lists {
    fn of(array: &ArrayRef, depth: usize) -> Result<Self> {
        let (values, ranges) = elements(array)?;
        if depth <= 1 {
            return Ok(Lists { values, ranges });
        }
        let inner = Lists::of(&values, depth - 1)?;
        inner.joined(&ranges)
    }

    /// The elements of all lists of a range as one list.
    fn joined(self, ranges: &[(usize, usize)]) -> Result<Self> {
        let filled = |&(start, len): &(usize, usize)| self.ranges[start..start + len].iter().filter(|list| list.1 > 0);
        let n_elements = |range: &(usize, usize)| filled(range).map(|list| list.1).sum::<usize>();
        let first = |range: &(usize, usize)| filled(range).next().map_or(0, |list| list.0);
        let end = |range: &(usize, usize)| filled(range).next_back().map_or(0, |list| list.0 + list.1);
        // The elements of neighbouring lists are neighbours, unless a NULL between them hides some.
        if ranges.iter().all(|range| end(range) - first(range) == n_elements(range)) {
            let ranges = ranges.iter().map(|range| (first(range), n_elements(range))).collect();
            return Ok(Lists { ranges, values: self.values });
        }
        let shown = ranges.iter().flat_map(filled).flat_map(|&(start, len)| start as u64..(start + len) as u64);
        let shown: UInt64Array = shown.collect::<Vec<_>>().into();
        let mut at = 0;
        let ranges_shown = ranges.iter().map(|range| {
            let start = at;
            at += n_elements(range);
            (start, at - start)
        });
        Ok(Lists { ranges: ranges_shown.collect(), values: take(&self.values, &shown, None)? })
    }

    /// The place of an element among all, if the row has so many.
    fn place(&self, row: usize, idx: usize) -> Option<usize> {
        let (start, len) = self.ranges[row];
        (idx < len).then_some(start + idx)
    }
}

/// The elements of an array of lists, and the range of each row: empty for NULL.
fn elements(array: &ArrayRef) -> Result<(ArrayRef, Vec<(usize, usize)>)> {
    let lists = match array.data_type() {
        DataType::LargeList(_) => array.clone(),
        DataType::List(field) | DataType::FixedSizeList(field, _) => cast(array, &DataType::LargeList(field.clone()))?,
        DataType::Null => {
            return Ok((array.clone(), vec![(0, 0); array.len()]));
        }
        other => return Err(Error::query(format!("UNNEST needs lists, not {other}"))),
    };
    let lists = lists.as_list::<i64>();
    let offsets = lists.value_offsets();
    let range = |row: usize| (offsets[row] as usize, (offsets[row + 1] - offsets[row]) as usize);
    let ranges = (0..lists.len()).map(|row| (range(row).0, if lists.is_valid(row) { range(row).1 } else { 0 }));
    Ok((lists.values().clone(), ranges.collect()))
}

impl LocalTransform for LocalUnnest {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        self.reserve_notes(&batch)?;
        let mut lists = Vec::new();
        for column in self.columns.iter() {
            if let UnnestColumn::Elements { column, depth } = column {
                lists.push(Lists::of(batch.data.column(*column), *depth)?);
            }
        }
        let n_elements = |row: usize| lists.iter().map(|list| list.ranges[row].1).max().unwrap_or(1);
        let least = usize::from(self.keeps_empty);
        let copied = self.columns.iter().filter_map(|column| match column {
            UnnestColumn::Copied(idx) | UnnestColumn::Field { column: idx, .. } => Some(batch.data.column(*idx)),
            UnnestColumn::Elements { .. } => None,
        });
        let copied_bytes = ValueBytes::of(copied, batch.n_rows());
        let element_bytes: Vec<ValueBytes> =
            lists.iter().map(|list| ValueBytes::of([&list.values], list.values.len())).collect();
        let row_bytes = |row: usize, idx: usize| {
            let elements = lists.iter().zip(&element_bytes);
            let of_elements = elements.map(|(list, bytes)| list.place(row, idx).map_or(1, |place| bytes.get(place)));
            PLACE_BYTES + copied_bytes.get(row) + of_elements.sum::<usize>()
        };
        // The input row and the place in its lists of every row of the piece.
        let mut piece: Vec<(u32, u32)> = Vec::new();
        let mut piece_bytes = 0;
        for row in 0..batch.n_rows() {
            for place in 0..n_elements(row).max(least) {
                let bytes = row_bytes(row, place);
                let is_full = piece.len() == self.batch_rows || piece_bytes + bytes > self.batch_bytes;
                if is_full && !piece.is_empty() {
                    let mut output = self.output(&batch, &lists, &piece)?;
                    output.last_of_morsel = false;
                    piece.clear();
                    piece_bytes = 0;
                    if emit(output)? == Flow::Done {
                        return Ok(Flow::Done);
                    }
                }
                piece.push((row as u32, place as u32));
                piece_bytes += bytes;
            }
        }
        emit(self.output(&batch, &lists, &piece)?)
    }
}

impl LocalUnnest {
    /// Reserves what is noted of the lists of `batch`: a range for each, 4 bytes for each element of any length, and a copy
    /// of the elements where lists lie inside of lists.
    fn reserve_notes(&mut self, batch: &Batch) -> Result<()> {
        let mut bytes = 0;
        for column in self.columns.iter() {
            let UnnestColumn::Elements { column, depth } = column else { continue };
            let mut lists = batch.data.column(*column).clone();
            for level in 1..=*depth {
                let values = match lists.data_type() {
                    DataType::List(_) => lists.as_list::<i32>().values().clone(),
                    DataType::LargeList(_) => lists.as_list::<i64>().values().clone(),
                    DataType::FixedSizeList(..) => lists.as_fixed_size_list().values().clone(),
                    _ => break,
                };
                bytes += lists.len() * (size_of::<(usize, usize)>() + size_of::<i64>());
                if has_long_values(values.data_type()) {
                    bytes += values.len() * size_of::<u32>();
                }
                if level > 1 {
                    bytes += values.get_array_memory_size();
                }
                lists = values;
            }
        }
        Ok(self.memory.try_resize(bytes as u64)?)
    }

    fn output(&self, batch: &Batch, lists: &[Lists], piece: &[(u32, u32)]) -> Result<Batch> {
        let rows: UInt32Array = piece.iter().map(|(row, _)| *row).collect::<Vec<_>>().into();
        let mut lists = lists.iter();
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in self.columns.iter() {
            columns.push(match column {
                UnnestColumn::Copied(idx) => take(batch.data.column(*idx), &rows, None)?,
                UnnestColumn::Field { column, field } => {
                    let structs = batch.data.column(*column);
                    let Some(structs) = structs.as_struct_opt() else {
                        return Err(Error::query(format!("UNNEST needs a struct, not {}", structs.data_type())));
                    };
                    let values = match structs.nulls() {
                        None => structs.column(*field).clone(),
                        Some(valid) => {
                            let is_null = arrow::array::BooleanArray::new(!valid.inner(), None);
                            arrow::compute::nullif(structs.column(*field), &is_null)?
                        }
                    };
                    take(&values, &rows, None)?
                }
                UnnestColumn::Elements { .. } => {
                    let Some(list) = lists.next() else { return Err(Error::query("a list to unnest is missing")) };
                    let at = |&(row, place): &(u32, u32)| list.place(row as usize, place as usize).map(|at| at as u64);
                    let at: UInt64Array = piece.iter().map(at).collect();
                    take(&list.values, &at, None)?
                }
            });
        }
        Ok(batch.with_data(assemble(&self.schema, columns, piece.len())?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{FixedSizeListArray, Int64Array, ListArray, RecordBatch, StringArray};
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::operators::testing::run_transform;

    fn list(inner: ArrayRef, offsets: Vec<i32>) -> ArrayRef {
        let field = Arc::new(Field::new("item", inner.data_type().clone(), true));
        Arc::new(ListArray::new(field, OffsetBuffer::new(offsets.into()), inner, None))
    }

    #[test]
    fn elements_hidden_under_a_null_list_do_not_come_out() {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let numbers = Arc::new(Int64Array::from_iter_values(1..=8));
        let valid = NullBuffer::from(vec![true, false, true, true]);
        let pairs: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, numbers, Some(valid)));
        for (offsets, expected) in [
            (vec![0, 3, 4], vec![1, 2, 5, 6, 7, 8]),
            (vec![0, 1, 2, 4], vec![1, 2, 5, 6, 7, 8]),
            (vec![1, 2], vec![]),
            (vec![2, 4], vec![5, 6, 7, 8]),
        ] {
            let lists = list(pairs.clone(), offsets);
            let input = RecordBatch::try_from_iter([("a", lists)]).unwrap();
            let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
            let unnest = Unnest::new(vec![UnnestColumn::Elements { column: 0, depth: 2 }], false, schema);
            let output = run_transform(&unnest, vec![Batch::only(input)]);
            let values = output.iter().flat_map(|batch| {
                batch.data.column(0).as_primitive::<arrow::datatypes::Int64Type>().iter().collect::<Vec<_>>()
            });
            assert_eq!(values.flatten().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_long_row_beside_a_long_list_comes_in_small_batches() {
        let mut texts = vec!["short".to_string(); 4000];
        texts[7] = "x".repeat(50_000);
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        // Row 7 has 3000 elements, all others one.
        let offsets = (0..=4000).map(|row| if row > 7 { row + 2999 } else { row }).collect();
        let lists = list(Arc::new(Int64Array::from_iter_values(0..6999)), offsets);
        let input = RecordBatch::try_from_iter([("a", texts), ("l", lists)]).unwrap();
        let element = Field::new("l", DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![input.schema().field(0).clone(), element]));
        let columns = vec![UnnestColumn::Copied(0), UnnestColumn::Elements { column: 1, depth: 1 }];
        let output = run_transform(&Unnest::new(columns, false, schema), vec![Batch::only(input)]);
        assert_eq!(output.iter().map(Batch::n_rows).sum::<usize>(), 6999);
        let bytes = |batch: &Batch| batch.data.column(0).as_string::<i32>().values().len();
        let most = output.iter().map(bytes).max().unwrap();
        assert!(most < 4 << 20, "{most} bytes in one batch");
    }
}
