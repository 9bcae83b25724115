//! Text in another encoding, as UTF-8.
//!
//! Memory: [`Transcoder::BYTES`], whatever the length of the file. Bytes that stand for no character are an error that
//! names the line: nothing is replaced.

use std::fmt;
use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult};
use memchr::memchr_iter;

use super::options::Encoding;

/// Bytes that are read at once.
const RAW_BYTES: usize = 16 * 1024;

/// What they can become: three bytes for one at most, and a little for what the decoder held back.
const TEXT_BYTES: usize = 3 * RAW_BYTES + 64;

/// A reader of UTF-8 over one of another encoding.
pub(super) struct Transcoder<R> {
    inner: R,
    encoding: Encoding,
    decoder: Decoder,
    raw: Box<[u8]>,
    /// Bytes of `raw` that are not decoded yet.
    waiting: (usize, usize),
    text: Box<[u8]>,
    /// Bytes of `text` that are not handed out yet.
    ready: (usize, usize),
    n_lines: u64,
    is_end: bool,
}

impl<R: Read> Transcoder<R> {
    /// What it holds.
    pub(super) const BYTES: u64 = (RAW_BYTES + TEXT_BYTES) as u64;

    pub(super) fn new(inner: R, encoding: Encoding) -> Self {
        Transcoder {
            inner,
            encoding,
            decoder: encoding.decoder(),
            raw: vec![0; RAW_BYTES].into(),
            waiting: (0, 0),
            text: vec![0; TEXT_BYTES].into(),
            ready: (0, 0),
            n_lines: 0,
            is_end: false,
        }
    }

    /// Decodes what has been read, or reads more and decodes that.
    fn refill(&mut self) -> io::Result<()> {
        if self.waiting.0 == self.waiting.1 {
            let n = match self.inner.read(&mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                read => read?,
            };
            self.waiting = (0, n);
            self.is_end = n == 0;
        }
        let raw = &self.raw[self.waiting.0..self.waiting.1];
        let (result, n_read, n_written) =
            self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, self.is_end);
        self.waiting.0 += n_read;
        self.ready = (0, n_written);
        self.n_lines += memchr_iter(b'\n', &self.text[..n_written]).count() as u64;
        match result {
            DecoderResult::Malformed(n_bad, n_behind) => Err(self.malformed(n_bad, n_behind)),
            DecoderResult::InputEmpty | DecoderResult::OutputFull => Ok(()),
        }
    }

    fn malformed(&self, n_bad: u8, n_behind: u8) -> io::Error {
        let end = self.waiting.0.saturating_sub(usize::from(n_behind));
        let bad = self.raw.get(end.saturating_sub(usize::from(n_bad))..end).unwrap_or_default();
        let shown: Vec<String> = bad.iter().map(|byte| format!("{byte:02X}")).collect();
        let what = match shown.is_empty() || self.is_end {
            true => "it ends within a character".to_string(),
            false => format!("the bytes {} stand for no character", shown.join(" ")),
        };
        let message = format!("line {} is not {}: {what}", self.n_lines + 1, self.encoding.name());
        io::Error::new(io::ErrorKind::InvalidData, Malformed(message))
    }
}

/// Bytes that stand for no character.
#[derive(Debug)]
struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// What to try when a text could not be decoded; nothing for other errors.
pub(super) fn hint_for(error: &io::Error) -> Option<&'static str> {
    let is_malformed = error.get_ref().is_some_and(|inner| inner.is::<Malformed>());
    is_malformed.then_some("the file is damaged there, or in another encoding: name that with --encoding")
}

impl<R: Read> Read for Transcoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.0 == self.ready.1 {
            if self.is_end || buffer.is_empty() {
                return Ok(0);
            }
            self.refill()?;
        }
        let ready = &self.text[self.ready.0..self.ready.1];
        let n = buffer.len().min(ready.len());
        buffer[..n].copy_from_slice(&ready[..n]);
        self.ready.0 += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], encoding: &str, at_once: usize) -> Result<String, String> {
        struct Pieces<'a>(std::slice::Chunks<'a, u8>);
        impl Read for Pieces<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let piece = self.0.next().unwrap_or_default();
                buffer[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
        let encoding = Encoding::parse(encoding).unwrap();
        let mut text = String::new();
        let mut reader = Transcoder::new(Pieces(bytes.chunks(at_once)), encoding);
        reader.read_to_string(&mut text).map(|_| text).map_err(|error| error.to_string())
    }

    #[test]
    fn characters_survive_any_cut() {
        let text = "a,ü\n\u{1F600},日本\n".repeat(3000);
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for at_once in [1, 2, 3, 7, 1000, RAW_BYTES] {
            assert!(decode(&little, "utf-16le", at_once).as_ref() == Ok(&text), "{at_once}");
            assert!(decode(&big, "utf-16be", at_once).as_ref() == Ok(&text), "{at_once}");
        }
        assert_eq!(decode(b"caf\xE9 \x80", "latin1", 1).unwrap(), "café €");
        assert_eq!(decode(b"\x93\xFA\x96\x7B", "shift_jis", 1).unwrap(), "日本");
    }

    #[test]
    fn what_is_no_text_is_an_error_with_its_line() {
        let check = |bytes: &[u8], encoding: &str, want: &str| {
            for at_once in [1, 3, 100] {
                let error = decode(bytes, encoding, at_once).unwrap_err();
                assert!(error.starts_with(want), "{error}");
            }
        };
        check(b"a\0\n\0\x3D\xD8b\0", "utf-16le", "line 2 is not UTF-16LE: ");
        check(b"a\0\n\0b", "utf-16le", "line 2 is not UTF-16LE: it ends within a character");
        check(b"a\n\xFF\xFFb\n", "euc-jp", "line 2 is not EUC-JP: the bytes FF stand for no character");
    }
}
