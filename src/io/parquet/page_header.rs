//! The header in front of every page: a Thrift struct in the compact protocol, read without allocating.
//!
//! Memory: none. Statistics inside a header are skipped and never copied, so a forged length costs nothing.

use parquet::basic::Encoding;

/// What a page is, with the counts its header states. Nothing here is to be believed before [`PageHeader::check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// A data page of version 1.
    Data { n_values: u32, encoding: Encoding, def_encoding: Encoding, rep_encoding: Encoding },
    /// A data page of version 2: levels first, never compressed, then values.
    DataV2 {
        n_values: u32,
        n_nulls: u32,
        n_rows: u32,
        encoding: Encoding,
        def_bytes: u32,
        rep_bytes: u32,
        is_compressed: bool,
    },
    /// The dictionary of the chunk.
    Dictionary { n_values: u32, encoding: Encoding, is_sorted: bool },
    /// An index page; nobody writes them, readers step over them.
    Index,
}

/// A page header and its own length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) kind: PageKind,
    pub(super) header_bytes: usize,
    pub(super) compressed_bytes: usize,
    pub(super) uncompressed_bytes: usize,
}

/// Why bytes are not a page header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// The bytes end inside the header; more of them may help.
    Incomplete,
    /// They are something else.
    Malformed(&'static str),
}

impl PageHeader {
    /// Reads the header at the start of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut reader = Compact { bytes, at: 0 };
        let mut fields = Fields::default();
        let mut id = 0;
        while let Some(kind) = reader.field(&mut id)? {
            match (id, kind) {
                (1, I32) => fields.page_type = Some(reader.int()?),
                (2, I32) => fields.uncompressed = Some(reader.int()?),
                (3, I32) => fields.compressed = Some(reader.int()?),
                (5, STRUCT) => fields.data = Some(DataFields::read(&mut reader, V1)?),
                (7, STRUCT) => fields.dictionary = Some(DataFields::read(&mut reader, DICTIONARY)?),
                (8, STRUCT) => fields.data_v2 = Some(DataFields::read(&mut reader, V2)?),
                (_, kind) => reader.skip(kind, 0)?,
            }
        }
        fields.into_header(reader.at)
    }

    /// Values (levels) in a data page; 0 for other pages.
    pub(super) fn n_levels(&self) -> usize {
        match self.kind {
            PageKind::Data { n_values, .. } | PageKind::DataV2 { n_values, .. } => n_values as usize,
            PageKind::Dictionary { .. } | PageKind::Index => 0,
        }
    }

    /// What is implausible about this header, if anything: no count may be larger than the bytes can hold.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.kind {
            PageKind::DataV2 { n_values, n_nulls, n_rows, def_bytes, rep_bytes, .. } => {
                let level_bytes = def_bytes as usize + rep_bytes as usize;
                if level_bytes > self.uncompressed_bytes || level_bytes > self.compressed_bytes {
                    return Err("its levels are longer than the page");
                }
                if n_nulls > n_values || n_rows > n_values {
                    return Err("it has more NULLs or rows than values");
                }
                Ok(())
            }
            PageKind::Dictionary { n_values, .. } if n_values as usize > self.uncompressed_bytes.saturating_mul(8) => {
                Err("its dictionary has more values than bytes")
            }
            _ => Ok(()),
        }
    }
}

const BOOL_TRUE: u8 = 1;
const BOOL_FALSE: u8 = 2;
const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Nesting beyond this is no page header; it bounds the recursion.
const MAX_DEPTH: usize = 16;

#[derive(Default)]
struct Fields {
    page_type: Option<i64>,
    uncompressed: Option<i64>,
    compressed: Option<i64>,
    data: Option<DataFields>,
    data_v2: Option<DataFields>,
    dictionary: Option<DataFields>,
}

/// The fields of the three structs for page kinds, by Thrift field number.
#[derive(Default, Clone, Copy)]
struct DataFields {
    numbers: [i64; 8],
    seen: u8,
    flag: Option<bool>,
}

/// Which field numbers of a struct are numbers, and which one is the flag.
struct Layout {
    numbers: u8,
    flag: i16,
}

const V1: Layout = Layout { numbers: 0b0001_1110, flag: -1 };
const V2: Layout = Layout { numbers: 0b0111_1110, flag: 7 };
const DICTIONARY: Layout = Layout { numbers: 0b0000_0110, flag: 3 };

