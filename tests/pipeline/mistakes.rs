//! What a mistake in an otherwise right pipeline is told with: a place and a way out.

use expect_test::{Expect, expect};

use crate::running::*;

/// A run of a file that goes on like this behind its inputs.
fn message(yaml: &str, args: &[&str], expected: Expect) {
    check_with(&format!("inputs: {{visits: visits.csv, people: people.csv}}\n{yaml}"), args, expected);
}

/// A run with these steps.
fn steps(steps: &str, expected: Expect) {
    message(&format!("transforms:\n{steps}\noutputs: a.csv\n"), &[], expected);
}

/// A run with these filters.
fn filter(filters: &str, expected: Expect) {
    message(&format!("filters: {filters}\noutputs: {{csv: a.csv, step: visits}}\n"), &[], expected);
}

/// A run with this on the command line.
fn set(set: &str, expected: Expect) {
    message("outputs: {csv: a.csv, step: visits}\n", &["--set", set], expected);
}

#[test]
fn the_file_as_a_whole() {
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
}

#[test]
fn outputs_and_settings() {
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
}

#[test]
fn steps_and_their_keys() {
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
}

#[test]
fn joins_and_groups() {
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
}

#[test]
fn sql_unions_and_names_with_capitals() {
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
}

#[test]
fn joins_by_order() {
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
}

#[test]
fn keys_of_joins_by_order() {
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
}

#[test]
fn filters() {
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
}

#[test]
fn values_from_the_command_line() {
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
