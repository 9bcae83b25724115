//! Verbs over small frames.

use arrow::array::{Int64Array, StringArray};

mod asof;
mod expressions;
mod results;
mod types;

use super::testing::{array, check, check_unordered, frame, shown};
use super::*;
use crate::io::csv::{OnBadRow, RejectFile};
use crate::io::{Output, OutputFormat};

fn cities() -> LazyFrame {
    frame(vec![
        ("city", array::<StringArray>(vec![Some("Rome"), Some("Oslo"), None, Some("Rome"), Some("Bern")])),
        ("n", array::<Int64Array>(vec![Some(1), Some(2), Some(3), None, Some(5)])),
    ])
}

#[test]
fn rows_are_selected_filtered_and_computed() {
    check(cities().select(["n", "city"]).head(2), "n,city|1,Rome|2,Oslo");
    check(cities().filter(col("n").gt(1)), "city,n|Oslo,2|-,3|Bern,5");
    check(cities().with_columns([(col("n") * 2).alias("twice")]).tail(2), "city,n,twice|Rome,-,-|Bern,5,10");
    check(cities().with_columns([col("n") / 2]).head(1), "city,n|Rome,0.5");
    check(cities().select([col("n").sum(), len()]), "n,len|11,5");
    check(cities().select([lit(1).alias("one")]), "one|1");
}

#[test]
fn slices_from_the_end_may_begin_before_the_first_row() {
    let rows = || frame(vec![("a", array::<Int64Array>(vec![1, 2, 3, 4, 5]))]);
    for (offset, length, want) in [
        (-10, Some(3), "a"),
        (-10, Some(7), "a|1|2"),
        (-10, None, "a|1|2|3|4|5"),
        (-4, Some(2), "a|2|3"),
        (-2, Some(9), "a|4|5"),
        (-2, Some(0), "a"),
        (1, Some(2), "a|2|3"),
    ] {
        check(rows().slice(offset, length), want);
    }
}

#[test]
fn files_of_every_format_are_scanned_with_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for format in ["csv", "ndjson", "parquet", "arrow"] {
        std::fs::create_dir_all(path(&format!("{format}/k=7"))).unwrap();
        let output = Output::File(
            path(&format!("{format}/k=7/a.{format}")),
            OutputFormat::from_path(&path(&format!("a.{format}"))).unwrap(),
        );
        frame(vec![("a", array::<Int64Array>(vec![1, 2]))]).sink(&output).unwrap();
    }
    let session = super::testing::session();
    check(session.scan_csv(path("csv")), "a,k|1,7|2,7");
    check(session.scan_ndjson(path("ndjson")), "a,k|1,7|2,7");
    check(session.scan_parquet(path("parquet")), "a,k|1,7|2,7");
    check(session.scan_ipc(path("arrow")), "a,k|1,7|2,7");
    check(session.scan_ipc(path("arrow/k=7/a.arrow")), "a|1|2");
    let rejects = OnBadRow::Reject(RejectFile::new(path("rejects.csv")));
    let refused = session.scan_csv_with(path("csv"), CsvScanOptions::new().with_on_bad_row(rejects)).collect();
    assert!(shown(refused).starts_with("one scan cannot have a reject file of its own"));
}

#[test]
fn groups_and_joins_and_sorts() {
    let groups = || cities().group_by(["city"]).agg([col("n").sum(), len(), col("n").n_unique().alias("u")]);
    check_unordered(groups(), "city,n,len,u|-,3,1,1|Bern,5,1,1|Oslo,2,1,1|Rome,1,2,2");
    check(groups().sort("city", SortOptions::new()).head(2), "city,n,len,u|-,3,1,1|Bern,5,1,1");
    check(cities().sort("n", SortOptions::new().with_order_descending(true)).head(2), "city,n|Rome,-|Bern,5");
    let joined = cities().join_on(groups().select(["city", "n"]), "city", JoinType::Left);
    check_unordered(joined, "city,n,n_right|-,3,-|Bern,5,5|Oslo,2,2|Rome,-,1|Rome,1,1");
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    assert_eq!(shown(cities().select(["ctiy"]).collect()), "column \"ctiy\" not found\n  hint: did you mean \"city\"?");
}

#[test]
fn windows_leave_rows_where_they_are() {
    let ranked = cities().with_columns([col("n").sum().over("city").alias("sum"), col("n").shift(1).alias("before")]);
    check(ranked, "city,n,sum,before|Rome,1,1,-|Oslo,2,2,1|-,3,3,2|Rome,-,1,3|Bern,5,5,-");
}

