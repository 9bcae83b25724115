//! Decompressing pages, never to more bytes than the page header stated, and to no fewer.
//!
//! Memory: one decoder of each codec a thread (zstd: about 160 KiB), not one a column; for Brotli the window that the page
//! asks for, reserved while the page is read.
//! The surprising part: pages marked LZ4 come in three formats, depending on who wrote them.

use std::cell::RefCell;
use std::io::Read;

use parquet::basic::CompressionCodec;
use parquet::compression::{Codec, CodecOptionsBuilder, create_codec};
use parquet::errors::{ParquetError, Result};

use super::input::into_parquet;
use crate::memory::{Memory, Reservation};

/// How much of the input a Brotli decoder takes at once.
const BROTLI_INPUT_BYTES: usize = 4096;

thread_local! {
    /// The decoders this thread has used so far.
    static CODECS: RefCell<Vec<(CompressionCodec, Box<dyn Codec>)>> = const { RefCell::new(Vec::new()) };
}

/// Appends the `n_bytes` that `input` decompresses to; `output` has room for them.
pub(super) fn decompress(
    codec: CompressionCodec,
    input: &[u8],
    n_bytes: usize,
    output: &mut Vec<u8>,
    memory: &Memory,
) -> Result<()> {
    let before = output.len();
    let found = match codec {
        // A page of NULLs only has no bytes to decompress.
        _ if n_bytes == 0 => 0,
        CompressionCodec::GZIP => read_at_most(flate2::read::MultiGzDecoder::new(input), n_bytes, output)?,
        CompressionCodec::BROTLI => {
            let _window = reserve_window(input, memory)?;
            read_at_most(brotli::Decompressor::new(input, BROTLI_INPUT_BYTES), n_bytes, output)?
        }
        CompressionCodec::LZ4 => decompress_lz4(input, n_bytes, output)?,
        _ => with_codec(codec, |decoder| decoder.decompress(input, output, Some(n_bytes)))?,
    };
    if found != n_bytes || output.len() - before != n_bytes {
        return Err(ParquetError::General(format!("a page has {found} bytes where its header says {n_bytes}")));
    }
    Ok(())
}

/// Fills `output` with what `input` decompresses to.
pub(super) fn decompress_snappy(input: &[u8], output: &mut [u8]) -> Result<()> {
    let n_bytes = output.len();
    let found = match n_bytes {
        0 => 0,
        _ => {
            snap::raw::Decoder::new().decompress(input, output).map_err(|error| ParquetError::External(error.into()))?
        }
    };
    match found == n_bytes {
        true => Ok(()),
        false => Err(ParquetError::General(format!("a page has {found} bytes where its header says {n_bytes}"))),
    }
}

/// Appends what `decoder` gives, at most one byte too many.
fn read_at_most(decoder: impl Read, n_bytes: usize, output: &mut Vec<u8>) -> Result<usize> {
    output.reserve_exact(n_bytes + 1);
    Ok(decoder.take(n_bytes as u64 + 1).read_to_end(output)?)
}

/// The window that the first bits of a Brotli stream ask for.
fn reserve_window(input: &[u8], memory: &Memory) -> Result<Reservation> {
    let bits = input.first().copied().unwrap_or(0);
    let window_log = match (bits & 1, bits >> 1 & 7, bits >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        (_, 0, more) => 8 + more,
        (_, more, _) => 17 + more,
    };
    let mut window = memory.reserve("Scan");
    window.try_grow(1 << window_log).map_err(|refused| into_parquet(refused.into()))?;
    Ok(window)
}

/// Hadoop's framing, the LZ4 frame format, or a bare block, whichever it is.
fn decompress_lz4(input: &[u8], n_bytes: usize, output: &mut Vec<u8>) -> Result<usize> {
    let before = output.len();
    let hadoop = with_codec(CompressionCodec::LZ4, |decoder| decoder.decompress(input, output, Some(n_bytes)));
    if let Ok(found) = hadoop
        && found == n_bytes
    {
        return Ok(found);
    }
    output.truncate(before);
    let framed = read_at_most(lz4_flex::frame::FrameDecoder::new(input), n_bytes, output);
    if let Ok(found) = framed
        && found == n_bytes
    {
        return Ok(found);
    }
    output.truncate(before);
    with_codec(CompressionCodec::LZ4_RAW, |decoder| decoder.decompress(input, output, Some(n_bytes)))
}

fn with_codec(codec: CompressionCodec, run: impl FnOnce(&mut Box<dyn Codec>) -> Result<usize>) -> Result<usize> {
    CODECS.with_borrow_mut(|codecs| {
        let position = match codecs.iter().position(|(known, _)| *known == codec) {
            Some(position) => position,
            None => {
                // The library's own search for the right LZ4 format has no bound.
                let options = CodecOptionsBuilder::default().set_backward_compatible_lz4(false).build();
                let decoder = create_codec(codec.into(), &options)?
                    .ok_or_else(|| ParquetError::General("an uncompressed page needs no decoder".into()))?;
                codecs.push((codec, decoder));
                codecs.len() - 1
            }
        };
        run(&mut codecs[position].1)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn brotli(text: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        brotli::CompressorWriter::new(&mut compressed, 4096, 5, 22).write_all(text).unwrap();
        compressed
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4_frame(text: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn by_library(codec: CompressionCodec, text: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        let options = CodecOptionsBuilder::default().build();
        create_codec(codec.into(), &options).unwrap().unwrap().compress(text, &mut compressed).unwrap();
        compressed
    }

    #[test]
    fn a_page_gives_what_its_header_says_or_an_error() {
        let text = vec![b'a'; 20 << 20];
        let memory = Memory::with_governed(64 << 20, 1);
        for (codec, compressed) in [
            (CompressionCodec::BROTLI, brotli(&text)),
            (CompressionCodec::GZIP, gzip(&text)),
            (CompressionCodec::LZ4, lz4_frame(&text)),
            (CompressionCodec::LZ4, by_library(CompressionCodec::LZ4, &text)),
            (CompressionCodec::LZ4, by_library(CompressionCodec::LZ4_RAW, &text)),
            (CompressionCodec::LZ4_RAW, by_library(CompressionCodec::LZ4_RAW, &text)),
            (CompressionCodec::ZSTD, by_library(CompressionCodec::ZSTD, &text)),
            (CompressionCodec::SNAPPY, by_library(CompressionCodec::SNAPPY, &text)),
        ] {
            let try_size = |n_bytes: usize| {
                let mut output = Vec::with_capacity(n_bytes + 3);
                output.extend_from_slice(b"abc");
                let done = decompress(codec, &compressed, n_bytes, &mut output, &memory);
                assert!(output.capacity() <= 3 * n_bytes + 100, "{codec:?}: {} for {n_bytes}", output.capacity());
                done.map(|()| output[3..] == text[..n_bytes])
            };
            assert!(try_size(text.len()).unwrap(), "{codec:?}");
            for wrong in [1, 1000, text.len() - 1, text.len() + 1] {
                assert!(try_size(wrong).is_err(), "{codec:?} as {wrong} bytes");
            }
        }
        assert_eq!(memory.reserved_bytes(), 0);
    }
}
