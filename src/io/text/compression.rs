//! Text that is compressed on its way to a file: each block on its own, by the worker that made it.
//!
//! Memory: what one compressor holds, which its worker reserves.
//!
//! The surprising part: a gzip file may be many gzip streams one after the other, and a zstd file many frames; so workers
//! compress side by side, and the file is as good as one stream for every reader that follows the formats.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// How text is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextCompression {
    /// As it is.
    #[default]
    None,
    /// gzip, `.gz`.
    Gzip,
    /// Zstandard, `.zst`.
    Zstd,
}

/// The level of gzip that most programs write.
const GZIP_LEVEL: u32 = 6;

/// The level of zstd that keeps up with writing.
const ZSTD_LEVEL: i32 = 1;

impl TextCompression {
    /// What the name of a file states.
    pub fn from_path(path: &Path) -> Self {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("gz" | "gzip") => TextCompression::Gzip,
            Some("zst" | "zstd") => TextCompression::Zstd,
            _ => TextCompression::None,
        }
    }

    /// What one compressor holds for blocks of up to 1 MiB, with the block it makes.
    pub(super) fn context_bytes(self, block_bytes: usize) -> u64 {
        match self {
            TextCompression::None => 0,
            TextCompression::Gzip => (512 << 10) + block_bytes as u64,
            TextCompression::Zstd => (704 << 10) + block_bytes as u64,
        }
    }

    /// `text` as it is in the file.
    pub(super) fn pack(self, text: Vec<u8>) -> Result<Vec<u8>> {
        let failed = |error: std::io::Error| Error::query(format!("cannot compress the result: {error}"));
        match self {
            _ if text.is_empty() => Ok(text),
            TextCompression::None => Ok(text),
            TextCompression::Gzip => {
                let packed = Vec::with_capacity(text.len() / 4);
                let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::new(GZIP_LEVEL));
                encoder.write_all(&text).map_err(failed)?;
                encoder.finish().map_err(failed)
            }
            TextCompression::Zstd => zstd::bulk::compress(&text, ZSTD_LEVEL).map_err(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn blocks_one_after_the_other_are_one_text() {
        for (name, compression) in [
            ("a.csv", TextCompression::None),
            ("a.csv.GZ", TextCompression::Gzip),
            ("a.ndjson.zst", TextCompression::Zstd),
        ] {
            assert_eq!(TextCompression::from_path(Path::new(name)), compression);
            let blocks = ["first block\n".repeat(100), String::new(), "second".into()];
            let packed: Vec<u8> =
                blocks.iter().flat_map(|block| compression.pack(block.clone().into_bytes()).unwrap()).collect();
            let mut text = String::new();
            match compression {
                TextCompression::None => text = String::from_utf8(packed).unwrap(),
                TextCompression::Gzip => {
                    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_string(&mut text).map(|_| ()).unwrap();
                }
                TextCompression::Zstd => {
                    zstd::stream::read::Decoder::new(&packed[..])
                        .unwrap()
                        .read_to_string(&mut text)
                        .map(|_| ())
                        .unwrap();
                }
            }
            assert_eq!(text, blocks.concat());
        }
    }
}
