//! Statements around queries, run by a session: views, temporary tables, COPY, DESCRIBE.

use expect_test::{Expect, expect};

use crate::exec::CancelToken;
use crate::io::{Output, OutputFormat};
use crate::memory::Budget;
use crate::session::{Prepared, Session, SessionOptions};

/// Runs `text` in a session of its own beside `a.csv` and shows the results as CSV, or the error.
fn run(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "a,b\n1,x\n2,y\n3,\n").unwrap();
    let directory = folder.path().display().to_string();
    let shown = run_beside(&folder, &text.replace("DIR", &directory));
    shown.unwrap_or_else(|error| format!("{error:?}")).replace(&directory, "DIR")
}

fn run_beside(folder: &tempfile::TempDir, text: &str) -> Result<String, crate::Error> {
    let budget = Some(Budget::from_bytes(8 << 30));
    run_in(&Session::new(SessionOptions { budget, threads: Some(2), ..Default::default() })?, folder, text)
}

fn run_in(session: &Session, folder: &tempfile::TempDir, text: &str) -> Result<String, crate::Error> {
    let mut shown = String::new();
    let mut statements = session.statements(text)?;
    while let Some(statement) = statements.prepare_next()? {
        let Prepared::Query(query) = statement else { continue };
        let path = folder.path().join("result.csv");
        if query.explain().is_some() {
            shown += &query.into_run(&Output::Discard, CancelToken::default())?.explain_text();
            continue;
        }
        query.into_run(&Output::File(path.clone(), OutputFormat::Csv), CancelToken::default())?.execute()?;
        if let Ok(rows) = std::fs::read_to_string(&path) {
            shown += &rows;
            std::fs::remove_file(path).unwrap();
        }
    }
    Ok(shown)
}

/// What planning `text` says with a few MiB of governed memory.
fn plan_within(governed_mib: u64, text: &str) -> crate::Error {
    let strain = crate::session::Strain { governed_bytes: Some(governed_mib << 20), ..Default::default() };
    let session = Session::new(SessionOptions { threads: Some(1), strain, ..Default::default() }).unwrap();
    let prepared = || -> Result<(), crate::Error> { session.statements(text)?.prepare_next().map(|_| ()) };
    prepared().expect_err(&text[..100])
}

