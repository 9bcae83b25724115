//! Any bytes with any options: no panic, the same at every block size and number of workers, and no row is lost.

use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::fixtures::Case;
use super::*;
use crate::io::csv::{Encoding, OnBadRow, Quote, Ragged};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => proptest::sample::select(&b"a1,\n"[..]).prop_map(|byte| vec![byte]),
        3 => proptest::sample::select(&b"\"';#\r. -\t|5e"[..]).prop_map(|byte| vec![byte]),
        1 => proptest::sample::select(vec!["\"\"", "\r\n", ",\"", "\",", "\n#", "2024-01-31", "true", "é", "\u{FEFF}"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

fn options() -> impl Strategy<Value = CsvOptions> {
    let dialect = (
        proptest::option::of(proptest::sample::select(&b",;\t"[..])),
        proptest::sample::select(vec![Quote::Detect, Quote::Byte(b'\''), Quote::Byte(b'"'), Quote::Off]),
        proptest::option::of(any::<bool>()),
        proptest::option::of(proptest::sample::select(vec!["#", "##", "a1"])),
    );
    let policies = (
        proptest::sample::select(vec![Ragged::Fail, Ragged::Pad, Ragged::Fit]),
        proptest::sample::select(vec![OnBadRow::Fail, OnBadRow::Skip, OnBadRow::Skip]),
        0u64..3,
        proptest::option::of(1u64..4),
        proptest::option::weighted(0.2, proptest::sample::select(vec!["latin1", "utf-16le", "gbk"])),
        any::<bool>(),
    );
    (dialect, policies).prop_map(|(dialect, policies)| {
        let (delimiter, quote, header, comment) = dialect;
        let (ragged, on_bad_row, skip_rows, infer_rows, encoding, decimal_comma) = policies;
        CsvOptions {
            delimiter,
            quote,
            header,
            comment: comment.map(String::from),
            ragged,
            on_bad_row,
            skip_rows,
            infer_rows,
            encoding: encoding.map(|name| Encoding::parse(name).unwrap()),
            decimal_comma,
            schema_overrides: vec![("a".into(), DataType::Int64)],
            shared_schema: Some(Arc::default()),
            ..CsvOptions::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_alike(bytes in bytes(), options in options(), block_bytes in 1usize..70) {
        let folder = Folder::in_memory();
        let path = folder.write("t.csv", &bytes);
        let case = Case::new(&path, options, &folder);
        let whole = case.read(1 << 20, &(1, Bench::new(1)));
        prop_assert!(whole.is_ok(), "{:?}", whole);
        for threads in [2, 3] {
            prop_assert_eq!(&case.read(block_bytes, &(threads, Bench::new(threads))), &whole);
        }
    }
}
