#!/usr/bin/env python3
"""TPC-H: writes its tables, and states its 22 queries in the form the other questions have.

    python3 tpch.py --scale 10        writes <cache>/data/tpch/sf10/TABLE.parquet

The data is the one of the `tpchgen-cli` wheel of `requirements.txt`, as that program writes it by default. The queries
are `tpch/q01.sql` to `q22.sql` with the validation parameters of the specification; `{lineitem}` is the table. A
`--data` folder called sf0.01, sf1, sf10 says the scale, on which the fraction in query 11 depends.
"""

import argparse
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import environment  # noqa: E402

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
Q11_FRACTION_AT_SCALE_1 = 0.0001
# Quotients and averages of decimals have 6 digits after the point or more in one engine and are floats in another.
QUOTIENT_TOLERANCE = 1e-4
ASCENDING = "asc"
DESCENDING = "desc"

# What each result looks like: see `queries.Question`. Dates and decimals that are handed through count as text.
SHAPES = {
    1: dict(
        text=("l_returnflag", "l_linestatus"),
        ints=("count_order",),
        measures=(
            *("sum_qty", "sum_base_price", "sum_disc_price", "sum_charge"),
            *("avg_qty", "avg_price", "avg_disc"),
        ),
        order=(("l_returnflag", ASCENDING), ("l_linestatus", ASCENDING)),
        tolerance=QUOTIENT_TOLERANCE,
    ),
    2: dict(
        text=("s_acctbal", "s_name", "n_name", "p_mfgr", "s_address", "s_phone", "s_comment"),
        ints=("p_partkey",),
        order=(("s_acctbal", DESCENDING), ("n_name", ASCENDING), ("s_name", ASCENDING), ("p_partkey", ASCENDING)),
    ),
    3: dict(
        text=("o_orderdate",),
        ints=("l_orderkey", "o_shippriority"),
        measures=("revenue",),
        order=(("revenue", DESCENDING), ("o_orderdate", ASCENDING)),
    ),
    4: dict(text=("o_orderpriority",), ints=("order_count",), order=(("o_orderpriority", ASCENDING),)),
    5: dict(text=("n_name",), measures=("revenue",), order=(("revenue", DESCENDING),)),
    6: dict(measures=("revenue",)),
    7: dict(
        text=("supp_nation", "cust_nation"),
        ints=("l_year",),
        measures=("revenue",),
        order=(("supp_nation", ASCENDING), ("cust_nation", ASCENDING), ("l_year", ASCENDING)),
    ),
    8: dict(
        ints=("o_year",), measures=("mkt_share",), order=(("o_year", ASCENDING),), tolerance=QUOTIENT_TOLERANCE
    ),
    9: dict(
        text=("nation",),
        ints=("o_year",),
        measures=("sum_profit",),
        order=(("nation", ASCENDING), ("o_year", DESCENDING)),
    ),
    10: dict(
        text=("c_name", "c_acctbal", "n_name", "c_address", "c_phone", "c_comment"),
        ints=("c_custkey",),
        measures=("revenue",),
        order=(("revenue", DESCENDING),),
    ),
    11: dict(ints=("ps_partkey",), measures=("value",), order=(("value", DESCENDING),)),
    12: dict(
        text=("l_shipmode",), ints=("high_line_count", "low_line_count"), order=(("l_shipmode", ASCENDING),)
    ),
    13: dict(ints=("c_count", "custdist"), order=(("custdist", DESCENDING), ("c_count", DESCENDING))),
    14: dict(measures=("promo_revenue",), tolerance=QUOTIENT_TOLERANCE),
    15: dict(
        text=("s_name", "s_address", "s_phone"),
        ints=("s_suppkey",),
        measures=("total_revenue",),
        order=(("s_suppkey", ASCENDING),),
    ),
    16: dict(
        text=("p_brand", "p_type"),
        ints=("p_size", "supplier_cnt"),
        order=(
            *(("supplier_cnt", DESCENDING), ("p_brand", ASCENDING)),
            *(("p_type", ASCENDING), ("p_size", ASCENDING)),
        ),
    ),
    17: dict(measures=("avg_yearly",), tolerance=QUOTIENT_TOLERANCE),
    18: dict(
        text=("c_name", "o_orderdate", "o_totalprice"),
        ints=("c_custkey", "o_orderkey"),
        measures=("sum_qty",),
        order=(("o_totalprice", DESCENDING), ("o_orderdate", ASCENDING)),
    ),
    19: dict(measures=("revenue",)),
    20: dict(text=("s_name", "s_address"), order=(("s_name", ASCENDING),)),
    21: dict(
        text=("s_name",), ints=("numwait",), order=(("numwait", DESCENDING), ("s_name", ASCENDING))
    ),
    22: dict(
        text=("cntrycode",), ints=("numcust",), measures=("totacctbal",), order=(("cntrycode", ASCENDING),)
    ),
}


def sql_of(number):
    return (environment.HERE / "tpch" / f"q{number:02}.sql").read_text()


def tables_of(sql):
    """The tables whose placeholders `sql` has."""
    return tuple(table for table in TABLES if f"{{{table}}}" in sql)


def settings(folder):
    """What `{fraction}` stands for, from the scale in the name of the data folder."""
    scale = float(Path(folder).name.removeprefix("sf"))
    return {"fraction": f"{Q11_FRACTION_AT_SCALE_1 / scale:.10f}"}


def generate(scale, folder):
    """Write all tables of `scale` into `folder` unless they are there."""
    if all((folder / f"{table}.parquet").exists() for table in TABLES):
        return
    python = environment.ensure_python()
    folder.mkdir(parents=True, exist_ok=True)
    command = [python.with_name("tpchgen-cli"), "parquet", "-s", scale, "-o", folder, "--overwrite", "--quiet"]
    subprocess.run([str(word) for word in command], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="1", help="scale factor: 0.01, 1, 10 (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=environment.CACHE / "data" / "tpch")
    chosen = parser.parse_args()
    generate(chosen.scale, chosen.folder.expanduser() / f"sf{chosen.scale}")


if __name__ == "__main__":
    main()