impl DataFields {
    fn read(reader: &mut Compact<'_>, layout: Layout) -> Result<Self, HeaderError> {
        let mut fields = DataFields::default();
        let mut id = 0;
        while let Some(kind) = reader.field(&mut id)? {
            let is_number = (1..8).contains(&id) && layout.numbers & (1 << id) != 0;
            match kind {
                I32 if is_number => {
                    fields.numbers[id as usize] = reader.int()?;
                    fields.seen |= 1 << id;
                }
                BOOL_TRUE | BOOL_FALSE if id == layout.flag => fields.flag = Some(kind == BOOL_TRUE),
                kind => reader.skip(kind, 0)?,
            }
        }
        if fields.seen != layout.numbers {
            return Err(HeaderError::Malformed("a field is missing"));
        }
        Ok(fields)
    }

    fn count(&self, id: usize) -> Result<u32, HeaderError> {
        u32::try_from(self.numbers[id]).map_err(|_| HeaderError::Malformed("a count is negative"))
    }

    fn encoding(&self, id: usize) -> Result<Encoding, HeaderError> {
        #[expect(deprecated, reason = "old writers used it for levels")]
        Ok(match self.numbers[id] {
            0 => Encoding::PLAIN,
            2 => Encoding::PLAIN_DICTIONARY,
            3 => Encoding::RLE,
            4 => Encoding::BIT_PACKED,
            5 => Encoding::DELTA_BINARY_PACKED,
            6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            7 => Encoding::DELTA_BYTE_ARRAY,
            8 => Encoding::RLE_DICTIONARY,
            9 => Encoding::BYTE_STREAM_SPLIT,
            _ => return Err(HeaderError::Malformed("its encoding is unknown")),
        })
    }
}

impl Fields {
    fn into_header(self, header_bytes: usize) -> Result<PageHeader, HeaderError> {
        let size = |field: Option<i64>| match field.map(usize::try_from) {
            Some(Ok(bytes)) => Ok(bytes),
            _ => Err(HeaderError::Malformed("its size is missing or negative")),
        };
        let missing = HeaderError::Malformed("the part for its kind is missing");
        let kind = match self.page_type {
            Some(0) => data_page(&self.data.ok_or(missing)?)?,
            Some(1) => PageKind::Index,
            Some(2) => dictionary_page(&self.dictionary.ok_or(missing)?)?,
            Some(3) => data_page_v2(&self.data_v2.ok_or(missing)?)?,
            _ => return Err(HeaderError::Malformed("its kind is unknown")),
        };
        Ok(PageHeader {
            kind,
            header_bytes,
            compressed_bytes: size(self.compressed)?,
            uncompressed_bytes: size(self.uncompressed)?,
        })
    }
}

fn data_page(fields: &DataFields) -> Result<PageKind, HeaderError> {
    Ok(PageKind::Data {
        n_values: fields.count(1)?,
        encoding: fields.encoding(2)?,
        def_encoding: fields.encoding(3)?,
        rep_encoding: fields.encoding(4)?,
    })
}

fn data_page_v2(fields: &DataFields) -> Result<PageKind, HeaderError> {
    Ok(PageKind::DataV2 {
        n_values: fields.count(1)?,
        n_nulls: fields.count(2)?,
        n_rows: fields.count(3)?,
        encoding: fields.encoding(4)?,
        def_bytes: fields.count(5)?,
        rep_bytes: fields.count(6)?,
        is_compressed: fields.flag.unwrap_or(true),
    })
}

fn dictionary_page(fields: &DataFields) -> Result<PageKind, HeaderError> {
    Ok(PageKind::Dictionary {
        n_values: fields.count(1)?,
        encoding: fields.encoding(2)?,
        is_sorted: fields.flag.unwrap_or(false),
    })
}

