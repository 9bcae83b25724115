//! Slips in pipeline files, and what is said about them.

use std::fs;

use crate::running::*;

/// Mistakes, each with what is said.
fn check_refusals(cases: &[(&str, &str)]) {
    for (yaml, want) in cases {
        let said = refusal(yaml);
        assert!(said.contains(want), "{yaml}\nsays\n{said}");
    }
}

#[test]
fn slips_are_told_with_what_to_do() {
    check_refusals(&[
        (
            "inputs: {v: visits.csv}\ntransforms:\n  - {id: a, type: filter, input: b, condition: x}\n  \
             - {id: b, type: limit, input: v, n: 1}\noutputs: a.csv\n",
            "the step \"b\" comes later",
        ),
        (
            "inputs: {v: visits.csv}\ntransforms:\n  - {id: a, sql: select * from b}\n  \
             - {id: b, type: limit, input: v, n: 1}\noutputs: a.csv\n",
            "move the step at p.yaml:4:10 up",
        ),
        (
            "inputs: {v: visits.csv}\ntransforms:\n  - {id: a, type: limit, n: 1\noutputs: a.csv\n",
            "the { at p.yaml:3:5 has not ended here",
        ),
        ("inputs: {v: visits.csv}\noutputs: a.csv\nsettings: {memory_budget: lots}\n", "for example 512MiB"),
        (
            "inputs: {v: visits.csv}\noutputs: a.csv\nvalidate: {rows: {min: 5, max: 3}}\n",
            "no number of rows is at least 5 and at most 3",
        ),
        (
            "inputs: {v: visits.csv}\noutputs: a.csv\nvalidate: {sql: \"select * from v where heart_rate < 0\"}\n",
            "a check is a condition that holds for every row, and this is a query",
        ),
        (
            "inputs: {v: {path: visits.csv, on_bad_row: reject=bad.csv}}\noutputs: a.csv\n",
            "settings: {on_bad_row: \"reject=bad.csv\"}",
        ),
    ]);
}

#[test]
fn aggregations_may_be_named_by_their_keys() {
    let step = "{type: group_by, input: visits, keys: [facility], aggregations: \
                {n: {function: len}, fastest: {column: heart_rate, function: max}, total: sum(heart_rate)}}";
    assert!(written(&with_steps(step), "a.csv").starts_with("facility,n,fastest,total\nOTHER,1,60,60\n"));
}

#[test]
fn the_step_for_a_missing_year_takes_the_column_of_the_date_range() {
    let folder = inputs();
    fs::write(folder.path().join("e.csv"), "patient_id,day,at\n1,2024-01-02,x\n").unwrap();
    let yaml = "inputs:\n  e: {path: e.csv, schema: {at: varchar}}\nfilters: {date_range: {column: at, start: 2024-01-01}}\n\
                transforms: [{type: group_by, keys: [year], aggregations: [{function: len}]}]\noutputs: a.csv\n";
    let said = transcript(&run_text(folder.path(), yaml, &[]));
    assert!(said.contains("year(CAST(at AS TIMESTAMP))"), "{said}");
}

#[test]
fn filters_that_no_row_fulfils_are_warned_about() {
    let group = "transforms: [{type: group_by, input: visits, aggregations: [{function: len}]}]\noutputs: a.csv\n";
    for (filters, want) in [
        ("{facilities: [1, 2]}", "no row of \"visits\" fulfils the filter \"facility\" IN ('1', '2') (p.yaml:2:11)"),
        ("{facilities: [UCSX]}", "no row of \"visits\" fulfils the filter \"facility\" = 'UCSX'"),
        ("{facility: UCSF, heart_rate: 60}", "no row of \"visits\" fulfils all filters, though some fulfil each"),
    ] {
        let folder = inputs();
        let yaml = format!("inputs: {{visits: visits.csv}}\nfilters: {filters}\n{group}");
        let done = run_text(folder.path(), &yaml, &[]);
        assert!(done.status.success(), "{}", transcript(&done));
        assert!(transcript(&done).contains(want), "{filters}: {}", transcript(&done));
    }
    let done = run_text(
        inputs().path(),
        &format!("inputs: {{visits: visits.csv}}\nfilters: {{facility: UCSF}}\n{group}"),
        &[],
    );
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "");
}

#[test]
fn a_log_has_no_negative_zero() {
    let folder = inputs();
    let yaml = "inputs: {visits: visits.csv, people: people.csv}\ntransforms: [{id: n, type: limit, input: people, n: 1}]\n\
                outputs: {csv: a.csv, log: a.log}\n";
    assert!(run_text(folder.path(), yaml, &[]).status.success());
    let log = fs::read_to_string(folder.path().join("a.log")).unwrap();
    assert!(!log.contains("-0.000"), "{log}");
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_runs() {
    let folder = inputs();
    for flag in ["--report", "--metrics"] {
        let sql = "COPY (SELECT 1 AS x) TO 'x.csv'";
        let done = brimful(folder.path()).args(["sql", sql, flag, "nowhere/r.html"]).output().unwrap();
        assert!(!done.status.success(), "{flag}");
        assert!(!folder.path().join("x.csv").exists(), "{flag}: {}", transcript(&done));
    }
}
