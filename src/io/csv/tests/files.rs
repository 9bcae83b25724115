//! Several files as one table, each in its own encoding and with its own lines before the header.

use super::fixtures::utf16;
use super::*;
use crate::io::csv::{OnBadRow, Ragged};

#[test]
fn options_hold_for_every_file() {
    let folder = Folder::new();
    let text = |n: usize| format!("report {n}, \"made by hand\n# c\n\nid,name\n{n},ü\n#\n{n}0\n");
    let paths = [
        folder.write("1.csv", text(1)),
        folder.write("2.csv", format!("\u{FEFF}{}", text(2))),
        folder.write("3.csv", utf16(&text(3))),
        folder.write("4.csv.gz", super::fixtures::gzip_in_members(text(4).as_bytes(), 10)),
        folder.write("5.csv", "title\nname,id\nx,5\n"),
    ];
    for block_bytes in [1, 7, 1000] {
        let options = CsvOptions {
            skip_rows: 1,
            comment: Some("#".into()),
            ragged: Ragged::Pad,
            block_bytes: Some(block_bytes),
            ..CsvOptions::default()
        };
        let table = open(&paths, options).unwrap();
        for threads in [1, 2, 8] {
            let rows = scan(&table, all_columns(&table), threads).unwrap().rows();
            let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
            assert_eq!(rows, ["1 ü", "10 ~", "2 ü", "20 ~", "3 ü", "30 ~", "4 ü", "40 ~", "5 x"]);
        }
    }
}

#[test]
fn bad_rows_of_streamed_files_count_once_too() {
    let folder = Folder::new();
    let text = "a,b\n1,2\n3\n4,5\n6\n";
    let paths = [folder.write("1.csv", text), folder.write("2.csv", utf16(text))];
    let options =
        CsvOptions { on_bad_row: OnBadRow::Skip, block_bytes: Some(4), header: Some(true), ..CsvOptions::default() };
    let table = open(&paths, options).unwrap();
    let first = table.scan(all_columns(&table)).unwrap();
    for threads in [2, 1] {
        assert_eq!(scan(&table, all_columns(&table), threads).unwrap().n_rows(), 4);
    }
    assert_eq!(first.report.report().n_bad_rows, 4);
}
