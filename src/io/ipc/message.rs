//! One message of an Arrow file: its metadata, and the wanted columns of its record batch.
//!
//! Memory: the metadata; of the body, the buffers of the wanted columns as they are after unpacking, and one packed buffer.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::{Fields, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::{self, CompressionType, FieldNode, MetadataVersion};
use flatbuffers::FlatBufferBuilder;

use super::input::Input;
use super::layout::{ColumnParts, parts_of_columns};
use crate::error::{Error, Result};
use crate::memory::Reservation;

/// Buffers begin at multiples of this.
const ALIGNMENT: usize = 64;

/// The largest metadata that is believed. Those of ten thousand columns take about 1 MiB.
const MAX_METADATA_BYTES: usize = 256 << 20;

/// A message whose body was not read yet.
pub(super) struct Message {
    metadata: Vec<u8>,
    /// Where it begins in the file.
    at: u64,
    body_at: u64,
    body_bytes: u64,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Schema,
    Dictionary,
    RecordBatch,
    Other,
}

/// A dictionary message: whose values it holds, and whether they are added to those before.
#[derive(Debug, Clone, Copy)]
pub(super) struct DictionaryHeader {
    pub(super) id: i64,
    pub(super) is_delta: bool,
}

impl Message {
    /// Reads the metadata of the message at `at`; `None` at the end of the messages. `reserved` covers it.
    pub(super) fn read(input: &Input, at: u64, reserved: &mut Reservation) -> Result<Option<Message>> {
        let mut prefix = [0; 8];
        let n_prefix = prefix.len().min(input.n_bytes().saturating_sub(at) as usize);
        match n_prefix {
            0 => return Ok(None),
            1..4 => return Err(input.damaged("it ends in the middle of a message")),
            _ => {}
        }
        input.read_at(&mut prefix[..n_prefix], at)?;
        let [a, b, c, d, rest @ ..] = prefix;
        // Before version 0.15 there was no marker in front of the length.
        let (length, n_prefix) = match (i32::from_le_bytes([a, b, c, d]), n_prefix) {
            (-1, 8) => (i32::from_le_bytes(rest), 8),
            (-1, _) => return Err(input.damaged("it ends in the middle of a message")),
            (length, _) => (length, 4),
        };
        if length == 0 {
            return Ok(None);
        }
        let metadata_at = at + n_prefix;
        let n_metadata = usize::try_from(length).ok().filter(|n| *n <= MAX_METADATA_BYTES);
        let n_metadata = n_metadata.filter(|n| metadata_at + *n as u64 <= input.n_bytes());
        let n_metadata = n_metadata.ok_or_else(|| input.damaged(format!("there is no message at byte {at}")))?;
        reserved.try_resize(n_metadata as u64)?;
        let mut metadata = vec![0; n_metadata];
        input.read_at(&mut metadata, metadata_at)?;
        let body_at = metadata_at + n_metadata as u64;
        let mut message = Message { metadata, at, body_at, body_bytes: 0 };
        let stated = message.parse(input)?.bodyLength();
        let body_bytes = u64::try_from(stated).ok().filter(|bytes| body_at.saturating_add(*bytes) <= input.n_bytes());
        message.body_bytes = body_bytes.ok_or_else(|| input.damaged("it ends in the middle of a record batch"))?;
        Ok(Some(message))
    }

