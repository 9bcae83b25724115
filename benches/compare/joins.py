#!/usr/bin/env python3
"""The joins of the public db-benchmark, and one of TPC-H: writes their tables and states the questions.

    python3 joins.py --rows 1e8        writes <cache>/data/J1_1e8_NA_0_0/TABLE.parquet

`x` of N rows is joined with `small` (N / 1e6 rows), `medium` (N / 1e3) and `big` (N), and all columns go to the result.
`join_tables.py` says what is in the tables. `orders_lineitem` is asked over a folder that `tpch.py` wrote.
"""

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import environment  # noqa: E402

X_COLUMNS = "x.id1, x.id2, x.id3, x.id4, x.id5, x.id6, x.v1"
X_INTS = ("id1", "id2", "id3")
X_TEXT = ("id4", "id5", "id6")


def question(table, kind, key, other_ints, other_text):
    """Everything of `x` and what `table` adds to it. Both values are compared bit for bit, and by their sums."""
    others = [f"{table}.{name} AS {table}_{name}" for name in (*other_ints, *other_text)]
    columns = ", ".join([X_COLUMNS, *others, f"{table}.v2"])
    return dict(
        sql=f"SELECT {columns} FROM {{x}} AS x {kind} JOIN {{{table}}} AS {table} ON x.{key} = {table}.{key}",
        tables=("x", table),
        ints=(*X_INTS, *(f"{table}_{name}" for name in other_ints)),
        text=(*X_TEXT, *(f"{table}_{name}" for name in other_text)),
        copied_floats=("v1", "v2"),
        measures=("v1", "v2"),
    )


# As `queries.Question` wants them. j3 has NULL in the columns of `medium` where there is no partner, which is checked.
QUESTIONS = {
    "j1": question("small", "INNER", "id1", (), ("id4",)),
    "j2": question("medium", "INNER", "id2", ("id1",), ("id4", "id5")),
    "j3": question("medium", "LEFT", "id2", ("id1",), ("id4", "id5")),
    "j4": question("medium", "INNER", "id5", ("id1", "id2"), ("id4",)),
    "j5": question("big", "INNER", "id3", ("id1", "id2"), ("id4", "id5", "id6")),
}

LINEITEM = (
    *("l_orderkey", "l_partkey", "l_suppkey", "l_linenumber", "l_quantity", "l_extendedprice", "l_discount", "l_tax"),
    *("l_returnflag", "l_linestatus", "l_shipdate", "l_commitdate", "l_receiptdate", "l_shipinstruct", "l_shipmode"),
    "l_comment",
)
ORDERS = (
    *("o_orderkey", "o_custkey", "o_orderstatus", "o_totalprice", "o_orderdate", "o_orderpriority", "o_clerk"),
    *("o_shippriority", "o_comment"),
)

ORDERS_LINEITEM = dict(
    sql=f"SELECT {', '.join(LINEITEM + ORDERS)} "
    "FROM {lineitem} AS lineitem INNER JOIN {orders} AS orders ON l_orderkey = o_orderkey",
    tables=("lineitem", "orders"),
    ints=("l_orderkey", "l_partkey", "l_suppkey", "l_linenumber", "o_orderkey", "o_custkey", "o_shippriority"),
    text=("l_returnflag", "l_shipdate", "l_shipmode", "l_comment", "o_orderdate", "o_clerk", "o_comment"),
    measures=("l_quantity", "l_extendedprice", "l_discount", "l_tax", "o_totalprice"),
)


def main():
    environment.enter_venv()
    import join_tables
    from generate import whole

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=whole, default=1_000_000, help="N, for example 1e8")
    parser.add_argument("--seed", type=int, default=108)
    parser.add_argument("--format", default="parquet", choices=("parquet", "csv", "parquet,csv"))
    parser.add_argument("--compression", default="zstd", choices=("zstd", "snappy"))
    parser.add_argument("--out", type=Path, default=environment.CACHE / "data")
    chosen = parser.parse_args()
    shape = join_tables.Shape(chosen.rows, chosen.seed)
    join_tables.generate(shape, chosen.out.expanduser(), chosen.format.split(","), chosen.compression)


if __name__ == "__main__":
    main()
