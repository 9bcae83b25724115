//! TPC-H at scale 10, as far as the planner sees it: in which order its joins run.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{JoinType, LogicalPlan};
use expect_test::{Expect, expect};

use crate::error::{Error, Result};
use crate::io::{ColumnStatistics, OpenTable, Scan, ScanRequest, Table, TableStatistics};
use crate::memory::Memory;
use crate::operators::testing::task_context;
use crate::sql;

/// Name, rows, and columns: `name:type`, with `=smallest..largest` or `~distinct values`.
const TABLES: [(&str, u64, &str); 8] = [
    ("region", 5, "r_regionkey:int=0..4 r_name:text r_comment:text"),
    ("nation", 25, "n_nationkey:int=0..24 n_name:text n_regionkey:int=0..4 n_comment:text"),
    (
        "supplier",
        100_000,
        "s_suppkey:int=1..100000 s_name:text s_address:text s_nationkey:int=0..24 s_phone:text s_acctbal:decimal \
         s_comment:text",
    ),
    (
        "customer",
        1_500_000,
        "c_custkey:int=1..1500000 c_name:text c_address:text c_nationkey:int=0..24 c_phone:text c_acctbal:decimal \
         c_mktsegment:text~5 c_comment:text",
    ),
    (
        "part",
        2_000_000,
        "p_partkey:int=1..2000000 p_name:text p_mfgr:text~5 p_brand:text~25 p_type:text~150 p_size:int=1..50 \
         p_container:text~40 p_retailprice:decimal p_comment:text",
    ),
    (
        "partsupp",
        8_000_000,
        "ps_partkey:int=1..2000000 ps_suppkey:int=1..100000 ps_availqty:int=1..9999 ps_supplycost:decimal \
         ps_comment:text",
    ),
    (
        "orders",
        15_000_000,
        "o_orderkey:int=1..60000000 o_custkey:int=1..1499999 o_orderstatus:text~3 o_totalprice:decimal \
         o_orderdate:date=8035..10440 o_orderpriority:text~5 o_clerk:text~10000 o_shippriority:int=0..0 o_comment:text",
    ),
    (
        "lineitem",
        59_986_052,
        "l_orderkey:int=1..60000000 l_partkey:int=1..2000000 l_suppkey:int=1..100000 l_linenumber:int=1..7 \
         l_quantity:decimal~50 l_extendedprice:decimal l_discount:decimal~11 l_tax:decimal~9 l_returnflag:text~3 \
         l_linestatus:text~2 l_shipdate:date=8036..10561 l_commitdate:date=8065..10532 l_receiptdate:date=8037..10591 \
         l_shipinstruct:text~4 l_shipmode:text~7 l_comment:text",
    ),
];

struct Described {
    name: &'static str,
    n_rows: u64,
    columns: Vec<(Field, ColumnStatistics)>,
}

fn column(text: &str) -> (Field, ColumnStatistics) {
    let (name, rest) = text.split_once(':').unwrap();
    let mut statistics = ColumnStatistics { n_nulls: Some(0), ..ColumnStatistics::default() };
    let (data_type, range) = rest.split_once('=').unwrap_or((rest, ""));
    let (data_type, distinct) = data_type.split_once('~').unwrap_or((data_type, ""));
    statistics.likely_distinct = distinct.parse().ok();
    if let Some((min, max)) = range.split_once("..") {
        let value = |text: &str| -> ArrayRef {
            match data_type {
                "date" => Arc::new(Date32Array::from(vec![text.parse::<i32>().unwrap()])),
                _ => Arc::new(Int64Array::from(vec![text.parse::<i64>().unwrap()])),
            }
        };
        (statistics.min, statistics.max) = (Some(value(min)), Some(value(max)));
    }
    let data_type = match data_type {
        "int" => DataType::Int64,
        "date" => DataType::Date32,
        "decimal" => DataType::Decimal128(15, 2),
        _ => DataType::Utf8,
    };
    (Field::new(name, data_type, false), statistics)
}

