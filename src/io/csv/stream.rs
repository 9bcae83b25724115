//! The bytes of a file as text: gzip and zstd undone, other encodings brought to UTF-8.
//!
//! Memory: gzip needs 64 KiB, another encoding the same; zstd needs the window that the file's header states, which is
//! checked against the budget before anything is allocated. A byte order mark beats what the user says of the encoding.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::compressed::{COMPRESSED_BYTES, GzipReader, ZstdReader, counted, read_failed};
use super::options::Encoding;
use super::transcode::Transcoder;
use crate::error::{Error, Result};
use crate::io::stdin;
use crate::memory::{Memory, Reservation};

/// The mark that says UTF-8.
pub(super) const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// An opened file.
pub(super) struct OpenText {
    /// The text from its first byte on, with a byte order mark if there is one.
    pub(super) text: Text,
    /// Bytes on disk.
    pub(super) len: u64,
}

/// How the text of a file is got at.
pub(super) enum Text {
    /// The file is the text: workers read anywhere in it.
    Plain(File),
    /// Only from front to back.
    Streamed { reader: Box<dyn Read + Send>, reservation: Reservation },
}

/// What opening a file takes besides its path.
#[derive(Clone, Copy)]
pub(super) struct Access<'a> {
    pub(super) memory: &'a Memory,
    /// `None`: UTF-8 or what a byte order mark says.
    pub(super) encoding: Option<Encoding>,
}

/// Opens a file. `read_bytes` counts what is read of a streamed one.
pub(super) fn open_text(path: &Path, access: Access<'_>, read_bytes: Arc<AtomicU64>) -> Result<OpenText> {
    if stdin::is_stream(path) {
        return open_stdin(path, access, read_bytes);
    }
    let failed = |error: io::Error| read_failed(path, &error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::data(format!("{} is not a regular file", path.display())));
    }
    let mut magic = [0; 18];
    let n = read_fully_at(&file, &mut magic, 0).map_err(failed)?;
    let (magic, len) = (&magic[..n], metadata.len());
    if is_plain(magic, access.encoding) {
        return Ok(OpenText { text: Text::Plain(file), len });
    }
    Ok(OpenText { text: decoded(file, magic, path, access, read_bytes)?, len })
}

/// Standard input, from its first byte on as often as it may be looked at.
fn open_stdin(path: &Path, access: Access<'_>, read_bytes: Arc<AtomicU64>) -> Result<OpenText> {
    let mut stream = stdin::open(access.memory)?;
    let mut magic = [0; 18];
    let n = read_fully(&mut stream, &mut magic).map_err(|error| read_failed(path, &error))?;
    let whole = Cursor::new(magic[..n].to_vec()).chain(stream);
    Ok(OpenText { text: decoded(whole, &magic[..n], path, access, read_bytes)?, len: 0 })
}

/// Whether a file that begins like this is its own text.
fn is_plain(magic: &[u8], encoding: Option<Encoding>) -> bool {
    !matches!(magic, [0x1F, 0x8B, ..] | [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..])
        && foreign_format(magic).is_none()
        && encoding_of(magic, encoding).0.is_none()
}

/// The text of `from`, which begins with `magic`.
fn decoded(
    from: impl Read + Send + 'static,
    magic: &[u8],
    path: &Path,
    access: Access<'_>,
    read_bytes: Arc<AtomicU64>,
) -> Result<Text> {
    let Access { memory, encoding } = access;
    let failed = |error: io::Error| read_failed(path, &error);
    let mut reservation = memory.reserve("Scan");
    let reader: Box<dyn Read + Send> = match magic {
        [0x1F, 0x8B, ..] => {
            reservation.try_grow(2 * COMPRESSED_BYTES as u64)?;
            Box::new(GzipReader::new(counted(from, read_bytes)))
        }
        [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => {
            let window = window_bytes(magic, path, memory)?;
            reservation.try_grow(window + 4 * COMPRESSED_BYTES as u64)?;
            let window_log = window.next_power_of_two().ilog2().max(10);
            Box::new(ZstdReader::new(counted(from, read_bytes), window_log).map_err(failed)?)
        }
        _ => match foreign_format(magic) {
            None => Box::new(counted(from, read_bytes)),
            Some(format) => return Err(not_csv(path, format)),
        },
    };
    reservation.try_grow(Transcoder::<File>::BYTES)?;
    let reader = to_utf8(reader, encoding).map_err(failed)?;
    Ok(Text::Streamed { reader, reservation })
}

fn not_csv(path: &Path, format: &str) -> Error {
    let hint = match format {
        UTF_32 => "convert it first: iconv -f UTF-32 -t UTF-8",
        _ if path == Path::new(stdin::STDIN) => "name the file instead: only text can be read from a pipe",
        _ => "unpack it first, or give the file an extension that says what it is",
    };
    Error::data(format!("{} is {format}, not CSV", path.display())).with_hint(hint)
}

const UTF_32: &str = "UTF-32 text";

fn foreign_format(magic: &[u8]) -> Option<&'static str> {
    match magic {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some(UTF_32),
        [b'P', b'A', b'R', b'1', ..] => Some("a Parquet file"),
        [b'P', b'K', 3, 4, ..] => Some("a zip archive"),
        [b'B', b'Z', b'h', ..] => Some("bzip2-compressed"),
        [0xFD, b'7', b'z', b'X', b'Z', ..] => Some("xz-compressed"),
        _ => None,
    }
}

