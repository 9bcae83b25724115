//! Random tables, written with random quoting, read at many block sizes and thread counts.

use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::oracle::{Field, read_rows};
use super::*;
use crate::io::csv::{OnBadRow, Ragged, RejectFile};

/// A field and whether to quote it although it need not be.
fn field() -> impl Strategy<Value = (Field, bool)> {
    let text = prop_oneof![
        4 => "[a-z0-9 ]{0,6}",
        2 => "[a\",\n\r é\u{1F600}]{0,8}",
        1 => "[a-z\n\"]{60,90}",
        1 => "[a-c][\"]{1,3}[a-c]",
    ];
    (proptest::option::weighted(0.9, text), any::<bool>())
}

fn table() -> impl Strategy<Value = (usize, Vec<Vec<(Field, bool)>>)> {
    (1usize..5).prop_flat_map(|n_fields| {
        let row = proptest::collection::vec(field(), n_fields);
        (Just(n_fields), proptest::collection::vec(row, 0..40))
    })
}

/// Writes a field so that it reads back the same. Quotes behind the start of a field need no quoting.
fn write_field(out: &mut String, field: &(Field, bool)) {
    let Some(text) = &field.0 else { return };
    let must_quote = text.is_empty() || text.starts_with('"') || text.contains([',', '\n', '\r']);
    if must_quote || field.1 {
        out.push_str(&format!("\"{}\"", text.replace('"', "\"\"")));
    } else {
        out.push_str(text);
    }
}

fn write_table(n_fields: usize, rows: &[Vec<(Field, bool)>], newline: &str, ends_in_newline: bool) -> String {
    let names: Vec<String> = (0..n_fields).map(|idx| format!("c{idx}")).collect();
    let mut text = names.join(",") + newline;
    for row in rows {
        for (idx, field) in row.iter().enumerate() {
            text.push_str(if idx > 0 { "," } else { "" });
            write_field(&mut text, field);
        }
        text.push_str(newline);
    }
    if !ends_in_newline && rows.last().is_some_and(|row| row.len() > 1 || row[0].0.is_some()) {
        text.truncate(text.len() - newline.len());
    }
    text
}

fn as_text(n_fields: usize, block_bytes: usize) -> CsvOptions {
    CsvOptions {
        delimiter: Some(b','),
        header: Some(true),
        schema_overrides: (0..n_fields).map(|idx| (format!("c{idx}"), DataType::Utf8)).collect(),
        block_bytes: Some(block_bytes),
        ..CsvOptions::default()
    }
}

