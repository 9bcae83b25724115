//! What steps of every type give.

use expect_test::expect;

use crate::running::*;

#[test]
fn columns_are_chosen_made_and_renamed() {
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
}

#[test]
fn tables_are_joined() {
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
}

#[test]
fn rows_are_grouped_sorted_and_united() {
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
}

#[test]
fn rows_look_at_their_neighbours() {
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
}

#[test]
fn rows_are_filled_dropped_and_picked() {
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