impl Table for Described {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(|(field, _)| field.clone()).collect::<Vec<_>>()))
    }

    fn statistics(&self) -> TableStatistics {
        let columns = self.columns.iter().map(|(_, statistics)| statistics.clone()).collect();
        TableStatistics { n_rows: Some(self.n_rows), file_bytes: 0, columns }
    }

    fn scan(&self, _request: ScanRequest) -> Result<Scan> {
        Err(Error::data(format!("{} has no rows", self.name)))
    }

    fn describe(&self) -> String {
        self.name.to_string()
    }
}

pub struct Tpch;

impl OpenTable for Tpch {
    fn open(&self, path: &str, _memory: &Memory) -> Result<Arc<dyn Table>> {
        let found = TABLES.into_iter().find(|(name, ..)| *name == path);
        let (name, n_rows, columns) = found.ok_or_else(|| Error::data(format!("no table {path}")))?;
        let columns = columns.split_whitespace().map(column).collect();
        Ok(Arc::new(Described { name, n_rows, columns }))
    }
}

/// The query of that number, as `benches/compare` asks it.
fn query(number: usize) -> String {
    let path = format!("{}/benches/compare/tpch/q{number:02}.sql", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().replace("{fraction}", "0.00001").replace(['{', '}'], "")
}

pub fn plan(text: &str) -> LogicalPlan {
    sql::plan(text, &Tpch, &task_context().memory).unwrap().plan
}

/// The joins of a plan in parentheses, build side on the right.
pub fn shape(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Join(join) => {
            let word = match join.join_type {
                JoinType::Inner if join.on.is_empty() => "cross",
                JoinType::Inner => "*",
                JoinType::Left => "left",
                JoinType::LeftSemi => "semi",
                JoinType::LeftAnti => "anti",
                JoinType::LeftMark => "mark",
                _ => "other",
            };
            format!("({} {word} {})", shape(&join.left), shape(&join.right))
        }
        LogicalPlan::TableScan(scan) => scan.table_name.to_string(),
        LogicalPlan::Aggregate(aggregate) => format!("groups{}", parenthesized(shape(&aggregate.input))),
        other => other.inputs().into_iter().map(shape).collect::<Vec<_>>().join(" + "),
    }
}

fn parenthesized(text: String) -> String {
    if text.starts_with('(') { text } else { format!("({text})") }
}

#[test]
fn joins_of_tpch_start_where_few_rows_are() {
    let lines: Vec<String> = (1..=22).map(|number| format!("{number:2} {}", shape(&plan(&query(number))))).collect();
    let expected: Expect = expect![[r#"
         1 groups(lineitem)
         2 (((supplier * (nation * region)) * (partsupp * part)) semi groups((supplier * (nation * region)) * (partsupp semi part)))
         3 groups(lineitem * (orders * customer))
         4 groups(orders semi lineitem)
         5 groups((lineitem * (orders * (customer * (nation * region)))) * supplier)
         6 groups(lineitem)
         7 groups((lineitem * (orders * (customer * nation))) * (supplier * nation))
         8 groups((supplier * nation) * ((customer * (nation * region)) * (orders * (lineitem * part))))
         9 groups((lineitem * ((partsupp * (supplier * nation)) * part)) * orders)
        10 groups(lineitem * ((customer * nation) * orders))
        11 (groups(partsupp * (supplier * nation)) cross groups(partsupp * (supplier * nation)))
        12 groups(orders * lineitem)
        13 groups(groups(customer left orders))
        14 groups(part * lineitem)
        15 (supplier * (groups(lineitem) * groups(groups(lineitem))))
        16 groups(groups((partsupp anti supplier) * part))
        17 groups((lineitem * part) semi groups(lineitem semi part))
        18 groups(lineitem * ((orders semi groups(lineitem)) * customer))
        19 groups(lineitem * part)
        20 ((supplier * nation) semi ((partsupp semi part) semi groups(lineitem semi part)))
        21 groups(((orders * (lineitem * (supplier * nation))) semi lineitem) anti lineitem)
        22 groups((customer anti orders) cross groups(customer))"#]];
    expected.assert_eq(&lines.join("\n"));
}

#[test]
#[ignore = "prints"]
fn print_plans() {
    for number in 1..=22 {
        println!("---- {number}\n{}", plan(&query(number)).display_indent());
    }
}
