//! What a wrong query is told.

use expect_test::expect;

use super::check_error;

#[test]
fn wrong_names_are_corrected() {
    check_error(
        "SELECT prce FROM 'sales.csv'",
        expect![[r#"
        Usage: column "prce" not found in sales.csv
          --> sql:1:8   hint: did you mean "Price"?"#]],
    );
    check_error(
        "SELECT price FROM 'sales.csv'",
        expect![[r#"
        Usage: column "price" not found in sales.csv
          --> sql:1:8   hint: did you mean "Price"? A name with upper-case letters is written in double quotes"#]],
    );
    check_error(
        "SELECT id,\n  smu(qty) FROM 'sales.csv'",
        expect![[r#"
            Usage: there is no function "smu"
              --> sql:2:3   hint: did you mean "sum"?"#]],
    );
    check_error(
        "SELECT id FROM 'sale.csv'",
        expect![[r#"
        Data: cannot read sale.csv: no such file
          --> sql:1:16"#]],
    );
    check_error(
        "SELECT zzz FROM 'sales.csv'",
        expect![[r#"
            Usage: column "zzz" not found in sales.csv
              --> sql:1:8   hint: there are: id, Price, qty, day, note; a text is written in single quotes"#]],
    );
    check_error(
        "SELECT s.qtty FROM 'sales.csv' s",
        expect![[r#"
        Usage: column "qtty" not found in s
          --> sql:1:8   hint: did you mean "qty"?"#]],
    );
    check_error(
        "SELECT id FROM 'sales.csv' WHERE Price > 1",
        expect![[r#"
        Usage: column "price" not found in sales.csv
          --> sql:1:34   hint: did you mean "Price"? A name with upper-case letters is written in double quotes"#]],
    );
}

#[test]
fn a_table_named_by_its_path_has_no_shorter_name() {
    check_error(
        "SELECT sales.qty FROM 'sales.csv'",
        expect![[r#"
            Usage: no table or alias is called "sales"
              --> sql:1:8   hint: the table is called "sales.csv"; give it an alias: FROM 'sales.csv' AS sales"#]],
    );
}

#[test]
fn two_columns_of_one_name_are_located() {
    check_error(
        "SELECT id AS a, qty AS a FROM 'sales.csv'",
        expect![[r#"
        Usage: two columns of the result are called "a"
          --> sql:1:24   hint: give one of them another name with AS"#]],
    );
}

#[test]
fn clauses_that_would_be_passed_over_are_refused() {
    let check = |text: &str, clause: &str| {
        let error = super::rows_of(text).map(|(_, rows)| panic!("{text} gave {rows:?}")).unwrap_err();
        assert_eq!(error.message(), format!("{clause} is not supported"), "{text}");
    };
    check("SELECT x FROM 'one.csv' PREWHERE x > 5", "PREWHERE (write WHERE)");
    check("SELECT x FROM 'many.csv' TABLESAMPLE (10 PERCENT)", "TABLESAMPLE");
    check("SELECT x FROM 'many.csv' FINAL", "FINAL");
    check("SELECT x FROM 'many.csv' WITH (nolock)", "a hint after a table");
    check("SELECT x FROM 'many.csv' FOR UPDATE", "FOR UPDATE or FOR SHARE");
    check("SELECT x FROM 'many.csv' SETTINGS max_threads = 1", "SETTINGS");
    check("SELECT x FROM 'many.csv' FORMAT JSON", "FORMAT");
    check("SELECT x FROM 'many.csv' ORDER BY x LIMIT 1 BY x", "LIMIT .. BY");
    check("SELECT x, sum(x) FROM 'many.csv' GROUP BY x WITH TOTALS", "GROUP BY .. WITH TOTALS");
    check("SELECT 'abc' SIMILAR TO '(a|b)+'", "SIMILAR TO (write s ~ '^(..)$')");
    check("SELECT * FROM (SELECT x FROM 'many.csv' FOR UPDATE) t", "FOR UPDATE or FOR SHARE");
}

#[test]
fn parameters_have_no_values() {
    check_error(
        "SELECT $1",
        expect![[r#"
        Usage: $1 is a parameter, and there are no values for parameters
          --> sql:1:8"#]],
    );
}

#[test]
fn too_deep_expressions_are_refused() {
    let chain = |n: usize| (0..n).map(|n| format!("x = {n}")).collect::<Vec<_>>().join(" OR ");
    use crate::ErrorKind::*;
    for (n, kind, message) in [(2100, Usage, "an expression with more than 2000"), (40_000, Budget, "")] {
        let error = super::rows_of(&format!("SELECT x FROM 'one.csv' WHERE {}", chain(n))).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().starts_with(message), "{error}");
    }
}

#[test]
fn arithmetic_out_of_range_is_an_error() {
    let check = |text: &str| {
        let error = super::rows_of(text).map(|(_, rows)| panic!("{text} gave {rows:?}")).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Query, "{text}: {error}");
    };
    check("SELECT x + 9223372036854775807 FROM 'one.csv'");
    check("SELECT -9223372036854775807 - x - x FROM 'one.csv'");
    check("SELECT (x + 1) * 9223372036854775807 FROM 'one.csv'");
    check("SELECT -(x - 9223372036854775807 - 2) FROM 'one.csv'");
    check("SELECT 9223372036854775807 + 1");
    check("SELECT 9223372036854775807 + 1 - 1 AS y FROM 'one.csv'");
    check("SELECT x FROM 'one.csv' WHERE x < 9223372036854775807 * 2");
    check("SELECT sum(DISTINCT x * 400000000000000000), count(*) FROM 'many.csv'");
    check("SELECT sum(DISTINCT x * 400000000000000000), min(x), count(DISTINCT x) FROM 'many.csv' GROUP BY x > 100");
}

#[test]
fn wrong_types_are_said_in_our_words() {
    check_error(
        "SELECT sum(note) FROM 'sales.csv'",
        expect![[r#"
        Usage: sum does not take arguments of this type: it was given string
          hint: convert the argument, for example CAST(x AS DOUBLE)"#]],
    );
    check_error(
        "SELECT avg(note), sum(qty) FROM 'sales.csv'",
        expect![[r#"
        Usage: avg does not take arguments of this type: it was given string
          hint: convert the argument, for example CAST(x AS DOUBLE)"#]],
    );
    check_error(
        "SELECT stddev(note) FROM 'sales.csv'",
        expect![
            "Usage: Failed to coerce arguments to satisfy a call to 'stddev' function: coercion from Utf8 to the signature Exact(Float64) failed. No function matches the given name and argument types 'stddev(Utf8)'. You might need to add explicit type casts"
        ],
    );
    check_error(
        "SELECT upper(qty, 1) FROM 'sales.csv'",
        expect![
            "Usage: Function 'upper' expects 1 arguments but received 2. No function matches the given name and argument types 'upper(Int64, Int64)'. You might need to add explicit type casts"
        ],
    );
    check_error(
        "SELECT x FROM 'one.csv' WHERE x = 'abc'",
        expect![[r#"
        Usage: x is a whole number, and 'abc' is not
          --> sql:1:35"#]],
    );
    check_error(
        "SELECT x FROM 'one.csv' WHERE x IN (1, 'abc')",
        expect![[r#"
        Usage: x is a whole number, and 'abc' is not
          --> sql:1:40"#]],
    );
    check_error(
        "SELECT x FROM 'one.csv' WHERE x BETWEEN 'abc' AND 'b'",
        expect![[r#"
        Usage: x is a whole number, and 'abc' is not
          --> sql:1:41"#]],
    );
    check_error(
        "SELECT round(note) FROM 'sales.csv'",
        expect![[r#"
        Usage: round does not take arguments of this type
          hint: convert the argument, for example CAST(x AS DOUBLE)"#]],
    );
}

#[test]
fn wrong_text_is_located() {
    check_error("SELECT FROM WHERE", expect!["Data: cannot read where: no such file"]);
    check_error(
        "SELECT 1; SELECT 2",
        expect![[r#"
            Usage: 2 statements at once
              hint: run them one by one, or in a library with `statements`; a query may use WITH to build on another"#]],
    );
    check_error(
        "",
        expect![[r#"
        Usage: there is no query
          hint: for example: SELECT count(*) FROM 'data.csv'"#]],
    );
    check_error(
        "SELECT 'abc",
        expect![[r#"
        Usage: syntax error: Unterminated string literal
          --> sql:1:8"#]],
    );
    check_error("DROP TABLE x", expect!["Usage: there is no view or table x"]);
    check_error(
        "INSERT INTO t VALUES (1)",
        expect![[r#"
            Usage: INSERT is not supported
              hint: there are queries (SELECT, WITH, VALUES), EXPLAIN, CREATE VIEW, CREATE TEMP TABLE .. AS, DROP, COPY .. TO, DESCRIBE, SHOW TABLES and SHOW FUNCTIONS"#]],
    );
    check_error(
        "SELECT id, sum(qty) FROM 'sales.csv'",
        expect![[r#"
            Usage: sales.csv.id is neither in GROUP BY nor inside an aggregate function
              --> sql:1:8   hint: add it to GROUP BY, or say which value of the group you mean: min, max, any_value"#]],
    );
    check_error(
        "SELECT id + 1 FROM 'sales.csv' WHERE note",
        expect!["Usage: Cannot create filter with non-boolean predicate 'sales.csv.note' returning Utf8"],
    );
}

#[test]
fn what_is_not_there_yet_is_named() {
    check_error(
        "SELECT ntile(0) OVER (ORDER BY qty) FROM 'sales.csv'",
        expect!["Usage: ntile needs a constant whole number above 0"],
    );
    check_error(
        "SELECT lag(x, x) OVER (ORDER BY x) FROM 'one.csv'",
        expect!["Usage: argument 2 of lag must be a constant"],
    );
    check_error(
        "SELECT sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM 'one.csv'",
        expect![[r#"
            Usage: syntax error: Expected: ), found: EXCLUDE
              --> sql:1:73"#]],
    );
    check_error(
        "SELECT sum(x) OVER (ORDER BY x, x + 1 RANGE 1 PRECEDING) FROM 'one.csv'",
        expect!["Usage: RANGE requires exactly one ORDER BY column"],
    );
    check_error(
        "SELECT nosuch(x) OVER (ORDER BY x) FROM 'one.csv'",
        expect![[r#"
        Usage: there is no function "nosuch"
          --> sql:1:8   hint: did you mean "cosh"?"#]],
    );
}

#[test]
fn values_that_fail_are_query_errors() {
    check_error(
        "SELECT 10 / (x - 1) FROM 'one.csv'",
        expect![[r#"
            Query: division of a whole number or decimal by zero
              hint: x / nullif(y, 0) is NULL where y is 0"#]],
    );
    check_error(
        "SELECT CAST(id AS INT) FROM 'sales.csv'",
        expect![[r#"
            Query: the text 'a' is no int
              hint: try_cast (in a frame cast_or_null) gives NULL for what does not fit"#]],
    );
    check_error(
        "SELECT quantile(x, 1.5) FROM 'one.csv'",
        expect!["Usage: the second argument of percentile_disc is a constant number from 0 to 1"],
    );
    check_error(
        "SELECT quantile(x, x) FROM 'one.csv'",
        expect!["Usage: the second argument of percentile_disc is a constant number from 0 to 1"],
    );
    check_error(
        "SELECT percentile_cont(2) WITHIN GROUP (ORDER BY x) FROM 'one.csv'",
        expect!["Usage: the second argument of percentile_cont is a constant number from 0 to 1"],
    );
    check_error(
        "SELECT nth_value(x, 0 ORDER BY x) FROM 'one.csv'",
        expect!["Usage: the second argument of nth_value is a constant whole number other than 0"],
    );
    check_error(
        "SELECT string_agg(id, id) FROM 'sales.csv'",
        expect!["Usage: the separator of string_agg is a constant text"],
    );
    check_error(
        "SELECT median(id) FROM 'sales.csv'",
        expect![[r#"
        Usage: median does not take arguments of this type: it was given string
          hint: convert the argument, for example CAST(x AS DOUBLE)"#]],
    );
    check_error(
        "SELECT array_agg(DISTINCT qty ORDER BY id) FROM 'sales.csv'",
        expect!["Usage: array_agg with DISTINCT can only be ordered by its own argument"],
    );
}