#[test]
fn duplicates_are_dropped() {
    let rows = || {
        frame(vec![
            ("a", array::<Int64Array>(vec![Some(1), Some(1), None, None, Some(2)])),
            ("b", array::<Int64Array>(vec![1, 2, 3, 3, 4])),
        ])
    };
    check_unordered(rows().unique(None, UniqueKeep::Any), "a,b|-,3|1,1|1,2|2,4");
    check(rows().unique(Some(&["a"]), UniqueKeep::First), "a,b|1,1|-,3|2,4");
    check(rows().unique(Some(&["a"]), UniqueKeep::Last), "a,b|1,2|-,3|2,4");
    check(rows().unique(Some(&["a"]), UniqueKeep::None), "a,b|2,4");
    check(rows().unique(None, UniqueKeep::None), "a,b|1,1|1,2|2,4");
    check(rows().drop_nulls(None), "a,b|1,1|1,2|2,4");
    check(rows().fill_null(0).head(3), "a,b|1,1|1,2|0,3");
    check(rows().with_row_index("i", 10).tail(2), "i,a,b|13,-,3|14,2,4");
}

#[test]
fn rows_are_sampled_alike_every_time() {
    let many = || frame(vec![("a", array::<Int64Array>((0..100_000).collect::<Vec<i64>>()))]);
    let count = |frame: LazyFrame| frame.collect().unwrap().height();
    assert_eq!(count(many().sample_n(2000, 7)), 2000);
    let share = count(many().sample_fraction(0.1, 7));
    assert!((9_500..10_500).contains(&share), "{share}");
    let one = many().sample_n(50, 1).collect().unwrap();
    assert!(one.equals(&many().sample_n(50, 1).collect().unwrap()));
    assert!(!one.equals(&many().sample_n(50, 2).collect().unwrap()));
    let sorted = many().sample_n(50, 1).sort("a", SortOptions::new()).collect().unwrap();
    assert!(one.equals(&sorted), "a sample stays in order");
}

#[test]
fn frames_come_one_after_the_other() {
    let one = || frame(vec![("a", array::<Int64Array>(vec![1, 2])), ("b", array::<StringArray>(vec!["x", "y"]))]);
    let two = || frame(vec![("a", array::<Int64Array>(vec![3])), ("c", array::<Int64Array>(vec![9]))]);
    check(concat([one(), one()], ConcatHow::Vertical).unwrap(), "a,b|1,x|2,y|1,x|2,y");
    check(concat([one(), two()], ConcatHow::Diagonal).unwrap(), "a,b,c|1,x,-|2,y,-|3,-,9");
    check(
        concat([one(), two()], ConcatHow::Vertical).unwrap(),
        "frame 2 of concat has a column \"c\" that the first has not\n  hint: ConcatHow::Diagonal fills what is missing with NULL",
    );
}

#[test]
fn rows_are_reshaped() {
    let wide = || {
        frame(vec![
            ("k", array::<StringArray>(vec!["a", "b"])),
            ("x", array::<Int64Array>(vec![1, 2])),
            ("y", array::<Int64Array>(vec![Some(3), None])),
        ])
    };
    let long = || wide().unpivot(["x", "y"], "k");
    check(long(), "k,variable,value|a,x,1|a,y,3|b,x,2|b,y,-");
    let back = long().pivot("variable", ["x", "y"], "k", "value", PivotAgg::First).sort("k", SortOptions::new());
    check(back, "k,x,y|a,1,3|b,2,-");
    let lists = || wide().with_columns([lit("1-2").str().split("-").alias("l")]).select(["k", "l"]);
    check(lists().explode("l"), "k,l|a,1|a,2|b,1|b,2");
    check(wide().group_by_stable("k").agg(["x"]), "k,x|a,[1]|b,[2]");
}

#[test]
fn a_declared_column_that_is_not_in_the_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "city,n\nOslo,1\n").unwrap();
    let options = CsvScanOptions::new().with_schema_overrides([("ctiy", arrow::datatypes::DataType::Utf8)]);
    let session = super::testing::session();
    let said = shown(session.scan_csv_with(path.to_str().unwrap(), options).collect());
    assert!(said.contains("ctiy") && said.contains("did you mean \"city\"?"), "{said}");
}
