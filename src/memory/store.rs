//! The two things the page pool asks of the layers above it: somewhere to put pages, and how to write one compactly.

use crate::error::Result;

/// Names a stored block; valid until freed. The meaning of the number belongs to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockId(pub u64);

/// Bytes written and read by a [`PageStore`] on behalf of one owner. Units: bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct StoreCounters {
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes that went to disk.
    pub stored_bytes: u64,
}

/// Somewhere outside memory to put a page's bytes. Implemented by the spill store.
///
/// An implementation allocates nothing that grows with the input and takes no reservation: the buffers it needs exist
/// from the start, because it is called when memory has run out.
pub trait PageStore: Send + Sync {
    /// Stores `raw` and returns its name and how many bytes went to disk. Blocks of one `stream` are read back together
    /// and should lie together.
    fn write(&self, stream: u64, raw: &[u8]) -> Result<(BlockId, u64)>;

    /// Reads the block back; `into` has the length that was written.
    ///
    /// # Errors
    /// A failed read, or bytes that do not match their checksum.
    fn read(&self, block: BlockId, into: &mut [u8]) -> Result<()>;

    /// Gives the block's space back.
    fn free(&self, block: BlockId);
}

/// How an owner's pages are written outside memory and restored.
pub trait PageFormat: Send + Sync {
    /// Appends a compact form of `page` to `out`; at most `page.len() + 64` bytes.
    fn encode(&self, page: &[u8], out: &mut Vec<u8>);

    /// Rebuilds the page from its compact form.
    ///
    /// # Errors
    /// When `encoded` is not what [`PageFormat::encode`] makes.
    fn decode(&self, encoded: &[u8], page: &mut [u8]) -> Result<()>;
}

/// Writes pages as they are.
#[derive(Debug, Default, Clone, Copy)]
pub struct RawPages;

impl PageFormat for RawPages {
    fn encode(&self, page: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(page);
    }

    fn decode(&self, encoded: &[u8], page: &mut [u8]) -> Result<()> {
        if encoded.len() != page.len() {
            return Err(crate::Error::disk("a spilled page came back with another length"));
        }
        page.copy_from_slice(encoded);
        Ok(())
    }
}
