//! An Arrow file or stream: its schema, and its messages one after the other.
//!
//! Memory: the schema, the dictionaries, and for a file where its record batches are; reserved.
//!
//! A file says at its end where its record batches are. A stream does not, and what a dictionary is may change between two
//! of its record batches; both are read by going from message to message, a small read each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::ArrayRef;
use arrow::datatypes::{Fields, SchemaRef};
use arrow::ipc;

use super::dictionaries::Dictionaries;
use super::input::Input;
use super::message::{Kind, Message, check_endianness};
use crate::error::Result;
use crate::memory::{Memory, Reservation};

const MAGIC: &[u8; 6] = b"ARROW1";

/// A file that is read from one record batch to the next.
pub(super) struct OpenFile {
    pub(super) input: Arc<Input>,
    /// As the file declares it.
    pub(super) schema: SchemaRef,
    places: Places,
    dictionaries: Dictionaries,
    /// Covers the metadata of one message.
    metadata: Reservation,
    _reserved: Reservation,
}

/// Where the record batches are.
enum Places {
    /// As the footer says; the number of the next one.
    Known { blocks: Vec<u64>, next: usize },
    /// Behind one another from here on; `None` at the end.
    Streamed(Option<u64>),
}

/// A record batch that was not read yet, and the dictionaries it refers to.
pub(super) struct Found {
    pub(super) message: Message,
    pub(super) dictionaries: Arc<HashMap<i64, ArrayRef>>,
}

impl OpenFile {
    /// Opens the file at `path`. Bytes that are read are added to `read_bytes`.
    pub(super) fn open(path: &Path, read_bytes: &Arc<AtomicU64>, memory: &Memory) -> Result<Self> {
        let input = Arc::new(Input::open(path, read_bytes.clone())?);
        let mut reserved = memory.reserve("Scan");
        let mut start = [0; 8];
        let n_start = start.len().min(input.n_bytes() as usize);
        input.read_at(&mut start[..n_start], 0)?;
        if start.starts_with(MAGIC) {
            return Self::with_footer(input, reserved, memory);
        }
        let mut metadata = memory.reserve("Scan");
        let first = Message::read(&input, 0, &mut metadata)?;
        let Some(first) = first.filter(|first| first.kind(&input).is_ok_and(|kind| kind == Kind::Schema)) else {
            return Err(input.damaged("it begins neither with ARROW1 nor with a schema"));
        };
        let schema = Arc::new(first.schema(&input)?);
        reserved.try_grow(schema_bytes(&schema))?;
        let places = Places::Streamed(Some(first.end()));
        let dictionaries = Dictionaries::new(memory);
        Ok(OpenFile { input, schema, places, dictionaries, metadata, _reserved: reserved })
    }

    fn with_footer(input: Arc<Input>, mut reserved: Reservation, memory: &Memory) -> Result<Self> {
        let footer = read_footer(&input, &mut reserved)?;
        let parsed = ipc::root_as_footer(&footer).map_err(|error| input.damaged(format!("its footer: {error}")))?;
        let schema = parsed.schema().ok_or_else(|| input.damaged("its footer has no schema"))?;
        check_endianness(&input, schema)?;
        let schema = Arc::new(input.guarded(|| Ok(ipc::convert::fb_to_schema(schema)))?);
        let blocks = |blocks: Option<flatbuffers::Vector<'_, ipc::Block>>| -> Option<Vec<u64>> {
            blocks.map_or(Some(Vec::new()), |blocks| {
                blocks.iter().map(|block| u64::try_from(block.offset()).ok()).collect()
            })
        };
        let of_dictionaries = blocks(parsed.dictionaries()).ok_or_else(|| input.damaged("a place in its footer"))?;
        let of_batches = blocks(parsed.recordBatches()).ok_or_else(|| input.damaged("a place in its footer"))?;
        reserved.try_resize(schema_bytes(&schema) + (of_batches.len() * size_of::<u64>()) as u64)?;
        let mut file = OpenFile {
            schema,
            places: Places::Known { blocks: of_batches, next: 0 },
            dictionaries: Dictionaries::new(memory),
            metadata: memory.reserve("Scan"),
            _reserved: reserved,
            input,
        };
        for at in of_dictionaries {
            match Message::read(&file.input, at, &mut file.metadata)? {
                Some(message) if message.kind(&file.input)? == Kind::Dictionary => {
                    file.dictionaries.add(&file.input, &message, file.schema.fields())?;
                }
                _ => return Err(file.input.damaged(format!("there is no dictionary at byte {at}"))),
            }
        }
        Ok(file)
    }

    /// The columns.
    pub(super) fn fields(&self) -> &Fields {
        self.schema.fields()
    }

    /// The next record batch.
    pub(super) fn next(&mut self) -> Result<Option<Found>> {
        self.advance(true)
    }

    /// The next record batch, for its size only: dictionaries are passed over.
    pub(super) fn look_at_next(&mut self) -> Result<Option<Message>> {
        Ok(self.advance(false)?.map(|found| found.message))
    }

    fn advance(&mut self, reads_dictionaries: bool) -> Result<Option<Found>> {
        loop {
            let at = match &mut self.places {
                Places::Known { blocks, next } => match blocks.get(*next) {
                    Some(&at) => {
                        *next += 1;
                        at
                    }
                    None => return Ok(None),
                },
                Places::Streamed(Some(at)) => *at,
                Places::Streamed(None) => return Ok(None),
            };
            let message = Message::read(&self.input, at, &mut self.metadata)?;
            if let Places::Streamed(next) = &mut self.places {
                *next = message.as_ref().map(Message::end);
            }
            let Some(message) = message else {
                return match self.places {
                    Places::Streamed(_) => Ok(None),
                    Places::Known { .. } => Err(self.input.damaged(format!("there is no record batch at byte {at}"))),
                };
            };
            match message.kind(&self.input)? {
                Kind::RecordBatch => {
                    return Ok(Some(Found { message, dictionaries: self.dictionaries.values() }));
                }
                Kind::Dictionary if reads_dictionaries => {
                    self.dictionaries.add(&self.input, &message, self.schema.fields())?;
                }
                _ => {}
            }
        }
    }
}

/// About what a schema takes.
fn schema_bytes(schema: &SchemaRef) -> u64 {
    256 * schema.flattened_fields().len() as u64
}

fn read_footer(input: &Input, reserved: &mut Reservation) -> Result<Vec<u8>> {
    let mut tail = [0; 10];
    let cut_off = || input.damaged("it does not end with ARROW1; it may be cut off");
    let before_tail = input.n_bytes().checked_sub(tail.len() as u64).ok_or_else(cut_off)?;
    input.read_at(&mut tail, before_tail)?;
    let (length, magic) = tail.split_at(4);
    if magic != MAGIC {
        return Err(cut_off());
    }
    let length = i32::from_le_bytes([length[0], length[1], length[2], length[3]]);
    let at = u64::try_from(length).ok().and_then(|length| before_tail.checked_sub(length));
    let at = at.ok_or_else(|| input.damaged("its footer is longer than the file"))?;
    reserved.try_resize(2 * (before_tail - at))?;
    let mut footer = vec![0; (before_tail - at) as usize];
    input.read_at(&mut footer, at)?;
    Ok(footer)
}
