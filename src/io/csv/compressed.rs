//! gzip and zstd undone, and what a user is told when that fails: a file that is cut off, one with something behind its
//! end, or one that is damaged in between are different mishaps with different remedies.
//!
//! Memory: as `stream` reserves it.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;

use crate::error::Error;

/// Bytes that are read from a compressed file at once.
pub(super) const COMPRESSED_BYTES: usize = 64 * 1024;

/// A buffered file that knows where it is.
pub(super) type Compressed = BufReader<CountedReader>;

/// A file that counts what is read.
pub(super) struct CountedReader {
    file: Box<dyn Read + Send>,
    position: u64,
    read_bytes: Arc<AtomicU64>,
}

/// `file` from its start; `read_bytes` grows as it is read.
pub(super) fn counted(file: impl Read + Send + 'static, read_bytes: Arc<AtomicU64>) -> Compressed {
    BufReader::with_capacity(COMPRESSED_BYTES, CountedReader { file: Box::new(file), position: 0, read_bytes })
}

impl Read for CountedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.position += n as u64;
        self.read_bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Where the decoder is in the compressed file.
fn position(from: &Compressed) -> u64 {
    from.get_ref().position - from.buffer().len() as u64
}

/// What is wrong with a compressed file, and where.
#[derive(Debug)]
struct Damage {
    format: &'static str,
    kind: DamageKind,
    /// In the compressed file.
    at: u64,
}

#[derive(Debug)]
enum DamageKind {
    /// The file ends before the stream does.
    CutOff,
    /// Something that is not such a stream follows.
    Trailing,
    Other(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { format, kind, at } = self;
        match kind {
            DamageKind::CutOff => {
                write!(f, "the file is cut off: its {format} stream goes on behind the last byte, {at}")
            }
            DamageKind::Trailing => write!(f, "its {format} stream ends at byte {at}, and something else follows"),
            DamageKind::Other(what) => write!(f, "its {format} stream is damaged near byte {at}: {what}"),
        }
    }
}

impl std::error::Error for Damage {}

impl Damage {
    fn of(format: &'static str, error: io::Error, from: &Compressed) -> io::Error {
        let kind = match error.kind() {
            _ if error.raw_os_error().is_some() => return error,
            ErrorKind::Interrupted => return error,
            ErrorKind::UnexpectedEof => DamageKind::CutOff,
            _ if error.to_string().contains("Unknown frame descriptor") => DamageKind::Trailing,
            _ => DamageKind::Other(error.to_string()),
        };
        io::Error::new(error.kind(), Damage { format, kind, at: position(from) })
    }

    fn hint(&self, path: &Path) -> String {
        let (format, at) = (self.format, self.at);
        match self.kind {
            DamageKind::Trailing => {
                let ending = if format == "gzip" { "gz" } else { "zst" };
                format!("keep the stream only, for example: head -c {at} {} > whole.csv.{ending}", path.display())
            }
            _ => format!("copy or download the file again; {format} -t tells whether a copy is whole"),
        }
    }
}

/// The error for an input that cannot be read, with what to try when it is a damaged compressed file.
pub(super) fn read_failed(path: &Path, error: &io::Error) -> Error {
    let failed = Error::read_failed(path, error);
    if let Some(hint) = super::transcode::hint_for(error) {
        return failed.with_hint(hint);
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
        Some(damage) => failed.with_hint(damage.hint(path)),
        None => failed,
    }
}

/// All members of a gzip file, one after the other.
pub(super) struct GzipReader {
    /// `None` at the end.
    member: Option<GzDecoder<Compressed>>,
}

impl GzipReader {
    pub(super) fn new(from: Compressed) -> Self {
        GzipReader { member: Some(GzDecoder::new(from)) }
    }
}

impl Read for GzipReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            match member.read(buffer) {
                Ok(0) if !buffer.is_empty() => {}
                Ok(n) => return Ok(n),
                Err(error) => return Err(Damage::of("gzip", error, member.get_ref())),
            }
            let Some(mut from) = self.member.take().map(GzDecoder::into_inner) else { break };
            match from.fill_buf()?.first() {
                None => {}
                Some(0x1F) => self.member = Some(GzDecoder::new(from)),
                Some(_) => {
                    let damage = Damage { format: "gzip", kind: DamageKind::Trailing, at: position(&from) };
                    return Err(io::Error::new(ErrorKind::InvalidData, damage));
                }
            }
        }
        Ok(0)
    }
}

/// All frames of a zstd file.
pub(super) struct ZstdReader(zstd::stream::read::Decoder<'static, Compressed>);

impl ZstdReader {
    /// A reader that refuses windows of more than 2 to the power of `window_log`.
    pub(super) fn new(from: Compressed, window_log: u32) -> io::Result<Self> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
        decoder.window_log_max(window_log)?;
        Ok(ZstdReader(decoder))
    }
}

impl Read for ZstdReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| Damage::of("zstd", error, self.0.get_ref()))
    }
}
