//! Folders called `key=value`: read, pruned and written by SQL.

use expect_test::{Expect, expect};
use tempfile::TempDir;

use crate::exec::CancelToken;
use crate::io::{Output, OutputFormat};
use crate::memory::Budget;
use crate::session::{Prepared, Session, SessionOptions};

/// Runs the statements of `text`; results as CSV, plans as text. `DIR` is a folder with a year of claims.
fn run(text: &str) -> String {
    let folder = TempDir::new().unwrap();
    for (year, month, rows) in [(2023, "01", "1,10\n2,20\n"), (2023, "02", "3,30\n"), (2024, "01", "4,40\n")] {
        let month = folder.path().join(format!("claims/year={year}/month={month}"));
        std::fs::create_dir_all(&month).unwrap();
        std::fs::write(month.join("part.csv"), format!("id,amount\n{rows}")).unwrap();
    }
    let directory = folder.path().display().to_string();
    let shown = run_in(&folder, &text.replace("DIR", &directory));
    shown.unwrap_or_else(|error| format!("{error:?}")).replace(&directory, "DIR")
}

fn run_in(folder: &TempDir, text: &str) -> Result<String, crate::Error> {
    let budget = Some(Budget::from_bytes(8 << 30));
    let session = Session::new(SessionOptions { budget, threads: Some(2), ..Default::default() })?;
    let mut shown = String::new();
    let mut statements = session.statements(text)?;
    while let Some(statement) = statements.prepare_next()? {
        let Prepared::Query(query) = statement else { continue };
        if query.explain().is_some() {
            shown += &query.into_run(&Output::Discard, CancelToken::default())?.explain_text();
            continue;
        }
        let path = folder.path().join("result.csv");
        query.into_run(&Output::File(path.clone(), OutputFormat::Csv), CancelToken::default())?.execute()?;
        shown += &std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
    }
    Ok(shown)
}

fn check(text: &str, want: Expect) {
    want.assert_eq(&run(text));
}

#[test]
fn partition_columns_prune_files() {
    check(
        "EXPLAIN SELECT id FROM 'DIR/claims/' WHERE year = 2023 AND month > '01' AND id > 1;
         SELECT * FROM 'DIR/claims/**/*.csv' WHERE year = 2023 AND month > '01';
         SELECT month, sum(amount) AS amount FROM 'DIR/claims' GROUP BY month ORDER BY month",
        expect![[r#"
            Output: in order
              Scan: csv DIR/claims/year=2023/month=01/part.csv and 2 more files, 1 of 3 files, 3 of 4 columns, where year = 2023 AND month > '01' AND id > 1, pruning by year = 2023 AND month > 01 AND id > 1, dictionaries month
            id,amount,year,month
            3,30,2023,02
            month,amount
            01,70
            02,30
        "#]],
    );
}

#[test]
fn copy_makes_folders() {
    for format in ["parquet", "csv"] {
        let text = "COPY (SELECT id, amount, year, month FROM 'DIR/claims' ORDER BY id) TO 'DIR/out' (FORMAT parquet, PARTITION_BY (month, year));
             SELECT * FROM 'DIR/out' ORDER BY id";
        assert_eq!(
            run(&text.replace("parquet", format)),
            "id,amount,month,year\n1,10,01,2023\n2,20,01,2023\n3,30,02,2023\n4,40,01,2024\n"
        );
    }
    check(
        "EXPLAIN COPY 'DIR/claims' TO 'DIR/out' WITH (PARTITION_BY year, OVERWRITE)",
        expect![[r#"
            Output: in order
              Sort: by year, to partition the output
                Scan: csv DIR/claims/year=2023/month=01/part.csv and 2 more files, 3 of 3 files, 4 of 4 columns
        "#]],
    );
    check(
        "COPY 'DIR/claims' TO 'DIR/out' (PARTITION_BY (yaer))",
        expect![[r#"
        Usage: the output is to be partitioned by "yaer", which is not a column of it
          hint: did you mean "year"?"#]],
    );
    check(
        "COPY 'DIR/claims' TO 'DIR/claims' (PARTITION_BY (year))",
        expect![[r#"
        Usage: cannot write DIR/claims: the folder is not empty
          hint: name a new folder, or empty this one; COPY .. TO with the option OVERWRITE replaces all that is in it"#]],
    );
    check(
        "COPY 'DIR/claims' TO 'DIR/claims' (PARTITION_BY (year), OVERWRITE); SELECT count(*) AS n FROM 'DIR/claims'",
        expect![[r#"
        n
        4
    "#]],
    );
    check(
        "COPY 'DIR/claims' TO 'DIR/out.csv' (FORMAT csv, OVERWRITE)",
        expect![[r#"
        Usage: OVERWRITE is for folders: a file is replaced in any case
          hint: add PARTITION_BY (column), or leave OVERWRITE out"#]],
    );
    check(
        "COPY 'DIR/claims' TO 'DIR/out' (FORMAT table, PARTITION_BY year)",
        expect![[r#"
            Usage: there is no format table
              hint: csv, json, parquet or arrow"#]],
    );
    check(
        "COPY 'DIR/claims' TO 'DIR/out' (PARTITION_BY ())",
        expect![[r#"
        Usage: syntax error: Expected: option, found: PARTITION_BY
          --> sql:1:57"#]],
    );
}
