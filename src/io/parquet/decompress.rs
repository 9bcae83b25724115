//! Decompressing pages, never to more bytes than the page header stated.
//!
//! Memory: one decoder of each codec a thread (zstd: about 160 KiB), not one a column.

use std::cell::RefCell;
use std::io::Read;

use parquet::basic::CompressionCodec;
use parquet::compression::{Codec, CodecOptions, create_codec};
use parquet::errors::{ParquetError, Result};

thread_local! {
    /// The decoders this thread has used so far.
    static CODECS: RefCell<Vec<(CompressionCodec, Box<dyn Codec>)>> = const { RefCell::new(Vec::new()) };
}

/// Appends the `n_bytes` that `input` decompresses to.
pub(super) fn decompress(codec: CompressionCodec, input: &[u8], n_bytes: usize, output: &mut Vec<u8>) -> Result<()> {
    let before = output.len();
    // A page of NULLs only has no bytes to decompress.
    if n_bytes > 0 {
        match codec {
            CompressionCodec::GZIP => {
                let mut decoder = flate2::read::MultiGzDecoder::new(input).take(n_bytes as u64 + 1);
                decoder.read_to_end(output)?;
            }
            _ => with_codec(codec, |decoder| decoder.decompress(input, output, Some(n_bytes)))?,
        }
    }
    match output.len() - before {
        found if found == n_bytes => Ok(()),
        found => Err(ParquetError::General(format!("a page has {found} bytes where its header says {n_bytes}"))),
    }
}

fn with_codec(codec: CompressionCodec, run: impl FnOnce(&mut Box<dyn Codec>) -> Result<usize>) -> Result<()> {
    CODECS.with_borrow_mut(|codecs| {
        let position = match codecs.iter().position(|(known, _)| *known == codec) {
            Some(position) => position,
            None => {
                let decoder = create_codec(codec.into(), &CodecOptions::default())?
                    .ok_or_else(|| ParquetError::General("an uncompressed page needs no decoder".into()))?;
                codecs.push((codec, decoder));
                codecs.len() - 1
            }
        };
        run(&mut codecs[position].1).map(|_| ())
    })
}
