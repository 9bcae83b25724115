//! A query that reads a file several times counts and rejects each bad row once.

use super::*;
use crate::io::csv::{OnBadRow, RejectFile};

const TEXT: &str = "a,b\n1,2\nx,3\n4\n5,6\ny,z\n7,8\n";

#[test]
fn scans_of_one_query_reject_a_row_once() {
    let folder = Folder::new();
    let path = folder.write("t.csv", TEXT);
    for block_bytes in [1, 5, 1000] {
        let target = folder.0.path().join("rejects.csv");
        let rejects = RejectFile::new(&target);
        let options = CsvOptions {
            header: Some(true),
            schema_overrides: ["a", "b"].map(|name| (name.into(), arrow::datatypes::DataType::Int64)).into(),
            on_bad_row: OnBadRow::Reject(rejects.clone()),
            block_bytes: Some(block_bytes),
            ..CsvOptions::default()
        };
        let table = open(std::slice::from_ref(&path), options).unwrap();
        let first = table.scan(all_columns(&table)).unwrap();
        let read = |projection: Vec<usize>, threads| {
            scan(&table, ScanRequest { projection, ..ScanRequest::default() }, threads).unwrap()
        };
        for (projection, threads) in [(vec![0, 1], 2), (vec![1], 1), (vec![], 3)] {
            let scanned = read(projection, threads);
            assert_eq!((scanned.n_rows(), scanned.report.n_bad_rows), (3, 0), "the first scan tells");
        }
        assert_eq!(first.report.report().n_bad_rows, 3);
        rejects.publish().unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap().lines().count(), 4);
        drop(first);
        assert_eq!(read(vec![0], 2).report.n_bad_rows, 3, "another query counts them again");
    }
}
