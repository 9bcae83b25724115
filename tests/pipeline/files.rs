//! Whole pipeline files: steps, mistakes, filters, checks, outputs, and how a run goes on after it was stopped.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use crate::running::*;

#[test]
fn the_example_of_the_manual_runs() {
    check(
        r#"
name: Vitals summary
inputs:
  vitals:     {path: "visits.csv", columns: [patient_id, facility, timestamp, heart_rate]}
  encounters: {path: "people.csv", columns: [patient_id, name]}
filters:
  facilities: [UCSF, ZSFG]
  date_range: {column: timestamp, start: "2024-01-01", end: null}
transforms:
  - {id: with_month, type: with_columns, input: vitals, columns: {year: "year(timestamp)", month: "month(timestamp)"}}
  - {id: joined, type: join, left: with_month, right: encounters, on: [patient_id], how: inner}
  - id: summary
    type: group_by
    keys: [facility, year, month]
    aggregations:
      - {column: heart_rate, function: mean, alias: avg_hr}
      - {column: patient_id, function: count, alias: num_patients}
outputs: {parquet: out/s.parquet, csv: a.csv, log: out/s.log}
settings: {memory_budget: 512MiB, compression: zstd, engine: streaming}
"#,
        expect![[r#"
            exit 0
            out| wrote out/s.parquet: 3 rows, N
            out| wrote a.csv: 3 rows, N
            err| note: settings.engine: streaming changes nothing here: every run streams within the budget
            a.csv| facility,year,month,avg_hr,num_patients
            a.csv| UCSF,2024,1,70.0,1
            a.csv| UCSF,2024,2,90.0,1
            a.csv| ZSFG,2024,1,80.0,1
        "#]],
    );
}

#[test]
fn steps_of_every_type_do_what_they_say() {
    check_steps(
        "  - {type: filter, input: visits, condition: heart_rate > 65}\n  - {type: sort, by: [heart_rate desc]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
        "#]],
    );
    check_steps(
        "  - {type: select, input: visits, columns: [patient_id, \"heart_rate * 2 AS twice\", {beat: heart_rate}]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,twice,beat
            a.csv| 1,140,70
            a.csv| 2,160,80
            a.csv| 1,180,90
            a.csv| 3,120,60
            a.csv| 2,130,65
            a.csv| 4,,
        "#]],
    );
    check_steps(
        "  - {type: with_columns, input: people, columns: {name: \"upper(name)\", n: 1}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,name,zip,n
            a.csv| 1,ANN,01001,1
            a.csv| 2,BO,94110,1
            a.csv| 3,CY,00501,1
        "#]],
    );
    check_steps(
        "  - {type: rename, input: people, columns: {name: who}}\n  - {type: drop, columns: [zip]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,who
            a.csv| 1,Ann
            a.csv| 2,Bo
            a.csv| 3,Cy
        "#]],
    );
    check_steps(
        "  - {type: cast, input: people, columns: {zip: int64, patient_id: str}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,name,zip
            a.csv| 1,Ann,1001
            a.csv| 2,Bo,94110
            a.csv| 3,Cy,501
        "#]],
    );
    check_steps(
        "  - {type: join, left: visits, right: people, on: patient_id, how: left}\n  - {type: sort, by: [patient_id, timestamp]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate,name,zip
            a.csv| 1,UCSF,2024-01-02T03:04:05,70,Ann,01001
            a.csv| 1,UCSF,2024-02-01T00:00:00,90,Ann,01001
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65,Bo,94110
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80,Bo,94110
            a.csv| 3,OTHER,2024-02-02T00:00:00,60,Cy,00501
            a.csv| 4,ZSFG,2024-02-03T00:00:00,,,
        "#]],
    );
    check_steps(
        "  - {type: join, left: people, right: visits, on: patient_id, how: full, suffix: _v}\n  - {type: sort, by: [patient_id, timestamp]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,name,zip,facility,timestamp,heart_rate
            a.csv| 1,Ann,01001,UCSF,2024-01-02T03:04:05,70
            a.csv| 1,Ann,01001,UCSF,2024-02-01T00:00:00,90
            a.csv| 2,Bo,94110,ZSFG,2023-12-31T12:00:00,65
            a.csv| 2,Bo,94110,ZSFG,2024-01-31T23:59:59,80
            a.csv| 3,Cy,00501,OTHER,2024-02-02T00:00:00,60
            a.csv| 4,,,ZSFG,2024-02-03T00:00:00,
        "#]],
    );
    check_steps(
        "  - {type: join, left: people, right: doubled, left_on: [patient_id], right_on: [patient_id], how: anti}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 1 row, N
            a.csv| patient_id,name,zip
            a.csv| 3,Cy,00501
        "#]],
    );
    check_steps(
        "  - {type: group_by, input: visits, keys: [{day: \"CAST(timestamp AS DATE)\"}], aggregations: [{function: len}, {column: \
         patient_id, function: n_unique}, {expr: sum(heart_rate) + 1, alias: s}]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| day,len,patient_id_n_unique,s
            a.csv| 2023-12-31,1,1,66
            a.csv| 2024-01-02,1,1,71
            a.csv| 2024-01-31,1,1,81
            a.csv| 2024-02-01,1,1,91
            a.csv| 2024-02-02,1,1,61
            a.csv| 2024-02-03,1,1,
        "#]],
    );
    check_steps(
        "  - {type: sort, input: visits, by: [{column: heart_rate, nulls_last: true, descending: true}]}\n  - {type: limit, n: 2, offset: 1}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
        "#]],
    );
    check_steps(
        "  - {type: unique, input: visits, subset: [patient_id], order_by: [timestamp], keep: last}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 4 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 3,OTHER,2024-02-02T00:00:00,60
            a.csv| 4,ZSFG,2024-02-03T00:00:00,
        "#]],
    );
    check_steps(
        "  - {type: unique, input: doubled, subset: [tag]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,tag
            a.csv| 1,a
            a.csv| 1,b
            a.csv| 1,c
        "#]],
    );
    check_steps(
        "  - {id: x, type: rename, input: doubled, columns: {tag: name}}\n  - {type: union, inputs: [people, x], how: diagonal}\n  - {type: sort, by: [patient_id, name]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 9 rows, N
            a.csv| patient_id,name,zip
            a.csv| 1,Ann,01001
            a.csv| 1,a,
            a.csv| 1,b,
            a.csv| 1,c,
            a.csv| 2,Bo,94110
            a.csv| 2,a,
            a.csv| 2,b,
            a.csv| 2,c,
            a.csv| 3,Cy,00501
        "#]],
    );
    check_steps(
        "  - {id: high, type: filter, input: visits, condition: heart_rate >= 70}\n  - {type: join_asof, left: visits, right: high, on: timestamp, by: patient_id, tolerance: 29d}\n  - {type: sort, by: [timestamp]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate,facility_right,heart_rate_right
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65,,
            a.csv| 1,UCSF,2024-01-02T03:04:05,70,UCSF,70
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80,ZSFG,80
            a.csv| 1,UCSF,2024-02-01T00:00:00,90,UCSF,90
            a.csv| 3,OTHER,2024-02-02T00:00:00,60,,
            a.csv| 4,ZSFG,2024-02-03T00:00:00,,,
        "#]],
    );
    check_steps(
        "  - {type: join_asof, left: visits, right: people, left_on: heart_rate, right_on: patient_id, strategy: nearest, tolerance: 68, suffix: _2}\n  - {type: sort, by: [timestamp]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate,name,zip
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65,Cy,00501
            a.csv| 1,UCSF,2024-01-02T03:04:05,70,Cy,00501
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80,,
            a.csv| 1,UCSF,2024-02-01T00:00:00,90,,
            a.csv| 3,OTHER,2024-02-02T00:00:00,60,Cy,00501
            a.csv| 4,ZSFG,2024-02-03T00:00:00,,,
        "#]],
    );
    check_steps(
        "  - {type: window, input: visits, partition_by: [patient_id], order_by: [timestamp], columns: {n: row_number(), last: lag(heart_rate)}}\n  - {type: sort, by: [patient_id, n]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate,n,last
            a.csv| 1,UCSF,2024-01-02T03:04:05,70,1,
            a.csv| 1,UCSF,2024-02-01T00:00:00,90,2,70
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65,1,
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80,2,65
            a.csv| 3,OTHER,2024-02-02T00:00:00,60,1,
            a.csv| 4,ZSFG,2024-02-03T00:00:00,,1,
        "#]],
    );
    check_steps(
        "  - {id: m, type: filter, input: visits, condition: [heart_rate > 60, facility <> 'OTHER']}\n  - type: sql\n    sql: |\n      SELECT name, max(heart_rate) AS top\n      FROM m JOIN people USING (patient_id)\n      GROUP BY name ORDER BY name",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, N
            a.csv| name,top
            a.csv| Ann,90
            a.csv| Bo,80
        "#]],
    );
    check_steps(
        "  - {type: fill_null, input: visits, columns: {heart_rate: 0}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 3,OTHER,2024-02-02T00:00:00,60
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65
            a.csv| 4,ZSFG,2024-02-03T00:00:00,0
        "#]],
    );
    check_steps(
        "  - {type: drop_nulls, input: visits}\n  - {type: limit, n: 1}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 1 row, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
        "#]],
    );
    check_steps(
        "  - {type: sample, input: visits, n: 2, seed: 7}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
        "#]],
    );
    check_steps(
        "  - {type: sample, input: visits, fraction: 0.5}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65
            a.csv| 4,ZSFG,2024-02-03T00:00:00,
        "#]],
    );
}

/// What a mistake in an otherwise right pipeline is told with.
#[test]
fn mistakes_have_a_place_and_a_way_out() {
    let base = "inputs: {visits: visits.csv, people: people.csv}\n";
    let message = |yaml: &str, args: &[&str], expected: Expect| check_with(&format!("{base}{yaml}"), args, expected);
    let steps =
        |steps: &str, expected: Expect| message(&format!("transforms:\n{steps}\noutputs: a.csv\n"), &[], expected);
    // Not YAML, not a pipeline.
    message(
        "transforms: [",
        &[],
        expect![[r#"
            exit 2
            err| error: this is not YAML: while parsing a node, did not find expected node content
            err|   --> p.yaml:3:1   hint: the [ at p.yaml:2:13 has not ended here: close it, or put a text with , : # [ ] { } in it into quotes
        "#]],
    );
    message(
        "outputs: a.csv\noutputs: b.csv",
        &[],
        expect![[r#"
        exit 2
        err| error: the key "outputs" stands here a second time
        err|   --> p.yaml:3:1   hint: the first is at p.yaml:2:1
    "#]],
    );
    message(
        "transfroms: []\noutputs: a.csv",
        &[],
        expect![[r#"
        exit 2
        err| error: a pipeline file has no "transfroms"
        err|   --> p.yaml:2:1   hint: did you mean "transforms"?
    "#]],
    );
    message(
        "transforms: []",
        &[],
        expect![[r#"
        exit 2
        err| error: a pipeline file needs "outputs"
        err|   --> p.yaml:1:1   hint: for example outputs: {parquet: result.parquet}
    "#]],
    );
    message(
        "outputs: a.csv",
        &[],
        expect![[r#"
        exit 2
        err| error: there are no steps and several inputs: it is not clear what to write
        err|   --> p.yaml:2:10   hint: add step: and the name of an input
    "#]],
    );
    message(
        "outputs: {csv: nowhere/../a.txt, step: vists}",
        &[],
        expect![[r#"
        exit 2
        err| error: there is no step or input "vists"
        err|   --> p.yaml:2:40   hint: did you mean "visits"?
    "#]],
    );
    message(
        "outputs: {csv: visits.csv, step: visits}",
        &[],
        expect![[r#"
        exit 2
        err| error: visits.csv is an input, too
        err|   --> p.yaml:2:16   hint: write to another file
    "#]],
    );
    message(
        "outputs: {xlsx: a.xlsx}",
        &[],
        expect![[r#"
            exit 2
            err| error: outputs has no "xlsx"
            err|   --> p.yaml:2:11   hint: there are: step, parquet, csv, ndjson, ipc, log, manifest, checksums
        "#]],
    );
    message(
        "settings: {memory_budget: lots}\noutputs: {csv: a.csv, step: visits}",
        &[],
        expect![[r#"
            exit 2
            err| error: "lots" is not a size
            err|   --> p.yaml:2:27   hint: for example 512MiB, 4GB or 1073741824
        "#]],
    );
    message(
        "settings: {compression: gzip}\noutputs: {csv: a.csv, step: visits}",
        &[],
        expect![[r#"
        exit 2
        err| error: there is no compression "gzip"
        err|   --> p.yaml:2:25   hint: there are: zstd, zstd(3), snappy, lz4, none
    "#]],
    );
    // Steps.
    steps(
        "  - {type: filtre, input: visits, condition: a > 1}",
        expect![[r#"
        exit 2
        err| error: there is no step of type "filtre"
        err|   --> p.yaml:3:12   hint: did you mean "filter"?
    "#]],
    );
    steps(
        "  - {type: filter, input: visitors, condition: a > 1}",
        expect![[r#"
        exit 2
        err| error: there is no input or earlier step "visitors"
        err|   --> p.yaml:3:27   hint: did you mean "visits"?
    "#]],
    );
    steps(
        "  - {type: filter, condition: heart_rate > 1}",
        expect![[r#"
        exit 2
        err| error: the first step must say which input it reads
        err|   --> p.yaml:3:5   hint: add input: visits or input: people
    "#]],
    );
    steps(
        "  - {type: filter, input: visits, condition: hart_rate > 1}",
        expect![[r#"
        exit 2
        err| error: column "hart_rate" not found in visits
        err|   --> p.yaml:3:46   hint: did you mean "heart_rate"?
    "#]],
    );
    steps(
        "  - {type: filter, input: visits, condition: \"heart_rate >\"}",
        expect![[r#"
        exit 2
        err| error: syntax error: Expected: an expression, found: )
        err|   --> p.yaml:3:59
    "#]],
    );
    steps(
        "  - {type: filter, input: visits}",
        expect![[r#"
        exit 2
        err| error: the step "step_1" of type filter needs "condition"
        err|   --> p.yaml:3:5   hint: for example condition: "amount > 0"
    "#]],
    );
    steps(
        "  - {type: filter, input: visits, conditon: x}",
        expect![[r#"
        exit 2
        err| error: the step "step_1" of type filter has no "conditon"
        err|   --> p.yaml:3:35   hint: did you mean "condition"?
    "#]],
    );
    steps(
        "  - {id: visits, type: filter, input: visits, condition: x}",
        expect![[r#"
        exit 2
        err| error: "visits" is the name of something else already
        err|   --> p.yaml:3:10   hint: the first is at p.yaml:1:10
    "#]],
    );
    steps(
        "  - {type: join, left: visits, right: people, on: [patient]}",
        expect![[r#"
        exit 2
        err| error: column "patient" not found in visits
        err|   --> p.yaml:3:52   hint: there are: patient_id, facility, timestamp, heart_rate
    "#]],
    );
    steps(
        "  - {type: join, left: visits, right: people, how: iner, on: [patient_id]}",
        expect![[r#"
        exit 2
        err| error: there is no kind of join called "iner"
        err|   --> p.yaml:3:52   hint: did you mean "inner"?
    "#]],
    );
    steps(
        "  - {type: join, left: visits, right: people, left_on: [facility], right_on: [patient_id]}",
        expect![[r#"
            exit 2
            err| error: "facility" of visits is Utf8 and "patient_id" of people is Int64: a text and a number are joined
            err|   --> p.yaml:3:79   hint: read it as a text (inputs: people: schema: {patient_id: varchar}) or add a step: - {type: cast, input: people, columns: {patient_id: varchar}}
        "#]],
    );
    steps(
        "  - {type: group_by, input: visits, keys: [facility, year], aggregations: [{function: len}]}",
        expect![[r#"
            exit 2
            err| error: no step derives the key "year": visits has no such column
            err|   --> p.yaml:3:54   hint: add this step before "step_1" and let it read that: - {id: with_year, type: with_columns, input: visits, columns: {year: "year(timestamp)"}}
        "#]],
    );
    steps(
        "  - {type: group_by, input: people, keys: [year], aggregations: [{function: len}]}",
        expect![[r#"
        exit 2
        err| error: column "year" not found in people
        err|   --> p.yaml:3:44   hint: there are: patient_id, name, zip
    "#]],
    );
    steps(
        "  - {type: group_by, input: visits, keys: [facility], aggregations: [{column: heart_rate, function: meen}]}",
        expect![[r#"
            exit 2
            err| error: there is no function "meen"
            err|   --> p.yaml:3:101   hint: did you mean "mean"?
        "#]],
    );
    steps(
        "  - {type: group_by, input: visits, keys: [facility], aggregations: [{function: sum}]}",
        expect![[r#"
        exit 2
        err| error: "sum" needs a column
        err|   --> p.yaml:3:70   hint: {column: price, function: sum}
    "#]],
    );
    steps(
        "  - type: sql\n    sql: |\n      SELECT facility,\n             hart_rate\n      FROM visits",
        expect![[r#"
            exit 2
            err| error: column "hart_rate" not found in visits
            err|   --> p.yaml:6:14   hint: did you mean "heart_rate"?
        "#]],
    );
    steps(
        "  - {type: sql, sql: SELECT * FROM vists}",
        expect![[r#"
        exit 2
        err| error: there is no input or earlier step "vists"
        err|   --> p.yaml:3:22   hint: did you mean "visits"?
    "#]],
    );
    steps(
        "  - {id: Big, type: limit, input: visits, n: 1}\n  - {type: sql, sql: SELECT * FROM Big}",
        expect![[r#"
        exit 2
        err| error: there is no input or earlier step "big"
        err|   --> p.yaml:4:22   hint: write the name in double quotes: "Big"
    "#]],
    );
    steps(
        "  - {type: union, inputs: [visits, people]}",
        expect![[r#"
        exit 2
        err| error: visits and people have different columns: facility is missing, timestamp is missing, heart_rate is missing, name is new, zip is new
        err|   --> p.yaml:3:36   hint: how: diagonal fills what is missing with NULL
    "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, on: timestamp, tolerance: 90}",
        expect![[r#"
        exit 2
        err| error: a tolerance of "90" does not go with a column of type Timestamp(µs)
        err|   --> p.yaml:3:78   hint: dates and times want a duration: tolerance: 90s, or 1h30m, or 2d
    "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, on: timestamp, tolerance: 1mo}",
        expect![[r#"
        exit 2
        err| error: a tolerance of "1mo" does not go with a column of type Timestamp(µs)
        err|   --> p.yaml:3:78   hint: dates and times want a duration: tolerance: 90s, or 1h30m, or 2d
    "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, left_on: heart_rate, right_on: patient_id, tolerance: 1.5}",
        expect![[r#"
            exit 2
            err| error: a tolerance of "1.5" does not go with a column of type Int64
            err|   --> p.yaml:3:106   hint: numbers want a number from 0 on, whole numbers a whole one
        "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, on: facility}",
        expect![[r#"
        exit 2
        err| error: "facility" is Utf8: rows are near in a number, a date or a time
        err|   --> p.yaml:3:56   hint: a step of type cast makes it one
    "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, on: [timestamp, patient_id]}",
        expect![[r#"
        exit 2
        err| error: rows are near in one column only
        err|   --> p.yaml:3:68   hint: by: names the columns that must be equal
    "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, on: timestamp, strategy: backwards}",
        expect![[r#"
        exit 2
        err| error: there is no strategy "backwards"
        err|   --> p.yaml:3:77   hint: did you mean "backward"?
    "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, by: patient_id}",
        expect![[r#"
        exit 2
        err| error: the step "step_1" of type join_asof needs "on"
        err|   --> p.yaml:3:5   hint: for example on: timestamp
    "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, left_on: timestamp}",
        expect![[r#"
        exit 2
        err| error: give "on", or "left_on" and "right_on" with equally many columns
        err|   --> p.yaml:3:5
    "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, left_on: heart_rate, right_on: timestamp}",
        expect![[r#"
            exit 2
            err| error: "heart_rate" is Int64 and "timestamp" is Timestamp(µs)
            err|   --> p.yaml:3:83   hint: both numbers, or both dates or times
        "#]],
    );
    steps(
        "  - {type: join_asof, left: visits, right: visits, on: timstamp}",
        expect![[r#"
        exit 2
        err| error: column "timstamp" not found in visits
        err|   --> p.yaml:3:56   hint: did you mean "timestamp"?
    "#]],
    );
    steps(
        "  - {type: cast, input: visits, columns: {heart_rate: intt}}",
        expect![[r#"
        exit 2
        err| error: "intt" is not a type; known are boolean, int, bigint, float, double, decimal(p,s), varchar, date, time, timestamp, timestamptz
        err|   --> p.yaml:3:55
    "#]],
    );
    steps(
        "  - {type: sort, input: visits, by: [hart_rate]}",
        expect![[r#"
        exit 2
        err| error: column "hart_rate" not found in visits
        err|   --> p.yaml:3:38   hint: did you mean "heart_rate"?
    "#]],
    );
    // Filters.
    let filter = |filters: &str, expected: Expect| {
        message(&format!("filters: {filters}\noutputs: {{csv: a.csv, step: visits}}\n"), &[], expected);
    };
    filter(
        "{facilty: [UCSF]}",
        expect![[r#"
        exit 2
        err| error: no input has a column "facilty" to filter by
        err|   --> p.yaml:2:11   hint: did you mean "facility"?
    "#]],
    );
    filter(
        "{facilities: []}",
        expect![[r#"
        exit 2
        err| error: no row has one of no values: "facilities" is empty
        err|   --> p.yaml:2:23   hint: leave the filter out, or name values
    "#]],
    );
    filter(
        "{date_range: {column: timestamp, start: yesterday}}",
        expect![[r#"
        exit 2
        err| error: "yesterday" is neither a day nor a time
        err|   --> p.yaml:2:50   hint: for example 2024-01-31 or 2024-01-31T12:00:00
    "#]],
    );
    filter(
        "{date_range: {column: tmestamp, start: 2024-01-01}}",
        expect![[r#"
        exit 2
        err| error: no input has a column "tmestamp" to filter by
        err|   --> p.yaml:2:32   hint: did you mean "timestamp"?
    "#]],
    );
    filter(
        "{date_range: {column: facility, end: 2024-01-01}}",
        expect![[r#"
            exit 1
            err| error: the text 'UCSF' is no timestamp: timestamp must contain at least 10 characters
            err|   --> p.yaml:1:10   hint: try_cast (in a frame cast_or_null) gives NULL for what does not fit
        "#]],
    );
    filter(
        "{heart_rates: [fast]}",
        expect![[r#"
        exit 2
        err| error: "fast" is no number, and column "heart_rate" is Int64
        err|   --> p.yaml:2:25
    "#]],
    );
    filter(
        "{expression: hart_rate > 1}",
        expect![[r#"
        exit 2
        err| error: column "hart_rate" not found in visits
        err|   --> p.yaml:2:23   hint: did you mean "heart_rate"?
    "#]],
    );
    // The command line.
    let set = |set: &str, expected: Expect| message("outputs: {csv: a.csv, step: visits}\n", &["--set", set], expected);
    set(
        "settings.memory_budget",
        expect![[r#"
        exit 2
        err| error: --set needs key=value
        err|   --> --set settings.memory_budget   hint: for example --set settings.memory_budget=1GiB
    "#]],
    );
    set(
        "settings.memory_bugdet=1GiB",
        expect![[r#"
        exit 2
        err| error: settings has no "memory_bugdet"
        err|   --> --set settings.memory_bugdet=1GiB   hint: did you mean "memory_budget"?
    "#]],
    );
    set(
        "settings.threads=many",
        expect![[r#"
        exit 2
        err| error: "threads" must be a whole number from 0 on, not "many"
        err|   --> --set settings.threads=many
    "#]],
    );
    set(
        "transforms.x.n=1",
        expect![[r#"
            exit 2
            err| error: step 1 has no "n"
            err|   --> --set transforms.x.n=1   hint: there are: id, type, sql
        "#]],
    );
    set(
        "inputs.visits.path=visit.csv",
        expect![[r#"
        exit 3
        err| error: visit.csv does not exist
        err|   --> --set inputs.visits.path=visit.csv   hint: did you mean visits.csv?
    "#]],
    );
    set(
        "inputs.visits.path.x=visit.csv",
        expect![[r#"
        exit 2
        err| error: there is a text, which has no "path"
        err|   --> --set inputs.visits.path.x=visit.csv
    "#]],
    );
}

#[test]
fn filters_concern_the_inputs_that_have_the_column() {
    let filtered = |filters: &str, expected: Expect| {
        let inputs =
            "inputs: {visits: {path: visits.csv, columns: [patient_id, facility, timestamp]}, people: people.csv}";
        check(&format!("{inputs}\nfilters: {filters}\noutputs: {{csv: a.csv, step: visits}}\n"), expected);
    };
    filtered(
        "{facilities: [UCSF, OTHER]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,facility,timestamp
            a.csv| 1,UCSF,2024-01-02T03:04:05
            a.csv| 1,UCSF,2024-02-01T00:00:00
            a.csv| 3,OTHER,2024-02-02T00:00:00
        "#]],
    );
    filtered(
        "{facility: ZSFG, patient_id: {min: 3}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 1 row, N
            a.csv| patient_id,facility,timestamp
            a.csv| 4,ZSFG,2024-02-03T00:00:00
        "#]],
    );
    // Both ends belong to it, and a day is all of the day.
    filtered(
        "{date_range: {start: 2023-12-31, end: 2024-01-31}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            err| note: date_range names no column: it is applied to "timestamp"
            a.csv| patient_id,facility,timestamp
            a.csv| 1,UCSF,2024-01-02T03:04:05
            a.csv| 2,ZSFG,2024-01-31T23:59:59
            a.csv| 2,ZSFG,2023-12-31T12:00:00
        "#]],
    );
    filtered(
        "{date_range: {column: timestamp, start: 2024-02-01, end: 2024-02-02T12:00:00}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, N
            a.csv| patient_id,facility,timestamp
            a.csv| 1,UCSF,2024-02-01T00:00:00
            a.csv| 3,OTHER,2024-02-02T00:00:00
        "#]],
    );
    filtered(
        "[\"patient_id % 2 = 0\"]",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,facility,timestamp
            a.csv| 2,ZSFG,2024-01-31T23:59:59
            a.csv| 2,ZSFG,2023-12-31T12:00:00
            a.csv| 4,ZSFG,2024-02-03T00:00:00
        "#]],
    );
}

#[test]
fn checks_fail_the_run_before_anything_is_published() {
    let checked = |rules: &str, expected: Expect| {
        let yaml = "inputs: {visits: visits.csv}\noutputs: {csv: a.csv, step: visits}\nvalidate: ";
        check(&format!("{yaml}{rules}\n"), expected);
    };
    checked(
        "{rows: {min: 1, max: 10}, not_null: [patient_id], unique: [[patient_id, timestamp]], ranges: {heart_rate: [40, 220]}, \
         columns: [facility], sql: \"facility <> ''\"}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 3,OTHER,2024-02-02T00:00:00,60
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65
            a.csv| 4,ZSFG,2024-02-03T00:00:00,
        "#]],
    );
    checked(
        "{rows: 7}",
        expect![[r#"
        exit 3
        err| error: validation of visits failed: there are exactly 7 rows: found 6 rows
        err|   --> p.yaml:3:18   hint: no output was published
    "#]],
    );
    checked(
        "{rows: {min: 10}}",
        expect![[r#"
        exit 3
        err| error: validation of visits failed: there are at least 10 rows: found 6 rows
        err|   --> p.yaml:3:18   hint: no output was published
    "#]],
    );
    checked(
        "{not_null: [heart_rate, facility], finite: [heart_rate]}",
        expect![[r#"
        exit 3
        err| error: validation of visits failed: heart_rate is not null: not so in 1 row; heart_rate is a finite number: not so in 1 row
        err|   --> p.yaml:3:23   hint: no output was published
    "#]],
    );
    checked(
        "{unique: [patient_id]}",
        expect![[r#"
            exit 3
            err| error: validation of visits failed: patient_id is unique: 2 values stand more than once
            err|   --> p.yaml:3:20   hint: no output was published
        "#]],
    );
    checked(
        "[{range: {column: heart_rate, min: 65, max: 80}}, {name: known facility, sql: \"facility IN ('UCSF', 'ZSFG')\"}]",
        expect![[r#"
            exit 3
            err| error: validation of visits failed: heart_rate is from 65 to 80: not so in 2 rows; known facility: not so in 1 row
            err|   --> p.yaml:3:20   hint: no output was published
        "#]],
    );
    checked(
        "{columns: [facility, zip]}",
        expect![[r#"
        exit 3
        err| error: validation failed: visits has no column "zip"
        err|   --> p.yaml:3:32   hint: it has: patient_id, facility, timestamp, heart_rate
    "#]],
    );
    checked(
        "{not_null: [hart_rate]}",
        expect![[r#"
        exit 2
        err| error: column "hart_rate" not found in visits
        err|   --> p.yaml:3:23   hint: did you mean "heart_rate"?
    "#]],
    );
    checked(
        "{sql: \"hart_rate > 1\"}",
        expect![[r#"
        exit 2
        err| error: column "hart_rate" not found in visits
        err|   --> p.yaml:3:18   hint: did you mean "heart_rate"?
    "#]],
    );
    checked(
        "{finite: [facility]}",
        expect![[r#"
        exit 2
        err| error: column "facility" is Utf8, and only numbers are finite
        err|   --> p.yaml:3:21
    "#]],
    );
    checked(
        "{rows: {mn: 1}}",
        expect![[r#"
        exit 2
        err| error: rows has no "mn"
        err|   --> p.yaml:3:19   hint: did you mean "min"?
    "#]],
    );
}

#[test]
fn several_outputs_of_several_steps_are_written_together() {
    check(
        "inputs: {visits: visits.csv}\n\
         transforms:\n  - {id: known, type: filter, condition: heart_rate IS NOT NULL}\n  \
         - {id: by_place, type: group_by, keys: [facility], aggregations: [{column: heart_rate, function: max}]}\n\
         outputs:\n  - {path: a.csv, step: known}\n  - {path: b.csv, step: by_place}\n  - {path: a.ndjson, step: by_place}\n  \
         - {path: deep/er/c.parquet, step: known, compression: snappy}\n",
        expect![[r#"
            exit 0
            out| wrote a.csv: 5 rows, N
            out| wrote b.csv: 3 rows, N
            out| wrote a.ndjson: 3 rows, N
            out| wrote deep/er/c.parquet: 5 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 3,OTHER,2024-02-02T00:00:00,60
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65
            b.csv| facility,heart_rate_max
            b.csv| OTHER,60
            b.csv| UCSF,90
            b.csv| ZSFG,80
            a.ndjson| {"facility":"OTHER","heart_rate_max":60}
            a.ndjson| {"facility":"UCSF","heart_rate_max":90}
            a.ndjson| {"facility":"ZSFG","heart_rate_max":80}
        "#]],
    );
}

#[test]
fn a_join_that_multiplies_rows_is_warned_about() {
    check(
        "inputs: {visits: visits.csv, doubled: doubled.csv}\n\
         transforms:\n  - {id: both, type: join, left: visits, right: doubled, on: [patient_id]}\n  \
         - {type: group_by, keys: [tag], aggregations: [{function: len}]}\noutputs: a.csv\n",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            err| warning: the join "both" (inner, patient_id = patient_id) multiplies rows by 2.0: 6 and 6 rows give 12, since its key is unique on neither side
            a.csv| tag,len
            a.csv| a,4
            a.csv| b,4
            a.csv| c,4
        "#]],
    );
}

#[test]
fn a_dry_run_shows_the_plan_and_runs_nothing() {
    check_with(
        "inputs: {visits: {path: visits.csv, columns: [patient_id, facility]}, people: people.csv}\n\
         transforms:\n  - {id: counts, type: group_by, input: visits, keys: [patient_id], aggregations: [{function: len}]}\n  \
         - {id: named, type: join, right: people, on: [patient_id]}\n  - {id: idle, type: limit, n: 1}\n\
         outputs: {csv: a.csv, parquet: b.parquet, step: named}\nvalidate: {step: named, rows: {min: 1}}\nsettings: {memory_budget: 512MiB, threads: 2}\n",
        &["--dry-run"],
        expect![[r#"
            exit 0
            out| pipeline p (p.yaml)
            out| 
            out| inputs
            out|   visits: csv visits.csv, N, 2 of 4 columns
            out|   people: csv people.csv, N, 3 of 3 columns
            out| 
            out| steps
            out|   counts: group_by of visits
            out|   named: join of counts, people
            out|   idle: limit of named (not run: no output or check needs it)
            out| 
            out| stage 1: counts -> checkpoint
            out|   Output: in order
            out|     Sort: by patient_id
            out|       Project: patient_id, len
            out|         Aggregate: count(*) by patient_id
            out|           Scan: csv visits.csv, 1 of 4 columns
            out|   about 4 rows; operators hold about N
            out| 
            out| stage 2: named -> b.parquet, a.csv
            out|   Output
            out|     Join: inner, patient_id = patient_id, build right
            out|       Scan: csv people.csv, 3 of 3 columns
            out|       Scan: the file of counts, 2 of 2 columns
            out|   about 4 rows; operators hold about N
            out|   one check
            out| 
            out| estimated peak memory N of N, estimated spill N
            out| nothing was run
        "#]],
    );
}

#[test]
fn values_of_the_command_line_are_put_over_those_of_the_file() {
    check_with(
        "inputs: {visits: nothing.csv}\ntransforms:\n  - {id: first, type: limit, n: 1}\noutputs: a.csv\n",
        &["--set", "inputs.visits=visits.csv", "--set", "transforms.first.n=2", "--set", "outputs={csv: b.csv}"],
        expect![[r#"
            exit 0
            out| wrote b.csv: 2 rows, N
            b.csv| patient_id,facility,timestamp,heart_rate
            b.csv| 1,UCSF,2024-01-02T03:04:05,70
            b.csv| 2,ZSFG,2024-01-31T23:59:59,80
        "#]],
    );
}

#[test]
fn after_kill_9_a_resumed_run_computes_only_what_is_missing() {
    let folder = staged_inputs(60_000);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    assert_eq!(computed(folder.path()), ["totals", "ranked", "sorted"]);
    let complete = outputs(folder.path());
    assert_eq!(complete.len(), 5, "three outputs, the manifest and the checksums");
    fs::remove_dir_all(folder.path().join("out")).unwrap();

    let mut child = brimful(folder.path()).args(["run", "p.yaml"]).stdout(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !is_finished(folder.path(), "ranked") {
        assert!(started.elapsed() < Duration::from_secs(60), "the second stage is never finished");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was killed in time");
    assert_eq!(outputs(folder.path()).len(), 0, "nothing is published before everything is there");

    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), ["sorted"]);
    assert!(outputs(folder.path()) == complete, "the outputs are those of a clean run");
    // Nothing is left to do.
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), [""; 0]);
    assert!(outputs(folder.path()) == complete);
}

#[test]
fn kills_at_any_moment_leave_whole_outputs_and_a_run_that_goes_on() {
    let folder = staged_inputs(10_000);
    let started = Instant::now();
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let whole_run = started.elapsed();
    let complete = outputs(folder.path());
    for kill in 0..6 {
        fs::remove_dir_all(folder.path().join("out")).unwrap();
        let mut child = brimful(folder.path()).args(["run", "p.yaml"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole_run.mul_f64((f64::from(kill) + 0.5) / 6.0));
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, bytes) in outputs(folder.path()) {
            assert!(complete[&name] == bytes, "kill {kill}: {name} is neither absent nor whole");
        }
        assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
        assert!(outputs(folder.path()) == complete, "kill {kill}: the outputs are not those of a clean run");
    }
}

#[test]
fn a_resumed_run_repeats_what_changed_inputs_concern() {
    let folder = staged_inputs(2_000);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let before = outputs(folder.path());
    // Other names concern one stage, another step another.
    fs::write(folder.path().join("names.csv"), "key,name\n0,zero\n").unwrap();
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), ["ranked"]);
    let after = outputs(folder.path());
    assert!(before["ranked.csv"] != after["ranked.csv"] && before["sorted.csv"] == after["sorted.csv"]);
    // A changed output is written again.
    fs::write(folder.path().join("out/sorted.csv"), "spoilt").unwrap();
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), ["sorted"]);
    assert!(outputs(folder.path()) == after);
    // Without --resume everything is computed.
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    assert_eq!(computed(folder.path()), ["totals", "ranked", "sorted"]);
}

#[test]
fn a_failed_run_changes_nothing() {
    let folder = staged_inputs(2_000);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let before = outputs(folder.path());
    fs::write(folder.path().join("names.csv"), "key,name\n0,zero\n").unwrap();
    let failed = run(folder.path(), &["p.yaml", "--set", "validate.rows.min=1000000"]);
    assert_eq!(failed.status.code(), Some(3), "{}", transcript(&failed));
    assert!(outputs(folder.path()) == before);
    // A disk that fails at some call.
    for call in [1, 2, 5, 9] {
        let mut command = brimful(folder.path());
        let done = command.args(["run", "p.yaml"]).env("BRIMFUL_TEST_DISK_FAULT", format!("{call}:nospace")).output();
        if !done.unwrap().status.success() {
            assert!(outputs(folder.path()) == before, "the disk failed at call {call}");
        }
    }
}

#[test]
fn checksums_and_manifest_are_those_of_the_outputs() {
    let folder = staged_inputs(500);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let checked =
        Command::new("sha256sum").args(["-c", "checksums.txt"]).current_dir(folder.path().join("out")).output();
    let checked = String::from_utf8(checked.unwrap().stdout).unwrap();
    assert_eq!(checked, "ranked.csv: OK\nsorted.parquet: OK\nsorted.csv: OK\n");
    let manifest = fs::read_to_string(folder.path().join("out/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["inputs"][0]["rows"], 500);
    assert_eq!(manifest["outputs"][1]["rows"], 500);
    assert_eq!(manifest["steps"][0]["id"], "totals");
    assert_eq!(manifest["checks"][0], "sorted: there are at least 1 rows");
    assert_eq!(manifest["settings"]["memory_budget_bytes"], 128 << 20);
    assert!(run(folder.path(), &["p.yaml", "--report", "report.html"]).status.success());
    let report = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains("p: totals -&gt; checkpoint"), "a section for each stage");
}

#[test]
fn long_chains_of_steps_are_planned() {
    let steps: String = (0..80)
        .map(|n| format!("  - {{type: with_columns, columns: {{patient_id: patient_id + 1, step_{n}: {n}}}}}\n"))
        .collect();
    let last = "  - {type: select, columns: [patient_id, step_79]}\n  - {type: limit, n: 1}\n";
    check(
        &format!("inputs: {{people: people.csv}}\ntransforms:\n{steps}{last}outputs: a.csv\n"),
        expect![[r#"
            exit 0
            out| wrote a.csv: 1 row, N
            a.csv| patient_id,step_79
            a.csv| 81,79
        "#]],
    );
}

#[test]
fn options_of_csv_are_keys_of_an_input() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("x.csv"), "made by hand\nzip;price\n01;1,5\n02;-\n").unwrap();
    let input =
        "{path: x.csv, delimiter: ;, skip_rows: 1, decimal_comma: yes, null_values: [\"-\"], schema: {zip: varchar}}";
    fs::write(folder.path().join("p.yaml"), format!("inputs: {{x: {input}}}\noutputs: a.csv\n")).unwrap();
    let done = run(folder.path(), &["p.yaml"]);
    assert!(done.status.success(), "{}", transcript(&done));
    assert_eq!(fs::read_to_string(folder.path().join("a.csv")).unwrap(), "zip,price\n01,1.5\n02,\n");
    let wrong = run(folder.path(), &["p.yaml", "--set", "inputs.x.encoding=latin-99"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", transcript(&wrong));
}

#[test]
fn a_resumed_run_sees_changes_of_files_that_read_csv_names() {
    let folder = inputs();
    let yaml = |option: &str| with_steps(&format!("{{sql: \"SELECT * FROM read_csv('people.csv', {option})\"}}"));
    assert!(run_text(folder.path(), &yaml("header = true"), &[]).status.success());
    fs::write(folder.path().join("people.csv"), "patient_id,name,zip\n7,Zo,1\n").unwrap();
    let resumed = |option: &str| {
        assert!(run_text(folder.path(), &yaml(option), &["--resume"]).status.success());
        fs::read_to_string(folder.path().join("a.csv")).unwrap()
    };
    assert_eq!(resumed("header = true"), "patient_id,name,zip\n7,Zo,1\n");
    assert_eq!(resumed("null_value = 'Zo'"), "patient_id,name,zip\n7,,1\n");
}

#[test]
fn files_that_steps_read_are_not_overwritten() {
    for from in ["'people.csv'", "read_csv('people.csv')", "'./people.csv'"] {
        let steps = with_steps(&format!("{{sql: \"SELECT * FROM {from}\"}}")).replace("a.csv", "people.csv");
        let said = refusal(&steps.replace("people: {path: people.csv, schema: {zip: varchar}}, ", ""));
        assert!(said.contains("people.csv is an input, too"), "{said}");
    }
}

#[test]
fn a_resumed_run_with_other_outputs_publishes_each_under_its_name() {
    let folder = inputs();
    let steps = "inputs: {visits: visits.csv, people: people.csv}\ntransforms:\n  \
                 - {id: one, type: sort, input: visits, by: [patient_id]}\n  - {id: two, type: sort, input: people, by: [name]}\n";
    let (one, two) = ("{path: out/one.csv, step: one}", "{path: out/two.csv, step: two}");
    let failed = format!("{steps}outputs: [{one}, {two}]\nvalidate: {{step: people, rows: {{min: 99}}}}\n");
    assert_eq!(run_text(folder.path(), &failed, &[]).status.code(), Some(3));
    let swapped = format!("{steps}outputs: [{two}, {one}]\n");
    assert!(run_text(folder.path(), &swapped, &["--resume"]).status.success());
    let start = |name: &str| fs::read_to_string(folder.path().join("out").join(name)).unwrap()[..15].to_string();
    assert_eq!((start("one.csv"), start("two.csv")), ("patient_id,faci".into(), "patient_id,name".into()));
}

#[test]
fn folders_of_outputs_are_no_columns() {
    let yaml = "inputs: {people: people.csv}\ntransforms:\n  - {id: all, type: sort, by: [name]}\n  \
                - {id: some, type: filter, condition: \"patient_id > 2\"}\n\
                outputs: [{path: out/run_date=2024-05-01/x.parquet, step: all}, {path: a.csv, step: some}]\n\
                validate: {step: all, rows: {min: 1}}\n";
    assert_eq!(written(yaml, "a.csv"), "patient_id,name,zip\n3,Cy,00501\n");
}

#[test]
fn a_declared_column_that_is_not_in_the_file_is_told() {
    let said = refusal("inputs: {people: {path: people.csv, schema: {zipp: varchar}}}\noutputs: a.csv\n");
    assert!(said.contains("zipp") && said.contains("did you mean \"zip\"?") && said.contains("p.yaml:1:"), "{said}");
}

#[test]
fn the_file_is_stronger_than_variables_and_weaker_than_flags() {
    let folder = inputs();
    let threads = |yaml: &str, args: &[&str]| {
        fs::write(folder.path().join("p.yaml"), format!("inputs: {{people: people.csv}}\noutputs: a.csv\n{yaml}"))
            .unwrap();
        let mut command = brimful(folder.path());
        let done = command.args(["run", "p.yaml"]).args(args).env("BRIMFUL_THREADS", "3").output().unwrap();
        assert!(done.status.success(), "{}", transcript(&done));
        let manifest = fs::read_to_string(folder.path().join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        manifest["settings"]["threads"].as_u64().unwrap()
    };
    assert_eq!(threads("settings: {threads: 2}", &[]), 2);
    assert_eq!(threads("settings: {threads: 2}", &["--threads", "1"]), 1);
    assert_eq!(threads("", &[]), 3);
}

#[test]
fn texts_are_compressed_as_their_names_say() {
    let folder = inputs();
    for outputs in ["{csv: a.csv.gz}", "a.csv.gz"] {
        let yaml = format!("inputs: {{people: people.csv}}\noutputs: {outputs}\n");
        let done = run_text(folder.path(), &yaml, &[]);
        assert!(done.status.success(), "{}", transcript(&done));
        assert_eq!(fs::read(folder.path().join("a.csv.gz")).unwrap()[..2], [0x1F, 0x8B]);
    }
}

#[test]
fn every_file_is_written_once() {
    let inputs = "inputs: {people: people.csv}\n";
    for outputs in [
        "outputs: {csv: out/a.csv, log: ./out/a.csv}",
        "outputs: {csv: out/a.csv, manifest: out/x/../a.csv}",
        "outputs: [a.csv, ./a.csv]",
        "outputs: {csv: out/a.csv}\nsettings: {on_bad_row: reject=./out/a.csv}",
    ] {
        let said = refusal(&format!("{inputs}{outputs}\n"));
        assert!(said.contains("is written twice"), "{outputs}: {said}");
    }
    // One folder by two names is one folder.
    assert_eq!(written(&format!("{inputs}outputs: [./out/a.csv, out/b.csv]\n"), "out/b.csv").len(), 54);
}

#[test]
fn the_rows_that_are_picked_do_not_depend_on_threads() {
    let join = "{id: j, type: join, left: visits, right: people, on: [patient_id]}";
    for pick in ["{type: limit, n: 2}", "{type: sample, n: 2}", "{type: sample, fraction: 0.5}"] {
        let manifest = written(&with_steps(&format!("{join}, {pick}")), "manifest.json");
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let sql = manifest["steps"][1]["sql"].as_str().unwrap().to_string();
        assert!(sql.contains("ORDER BY \"patient_id\", \"facility\", \"timestamp\", "), "{sql}");
    }
    // Rows whose order was asked for keep it.
    let sorted = "{id: s, sql: \"SELECT name FROM people ORDER BY name DESC\"}, {type: limit, n: 2}";
    assert_eq!(written(&with_steps(sorted), "a.csv"), "name\nCy\nBo\n");
}

#[test]
fn functions_of_nothing_are_those_of_frames() {
    let functions = "{column: heart_rate, function: n_unique, alias: u}, {column: heart_rate, function: sum, alias: s}, \
                     {column: heart_rate, function: count_distinct, alias: d}";
    let group =
        |input: &str| format!("{{type: group_by, input: {input}, keys: [facility], aggregations: [{functions}]}}");
    let csv = written(&with_steps(&group("visits")), "a.csv");
    assert_eq!(csv, "facility,u,s,d\nOTHER,1,60,1\nUCSF,2,160,2\nZSFG,3,145,2\n");
    let none = "{id: none, type: filter, input: visits, condition: heart_rate IS NULL}";
    let csv = written(&with_steps(&format!("{none}, {}", group("none"))), "a.csv");
    assert_eq!(csv, "facility,u,s,d\nZSFG,1,0,0\n");
}

#[test]
fn an_outer_join_of_unique_keys_multiplies_nothing() {
    let folder = inputs();
    fs::write(folder.path().join("others.csv"), "patient_id,x\n11,1\n12,2\n13,3\n").unwrap();
    let yaml = "inputs: {people: people.csv, others: others.csv}\ntransforms:\n  \
                - {type: join, left: people, right: others, on: [patient_id], how: full}\noutputs: a.csv\n";
    let done = run_text(folder.path(), yaml, &[]);
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "");
}

#[test]
fn a_column_is_named_once() {
    for step in [
        "{type: with_columns, input: people, columns: [{x: name}, {x: zip}]}",
        "{type: cast, input: people, columns: [{zip: int}, {zip: double}]}",
        "{type: rename, input: people, columns: [{zip: a}, {zip: b}]}",
        "{type: fill_null, input: people, columns: [zip, zip], value: \"0\"}",
    ] {
        let said = refusal(&with_steps(step));
        assert!(said.contains("twice") && said.contains("p.yaml:2:"), "{step}: {said}");
    }
}

#[test]
fn what_fills_nulls_fits_the_column() {
    for value in ["1.5", "\"0\"", "nan", "inf", "abc", "99999999999999999999"] {
        let said =
            refusal(&with_steps(&format!("{{type: fill_null, input: visits, columns: {{heart_rate: {value}}}}}")));
        assert!(said.contains("does not fit column \"heart_rate\"") && said.contains("p.yaml:2:"), "{value}: {said}");
    }
    let filled = |filler: &str| {
        let steps = "{type: filter, input: visits, condition: patient_id = 4}, {type: with_columns, columns: {f: \
                     \"CAST(heart_rate AS DOUBLE)\", t: \"CAST(heart_rate AS VARCHAR)\", d: \"CAST(NULL AS DATE)\"}}, \
                     {type: select, columns: [heart_rate, f, t, d]}";
        let csv = written(&with_steps(&format!("{steps}, {{type: fill_null, {filler}}}")), "a.csv");
        csv.lines().nth(1).unwrap_or(&csv).to_string()
    };
    assert_eq!(filled("value: 1.5"), ",1.5,,");
    assert_eq!(filled("value: 7"), "7,7.0,,");
    assert_eq!(filled("value: \"0\""), ",,0,");
    assert_eq!(filled("value: nan"), ",NaN,,");
    assert_eq!(filled("columns: {heart_rate: -3, t: 4, d: 2024-01-02}"), "-3,,4,2024-01-02");
}

#[test]
fn inputs_that_change_meanwhile_fail_the_run() {
    let folder = staged_inputs(60_000);
    let child = brimful(folder.path()).args(["run", "p.yaml"]).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !is_finished(folder.path(), "totals") {
        assert!(started.elapsed() < Duration::from_secs(60), "the first stage is never finished");
        std::thread::sleep(Duration::from_millis(1));
    }
    fs::write(folder.path().join("names.csv"), "key,name\n0,zero\n").unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(3), "{}", transcript(&done));
    assert!(transcript(&done).contains("names.csv changed"), "{}", transcript(&done));
    assert_eq!(outputs(folder.path()).len(), 0);
}

#[test]
fn two_pipelines_in_one_folder_describe_themselves_apart() {
    let folder = inputs();
    fs::write(folder.path().join("q.yaml"), "inputs: {v: visits.csv}\noutputs: out/q.csv\n").unwrap();
    assert!(run_text(folder.path(), "inputs: {p: people.csv}\noutputs: out/p.csv\n", &[]).status.success());
    let first = outputs(folder.path());
    assert!(run(folder.path(), &["q.yaml"]).status.success());
    assert!(run(folder.path(), &["q.yaml"]).status.success());
    let found = outputs(folder.path());
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["checksums.txt", "manifest.json", "p.csv", "q.checksums.txt", "q.csv", "q.manifest.json"]);
    assert!(found["checksums.txt"] == first["checksums.txt"]);
}

#[test]
fn a_link_stays_a_link() {
    let folder = inputs();
    fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real/new.csv", folder.path().join("a.csv")).unwrap();
    for _ in 0..2 {
        let done = run_text(folder.path(), "inputs: {people: people.csv}\noutputs: a.csv\n", &[]);
        assert!(done.status.success(), "{}", transcript(&done));
        assert!(folder.path().join("a.csv").is_symlink());
        assert_eq!(fs::read_to_string(folder.path().join("real/new.csv")).unwrap().len(), 54);
    }
}