/// The compact protocol, as far as page headers use it.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Result<u8, HeaderError> {
        let byte = *self.bytes.get(self.at).ok_or(HeaderError::Incomplete)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, HeaderError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(HeaderError::Malformed("a number is too long"))
    }

    fn int(&mut self) -> Result<i64, HeaderError> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// The type of the next field, with `id` moved on to it; `None` at the end of the struct.
    fn field(&mut self, id: &mut i16) -> Result<Option<u8>, HeaderError> {
        let byte = self.byte()?;
        if byte == 0 {
            return Ok(None);
        }
        *id = match byte >> 4 {
            0 => self.int()? as i16,
            delta => id.checked_add(i16::from(delta)).ok_or(HeaderError::Malformed("a field number is too large"))?,
        };
        Ok(Some(byte & 0x0f))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), HeaderError> {
        if depth > MAX_DEPTH {
            return Err(HeaderError::Malformed("it is nested too deeply"));
        }
        match kind {
            BOOL_TRUE | BOOL_FALSE => {}
            I8 => self.at += 1,
            I16 | I32 | I64 => _ = self.varint()?,
            DOUBLE => self.at += 8,
            BINARY => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                self.at = self.at.checked_add(length).ok_or(HeaderError::Malformed("a value is too long"))?;
            }
            LIST | SET => self.skip_list(depth)?,
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            MAP => return Err(HeaderError::Malformed("it holds a map")),
            _ => return Err(HeaderError::Malformed("a field type is unknown")),
        }
        if self.at > self.bytes.len() { Err(HeaderError::Incomplete) } else { Ok(()) }
    }

    fn skip_list(&mut self, depth: usize) -> Result<(), HeaderError> {
        let byte = self.byte()?;
        let length = match byte >> 4 {
            15 => self.varint()?,
            short => u64::from(short),
        };
        for _ in 0..length {
            match byte & 0x0f {
                BOOL_TRUE | BOOL_FALSE => _ = self.byte()?,
                kind => self.skip(kind, depth + 1)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends a field header and a zigzag number.
    fn number(out: &mut Vec<u8>, delta: u8, value: i64) {
        out.push(delta << 4 | I32);
        let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
        while zigzag >= 0x80 {
            out.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        out.push(zigzag as u8);
    }

    fn header(page_type: i64, uncompressed: i64, compressed: i64, part: u8, numbers: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        number(&mut out, 1, page_type);
        number(&mut out, 1, uncompressed);
        number(&mut out, 1, compressed);
        out.push((part - 3) << 4 | STRUCT);
        for &value in numbers {
            number(&mut out, 1, value);
        }
        out.extend([0, 0]);
        out
    }

    #[test]
    fn the_three_kinds_of_pages_are_read() {
        let check = |bytes: Vec<u8>, kind: PageKind| {
            let read = PageHeader::parse(&bytes).unwrap();
            assert_eq!((read.kind, read.header_bytes), (kind, bytes.len()));
            for cut in 0..bytes.len() {
                assert_eq!(PageHeader::parse(&bytes[..cut]), Err(HeaderError::Incomplete), "{cut}");
            }
        };
        let (rle, plain) = (Encoding::RLE, Encoding::PLAIN);
        check(
            header(0, 900, 300, 5, &[77, 0, 3, 3]),
            PageKind::Data { n_values: 77, encoding: plain, def_encoding: rle, rep_encoding: rle },
        );
        check(
            header(2, 900, 300, 7, &[5, 2]),
            PageKind::Dictionary { n_values: 5, encoding: Encoding::PLAIN_DICTIONARY, is_sorted: false },
        );
        check(
            header(3, 900, 300, 8, &[9, 2, 8, 0, 4, 5]),
            PageKind::DataV2 {
                n_values: 9,
                n_nulls: 2,
                n_rows: 8,
                encoding: plain,
                def_bytes: 4,
                rep_bytes: 5,
                is_compressed: true,
            },
        );
    }

    #[test]
    fn implausible_headers_are_refused() {
        for bytes in [
            header(0, -1, 300, 5, &[77, 0, 3, 3]),
            header(0, 900, -300, 5, &[77, 0, 3, 3]),
            header(0, 900, 300, 5, &[-77, 0, 3, 3]),
            header(0, 900, 300, 5, &[77, 99, 3, 3]),
            header(9, 900, 300, 5, &[77, 0, 3, 3]),
            header(2, 900, 300, 5, &[77, 0, 3, 3]),
            header(0, 900, 300, 5, &[77, 0]),
        ] {
            assert!(matches!(PageHeader::parse(&bytes), Err(HeaderError::Malformed(_))));
        }
        for bytes in [header(2, 900, 300, 7, &[i64::from(u32::MAX), 2]), header(3, 10, 10, 8, &[9, 2, 8, 0, 4, 7])] {
            assert!(PageHeader::parse(&bytes).unwrap().check().is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = PageHeader::parse(&bytes);
        }
    }
}
