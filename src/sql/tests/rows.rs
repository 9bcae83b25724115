//! Which rows a query gives.

use expect_test::expect;

use super::{check, check_sorted, rows_of};

#[test]
fn rows_come_in_file_order() {
    check(
        "SELECT x + 1 AS y FROM 'many.csv' WHERE x % 10 < 2 LIMIT 5 OFFSET 1",
        expect![[r#"
        y
        2
        11
        12
        21
        22"#]],
    );
    check(
        "SELECT * FROM 'sales.csv' WHERE id = 'b'",
        expect![[r#"
        id, Price, qty, day, note
        b, 2.0, 1, 1970-01-02, note b
        b, 8.0, 2, 1970-01-05, note b"#]],
    );
    check(
        "SELECT x FROM 'one.csv' UNION ALL SELECT x FROM 'many.csv' WHERE x > 20 LIMIT 3",
        expect![[r#"
        x
        1
        21
        22"#]],
    );
}

#[test]
fn aggregates_of_every_kind() {
    check_sorted(
        "SELECT id, count(*), count(qty), sum(qty), avg(\"Price\"), min(day), max(note), \
         sum(qty) FILTER (WHERE \"Price\" > 1) AS f FROM 'sales.csv' GROUP BY id",
        expect![[r#"
            id, count(*), count(qty), sum(qty), avg(Price), min(day), max(note), f
            _, 1, 1, 2, 4.0, 1970-01-04, note -, 2
            a, 2, 1, 3, 1.0, 1970-01-01, note a, 3
            b, 2, 2, 3, 5.0, 1970-01-02, note b, 3
            c, 1, 1, 7, 1.0, 1970-01-06, note c, _"#]],
    );
    check(
        "SELECT count(*), sum(x), min(x), max(x), avg(x), stddev(x), median(x) FROM 'many.csv'",
        expect![[r#"
        count(*), sum(x), min(x), max(x), avg(x), stddev(x), median(x)
        12, 192, 0, 32, 16.0, 11.708582710597772, 16.0"#]],
    );
    check(
        "SELECT count(*), sum(x), max(x) FROM 'empty.csv'",
        expect![[r#"
        count(*), sum(x), max(x)
        0, _, _"#]],
    );
    check(
        "SELECT array_agg(x ORDER BY x DESC), first_value(x ORDER BY x DESC) FROM 'many.csv' WHERE x < 13",
        expect![[r#"
            array_agg(x) ORDER BY [x DESC NULLS FIRST], first_value(x) ORDER BY [x DESC NULLS FIRST]
            [12, 11, 10, 2, 1, 0], 12"#]],
    );
    check(
        "SELECT string_agg(id, '-' ORDER BY id), count(DISTINCT id), count(DISTINCT qty) FROM 'sales.csv'",
        expect![[r#"
            string_agg(id,'-') ORDER BY [id ASC NULLS LAST], count(DISTINCT id), count(DISTINCT qty)
            a-a-b-b-c, 3, 4"#]],
    );
    check(
        "SELECT bit_and(qty), approx_distinct(id), bool_and(qty > 0), corr(qty, \"Price\") FROM 'sales.csv'",
        expect![[r#"
            bit_and(qty), approx_distinct(id), bool_and(qty > 0), corr(qty,Price)
            0, 3, true, -0.44671751814760485"#]],
    );
    check_sorted(
        "SELECT id, median(qty), count(DISTINCT qty) FROM 'sales.csv' GROUP BY id",
        expect![[r#"
        id, median(qty), count(DISTINCT qty)
        _, 2.0, 1
        a, 3.0, 1
        b, 1.5, 2
        c, 7.0, 1"#]],
    );
}

#[test]
fn grouping_sets_null_the_keys_but_not_the_arguments() {
    check_sorted(
        "SELECT id, qty, grouping(id, qty) AS g, count(*), sum(qty) FROM 'sales.csv' GROUP BY ROLLUP (id, qty)",
        expect![[r#"
            id, qty, g, count(*), sum(qty)
            _, 2, 0, 1, 2
            _, _, 1, 1, 2
            _, _, 3, 6, 15
            a, 3, 0, 1, 3
            a, _, 0, 1, _
            a, _, 1, 2, 3
            b, 1, 0, 1, 1
            b, 2, 0, 1, 2
            b, _, 1, 2, 3
            c, 7, 0, 1, 7
            c, _, 1, 1, 7"#]],
    );
    check_sorted(
        "SELECT id, sum(qty) FROM 'sales.csv' GROUP BY GROUPING SETS ((id), (), ())",
        expect![[r#"
        id, sum(qty)
        _, 15
        _, 15
        _, 2
        a, 3
        b, 3
        c, 7"#]],
    );
    check_sorted(
        "SELECT id, qty > 2 AS many, count(*) FROM 'sales.csv' GROUP BY CUBE (id, qty > 2)",
        expect![[r#"
        id, many, count(*)
        _, _, 1
        _, _, 1
        _, _, 6
        _, false, 1
        _, false, 3
        _, true, 2
        a, _, 1
        a, _, 2
        a, true, 1
        b, _, 2
        b, false, 2
        c, _, 1
        c, true, 1"#]],
    );
}

#[test]
fn distinct_and_order() {
    check_sorted(
        "SELECT DISTINCT id FROM 'sales.csv'",
        expect![[r#"
        id
        _
        a
        b
        c"#]],
    );
    check(
        "SELECT id, qty FROM 'sales.csv' ORDER BY id DESC NULLS LAST, qty",
        expect![[r#"
        id, qty
        c, 7
        b, 1
        b, 2
        a, 3
        a, _
        _, 2"#]],
    );
    check(
        "SELECT id FROM 'sales.csv' ORDER BY qty + \"Price\" LIMIT 2 OFFSET 1",
        expect![[r#"
        id
        a
        _"#]],
    );
    check(
        "SELECT DISTINCT ON (id) id, qty FROM 'sales.csv' ORDER BY id, qty DESC",
        expect![[r#"
        id, qty
        a, _
        b, 2
        c, 7
        _, 2"#]],
    );
}

#[test]
fn tables_need_no_rows() {
    check(
        "SELECT 1 + 1 AS two, upper('a')",
        expect![[r#"
        two, upper('a')
        2, A"#]],
    );
    check(
        "VALUES (1, 'a'), (NULL, 'b')",
        expect![[r#"
        column1, column2
        1, a
        _, b"#]],
    );
    check(
        "WITH t(n) AS (VALUES (1), (2)) SELECT n * 2 AS m FROM t WHERE n > 1",
        expect![[r#"
        m
        4"#]],
    );
    check(
        "SELECT id, length(id) AS n FROM (SELECT id FROM \"sales.csv\" WHERE qty > 2) AS inner_table",
        expect![[r#"
        id, n
        a, 1
        c, 1"#]],
    );
    check(
        "SELECT x FROM many.csv WHERE x = 11",
        expect![[r#"
        x
        11"#]],
    );
}

#[test]
fn columns_selected_twice_get_a_number() {
    check(
        "SELECT x, x, cast(x AS double), x + 1 AS y FROM 'one.csv'",
        expect![[r#"
        x, x_1, x_2, y
        1, 1, 1.0, 2"#]],
    );
    check(
        "SELECT sum(x), sum(x), count(*), count(1) FROM 'one.csv'",
        expect![[r#"
            sum(x), sum(x)_1, count(*), count(1)
            1, 1, 1, 1"#]],
    );
    check(
        "SELECT a.x, a.x FROM 'one.csv' a ORDER BY a.x",
        expect![[r#"
        x, x_1
        1, 1"#]],
    );
    check(
        "SELECT 2 + 3 * x, (2 + 3) * x, 9 - x - 2, 9 - (x - 2), -(-x) FROM 'one.csv'",
        expect![[r#"
        2 + 3 * x, (2 + 3) * x, 9 - x - 2, 9 - (x - 2), (- (- x))
        5, 5, 6, 10, 1"#]],
    );
    check(
        "SELECT x, x + 1 AS x FROM 'one.csv'",
        expect![[r#"
        x_1, x
        1, 2"#]],
    );
}

#[test]
fn other_spellings_are_understood() {
    check(
        "FROM 'one.csv'",
        expect![[r#"
        x
        1"#]],
    );
    check_sorted(
        "SELECT id, sum(qty) FROM 'sales.csv' WHERE id <> 'c' GROUP BY id WITH ROLLUP",
        expect![[r#"
        id, sum(qty)
        _, 6
        a, 3
        b, 3"#]],
    );
}

#[test]
fn is_distinct_from_binds_tighter_than_and() {
    check(
        "SELECT x FROM 'many.csv' WHERE x IS NOT DISTINCT FROM 10 OR x IS DISTINCT FROM 1 AND x < 2 AND x IS DISTINCT FROM x + 1",
        expect![[r#"
        x
        0
        10"#]],
    );
    check(
        "SELECT NOT a IS DISTINCT FROM b AND c AS d, a IS NOT DISTINCT FROM b OR c AS e FROM (VALUES (true, true, false)) AS t (a, b, c)",
        expect![[r#"
        d, e
        false, true"#]],
    );
}

#[test]
fn names_of_results_are_short() {
    check(
        "SELECT sum(s.qty + 1), max(s.note) FROM 'sales.csv' s",
        expect![[r#"
        sum(qty + 1), max(note)
        20, note c"#]],
    );
    check(
        "SELECT count(*) FROM 'sales.csv'",
        expect![[r#"
        count(*)
        6"#]],
    );
}

#[test]
fn a_long_chain_of_conditions_does_not_overflow_the_stack() {
    let conditions: Vec<String> = (0..1990).map(|n| format!("x + {n} = {n}")).collect();
    for operator in ["OR", "AND"] {
        let text = format!("SELECT x FROM 'one.csv' WHERE {}", conditions.join(&format!(" {operator} ")));
        let run = std::thread::Builder::new().stack_size(crate::sql::STACK_BYTES);
        let rows = run.spawn(move || rows_of(&text).unwrap().1).unwrap().join().unwrap();
        assert_eq!(rows, Vec::<String>::new());
    }
}

#[test]
fn a_percentile_between_two_values_is_not_cut_off() {
    let values = "(VALUES (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (1, 8)) AS t (g, x)";
    let call = "percentile_cont(0.9) WITHIN GROUP (ORDER BY x) AS p";
    check(&format!("SELECT {call} FROM {values}"), expect![["p\n7.3"]]);
    check(&format!("SELECT g, {call} FROM {values} GROUP BY g"), expect![["g, p\n1, 7.3"]]);
}

#[test]
fn aggregates_of_ordered_rows() {
    check(
        "SELECT median(x), percentile_cont(0.25) WITHIN GROUP (ORDER BY x), quantile_cont(x, 0.25), \
         percentile_cont(0.25) WITHIN GROUP (ORDER BY x DESC), mode(x % 10), median(x) FILTER (WHERE x < 0) FROM 'many.csv'",
        expect![[r#"
            median(x), percentile_cont(0.25) WITHIN GROUP [x ASC NULLS LAST], quantile_cont(x,0.25), percentile_cont(0.25) WITHIN GROUP [x DESC NULLS FIRST], mode(x % 10), median(x) FILTER (WHERE x < 0)
            16.0, 8.0, 8.0, 24.0, 0, _"#]],
    );
    check(
        "SELECT count(DISTINCT id), count(DISTINCT qty), sum(DISTINCT qty), count(*), count(DISTINCT id || qty) FROM 'sales.csv'",
        expect![[r#"
            count(DISTINCT id), count(DISTINCT qty), sum(DISTINCT qty), count(*), count(DISTINCT id || qty)
            3, 4, 13, 6, 4"#]],
    );
    check(
        "SELECT id, array_agg(qty ORDER BY qty DESC), array_agg(DISTINCT qty), array_agg(qty) FILTER (WHERE qty > 1), \
         string_agg(id, ', '), nth_value(qty, 2 ORDER BY qty), mode(note), avg(\"Price\") FROM 'sales.csv' GROUP BY id ORDER BY id",
        expect![[r#"
            id, array_agg(qty) ORDER BY [qty DESC NULLS FIRST], array_agg(DISTINCT qty), array_agg(qty) FILTER (WHERE qty > 1), string_agg(id,', '), nth_value(qty,2) ORDER BY [qty ASC NULLS LAST], mode(note), avg(Price)
            a, [, 3], [3, ], [3], a, a, _, note a, 1.0
            b, [2, 1], [1, 2], [2], b, b, 2, note b, 5.0
            c, [7], [7], [7], c, _, note c, 1.0
            _, [2], [2], [2], _, _, note -, 4.0"#]],
    );
    check(
        "SELECT median(x), mode(x), array_agg(x), string_agg('a', 'b'), count(DISTINCT x), nth_value(x, 1 ORDER BY x), count(*) \
         FROM 'empty.csv'",
        expect![[r#"
            median(x), mode(x), array_agg(x), string_agg('a','b'), count(DISTINCT x), nth_value(x,1) ORDER BY [x ASC NULLS LAST], count(*)
            _, _, _, _, 0, _, 0"#]],
    );
    assert_eq!(rows_of("SELECT x, median(x) FROM 'empty.csv' GROUP BY x").unwrap().1, Vec::<String>::new());
    check(
        "SELECT id, count(DISTINCT qty), median(\"Price\"), grouping(id) FROM 'sales.csv' GROUP BY ROLLUP (id) ORDER BY 4, 1",
        expect![[r#"
            id, count(DISTINCT qty), median(Price), grouping(id)
            a, 1, 1.0, 0
            b, 2, 5.0, 0
            c, 1, 1.0, 0
            _, 1, 4.0, 0
            _, 4, 1.75, 1"#]],
    );
    check(
        "SELECT count(DISTINCT 1), mode(7), median(3), array_agg(2) FROM 'many.csv'",
        expect![[r#"
        count(DISTINCT 1), mode(7), median(3), array_agg(2)
        1, 7, 3.0, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]"#]],
    );
    check(
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x), percentile_disc(0.5) WITHIN GROUP (ORDER BY x DESC), \
         quantile(x, 0), quantile_disc(x, 1), percentile_disc(0.3) WITHIN GROUP (ORDER BY 'a' || x) FILTER (WHERE x > 9), \
         quantile(DISTINCT x % 10, 0.5) FROM 'many.csv'",
        expect![[r#"
            percentile_disc(0.5) WITHIN GROUP [x ASC NULLS LAST], percentile_disc(0.5) WITHIN GROUP [x DESC NULLS FIRST], quantile(x,0), quantile_disc(x,1), percentile_disc(0.3) FILTER (WHERE x > 9) WITHIN GROUP ['a' || x ASC NULLS LAST], quantile(x % 10,0.5)
            12, 20, 0, 32, a12, 1"#]],
    );
}

#[test]
fn arithmetic_over_written_numbers_is_exact() {
    check(
        "SELECT 0.06 + 0.01 = 0.07 AS a, 0.06 - 0.01 AS b, 0.1 * -0.3 AS c, 1 + 2 AS d, 0.1 + 0.2 - 0.3 AS e, 1.5 / 2 AS f",
        expect![[r#"
            a, b, c, d, e, f
            true, 0.05, -0.03, 3, 0.0, 0.75"#]],
    );
}

/// More of them than a byte can number.
#[test]
fn hundreds_of_orders_and_distinct_arguments() {
    let values = [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32];
    let calls = |call: &dyn Fn(i64) -> String| (0..300).map(call).collect::<Vec<_>>().join(", ");
    let n_different = |k: i64| values.iter().map(|x| x % k).collect::<std::collections::HashSet<_>>().len().to_string();
    let nearest = |k: i64| values.iter().min_by_key(|&x| (x - k).abs()).unwrap().to_string();
    for (calls, expected) in [
        (calls(&|k| format!("count(DISTINCT x % {})", k + 1)), calls(&|k| n_different(k + 1))),
        (calls(&|k| format!("first_value(x ORDER BY abs(x - {k}), x)")), calls(&|k| nearest(k))),
    ] {
        assert_eq!(super::rows_of(&format!("SELECT {calls} FROM 'many.csv'")).unwrap().1, [expected]);
    }
}

#[test]
fn intervals_are_compared_by_their_length() {
    check(
        "SELECT TIMESTAMP '2024-03-01' - TIMESTAMP '2024-01-01' > INTERVAL '1 day' AS a, \
         INTERVAL '48 hours' > INTERVAL '1 day' AS b, INTERVAL '1 day' = INTERVAL '24 hours' AS c, \
         INTERVAL '1 month' BETWEEN INTERVAL '30 days' AND INTERVAL '720 hours' AS d, \
         INTERVAL '1 day' IN (INTERVAL '24 hours') AS e, INTERVAL '1 day' IS DISTINCT FROM INTERVAL '24 hours' AS f, \
         CASE INTERVAL '1 day' WHEN INTERVAL '24 hours' THEN 1 END AS g, \
         INTERVAL '1 day' > INTERVAL '-1 hour' AS h, INTERVAL '5000 years' > INTERVAL '4999 years' AS i, \
         INTERVAL '1 day' = NULL AS j",
        expect![[r#"
            a, b, c, d, e, f, g, h, i, j
            true, true, true, true, true, false, 1, true, true, _"#]],
    );
    let table = "(SELECT x, CASE x WHEN 0 THEN INTERVAL '36 hours' WHEN 1 THEN INTERVAL '1 day' WHEN 2 THEN \
                 INTERVAL '24 hours' WHEN 10 THEN INTERVAL '1 month' END AS i FROM 'many.csv' WHERE x < 12)";
    check(
        &format!(
            "SELECT x, rank() OVER (ORDER BY i) AS r, count(*) OVER (PARTITION BY i) AS n FROM {table} ORDER BY i, x"
        ),
        expect![[r#"
            x, r, n
            1, 1, 2
            2, 1, 2
            0, 3, 1
            10, 4, 1
            11, 5, 1"#]],
    );
    check(
        &format!("SELECT x FROM {table} WHERE i > INTERVAL '25 hours' ORDER BY x"),
        expect![[r#"
            x
            0
            10"#]],
    );
    check(
        &format!("SELECT a.x, b.x AS y FROM {table} a JOIN {table} b ON a.i = b.i WHERE a.x < b.x"),
        expect![[r#"
            x, y
            1, 2"#]],
    );
    let seconds =
        format!("SELECT extract(epoch FROM i) AS s, count(*) AS n FROM {table} GROUP BY s ORDER BY s LIMIT 1");
    check(
        &seconds,
        expect![[r#"
            s, n
            86400.0, 2"#]],
    );
    for wrong in [
        format!("SELECT max(i) FROM {table}"),
        format!("SELECT count(DISTINCT i) FROM {table}"),
        format!("SELECT x FROM {table} WHERE i IN (SELECT i FROM {table})"),
        format!("SELECT array_agg(DISTINCT i) FROM {table}"),
        format!("SELECT nullif(i, i) FROM {table}"),
    ] {
        let error = rows_of(&wrong).map(|(_, rows)| panic!("{wrong} gave {rows:?}")).unwrap_err();
        assert!(error.message().contains("with intervals is not supported"), "{wrong}: {error}");
    }
}

#[test]
fn the_first_of_a_group_is_the_first_of_the_input_whatever_stands_beside_it() {
    check_sorted(
        "SELECT id, first_value(\"Price\") AS f, last_value(\"Price\") AS l FROM 'sales.csv' GROUP BY id",
        expect![[r#"
            id, f, l
            _, 4.0, 4.0
            a, 1.5, 0.5
            b, 2.0, 8.0
            c, 1.0, 1.0"#]],
    );
    check_sorted(
        "SELECT id, first_value(\"Price\") AS f, first_value(DISTINCT \"Price\") AS d, last_value(\"Price\") AS l, \
         median(\"Price\") AS m, count(DISTINCT qty) AS n FROM 'sales.csv' GROUP BY id",
        expect![[r#"
            id, f, d, l, m, n
            _, 4.0, 4.0, 4.0, 4.0, 1
            a, 1.5, 1.5, 0.5, 1.0, 1
            b, 2.0, 2.0, 8.0, 5.0, 2
            c, 1.0, 1.0, 1.0, 1.0, 1"#]],
    );
    check(
        "SELECT first_value(x) AS f, median(x) AS m, last_value(x) AS l FROM 'many.csv'",
        expect![[r#"
            f, m, l
            0, 16.0, 32"#]],
    );
}

#[test]
fn a_caret_is_a_power() {
    check(
        "SELECT 2^10 AS a, 2 * 3 ^ 2 AS b, -2 ^ 2 AS c, 2 ^ 3 ^ 2 AS d, 2 ^ -1 AS e, (x + 1) ^ 2 AS f, 1 + 2 ^ 2 = 5 AS g, \
         -x ^ 2 AS h FROM 'one.csv'",
        expect![[r#"
            a, b, c, d, e, f, g, h
            1024.0, 18.0, 4.0, 64.0, 0.5, 4.0, true, 1.0"#]],
    );
}

#[test]
fn columns_are_called_as_they_are_written() {
    check(
        "SELECT day::date, CAST(day AS timestamp), max(qty), max(CAST(qty AS DOUBLE)), sum(s.qty) OVER (PARTITION BY s.id), \
         INTERVAL '3 days', 2 ^ 3, \"Price\"::int + 1 FROM 'sales.csv' s WHERE id = 'c' GROUP BY day, s.qty, s.id, \"Price\"",
        expect![[r#"
            day, day_1, max(qty), max(CAST(qty AS DOUBLE)), sum(qty) OVER (PARTITION BY id), INTERVAL '3 days', CAST(2 AS DOUBLE) ^ 3, Price::INT + 1
            1970-01-06, 1970-01-06T00:00:00, 7, 7.0, 7, 3 days, 8.0, 2"#]],
    );
    check(
        "SELECT avg(x::double), avg(x), sum(x::int) FROM 'many.csv' HAVING avg(x::double) > 1 ORDER BY avg(x)",
        expect![[r#"
            avg(x::DOUBLE), avg(x), sum(x::INT)
            16.0, 16.0, 192"#]],
    );
    check(
        "SELECT DISTINCT CAST(x / 10 AS INT), x - x AS z FROM 'many.csv' ORDER BY x - x, CAST(x / 10 AS INT) DESC LIMIT 1",
        expect![[r#"
            x / 10, z
            3, 0"#]],
    );
    check(
        "SELECT * FROM (SELECT x, x FROM 'one.csv') UNION ALL SELECT x, x FROM 'one.csv'",
        expect![[r#"
            x, x_1
            1, 1
            1, 1"#]],
    );
    check(
        "SELECT named_struct('a', x) AS s, t.s.a FROM (SELECT x, named_struct('a', x) AS s FROM 'one.csv') t",
        expect![[r#"
            s, a
            {a: 1}, 1"#]],
    );
}

#[test]
fn the_name_of_a_cast_is_no_column_inside_the_query() {
    let times = "(VALUES (TIMESTAMP '2020-01-01 23:00:00', 1), (TIMESTAMP '2020-01-01 11:00:00', 5), \
                 (TIMESTAMP '2020-01-02 21:00:00', 3)) v(ts, x)";
    check(
        &format!("SELECT ts::date, x FROM {times} ORDER BY extract(hour FROM ts) LIMIT 1"),
        expect![[r#"
            ts, x
            2020-01-01, 5"#]],
    );
    check(
        &format!("SELECT ts::date, count(*) FROM {times} GROUP BY ts::date ORDER BY max(ts) DESC"),
        expect![[r#"
            ts, count(*)
            2020-01-02, 1
            2020-01-01, 2"#]],
    );
    check(
        "SELECT x::int, x AS y FROM (VALUES (1.2), (1.9), (1.4)) v(x) ORDER BY abs(x)",
        expect![[r#"
            x, y
            1, 1.2
            1, 1.4
            1, 1.9"#]],
    );
    check(
        &format!("SELECT x::double, sum(x) OVER (ORDER BY ts) FROM {times} ORDER BY sum(x) OVER (ORDER BY ts)"),
        expect![[r#"
            x, sum(x) OVER (ORDER BY ts)
            5.0, 5
            1.0, 6
            3.0, 9"#]],
    );
    check(
        "SELECT DISTINCT ON (x % 2) x % 2, x FROM 'many.csv' ORDER BY x % 2, x DESC",
        expect![[r#"
            x % 2, x
            0, 32
            1, 31"#]],
    );
    check(
        "SELECT \"avg(t.x)\" FROM (SELECT avg(CAST(x AS DOUBLE)) FROM 'many.csv' t)",
        expect![[r#"
            avg(x)
            16.0"#]],
    );
}

#[test]
fn many_casts_beside_what_they_cast_are_planned_in_no_time() {
    let columns: Vec<String> = (0..200).map(|idx| format!("{idx} AS c{idx}")).collect();
    let calls: Vec<String> = (0..200).map(|idx| format!("avg(c{idx}), sum(CAST(c{idx} AS DOUBLE))")).collect();
    let terms = vec!["x"; 150].join("+");
    let started = std::time::Instant::now();
    check(
        &format!("SELECT count(*) AS n FROM (SELECT {} FROM (SELECT {}))", calls.join(", "), columns.join(", ")),
        expect![[r#"
            n
            1"#]],
    );
    check(
        &format!("SELECT sum({terms}) AS s, sum(CAST(x AS DOUBLE)) AS d, sum(x) AS x FROM 'one.csv'"),
        expect![[r#"
            s, d, x
            150, 1.0, 1"#]],
    );
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