    fn parse(&self, input: &Input) -> Result<ipc::Message<'_>> {
        ipc::root_as_message(&self.metadata)
            .map_err(|error| input.damaged(format!("the message at byte {}: {error}", self.at)))
    }

    /// Where the next message begins.
    pub(super) fn end(&self) -> u64 {
        self.body_at + self.body_bytes
    }

    pub(super) fn kind(&self, input: &Input) -> Result<Kind> {
        Ok(match self.parse(input)?.header_type() {
            ipc::MessageHeader::Schema => Kind::Schema,
            ipc::MessageHeader::DictionaryBatch => Kind::Dictionary,
            ipc::MessageHeader::RecordBatch => Kind::RecordBatch,
            _ => Kind::Other,
        })
    }

    /// The schema in a schema message.
    pub(super) fn schema(&self, input: &Input) -> Result<Schema> {
        let message = self.parse(input)?;
        let schema = message.header_as_schema().ok_or_else(|| input.damaged("it does not begin with a schema"))?;
        check_endianness(input, schema)?;
        input.guarded(|| Ok(ipc::convert::fb_to_schema(schema)))
    }

    /// Rows of a record batch.
    pub(super) fn n_rows(&self, input: &Input) -> Result<u64> {
        let length = self.parse(input)?.header_as_record_batch().map(|batch| batch.length());
        let n_rows = length.and_then(|length| u64::try_from(length).ok());
        n_rows.ok_or_else(|| input.damaged(format!("the message at byte {} is no record batch", self.at)))
    }

    /// About what the body takes once it is unpacked.
    pub(super) fn expected_bytes(&self, input: &Input) -> Result<u64> {
        let batch = self.parse(input)?.header_as_record_batch();
        let factor = if batch.is_some_and(|batch| batch.compression().is_some()) { 4 } else { 1 };
        Ok(self.body_bytes * factor)
    }

    pub(super) fn dictionary(&self, input: &Input) -> Result<DictionaryHeader> {
        let message = self.parse(input)?;
        let dictionary = message.header_as_dictionary_batch();
        let dictionary = dictionary.ok_or_else(|| input.damaged("a dictionary is something else"))?;
        Ok(DictionaryHeader { id: dictionary.id(), is_delta: dictionary.isDelta() })
    }

    /// Reads the columns `wanted` of `fields`. `reserved` covers them until the caller gives it back.
    pub(super) fn read_columns(
        &self,
        input: &Input,
        fields: &Fields,
        wanted: &[usize],
        dictionaries: &HashMap<i64, ArrayRef>,
        reserved: &mut Reservation,
    ) -> Result<RecordBatch> {
        let message = self.parse(input)?;
        let batch = message.header_as_record_batch().or_else(|| message.header_as_dictionary_batch()?.data());
        let batch =
            batch.ok_or_else(|| input.damaged(format!("the message at byte {} is no record batch", self.at)))?;
        let wanted_fields: Fields = wanted.iter().map(|&idx| fields[idx].clone()).collect();
        let schema = Arc::new(Schema::new(wanted_fields));
        if wanted.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(usize::try_from(batch.length()).ok());
            return Ok(RecordBatch::try_new_with_options(schema, vec![], &options)?);
        }
        let body = Body { message: self, input, batch };
        let (metadata, data) = body.of_columns(fields, wanted, message.version(), reserved)?;
        let version = message.version();
        input.guarded(|| {
            let smaller = ipc::root_as_message(&metadata).map_err(|error| ArrowError::IpcError(error.to_string()))?;
            let batch = smaller.header_as_record_batch().ok_or_else(|| ArrowError::IpcError("no batch".into()))?;
            read_record_batch(&data, batch, schema, dictionaries, None, &version)
        })
    }
}

/// Only little-endian data is read, as everything writes it today.
pub(super) fn check_endianness(input: &Input, schema: ipc::Schema<'_>) -> Result<()> {
    match schema.endianness() {
        ipc::Endianness::Little => Ok(()),
        _ => Err(Error::data(format!("{} holds big-endian data, which is not read", input.path().display()))
            .with_hint("write it again on a little-endian machine")),
    }
}

/// The body of a record batch in the file.
struct Body<'a> {
    message: &'a Message,
    input: &'a Input,
    batch: ipc::RecordBatch<'a>,
}

/// A buffer in the file, and what it is after unpacking.
struct Piece {
    at: u64,
    stored_bytes: usize,
    bytes: usize,
    is_packed: bool,
}

