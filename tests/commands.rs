//! What each command prints, how it ends, and that the examples of its help work.

mod shell;

use std::fs;
use std::io::Write;

use expect_test::{Expect, expect};
use flate2::Compression;
use flate2::write::GzEncoder;
use shell::{brimful, shell, transcript};
use tempfile::TempDir;

const TRIPS: &str = "\
id,city,fare,tip,distance,day,start_time
1,Oslo,10.5,1,2.5,2024-01-01,2024-01-01T10:00:00
2,Quito,20,,3.5,2024-01-02,2024-01-01T11:00:00
3,Oslo,7.25,2,1,2024-01-03,2024-01-02T10:00:00
";

/// The pipeline in the help of `run`.
const TOTALS: &str = "\
inputs: {sales: {path: \"sales/*.csv\"}}
transforms:
  - {id: paid, type: filter, input: sales, condition: \"amount > 0\"}
  - {id: totals, type: group_by, keys: [city], aggregations: [{column: amount, function: sum, alias: total}]}
outputs: {parquet: out/totals.parquet, csv: out/totals.csv, log: out/totals.log}
validate: {rows: {min: 1}, not_null: [city]}
settings: {memory_budget: 512MiB}
";

/// A folder with what the examples of the help read.
fn inputs() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("trips.csv", TRIPS);
    write("sales.csv", "zip,price,city\n01234,3.5,Oslo\n12345,10.25,Quito\n");
    write("data.csv", "city,price\nOslo,1\nQuito,2\n");
    write("dirty.csv", "a,b\n1,2\n3\n5,6\n7,8,9\n");
    write("report.sql", "SELECT city, sum(price) AS total FROM 'sales.csv' GROUP BY city");
    write("totals.yaml", TOTALS);
    write("report.yaml", TOTALS);
    fs::create_dir(folder.path().join("sales")).unwrap();
    write("sales/2024-01.csv", "city,amount\nOslo,3\nQuito,5\nOslo,-1\n");
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::create_dir(folder.path().join("trips")).unwrap();
    let packed = fs::File::create(folder.path().join("data/trips.csv.gz")).unwrap();
    let mut packed = GzEncoder::new(packed, Compression::default());
    packed.write_all(TRIPS.as_bytes()).unwrap();
    packed.finish().unwrap();
    for target in ["data/trips.parquet", "trips/a.parquet"] {
        let output = brimful(folder.path()).args(["convert", "trips.csv", target]).output().unwrap();
        assert!(output.status.success(), "{}", transcript(&output));
    }
    folder
}

fn check(args: &[&str], expected: Expect) {
    let folder = inputs();
    let output = brimful(folder.path()).args(args).output().unwrap();
    expected.assert_eq(&transcript(&output));
}

/// Runs several commands in one folder.
fn check_all(lines: &[&str], expected: Expect) {
    let folder = inputs();
    let texts = lines.iter().map(|line| {
        let output = shell(folder.path(), line).output().unwrap();
        format!("$ {line}\n{}", without_times(&transcript(&output)))
    });
    expected.assert_eq(&texts.collect::<String>());
}

