//! Tables for people: the first and last rows of a result and how many there were.
//!
//! Memory: the text of [`SHOWN_ROWS`] rows, each cell cut at [`MAX_CELL_CHARS`]; the result itself passes through.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::Destination;
use crate::error::Result;
use crate::exec::{
    Batch, Flow, LocalSink, Placed, QueryContext, ReorderWindow, ReorderWorker, Sink, TaskContext, group_digits,
};

/// A screenful.
const SHOWN_ROWS: usize = 40;
const HALF: usize = SHOWN_ROWS / 2;

/// Columns of a terminal for which a table is fitted; a narrower one wraps lines itself.
const NARROWEST: u16 = 20;

/// A longer value says nothing more on a screen.
const MAX_CELL_CHARS: usize = 200;

type Row = Vec<String>;

/// Draws the first and last rows.
pub struct TableSink {
    schema: SchemaRef,
    destination: Destination,
    shown: Arc<Mutex<Shown>>,
    window: Option<Arc<ReorderWindow<Excerpt>>>,
}

/// The rows of a batch that may be shown.
struct Excerpt {
    n_rows: usize,
    /// All rows of a small batch, otherwise the first and last [`HALF`].
    rows: Vec<Row>,
}

#[derive(Default)]
struct Shown {
    n_rows: u64,
    head: Vec<Row>,
    tail: VecDeque<Row>,
}

struct LocalTable {
    shown: Arc<Mutex<Shown>>,
    window: Option<ReorderWorker<Excerpt>>,
}

impl TableSink {
    /// A sink for one query.
    pub fn new(schema: SchemaRef, destination: Destination, ordered: bool, cx: &QueryContext) -> Self {
        let limit_bytes = cx.memory.sizes().io_block_bytes as u64;
        let window = ordered.then(|| ReorderWindow::new(&cx.memory, "Output", limit_bytes, cx.cancel.clone()));
        TableSink { schema, destination, shown: Arc::default(), window }
    }
}

impl Sink for TableSink {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalTable { shown: self.shown.clone(), window: self.window.as_ref().map(ReorderWindow::worker) }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        if let Some(window) = &self.window {
            window.finish(|excerpt| Ok(lock(&self.shown).add(excerpt)))?;
        }
        let text = lock(&self.shown).draw(&self.schema);
        self.destination.write(text.as_bytes())?;
        self.destination.commit()
    }
}

impl LocalSink for LocalTable {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let excerpt = Excerpt::of(&batch.data)?;
        let shown = &self.shown;
        match &mut self.window {
            None => Ok(lock(shown).add(excerpt)),
            Some(worker) => {
                let bytes = excerpt.rows.iter().flatten().map(|cell| cell.capacity() as u64 + 24).sum();
                let (morsel, last_of_morsel) = (batch.sequence.morsel, batch.last_of_morsel);
                worker.push(Placed { morsel, last_of_morsel, bytes, item: excerpt }, |excerpt| {
                    Ok(lock(shown).add(excerpt))
                })
            }
        }
    }

    fn combine(self: Box<Self>) -> Result<()> {
        let LocalTable { shown, window } = *self;
        window.map_or(Ok(()), |worker| worker.leave(|excerpt| Ok(lock(&shown).add(excerpt))).map(|_| ()))
    }
}

impl Excerpt {
    fn of(batch: &RecordBatch) -> Result<Self> {
        let n_rows = batch.num_rows();
        let options = FormatOptions::default().with_null("NULL");
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        let is_shown = |row: &usize| n_rows <= SHOWN_ROWS || *row < HALF || *row >= n_rows - HALF;
        let cells = |row: usize| columns.iter().map(|column| cut(column.value(row).to_string())).collect();
        Ok(Excerpt { n_rows, rows: (0..n_rows).filter(is_shown).map(cells).collect() })
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_CELL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Shown {
    fn add(&mut self, excerpt: Excerpt) -> Flow {
        self.n_rows += excerpt.n_rows as u64;
        for row in excerpt.rows {
            if self.head.len() < HALF {
                self.head.push(row);
                continue;
            }
            if self.tail.len() == HALF {
                self.tail.pop_front();
            }
            self.tail.push_back(row);
        }
        Flow::More
    }

    fn draw(&self, schema: &SchemaRef) -> String {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header(schema.fields().iter().map(|field| Cell::new(field.name())));
        // A terminal that does not know its width says 0, and a few columns are no room for a table.
        if std::io::stdout().is_terminal() && table.width().is_some_and(|width| width >= NARROWEST) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for (field, column) in schema.fields().iter().zip(table.column_iter_mut()) {
            if field.data_type().is_numeric() {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.add_rows(&self.head);
        let n_shown = self.head.len() + self.tail.len();
        let is_cut = n_shown as u64 != self.n_rows;
        if is_cut {
            table.add_row(schema.fields().iter().map(|_| "…"));
        }
        table.add_rows(&self.tail);
        let rows = if self.n_rows == 1 { "row" } else { "rows" };
        let shown = if is_cut { format!(" ({n_shown} shown)") } else { String::new() };
        format!("{table}\n{} {rows}{shown}\n", group_digits(self.n_rows))
    }
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    /// The rows shown of `n_rows` rows that arrive `per_batch` at a time: numbers, `…` for the cut, and the last line.
    fn check(n_rows: i64, per_batch: usize, expected: &str) {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let numbers: Vec<i64> = (0..n_rows).collect();
        let mut shown = Shown::default();
        for chunk in numbers.chunks(per_batch) {
            let column = Arc::new(Int64Array::from(chunk.to_vec()));
            shown.add(Excerpt::of(&RecordBatch::try_new(schema.clone(), vec![column]).unwrap()).unwrap());
        }
        let text = shown.draw(&schema);
        let cells =
            text.lines().filter_map(|line| line.strip_prefix("│ ")).map(|line| line.trim_end_matches('│').trim());
        let rows: Vec<_> = cells.skip(1).collect();
        let seen = format!("{} .. {}: {}", rows.first().unwrap_or(&""), rows.last().unwrap_or(&""), rows.len());
        assert_eq!(format!("{seen}; {}", text.lines().last().unwrap()), expected);
        if n_rows > SHOWN_ROWS as i64 {
            assert_eq!(rows[HALF - 1..=HALF + 1], ["19", "…", &(n_rows - HALF as i64).to_string()]);
        }
    }

    #[test]
    fn the_first_and_last_rows_are_shown_however_they_arrive() {
        check(0, 1, " .. : 0; 0 rows");
        check(1, 1, "0 .. 0: 1; 1 row");
        for per_batch in [1, 7, 40, 1000, 10_000] {
            check(40, per_batch, "0 .. 39: 40; 40 rows");
            check(41, per_batch, "0 .. 40: 41; 41 rows (40 shown)");
            check(5000, per_batch, "0 .. 4999: 41; 5,000 rows (40 shown)");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("é".repeat(MAX_CELL_CHARS)), "é".repeat(MAX_CELL_CHARS));
        assert_eq!(cut("é".repeat(MAX_CELL_CHARS + 1)), format!("{}…", "é".repeat(MAX_CELL_CHARS)));
    }
}