/// Reads until `buffer` is full or the file ends.
pub(super) fn read_fully_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match file.read_at(&mut buffer[n..], offset + n as u64) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// Reads until `buffer` is full or the stream ends.
pub(super) fn read_fully(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match reader.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// The number of newlines in the first `offset` bytes of a file's text. Reads the file again, so for errors only.
pub(super) fn count_lines(path: &Path, offset: u64, access: Access<'_>) -> Result<u64> {
    let opened = open_text(path, access, Arc::default())?;
    let (mut reader, _reservation): (Box<dyn Read>, _) = match opened.text {
        Text::Plain(file) => (Box::new(file), None),
        Text::Streamed { reader, reservation } => (reader, Some(reservation)),
    };
    let (mut left, mut n_lines, mut buffer) = (offset, 0, [0; 16 * 1024]);
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = read_fully(&mut *reader, &mut buffer[..want]).map_err(|error| read_failed(path, &error))?;
        if n == 0 {
            break;
        }
        n_lines += memchr::memchr_iter(b'\n', &buffer[..n]).count() as u64;
        left -= n as u64;
    }
    Ok(n_lines)
}

/// What the decoder of this zstd file must keep; an error when that is more than a quarter of the governed memory.
fn window_bytes(magic: &[u8], path: &Path, memory: &Memory) -> Result<u64> {
    const SKIPPABLE: u64 = 8 << 20;
    let stated = zstd_window_bytes(magic).unwrap_or(SKIPPABLE).max(1 << 20);
    let most = memory.governed_bytes() / 4;
    if stated <= most {
        return Ok(stated);
    }
    let budget = memory.budget().bytes() + (stated - most) * 4;
    let mib = budget.div_ceil(1 << 20);
    Err(Error::budget(format!(
        "{} was compressed with a window of {} MiB, too much for a memory budget of {} MiB",
        path.display(),
        stated >> 20,
        memory.budget().bytes() >> 20,
    ))
    .with_hint(format!("the smallest budget that would do is about {mib} MiB: --memory-budget {mib}MiB")))
}

/// The window that a zstd frame header states.
fn zstd_window_bytes(magic: &[u8]) -> Option<u64> {
    let descriptor = *magic.get(4)?;
    if magic[0] != 0x28 {
        return None;
    }
    if descriptor & 0x20 == 0 {
        let window = *magic.get(5)?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let n = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let mut size = [0; 8];
    size[..n].copy_from_slice(magic.get(at..at + n)?);
    Some(u64::from_le_bytes(size) + if n == 2 { 256 } else { 0 })
}

/// What a text that begins like this has to be decoded from, if at all, and the length of its byte order mark.
fn encoding_of(start: &[u8], declared: Option<Encoding>) -> (Option<Encoding>, usize) {
    match start {
        [0xFF, 0xFE, ..] => (Some(Encoding::UTF_16LE), 2),
        [0xFE, 0xFF, ..] => (Some(Encoding::UTF_16BE), 2),
        // The mark stays, so that byte offsets are those of the file.
        _ if start.starts_with(UTF8_MARK) => (None, 0),
        _ => (declared.filter(|encoding| !encoding.is_utf8()), 0),
    }
}

/// Decodes a text if it has to be.
fn to_utf8(mut reader: Box<dyn Read + Send>, declared: Option<Encoding>) -> io::Result<Box<dyn Read + Send>> {
    let mut start = [0; 3];
    let n = read_fully(&mut *reader, &mut start)?;
    let (encoding, n_mark) = encoding_of(&start[..n], declared);
    let whole = Cursor::new(start[n_mark..n].to_vec()).chain(reader);
    Ok(match encoding {
        Some(encoding) => Box::new(Transcoder::new(whole, encoding)),
        None => Box::new(whole),
    })
}