#[test]
fn a_statement_that_says_too_much_is_refused_before_it_is_planned() {
    let numbers = (0..60_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    for (text, what) in [
        (format!("SELECT 1 AS x WHERE 5 IN ({numbers})"), "its longest list, behind IN, has 60000 items"),
        (format!("SELECT 1;\nSELECT coalesce({numbers})"), "its longest list, behind coalesce, has 60000 items"),
        (format!("SELECT {numbers}"), "its longest list, behind SELECT, has 60000 items"),
        (format!("SELECT [{numbers}]"), "its longest list, in [..], has 60000 items"),
    ] {
        let error = plan_within(32, &text);
        assert_eq!(error.kind(), crate::ErrorKind::Budget, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn views_that_double_one_another_are_refused_before_they_are_planned() {
    let views: Vec<String> =
        (1..30).map(|n| format!("CREATE VIEW v{n} AS SELECT a.x FROM v{0} a CROSS JOIN v{0} b;", n - 1)).collect();
    let text = format!("CREATE VIEW v0 AS SELECT 1 AS x; {} SELECT count(*) FROM v29", views.join(" "));
    let strain = crate::session::Strain { governed_bytes: Some(8 << 20), ..Default::default() };
    let session = Session::new(SessionOptions { threads: Some(1), strain, ..Default::default() }).unwrap();
    let error = run_in(&session, &tempfile::tempdir().unwrap(), &text).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Budget, "{error}");
    assert!(error.to_string().contains("a WITH or view is put in wherever it is named"), "{error}");
}

#[test]
fn names_that_are_used_twice_over_and_over_do_not_double_the_plan_without_end() {
    let mut text = "WITH c0 AS (SELECT 1 AS k)".to_string();
    for n in 1..20 {
        text += &format!(", c{n} AS (SELECT a.k FROM c{0} a JOIN c{0} b ON a.k = b.k)", n - 1);
    }
    let error = plan_within(32, &format!("{text} SELECT * FROM c19"));
    assert_eq!(error.kind(), crate::ErrorKind::Budget, "{error}");
    assert!(format!("{error:?}").contains("CREATE TEMP TABLE"), "{error:?}");
}

#[test]
fn places_in_later_statements_count_from_the_beginning_of_the_text() {
    check(
        "SELECT 1 AS a; SELECT 2\n  AS b;\nSELECT x FRM t",
        expect![[r#"
        Usage: syntax error: Expected: end of statement, found: t
          --> sql:3:14"#]],
    );
    check(
        "SELECT 1 AS a; SELECT\n  c FROM (SELECT 1 AS b) AS t",
        expect![[r#"
            Usage: column "c" not found in t
              --> sql:2:3   hint: there are: b; a text is written in single quotes"#]],
    );
    check(
        "SELECT 1 AS a; SELECT 'x",
        expect![[r#"
        Usage: syntax error: Unterminated string literal
          --> sql:1:23"#]],
    );
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&run(text));
}

#[test]
fn statements_run_one_after_the_other() {
    check(
        "SELECT 1 AS a; SELECT 2 AS b;",
        expect![[r#"
        a
        1
        b
        2
    "#]],
    );
    check(
        "; ;",
        expect![[r#"
        Usage: there is no query
          hint: for example: SELECT count(*) FROM 'data.csv'"#]],
    );
    check(
        "SELECT 1 AS a; SELEC 2",
        expect![[r#"
        Usage: syntax error: Expected: an SQL statement, found: SELEC
          --> sql:1:16   hint: did you mean SELECT?"#]],
    );
}

#[test]
fn views_are_planned_where_they_are_used() {
    check(
        "CREATE VIEW v AS SELECT a * 2 AS twice, b FROM 'DIR/a.csv'; CREATE VIEW w (n) AS SELECT sum(twice) FROM v WHERE b IS NOT NULL;
         SELECT * FROM w; EXPLAIN SELECT twice FROM v; SELECT v.b FROM v ORDER BY 1 DESC LIMIT 1",
        expect![[r#"
            n
            6
            Output: in order
              Project: twice
                Scan: csv DIR/a.csv, 1 of 2 columns
            b

        "#]],
    );
    check(
        "CREATE VIEW v AS SELECT 1 AS a; CREATE VIEW v AS SELECT 2 AS a",
        expect![[r#"
        Usage: there is a view or table v already
          hint: CREATE OR REPLACE .."#]],
    );
    check(
        "CREATE VIEW v AS SELECT 1 AS a; CREATE VIEW IF NOT EXISTS v AS SELECT 2 AS a; SELECT * FROM v",
        expect![[r#"
            a
            1
        "#]],
    );
    check(
        "CREATE VIEW v AS SELECT 1 AS a; CREATE OR REPLACE VIEW v AS SELECT a + 1 AS a FROM v; SELECT * FROM v",
        expect![[r#"
            Usage: the view v would read itself
              hint: give it another name"#]],
    );
    check(
        "CREATE VIEW v AS SELECT x FROM 'DIR/a.csv'",
        expect![[r#"
            Usage: column "x" not found in DIR/a.csv
              --> sql:1:25   hint: there are: a, b; a text is written in single quotes"#]],
    );
    check("CREATE VIEW v AS SELECT 1 AS a; DROP VIEW v; SELECT * FROM v", expect!["Data: v does not exist"]);
}

#[test]
fn temporary_tables_keep_rows() {
    check(
        "CREATE TEMP TABLE t AS SELECT a, b FROM 'DIR/a.csv' ORDER BY a DESC; SELECT * FROM t; SELECT a FROM t WHERE b = 'y';
         SELECT count(*) AS n FROM t; SELECT count(*) AS n FROM (SELECT a FROM t UNION ALL SELECT a FROM t) AS u; SHOW TABLES",
        expect![[r#"
            a,b
            3,
            2,y
            1,x
            a
            2
            n
            3
            n
            6
            table_name,kind,n_rows
            t,temporary table,3
        "#]],
    );
    check(
        "CREATE TEMP TABLE t AS SELECT 1 AS a; CREATE OR REPLACE TEMP TABLE t AS SELECT a + 1 AS a FROM t; SELECT * FROM t;
         DROP TABLE t; DROP TABLE IF EXISTS t; SHOW TABLES",
        expect![[r#"
            a
            2
            table_name,kind,n_rows
        "#]],
    );
    check(
        "CREATE TEMP TABLE t AS SELECT 1 AS a; DROP VIEW t",
        expect![[r#"
        Usage: t is a table
          hint: DROP TABLE t"#]],
    );
    check("DROP TABLE t", expect!["Usage: there is no view or table t"]);
    check(
        "CREATE TABLE t AS SELECT 1",
        expect![[r#"
        Usage: tables are temporary
          hint: CREATE TEMP TABLE .. AS keeps rows until the session ends; COPY (..) TO 'file.parquet' keeps them for good"#]],
    );
    check(
        "CREATE TEMP TABLE t (a INT)",
        expect![[r#"
        Usage: CREATE TABLE needs a query
          hint: CREATE TEMP TABLE name AS SELECT .."#]],
    );
    check(
        "EXPLAIN CREATE TEMP TABLE t AS SELECT a FROM 'DIR/a.csv'; SHOW TABLES",
        expect![[r#"
        Output: in order
          Scan: csv DIR/a.csv, 1 of 2 columns
        table_name,kind,n_rows
    "#]],
    );
}

#[test]
fn copy_writes_files() {
    check(
        "COPY (SELECT a FROM 'DIR/a.csv' WHERE a > 1) TO 'DIR/b.parquet'; SELECT sum(a) AS s FROM 'DIR/b.parquet'",
        expect![[r#"
            s
            5
        "#]],
    );
    check(
        "COPY 'DIR/a.csv' TO 'DIR/c' (FORMAT csv, HEADER); DESCRIBE 'DIR/c'",
        expect![[r#"
        column_name,data_type,nullable
        a,bigint,YES
        b,varchar,YES
    "#]],
    );
    check("CREATE VIEW v AS SELECT 7 AS a; COPY v TO 'DIR/c.json'", expect![[""]]);
    check(
        "COPY (SELECT 1) TO 'DIR/c'",
        expect![[r#"
            Usage: the name DIR/c does not tell a format
              hint: end it in .csv, .ndjson, .parquet or .arrow, or add (FORMAT parquet)"#]],
    );
    check(
        "COPY t FROM 'DIR/a.csv'",
        expect![[r#"
        Usage: this form of COPY is not supported
          hint: for example: COPY (SELECT ..) TO 'result.parquet'"#]],
    );
}

#[test]
fn columns_are_described() {
    check(
        "DESCRIBE 'DIR/a.csv'; DESCRIBE SELECT count(*), max(b) FROM 'DIR/a.csv'",
        expect![[r#"
            column_name,data_type,nullable
            a,bigint,YES
            b,varchar,YES
            column_name,data_type,nullable
            count(*),bigint,NO
            max(b),varchar,YES
        "#]],
    );
    check(
        "INSERT INTO t SELECT 1",
        expect![[r#"
            Usage: INSERT is not supported
              hint: there are queries (SELECT, WITH, VALUES), EXPLAIN, CREATE VIEW, CREATE TEMP TABLE .. AS, DROP, COPY .. TO, DESCRIBE, SHOW TABLES and SHOW FUNCTIONS"#]],
    );
}

#[test]
fn what_is_replaced_or_dropped_stays_after_an_error() {
    let both =
        "CREATE VIEW v AS SELECT 1 AS a; CREATE TEMP TABLE t AS SELECT 2 AS a; CREATE VIEW w AS SELECT * FROM v;";
    for (text, expected) in [
        ("DROP TABLE t, missing", expect!["Usage: there is no view or table missing"]),
        (
            "DROP VIEW v, t",
            expect![[r#"
            Usage: t is a table
              hint: DROP TABLE t"#]],
        ),
        (
            "CREATE OR REPLACE VIEW v AS SELECT * FROM v",
            expect![[r#"
            Usage: the view v would read itself
              hint: give it another name"#]],
        ),
        (
            "CREATE OR REPLACE VIEW v AS SELECT * FROM w",
            expect![[r#"
            Usage: the view v would read itself
              hint: give it another name"#]],
        ),
        (
            "CREATE OR REPLACE VIEW t AS SELECT 1 AS a",
            expect![[r#"
            Usage: t is a table
              hint: DROP TABLE t"#]],
        ),
        (
            "CREATE OR REPLACE TEMP TABLE v AS SELECT 1 AS a",
            expect![[r#"
            Usage: v is a view
              hint: DROP VIEW v"#]],
        ),
        (
            "DROP VIEW v CASCADE",
            expect![[r#"
            Usage: this form of DROP is not supported
              hint: DROP VIEW or DROP TABLE, IF EXISTS, and names; views of what is gone fail when used"#]],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let session = Session::new(SessionOptions { budget: Some(Budget::from_bytes(8 << 30)), ..Default::default() });
        let session = session.unwrap();
        run_in(&session, &folder, both).unwrap();
        expected.assert_eq(&format!("{:?}", run_in(&session, &folder, text).unwrap_err()));
        let rows = run_in(&session, &folder, "SELECT v.a, t.a AS b FROM v, t").unwrap();
        assert_eq!(rows, "a,b\n1,2\n", "after {text}");
    }
}

#[test]
fn words_that_would_have_no_effect_are_refused() {
    for (text, expected) in [
        ("SHOW TABLES LIKE 'x'", expect!["Usage: SHOW TABLES shows all views and tables; nothing may follow it"]),
        ("SHOW EXTENDED TABLES", expect!["Usage: SHOW TABLES shows all views and tables; nothing may follow it"]),
        (
            "EXPLAIN VERBOSE SELECT 1",
            expect![[r#"
            Usage: this form of EXPLAIN is not supported
              hint: EXPLAIN .. or EXPLAIN ANALYZE .."#]],
        ),
        (
            "EXPLAIN (FORMAT json) SELECT 1",
            expect![[r#"
            Usage: this form of EXPLAIN is not supported
              hint: EXPLAIN .. or EXPLAIN ANALYZE .."#]],
        ),
    ] {
        check(text, expected);
    }
}
