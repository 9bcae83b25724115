//! What our own rules change, over tables the size of TPC-H at scale 10: joins in parentheses, build side on the right.

use expect_test::{Expect, expect};

use super::tpch::{Tpch, shape};
use crate::operators::testing::task_context;
use crate::plan;
use crate::sql::{self, Registry, catalog::Catalog, statements::Request};

/// Checks the joins before and after.
fn check(text: &str, expected: Expect) {
    let (memory, registry) = (task_context().memory, Registry::default());
    let catalog = Catalog::new(&Tpch, &memory, plan::options(), &registry);
    let parsed = sql::parse_one(text, &memory).unwrap();
    let Request::Query { query, .. } = &parsed.request else { panic!("{text} is no query") };
    let before = plan::optimize_by_library(catalog.plan_query(query).unwrap()).unwrap();
    let after = sql::plan(text, &Tpch, &memory).unwrap().plan;
    assert_eq!(before.schema().fields().len(), after.schema().fields().len(), "{text}");
    expected.assert_eq(&format!("{}\n{}", shape(&before), shape(&after)));
}

fn check_rows(text: &str, expected: Expect) {
    let planned = sql::plan(text, &Tpch, &task_context().memory).unwrap();
    expected.assert_eq(&plan::estimate_rows(&planned.plan).map_or("unknown".to_string(), |rows| format!("{rows:.0}")));
}