/// Times and the size of the machine differ from run to run.
fn without_times(text: &str) -> String {
    let line = |line: &str| match (line.find(" rows in "), line.find("fits in RAM")) {
        (Some(at), _) => format!("{} rows in _\n", &line[..at]),
        (_, Some(_)) => "out|   fits in RAM   _\n".to_string(),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The lines of a help text that are examples.
fn examples(help: &str) -> Vec<String> {
    let after = help.split_once("Examples:").map_or("", |(_, after)| after);
    let is_command = |line: &&str| ["brimful ", "cat ", "echo "].iter().any(|start| line.starts_with(start));
    after.lines().map(str::trim).filter(is_command).map(str::to_string).collect()
}

#[test]
fn the_examples_of_every_help_work() {
    let folder = inputs();
    let help = |args: &[&str]| {
        let output = brimful(folder.path()).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", transcript(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = help(&["--help"]);
    let listed = whole.split_once("Commands:").unwrap().1.split("\n\n").next().unwrap().to_string();
    let commands: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() >= 10, "{commands:?}");
    let mut lines = examples(&whole);
    for command in commands.into_iter().filter(|command| *command != "help") {
        let of_command = examples(&help(&[command, "--help"]));
        assert!(!of_command.is_empty(), "the help of {command} has no examples");
        assert!(of_command.iter().all(|line| line.contains(&format!("brimful {command}"))), "{of_command:?}");
        lines.extend(of_command);
    }
    for line in lines {
        let output = shell(folder.path(), &line).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}\n{}", transcript(&output));
    }
}

#[test]
fn head_shows_the_first_rows() {
    check(
        &["head", "-n", "1", "trips.csv"],
        expect![[r#"
        exit 0
        out| id,city,fare,tip,distance,day,start_time
        out| 1,Oslo,10.5,1,2.5,2024-01-01,2024-01-01T10:00:00
    "#]],
    );
    check(
        &["head", "--columns", "fare,city", "--format", "json", "data/trips.csv.gz", "trips.csv"],
        expect![[r#"
        exit 0
        out| {"fare":10.5,"city":"Oslo"}
        out| {"fare":20.0,"city":"Quito"}
        out| {"fare":7.25,"city":"Oslo"}
        out| {"fare":10.5,"city":"Oslo"}
        out| {"fare":20.0,"city":"Quito"}
        out| {"fare":7.25,"city":"Oslo"}
    "#]],
    );
}

#[test]
fn describe_has_a_row_for_every_column() {
    check(
        &["describe", "trips.csv"],
        expect![[r#"
        exit 0
        out| column,type,count,nulls,approx_distinct,mean,std,min,approx_q25,approx_median,approx_q75,max
        out| id,bigint,3,0,3,2.0,1.0,1,1.25,2.0,2.75,3
        out| city,varchar,3,0,2,,,Oslo,,,,Quito
        out| fare,double,3,0,3,12.583333333333334,6.625393070100319,7.25,8.0625,10.5,17.625,20.0
        out| tip,bigint,2,1,2,1.5,0.7071067811865476,1,1.0,1.5,2.0,2
        out| distance,double,3,0,3,2.3333333333333335,1.2583057392117918,1.0,1.375,2.5,3.25,3.5
        out| day,date,3,0,3,,,2024-01-01,2024-01-01,2024-01-02,2024-01-03,2024-01-03
        out| start_time,timestamp,3,0,3,,,2024-01-01T10:00:00,2024-01-01T10:15:00,2024-01-01T11:00:00,2024-01-02T04:15:00,2024-01-02T10:00:00
    "#]],
    );
    check(
        &["describe", "--exact", "--columns", "fare,city", "trips.csv", "--format", "json"],
        expect![[r#"
        exit 0
        out| {"column":"fare","type":"double","count":3,"nulls":0,"distinct":3,"mean":12.583333333333334,"std":6.625393070100319,"min":"7.25","q25":8.875,"median":10.5,"q75":15.25,"max":"20.0"}
        out| {"column":"city","type":"varchar","count":3,"nulls":0,"distinct":2,"mean":null,"std":null,"min":"Oslo","q25":null,"median":null,"q75":null,"max":"Quito"}
    "#]],
    );
}

#[test]
fn schemas_are_shown_in_every_spelling() {
    check_all(
        &[
            "brimful schema trips.csv",
            "brimful schema sales.csv --format sql",
            "brimful schema sales.csv --format json",
            "brimful schema sales.csv --format flag",
            "brimful sql --schema $(brimful schema sales.csv --format flag | tr -d \"'\") \"SELECT zip FROM 'sales.csv'\"",
        ],
        expect![[r#"
            $ brimful schema trips.csv
            exit 0
            out| id          bigint
            out| city        varchar
            out| fare        double
            out| tip         bigint
            out| distance    double
            out| day         date
            out| start_time  timestamp
            $ brimful schema sales.csv --format sql
            exit 0
            out| CREATE TABLE data (
            out|     "zip" VARCHAR,
            out|     "price" DOUBLE,
            out|     "city" VARCHAR
            out| );
            $ brimful schema sales.csv --format json
            exit 0
            out| [
            out|   {
            out|     "name": "zip",
            out|     "nullable": true,
            out|     "type": "varchar"
            out|   },
            out|   {
            out|     "name": "price",
            out|     "nullable": true,
            out|     "type": "double"
            out|   },
            out|   {
            out|     "name": "city",
            out|     "nullable": true,
            out|     "type": "varchar"
            out|   }
            out| ]
            $ brimful schema sales.csv --format flag
            exit 0
            out| 'zip=varchar,price=double,city=varchar'
            $ brimful sql --schema $(brimful schema sales.csv --format flag | tr -d "'") "SELECT zip FROM 'sales.csv'"
            exit 0
            out| zip
            out| 01234
            out| 12345
        "#]],
    );
}

#[test]
fn convert_tells_both_sizes() {
    check_all(
        &[
            "brimful convert trips.csv sorted.csv --sort city,'fare desc' --columns city,fare && cat sorted.csv",
            "brimful convert 'data/*.parquet' trips/a.parquet all.json && wc -l < all.json",
            "brimful convert 'data/*.parquet' trips.csv all.json",
            "brimful convert trips.csv a.parquet --compression zstd:9 && brimful inspect a.parquet | grep compression",
            "brimful convert trips.csv b.csv --compression zstd",
            "brimful convert trips.csv parts --partition-by city 2> /dev/null && brimful sql \"SELECT city, count(*) AS n FROM 'parts' GROUP BY city ORDER BY city\"",
            "brimful convert trips.csv trips",
            "brimful convert trips.csv x.csv --sort citty",
            "brimful convert trips.csv",
        ],
        expect![[r#"
            $ brimful convert trips.csv sorted.csv --sort city,'fare desc' --columns city,fare && cat sorted.csv
            exit 0
            out| city,fare
            out| Oslo,10.5
            out| Oslo,7.25
            out| Quito,20.0
            err| trips.csv 184 B -> sorted.csv 41 B (4.5 times smaller), 3 rows in _
            $ brimful convert 'data/*.parquet' trips/a.parquet all.json && wc -l < all.json
            exit 0
            out| 6
            err| data/*.parquet and 1 more 4.76 KiB -> all.json 680 B (7.2 times smaller), 6 rows in _
            $ brimful convert 'data/*.parquet' trips.csv all.json
            exit 3
            err| error: data/trips.parquet and trips.csv are in different formats
            err|   hint: name the files of one format with a glob, for example 'data/*.parquet'
            $ brimful convert trips.csv a.parquet --compression zstd:9 && brimful inspect a.parquet | grep compression
            exit 0
            out|   compression   zstd, 426 B take 535 B (126 %)
            err| trips.csv 184 B -> a.parquet 2.37 KiB (13.2 times larger), 3 rows in _
            $ brimful convert trips.csv b.csv --compression zstd
            exit 2
            err| error: --compression is for Parquet
            err|   hint: b.csv is not: name the output .parquet
            $ brimful convert trips.csv parts --partition-by city 2> /dev/null && brimful sql "SELECT city, count(*) AS n FROM 'parts' GROUP BY city ORDER BY city"
            exit 0
            out| city,n
            out| Oslo,2
            out| Quito,1
            $ brimful convert trips.csv trips
            exit 2
            err| error: the name trips does not tell a format
            err|   hint: end it in .csv, .ndjson, .parquet or .arrow, or add --format
            $ brimful convert trips.csv x.csv --sort citty
            exit 2
            err| error: column "citty" not found in trips.csv
            err|   hint: did you mean "city"?
            $ brimful convert trips.csv
            exit 2
            err| error: 2 values required by '<PATH> <PATH>...'; only 1 was provided
            err| 
            err| Usage: brimful convert [OPTIONS] <IN>... <OUT>
            err| 
            err| For more information, try '--help'.
        "#]],
    );
}

#[test]
fn inspect_sizes_files_up() {
    check_all(
        &["brimful inspect trips.csv data/trips.parquet", "brimful inspect dirty.csv data/trips.csv.gz"],
        expect![[r#"
            $ brimful inspect trips.csv data/trips.parquet
            exit 0
            out| trips.csv
            out|   format        csv
            out|   on disk       184 B in 1 file
            out|   rows          3
            out|   in memory     158 B
            out|   fits in RAM   _
            out|   budget        128 MiB is plenty
            out|   dialect       comma, quote ", header, lines end in LF
            out|   encoding      UTF-8
            out|   columns       7
            out|     id          bigint
            out|     city        varchar
            out|     fare        double
            out|     tip         bigint
            out|     distance    double
            out|     day         date
            out|     start_time  timestamp
            out| 
            out| data/trips.parquet
            out|   format        parquet
            out|   on disk       2.38 KiB in 1 file
            out|   rows          3
            out|   in memory     158 B
            out|   fits in RAM   _
            out|   budget        128 MiB is plenty
            out|   row groups    1, 3 rows each, the largest 548 B
            out|   compression   zstd, 426 B take 548 B (129 %)
            out|   statistics    all columns
            out|   page index    all columns
            out|   bloom filter  none
            out|   written by    brimful version 0.1.0
            out|   columns       7
            out|     id          bigint         79 B  1 to 3
            out|     city        varchar        75 B  Oslo to Quito
            out|     fare        double         83 B  7.25 to 20.0
            out|     tip         bigint         74 B  1 to 2  1 null
            out|     distance    double         83 B  1.0 to 3.5
            out|     day         date           71 B  2024-01-01 to 2024-01-03
            out|     start_time  timestamp      83 B  2024-01-01T10:00:00 to 2024-01-02T10:00:00
            $ brimful inspect dirty.csv data/trips.csv.gz
            exit 0
            out| dirty.csv
            out|   format        csv
            out|   on disk       20 B in 1 file
            out|   rows          2
            out|   in memory     32 B
            out|   fits in RAM   _
            out|   budget        128 MiB is plenty
            out|   dialect       comma, quote ", header, lines end in LF
            out|   encoding      UTF-8
            out|   oddity        2 rows with another number of fields than the first
            out|   malformed     2 of 4 rows looked at: see --on-bad-row
            out|   columns       2
            out|     a  bigint
            out|     b  bigint
            out| 
            out| data/trips.csv.gz
            out|   format        csv
            out|   on disk       131 B in 1 file
            out|   rows          3
            out|   in memory     158 B
            out|   fits in RAM   _
            out|   budget        128 MiB is plenty
            out|   dialect       comma, quote ", header, lines end in LF
            out|   encoding      UTF-8, compressed or translated
            out|   text          about 184 B
            out|   columns       7
            out|     id          bigint
            out|     city        varchar
            out|     fare        double
            out|     tip         bigint
            out|     distance    double
            out|     day         date
            out|     start_time  timestamp
        "#]],
    );
}

#[test]
fn validate_lists_what_does_not_hold() {
    check_all(
        &[
            "brimful validate trips.csv --not-null id,city --unique id --range fare=0..100 --finite fare --rows 3",
            "brimful validate trips.csv --not-null tip --unique city --range day=2024-01-02.. --range fare=8..15 --min-rows 9",
            "brimful validate trips.csv --not-null tip --format json",
            "brimful validate trips.csv",
            "brimful validate trips.csv --finite city",
            "brimful validate trips.csv --range fare=a..b",
        ],
        expect![[r#"
            $ brimful validate trips.csv --not-null id,city --unique id --range fare=0..100 --finite fare --rows 3
            exit 0
            out| ok    exactly 3 rows
            out| ok    not-null id
            out| ok    not-null city
            out| ok    range fare = 0..100
            out| ok    finite fare
            out| ok    unique id
            $ brimful validate trips.csv --not-null tip --unique city --range day=2024-01-02.. --range fare=8..15 --min-rows 9
            exit 3
            out| FAIL  at least 9 rows: there are 3
            out| FAIL  not-null tip: 1 of 3 rows
            out|       for example {"id":2,"city":"Quito","fare":20.0,"tip":null,"distance":3.5,"day":"2024-01-02","start_time":"2024-01-01T11:00:00"}
            out| FAIL  range day = 2024-01-02..: 1 of 3 rows
            out|       for example {"id":1,"city":"Oslo","fare":10.5,"tip":1,"distance":2.5,"day":"2024-01-01","start_time":"2024-01-01T10:00:00"}
            out| FAIL  range fare = 8..15: 2 of 3 rows
            out|       for example {"id":2,"city":"Quito","fare":20.0,"tip":null,"distance":3.5,"day":"2024-01-02","start_time":"2024-01-01T11:00:00"}
            out| FAIL  unique city: 2 of 3 rows
            out|       for example {"city":"Oslo","n_rows":2}
            err| error: 5 of 5 checks failed for trips.csv
            $ brimful validate trips.csv --not-null tip --format json
            exit 3
            out| {
            out|   "checks": [
            out|     {
            out|       "check": "not-null tip",
            out|       "example": {
            out|         "city": "Quito",
            out|         "day": "2024-01-02",
            out|         "distance": 3.5,
            out|         "fare": 20.0,
            out|         "id": 2,
            out|         "start_time": "2024-01-01T11:00:00",
            out|         "tip": null
            out|       },
            out|       "passed": false,
            out|       "rows": 1
            out|     }
            out|   ],
            out|   "passed": false,
            out|   "rows": 3
            out| }
            err| error: 1 of 1 checks failed for trips.csv
            $ brimful validate trips.csv
            exit 2
            err| error: there is nothing to check
            err|   hint: for example: --not-null id --unique id
            $ brimful validate trips.csv --finite city
            exit 2
            err| error: column "city" holds no numbers: its type is varchar
            err|   hint: say which type it should have: --schema city=double
            $ brimful validate trips.csv --range fare=a..b
            exit 2
            err| error: "a" is not a number, and column "fare" holds numbers
            err|   hint: for example: --range fare=0..100
        "#]],
    );
}

#[test]
fn samples_are_the_same_for_a_seed() {
    let folder = TempDir::new().unwrap();
    let rows: String = (0..50_000).map(|n| format!("{n},text{n}\n")).collect();
    fs::write(folder.path().join("a.csv"), format!("n,t\n{rows}")).unwrap();
    let sample = |args: &str| {
        let output = shell(folder.path(), &format!("brimful sample a.csv {args}")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for choice in ["-n 100", "--fraction 0.02"] {
        let expected = sample(&format!("{choice} --seed 5"));
        assert_eq!(sample(&format!("{choice} --seed 5 --threads 1")), expected);
        assert_eq!(sample(&format!("{choice} --seed 5 --threads 8 --memory-budget 192MiB")), expected);
        assert_ne!(sample(&format!("{choice} --seed 6")), expected);
    }
    assert_eq!(sample("-n 100").lines().count(), 101);
}

#[test]
fn mistakes_say_what_to_do() {
    check_all(
        &[
            "brimful head nothing.csv",
            "brimful head trip.csv",
            "brimful head trips.csv --columns fair",
            "brimful describe trips.csv --columns q",
            "brimful head /proc/self/mem",
            "brimful inspect 'nothing/*.csv'",
            "brimful sample trips.csv --fraction 2",
            "brimful heat trips.csv",
            "brimful head --colums city trips.csv",
            "brimful completions tcsh",
        ],
        expect![[r#"
            $ brimful head nothing.csv
            exit 3
            err| error: nothing.csv does not exist
            $ brimful head trip.csv
            exit 3
            err| error: trip.csv does not exist
            err|   hint: did you mean trips.csv?
            $ brimful head trips.csv --columns fair
            exit 2
            err| error: column "fair" not found in trips.csv
            err|   hint: its columns are id, city, fare, tip, distance, day, start_time
            $ brimful describe trips.csv --columns q
            exit 2
            err| error: column "q" not found in trips.csv
            err|   hint: its columns are id, city, fare, tip, distance, day, start_time
            $ brimful head /proc/self/mem
            exit 5
            err| error: cannot read /proc/self/mem: Input/output error (os error 5)
            $ brimful inspect 'nothing/*.csv'
            exit 3
            err| error: no files match nothing/*.csv
            err|   hint: data files end in .csv, .tsv, .parquet, .ndjson or .arrow, the texts also in .gz or .zst
            $ brimful sample trips.csv --fraction 2
            exit 2
            err| error: invalid value '2' for '--fraction <PART>': give a number from 0 to 1
            err| 
            err| For more information, try '--help'.
            $ brimful heat trips.csv
            exit 2
            err| error: unrecognized subcommand 'heat'
            err| 
            err|   tip: a similar subcommand exists: 'head'
            err| 
            err| Usage: brimful [OPTIONS] <COMMAND>
            err| 
            err| For more information, try '--help'.
            $ brimful head --colums city trips.csv
            exit 2
            err| error: unexpected argument '--colums' found
            err| 
            err|   tip: a similar argument exists: '--columns'
            err| 
            err| Usage: brimful head --columns <COL,...> <FILE>...
            err| 
            err| For more information, try '--help'.
            $ brimful completions tcsh
            exit 2
            err| error: invalid value 'tcsh' for '<SHELL>'
            err|   [possible values: bash, elvish, fish, powershell, zsh]
            err| 
            err|   tip: a similar value exists: 'zsh'
            err| 
            err| For more information, try '--help'.
        "#]],
    );
}

#[test]
fn a_dash_is_standard_output_and_streams_are_not_talked_about() {
    check_all(
        &[
            "brimful sql 'SELECT 1 AS one' -o -",
            "brimful convert trips.csv - --columns id --format json | head -n 1",
            "brimful convert trips.csv /dev/stdout --columns id --format csv | head -n 2",
            "brimful convert - b.csv --columns id < trips.csv 2>&1 | cut -d, -f1 | cut -c1-24; ls -- -",
            "cat trips.csv | brimful convert - b.csv --columns id 2>&1 | cut -c1-24",
            "cat trips.csv | brimful inspect - | head -n 4",
            "brimful sql 'SELECT 1' --log-format json --foo 2>&1 | sed 's/\"time\":\"[^\"]*\"/_/'",
            "brimful sql 'SELECT 1' --threads x",
            "brimful sql 'SELECT a FROM dirty'",
        ],
        expect![[r#"
            $ brimful sql 'SELECT 1 AS one' -o -
            exit 0
            out| one
            out| 1
            $ brimful convert trips.csv - --columns id --format json | head -n 1
            exit 0
            out| {"id":1}
            $ brimful convert trips.csv /dev/stdout --columns id --format csv | head -n 2
            exit 0
            out| id
            out| 1
            $ brimful convert - b.csv --columns id < trips.csv 2>&1 | cut -d, -f1 | cut -c1-24; ls -- -
            exit 2
            out| standard input 184 B -> 
            err| ls: cannot access '-': No such file or directory
            $ cat trips.csv | brimful convert - b.csv --columns id 2>&1 | cut -c1-24
            exit 0
            out| standard input -> b.csv 
            $ cat trips.csv | brimful inspect - | head -n 4
            exit 0
            out| -
            out|   format        csv
            out|   on disk       nothing: standard input, read once
            out|   rows          3
            $ brimful sql 'SELECT 1' --log-format json --foo 2>&1 | sed 's/"time":"[^"]*"/_/'
            exit 0
            out| {"exit_code":2,"hint":"to pass '--foo' as a value, use '-- --foo'","level":"error","message":"unexpected argument '--foo' found",_}
            $ brimful sql 'SELECT 1' --threads x
            exit 2
            err| error: invalid value 'x' for '--threads <N>': a number of threads is from 1 to 1024
            err| 
            err| For more information, try '--help'.
            $ brimful sql 'SELECT a FROM dirty'
            exit 3
            err| error: dirty does not exist
            err|   hint: a file is named with its extension, in quotes: FROM 'dirty.csv'
        "#]],
    );
}

#[test]
fn values_and_types_that_do_not_fit_are_told_in_words_of_sql() {
    check_all(
        &[
            "brimful sql \"SELECT id + 'x' FROM 'trips.csv'\"",
            "brimful sql \"SELECT city - id FROM 'trips.csv'\"",
            "brimful sql \"SELECT CAST(city AS INT) FROM 'trips.csv'\"",
            "brimful sql \"SELECT CAST(city AS DATE) FROM 'trips.csv'\"",
            "brimful sql \"SELECT CAST(city AS TIMESTAMP) FROM 'trips.csv'\"",
            "brimful sql \"SELECT CAST(id * 1000 AS TINYINT) FROM 'trips.csv'\"",
            "brimful sql \"SELECT id / (id - id) FROM 'trips.csv'\"",
            "brimful sql 'SELECT 1 / 0'",
            "brimful sql \"SELECT INTERVAL '1 second' * 3 AS a, 0.5 * INTERVAL '1 month' AS b, INTERVAL '1 day' / 4 AS c\"",
            "brimful sql \"SELECT INTERVAL '1 second' / (id - 1) FROM 'trips.csv'\"",
            "brimful sql \"SELECT city, INTERVAL '1 second' * id AS i FROM 'trips.csv'\" -o i.parquet",
            "brimful sql \"SELECT CAST('2024-01-01 10:00:00+02' AS TIMESTAMPTZ) AS t\"",
            "brimful sql \"SELECT CAST('2024-01-01' AS TIMESTAMP) AS t\" -o m1.parquet; brimful sql \"SELECT CAST('2024-01-01' AS TIMESTAMPTZ) AS t\" -o m2.parquet; brimful sql \"SELECT * FROM 'm*.parquet'\"",
        ],
        expect![[r#"
            $ brimful sql "SELECT id + 'x' FROM 'trips.csv'"
            exit 2
            err| error: bigint + varchar cannot be computed
            err|   --> sql:1:8   hint: texts are joined with ||; a text that is a number is CAST(x AS DOUBLE)
            $ brimful sql "SELECT city - id FROM 'trips.csv'"
            exit 2
            err| error: varchar - bigint cannot be computed
            err|   --> sql:1:8   hint: a text that is a number is CAST(x AS DOUBLE), or TRY_CAST where not every one is
            $ brimful sql "SELECT CAST(city AS INT) FROM 'trips.csv'"
            exit 1
            err| error: the text 'Oslo' is no int
            err|   hint: try_cast (in a frame cast_or_null) gives NULL for what does not fit
            $ brimful sql "SELECT CAST(city AS DATE) FROM 'trips.csv'"
            exit 1
            err| error: the text 'Oslo' is no date
            err|   hint: try_cast (in a frame cast_or_null) gives NULL for what does not fit
            $ brimful sql "SELECT CAST(city AS TIMESTAMP) FROM 'trips.csv'"
            exit 1
            err| error: the text 'Oslo' is no timestamp: timestamp must contain at least 10 characters
            err|   hint: try_cast (in a frame cast_or_null) gives NULL for what does not fit
            $ brimful sql "SELECT CAST(id * 1000 AS TINYINT) FROM 'trips.csv'"
            exit 1
            err| error: 1000 does not fit into tinyint
            err|   hint: try_cast (in a frame cast_or_null) gives NULL for what does not fit
            $ brimful sql "SELECT id / (id - id) FROM 'trips.csv'"
            exit 1
            err| error: division of a whole number or decimal by zero
            err|   hint: x / nullif(y, 0) is NULL where y is 0
            $ brimful sql 'SELECT 1 / 0'
            exit 1
            err| error: division of a whole number or decimal by zero
            err|   hint: x / nullif(y, 0) is NULL where y is 0
            $ brimful sql "SELECT INTERVAL '1 second' * 3 AS a, 0.5 * INTERVAL '1 month' AS b, INTERVAL '1 day' / 4 AS c"
            exit 0
            out| a,b,c
            out| 3.000000000 secs,15 days,6 hours
            $ brimful sql "SELECT INTERVAL '1 second' / (id - 1) FROM 'trips.csv'"
            exit 1
            err| error: division of an interval by zero
            err|   hint: nullif(x, 0) makes the result NULL
            $ brimful sql "SELECT city, INTERVAL '1 second' * id AS i FROM 'trips.csv'" -o i.parquet
            exit 2
            err| error: column "i" is an interval, which Parquet files do not hold
            err|   hint: write its seconds, extract(epoch FROM x), or its text, CAST(x AS VARCHAR)
            $ brimful sql "SELECT CAST('2024-01-01 10:00:00+02' AS TIMESTAMPTZ) AS t"
            exit 0
            out| t
            out| 2024-01-01T08:00:00Z
            $ brimful sql "SELECT CAST('2024-01-01' AS TIMESTAMP) AS t" -o m1.parquet; brimful sql "SELECT CAST('2024-01-01' AS TIMESTAMPTZ) AS t" -o m2.parquet; brimful sql "SELECT * FROM 'm*.parquet'"
            exit 3
            err| error: column t is Timestamp(µs) in m1.parquet but Timestamp(µs, "UTC") in m2.parquet, and no type holds both
            err|   hint: read the files separately and cast the column
        "#]],
    );
}

#[test]
fn completions_know_every_command() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = brimful(folder.path()).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("memory-budget") && script.contains("describe"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_every_command_quietly() {
    let folder = inputs();
    for line in ["describe trips.csv", "schema trips.csv", "inspect trips.csv", "completions zsh", "head trips.csv"] {
        let output =
            shell(folder.path(), &format!("brimful {line} | true; brimful {line} | head -n 1")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
    }
}