impl Body<'_> {
    /// A message with the columns `wanted` only, unpacked: its metadata and its body.
    fn of_columns(
        &self,
        fields: &Fields,
        wanted: &[usize],
        version: MetadataVersion,
        reserved: &mut Reservation,
    ) -> Result<(Vec<u8>, Buffer)> {
        let counts: Vec<i64> = self.batch.variadicBufferCounts().map_or(Vec::new(), |counts| counts.iter().collect());
        let parts = parts_of_columns(fields, &counts).ok_or_else(|| self.contradiction())?;
        let wanted: Vec<&ColumnParts> = wanted.iter().map(|&idx| &parts[idx]).collect();
        let pieces = wanted.iter().flat_map(|parts| parts.buffers.clone()).map(|idx| self.piece(idx));
        let pieces = pieces.collect::<Result<Vec<Piece>>>()?;
        let total = pieces.iter().try_fold(0usize, |sum, piece| sum.checked_add(padded(piece.bytes)?));
        let total = total.ok_or_else(|| self.contradiction())?;
        let scratch = pieces.iter().filter(|piece| piece.is_packed).map(|piece| piece.stored_bytes).max().unwrap_or(0);
        self.reserve(reserved, total as u64 + scratch as u64)?;
        let mut data = MutableBuffer::from_len_zeroed(total);
        let (mut packed, mut at, mut buffers) = (vec![0; scratch], 0, Vec::with_capacity(pieces.len()));
        for piece in &pieces {
            self.fill(piece, &mut data.as_slice_mut()[at..at + piece.bytes], &mut packed)?;
            buffers.push(ipc::Buffer::new(at as i64, piece.bytes as i64));
            at += padded(piece.bytes).unwrap_or(piece.bytes);
        }
        drop(packed);
        reserved.shrink(scratch as u64);
        let nodes = self.batch.nodes().ok_or_else(|| self.contradiction())?;
        let all_nodes: Vec<FieldNode> = nodes.iter().copied().collect();
        let nodes = wanted.iter().map(|parts| all_nodes.get(parts.nodes.clone()));
        let nodes = nodes.collect::<Option<Vec<_>>>().ok_or_else(|| self.contradiction())?.concat();
        let counts: Vec<i64> = wanted.iter().flat_map(|parts| counts[parts.counts.clone()].to_vec()).collect();
        Ok((metadata_of(self.batch.length(), &nodes, &buffers, &counts, version), data.into()))
    }

    fn reserve(&self, reserved: &mut Reservation, bytes: u64) -> Result<()> {
        reserved.try_grow(bytes).map_err(|refused| {
            let error: Error = refused.into();
            let (path, mib) = (self.input.path().display(), bytes.div_ceil(1 << 20));
            let n_rows = self.batch.length();
            let hint = error.hint().unwrap_or_default().to_string();
            Error::budget(format!(
                "{path}: a record batch of {n_rows} rows takes {mib} MiB, more than the memory budget leaves for it"
            ))
            .with_hint(format!("write the file with smaller record batches, or read fewer columns; {hint}"))
        })
    }

    /// Where buffer `idx` is, and how large it will be.
    fn piece(&self, idx: usize) -> Result<Piece> {
        let buffers = self.batch.buffers().filter(|buffers| idx < buffers.len());
        let buffer = buffers.ok_or_else(|| self.contradiction())?.get(idx);
        let (offset, length) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length()));
        let (Ok(offset), Ok(length)) = (offset, length) else { return Err(self.contradiction()) };
        if offset.checked_add(length).is_none_or(|end| end > self.message.body_bytes) {
            return Err(self.contradiction());
        }
        let (at, bytes) = (self.message.body_at + offset, length as usize);
        if self.batch.compression().is_none() || length == 0 {
            return Ok(Piece { at, stored_bytes: bytes, bytes, is_packed: false });
        }
        let mut prefix = [0; 8];
        if bytes < prefix.len() {
            return Err(self.contradiction());
        }
        self.input.read_at(&mut prefix, at)?;
        let (at, stored_bytes) = (at + 8, bytes - 8);
        match i64::from_le_bytes(prefix) {
            -1 => Ok(Piece { at, stored_bytes, bytes: stored_bytes, is_packed: false }),
            stated => {
                let bytes = usize::try_from(stated).map_err(|_| self.contradiction())?;
                Ok(Piece { at, stored_bytes, bytes, is_packed: true })
            }
        }
    }

    /// Reads a buffer into `into`, which has its size.
    fn fill(&self, piece: &Piece, into: &mut [u8], packed: &mut [u8]) -> Result<()> {
        if !piece.is_packed {
            return self.input.read_at(into, piece.at);
        }
        let packed = &mut packed[..piece.stored_bytes];
        self.input.read_at(packed, piece.at)?;
        let codec = self.batch.compression().map(|compression| compression.codec());
        let unpacked = match codec {
            Some(CompressionType::LZ4_FRAME) => fill_from(lz4_flex::frame::FrameDecoder::new(&packed[..]), into),
            Some(CompressionType::ZSTD) => {
                zstd::bulk::decompress_to_buffer(packed, into).map(|n_bytes| n_bytes == into.len())
            }
            _ => return Err(self.input.damaged("it is compressed in an unknown way")),
        };
        match unpacked {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.input.damaged("a compressed buffer has another size than it states")),
            Err(error) => Err(self.input.damaged(format!("a compressed buffer: {error}"))),
        }
    }

    fn contradiction(&self) -> Error {
        self.input.damaged(format!("the record batch at byte {} does not fit its schema", self.message.at))
    }
}

/// Fills `into` to its end; whether that was all.
fn fill_from(mut from: impl std::io::Read, into: &mut [u8]) -> std::io::Result<bool> {
    let mut n = 0;
    while n < into.len() {
        match from.read(&mut into[n..])? {
            0 => return Ok(false),
            more => n += more,
        }
    }
    Ok(from.read(&mut [0])? == 0)
}

/// `bytes` and what is between them and the next buffer.
fn padded(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(ALIGNMENT)
}

/// The metadata of a record batch message.
fn metadata_of(
    n_rows: i64,
    nodes: &[FieldNode],
    buffers: &[ipc::Buffer],
    counts: &[i64],
    version: MetadataVersion,
) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let nodes = builder.create_vector(nodes);
    let buffers = builder.create_vector(buffers);
    let counts = (!counts.is_empty()).then(|| builder.create_vector(counts));
    let mut batch = ipc::RecordBatchBuilder::new(&mut builder);
    batch.add_length(n_rows);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    if let Some(counts) = counts {
        batch.add_variadicBufferCounts(counts);
    }
    let batch = batch.finish().as_union_value();
    let mut message = ipc::MessageBuilder::new(&mut builder);
    message.add_version(version);
    message.add_header_type(ipc::MessageHeader::RecordBatch);
    message.add_header(batch);
    let message = message.finish();
    builder.finish(message, None);
    builder.finished_data().to_vec()
}