fn shown(rows: Vec<Vec<Field>>) -> Vec<Vec<String>> {
    rows.into_iter().map(|row| row.into_iter().map(|field| field.unwrap_or("~".into())).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_do_not_depend_on_blocks_or_threads(
        (n_fields, rows) in table(),
        crlf in any::<bool>(),
        ends_in_newline in any::<bool>(),
        block_bytes in 1usize..200,
    ) {
        let text = write_table(n_fields, &rows, if crlf { "\r\n" } else { "\n" }, ends_in_newline);
        let oracle = read_rows(&text, ',', n_fields);
        let mut written: Vec<Vec<Field>> =
            rows.iter().map(|row| row.iter().map(|(field, _)| field.clone()).collect()).collect();
        written.retain(|row| n_fields == 1 || row != &[None]);
        prop_assert_eq!(&oracle[1..], &written[..], "the oracle reads what was written");
        let folder = Folder::new();
        let path = folder.write("t.csv", &text);
        for (block_bytes, threads) in [(block_bytes, 1), (block_bytes, 2), (block_bytes * 3, 8), (1 << 20, 2)] {
            let table = open(std::slice::from_ref(&path), as_text(n_fields, block_bytes)).unwrap();
            let scanned = scan(&table, all_columns(&table), threads).unwrap();
            prop_assert_eq!(scanned.rows(), shown(written.clone()), "{} bytes, {} threads", block_bytes, threads);
            let counted = scan(&table, ScanRequest::default(), threads).unwrap();
            prop_assert_eq!(counted.n_rows(), written.len());
        }
    }

    #[test]
    fn compressed_files_give_the_same_rows(
        (n_fields, rows) in table(),
        block_bytes in 1usize..200,
    ) {
        let text = write_table(n_fields, &rows, "\n", true);
        let folder = Folder::new();
        let plain = folder.write("t.csv", &text);
        let gz = folder.write("t.csv.gz", fixtures::gzip_in_members(text.as_bytes(), 50));
        let zst = folder.write("t.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap());
        let utf16 = folder.write("t16.csv", fixtures::utf16(&text));
        let read = |path: PathBuf| {
            let table = open(&[path], as_text(n_fields, block_bytes)).unwrap();
            scan(&table, all_columns(&table), 2).unwrap().rows()
        };
        let want = read(plain);
        prop_assert_eq!(&read(gz), &want);
        prop_assert_eq!(&read(zst), &want);
        prop_assert_eq!(&read(utf16), &want);
    }

    #[test]
    fn every_row_comes_out_or_is_counted(
        lines in proptest::collection::vec("[0-9]{1,3}(,[a-z0-9]{1,3}){0,2}", 1..60),
        block_bytes in 1usize..100,
        threads in 1usize..4,
    ) {
        let folder = Folder::new();
        let path = folder.write("t.csv", format!("c0,c1\n{}\n", lines.join("\n")));
        let target = folder.0.path().join("rejects.csv");
        let rejects = RejectFile::new(&target);
        let options = CsvOptions {
            schema_overrides: vec![("c0".into(), DataType::Int64), ("c1".into(), DataType::Int64)],
            on_bad_row: OnBadRow::Reject(rejects.clone()),
            ..as_text(0, block_bytes)
        };
        let table = open(&[path], options).unwrap();
        let good: Vec<Vec<String>> = lines
            .iter()
            .map(|line| line.split(',').map(String::from).collect::<Vec<_>>())
            .filter(|row| row.len() == 2 && row[1].parse::<i64>().is_ok())
            .map(|row| row.iter().map(|text| text.parse::<i64>().unwrap().to_string()).collect())
            .collect();
        let scanned = scan(&table, all_columns(&table), threads).unwrap();
        prop_assert_eq!(scanned.rows(), good.clone());
        prop_assert_eq!(scanned.report.n_bad_rows as usize, lines.len() - good.len());
        rejects.publish().unwrap();
        let written = std::fs::read_to_string(target).unwrap();
        let rejected = read_rows(&written, ',', 6);
        prop_assert_eq!(rejected.len() - 1, lines.len() - good.len());
        for row in &rejected[1..] {
            let line: usize = row[1].clone().unwrap().parse().unwrap();
            prop_assert_eq!(row[5].as_deref(), Some(&lines[line - 2][..]));
        }
    }

    #[test]
    fn rows_of_any_width_are_made_to_fit(
        lines in proptest::collection::vec("(#[a,\"]{0,5}|[a-z]{1,2}(,([a-z]{0,2}|\"[a,\n#]{0,3}\")){0,4})", 1..40),
        crlf in any::<bool>(),
        block_bytes in 1usize..100,
        threads in 1usize..4,
    ) {
        let newline = if crlf { "\r\n" } else { "\n" };
        let folder = Folder::new();
        let path = folder.write("t.csv", format!("c0,c1,c2{newline}{}{newline}", lines.join(newline)));
        for ragged in [Ragged::Fail, Ragged::Pad, Ragged::Fit] {
            let options = CsvOptions {
                ragged,
                comment: Some("#".into()),
                on_bad_row: OnBadRow::Skip,
                ..as_text(3, block_bytes)
            };
            let rows: Vec<Vec<Field>> = lines
                .iter()
                .filter(|line| !line.starts_with('#'))
                .map(|line| read_rows(line, ',', 5).remove(0))
                .collect();
            let keeps = |row: &&Vec<Field>| match ragged {
                Ragged::Fail => row.len() == 3,
                Ragged::Pad => row.len() <= 3,
                Ragged::Fit => true,
            };
            let fit = |row: &Vec<Field>| (0..3).map(|idx| row.get(idx).cloned().flatten()).collect::<Vec<Field>>();
            let want: Vec<Vec<Field>> = rows.iter().filter(keeps).map(fit).collect();
            let table = open(std::slice::from_ref(&path), options).unwrap();
            let scanned = scan(&table, all_columns(&table), threads).unwrap();
            prop_assert_eq!(scanned.report.n_bad_rows as usize, rows.len() - want.len());
            prop_assert_eq!(scanned.rows(), shown(want), "{:?}", ragged);
        }
    }

    #[test]
    fn any_bytes_are_text_in_an_encoding_of_single_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        block_bytes in 1usize..100,
    ) {
        let folder = Folder::new();
        let text = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&bytes).0.into_owned();
        let field = format!("\"{}\"", text.replace('"', "\"\""));
        let (encoded, _, is_lossy) = encoding_rs::WINDOWS_1252.encode(&field);
        prop_assume!(!is_lossy);
        let path = folder.write("t.csv", [b"c0,c1\nx,", &encoded[..], b"\n"].concat());
        let encoding = Some(crate::io::csv::Encoding::parse("latin-1").unwrap());
        let table = open(&[path], CsvOptions { encoding, ..as_text(2, block_bytes) }).unwrap();
        let scanned = scan(&table, all_columns(&table), 2).unwrap();
        prop_assert_eq!(scanned.rows(), vec![vec!["x".to_string(), text]]);
    }
}