#[test]
fn inner_joins_start_where_few_rows_are() {
    // Written from the largest to the smallest, and with the tie between two tables in the third.
    check(
        "SELECT l_tax FROM lineitem, orders, customer, nation WHERE l_orderkey = o_orderkey AND o_custkey = c_custkey \
         AND c_nationkey = n_nationkey AND n_name = 'PERU'",
        expect![[r#"
            (((lineitem * orders) * customer) * nation)
            (lineitem * (orders * (customer * nation)))"#]],
    );
    // c_nationkey = s_nationkey = n_nationkey: any two of them may be joined first.
    check(
        "SELECT count(*) FROM customer, supplier, nation WHERE c_nationkey = s_nationkey AND s_nationkey = n_nationkey \
         AND n_name = 'PERU' AND s_suppkey < 100 AND c_custkey < 100",
        expect![[r#"
            groups((customer * supplier) * nation)
            groups(supplier * (customer * nation))"#]],
    );
    // A condition over two tables that is no equality.
    check(
        "SELECT count(*) FROM supplier, nation AS n1, nation AS n2, customer WHERE s_nationkey = n1.n_nationkey \
         AND c_nationkey = n2.n_nationkey AND n1.n_name < n2.n_name AND c_custkey = s_suppkey",
        expect![[r#"
            groups(((supplier * nation) * customer) * nation)
            groups((supplier * (nation cross nation)) * customer)"#]],
    );
    // Keys over two tables at once.
    check(
        "SELECT count(*) FROM part, supplier, partsupp WHERE p_partkey + s_suppkey = ps_partkey AND p_size = 1 AND s_suppkey = 7",
        expect![[r#"
            groups((part cross supplier) * partsupp)
            groups(partsupp * (part cross supplier))"#]],
    );
    // Nothing ties them together.
    check(
        "SELECT count(*) FROM part, nation, region WHERE n_regionkey = r_regionkey",
        expect![[r#"
        groups((part cross nation) * region)
        groups(part cross (nation * region))"#]],
    );
    // A table with two columns of one class.
    check(
        "SELECT count(*) FROM partsupp, supplier, part WHERE ps_suppkey = s_suppkey AND ps_partkey = s_suppkey AND p_partkey = s_suppkey",
        expect![[r#"
            groups((partsupp * supplier) * part)
            groups(supplier * (part * partsupp))"#]],
    );
}

#[test]
fn outer_joins_stay_where_they_are() {
    check(
        "SELECT count(*) FROM orders LEFT JOIN lineitem ON l_orderkey = o_orderkey, customer, nation \
         WHERE c_custkey = o_custkey AND c_nationkey = n_nationkey",
        expect![[r#"
            groups(((orders left lineitem) * customer) * nation)
            groups((orders left lineitem) * (customer * nation))"#]],
    );
    check(
        "SELECT count(*) FROM lineitem JOIN (SELECT * FROM orders FULL JOIN customer ON o_custkey = c_custkey) AS oc \
         ON l_orderkey = o_orderkey JOIN part ON l_partkey = p_partkey AND p_size = 3",
        expect![[r#"
            groups((lineitem * (orders other customer)) * part)
            groups((orders other customer) * (lineitem * part))"#]],
    );
}

#[test]
fn semi_joins_move_to_the_table_they_are_about() {
    check(
        "SELECT count(*) FROM customer, orders, lineitem WHERE c_custkey = o_custkey AND o_orderkey = l_orderkey \
         AND o_orderkey IN (SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING sum(l_quantity) > 300)",
        expect![[r#"
            groups(((customer * orders) * lineitem) semi groups(lineitem))
            groups(lineitem * ((orders semi groups(lineitem)) * customer))"#]],
    );
    // The first join leaves few rows, so the other table is better looked at last.
    check(
        "SELECT count(*) FROM supplier, lineitem AS l1 WHERE s_suppkey = l_suppkey AND s_suppkey = 5 \
         AND NOT EXISTS (SELECT 1 FROM lineitem AS l2 WHERE l2.l_orderkey = l1.l_orderkey AND l2.l_suppkey <> l1.l_suppkey)",
        expect![[r#"
            groups((supplier * lineitem) anti lineitem)
            groups((lineitem * supplier) anti lineitem)"#]],
    );
    check(
        "SELECT count(*) FROM part, lineitem WHERE p_partkey = l_partkey AND p_size NOT IN (SELECT s_nationkey FROM supplier)",
        expect![[r#"
            groups((part * lineitem) anti supplier)
            groups(lineitem * (part anti supplier))"#]],
    );
}

#[test]
fn fifty_tables_are_planned_in_a_moment() {
    let tables: Vec<String> = (0..50).map(|idx| format!("nation AS n{idx}")).collect();
    let ties: Vec<String> = (1..50).map(|idx| format!("n{}.n_nationkey = n{idx}.n_regionkey", idx - 1)).collect();
    let text = format!("SELECT count(*) FROM {} WHERE {}", tables.join(", "), ties.join(" AND "));
    let started = std::time::Instant::now();
    let planned = sql::plan(&text, &Tpch, &task_context().memory).unwrap();
    assert_eq!(shape(&planned.plan).matches("nation").count(), 50);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn many_tables_are_joined_greedily() {
    let tables: Vec<String> = (0..12).map(|idx| format!("nation AS n{idx}")).collect();
    let ties: Vec<String> = (1..12).map(|idx| format!("n{}.n_nationkey = n{idx}.n_nationkey", idx - 1)).collect();
    check(
        &format!("SELECT count(*) FROM {} WHERE {}", tables.join(", "), ties.join(" AND ")),
        expect![[r#"
        groups(((((((((((nation * nation) * nation) * nation) * nation) * nation) * nation) * nation) * nation) * nation) * nation) * nation)
        groups((((((nation * nation) * nation) * nation) * nation) * nation) * (((((nation * nation) * nation) * nation) * nation) * nation))"#]],
    );
}

#[test]
fn only_groups_that_are_asked_for_are_formed() {
    check(
        "SELECT sum(l_tax) FROM lineitem, part WHERE p_partkey = l_partkey AND p_brand = 'Brand#23' AND p_container = 'MED BOX' \
         AND l_quantity < (SELECT 0.2 * avg(l_quantity) FROM lineitem WHERE l_partkey = p_partkey)",
        expect![[r#"
            groups((lineitem * part) semi groups(lineitem))
            groups((lineitem * part) semi groups(lineitem semi part))"#]],
    );
    // Every order is asked for.
    check(
        "SELECT count(*) FROM orders JOIN (SELECT l_orderkey, count(*) AS n FROM lineitem GROUP BY l_orderkey) AS c ON o_orderkey = l_orderkey",
        expect![[r#"
            groups(orders semi groups(lineitem))
            groups(orders semi groups(lineitem))"#]],
    );
    // Rows without a group stay, so only the groups may go.
    check(
        "SELECT n FROM (SELECT * FROM part WHERE p_size = 3) AS p LEFT JOIN \
         (SELECT l_partkey, count(*) AS n FROM lineitem GROUP BY l_partkey) AS c ON p_partkey = l_partkey",
        expect![[r#"
            (part left groups(lineitem))
            (part left groups(lineitem semi part))"#]],
    );
}

#[test]
fn rows_are_estimated() {
    check_rows("SELECT * FROM orders", expect!["15000000"]);
    check_rows(
        "SELECT * FROM orders WHERE o_orderdate >= '1994-01-01' AND o_orderdate < '1995-01-01'",
        expect!["2276507"],
    );
    check_rows("SELECT * FROM part WHERE p_brand = 'Brand#23' AND p_size IN (1, 2, 3, 4, 5)", expect!["8000"]);
    check_rows("SELECT * FROM orders, lineitem WHERE o_orderkey = l_orderkey", expect!["59986052"]);
    check_rows(
        "SELECT * FROM lineitem, partsupp WHERE l_partkey = ps_partkey AND l_suppkey = ps_suppkey",
        expect!["59986052"],
    );
    check_rows("SELECT l_returnflag, l_linestatus, count(*) FROM lineitem GROUP BY 1, 2", expect!["6"]);
    check_rows("SELECT l_suppkey, count(*) FROM lineitem GROUP BY 1 LIMIT 10", expect!["10"]);
    check_rows(
        "SELECT * FROM customer WHERE c_custkey IN (SELECT o_custkey FROM orders WHERE o_clerk = 'x')",
        expect!["1499"],
    );
    check_rows(
        "SELECT * FROM customer LEFT JOIN orders ON c_custkey = o_custkey AND o_orderkey < 10",
        expect!["1500000"],
    );
}
