#!/usr/bin/env python3
"""Joins whose build side is skewed, useless or too large: writes their tables and states the questions.

    python3 skew.py --rows 2e7         writes <cache>/data/S1_2e7/TABLE.parquet
    python3 compare.py --ladder --engines brimful --data <cache>/data/S1_2e7

With N = `--rows`, `build` and `wide` have N rows, `probe` 2 N with wider rows, so that it is the worse build side, and
`small` N / 1000. `skew_tables.py` says what is in the keys. Every question aggregates what it joins to one row that
needs all columns, so that writing the output does not decide the time. How many rows it aggregates is known by a
formula, `pairs`, against which the reference answer is held.
"""

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import environment  # noqa: E402

HOT_KEY_PROBE_ROWS = 5  # rows of `probe` that have the key which is hot in `build`
BOTH_PARTNERS = 50  # `both`: rows of one side that have the key which is hot on the other side
SMALL_SHARE = 1000  # `small` has one row for so many of `build`
V_VALUES = 1000  # v and w: 0 to 999

RESULT = "count(*) AS n, count(b.v) AS n_v, sum(b.v) AS v, sum(p.w) AS w, max(b.bt) AS bt, max(p.pt) AS pt"
SHAPE = dict(ints=("n", "n_v", "v", "w"), text=("bt", "pt"))


def question(source, tables):
    return dict(sql=f"SELECT {RESULT} FROM {source}", tables=tables, **SHAPE)


def built(key, kind="INNER", probe_key="k"):
    return question(
        f"{{probe}} AS p {kind} JOIN {{build}} AS b ON p.{probe_key} = b.{key}", ("probe", "build")
    )


QUESTIONS = {
    # One key holds 10, 50 and 100 % of the build side.
    "hot10": built("k10"),
    "hot50": built("k50"),
    "hot100": built("k100"),
    # One key holds a tenth of `build`, another one a tenth of `probe`.
    "both": built("kboth", probe_key="kboth"),
    # A build side that has no key at all; once its rows are dropped, once they are kept.
    "null_keys": built("knull", "LEFT"),
    "null_keys_full": built("knull", "FULL"),
    # Both sides are 336 bytes wide: at N = 2e7 either is 50 times the budget of 128 MiB.
    "build50x": dict(
        sql="SELECT count(*) AS n, sum(p.v) AS v, max(p.pad) AS p_pad, max(b.pad) AS b_pad "
        "FROM {wide} AS p INNER JOIN {wide} AS b ON p.k = b.partner",
        tables=("wide",),
        ints=("n", "v"),
        text=("p_pad", "b_pad"),
    ),
    # As written, the large table is the build side, which the right one usually is.
    "wrong_side": question("{small} AS p INNER JOIN {build} AS b ON p.k = b.k10", ("small", "build")),
    "wrong_side_left": question("{small} AS p LEFT JOIN {build} AS b ON p.k = b.k10", ("small", "build")),
    # A filter that looks selective and keeps every row of the larger side.
    "misled": question(
        "{build} AS b INNER JOIN (SELECT k, w, pt FROM {probe} WHERE w * 2 < 2000 AND w * 3 < 3000 AND w + 1 > 0) AS p "
        "ON p.k = b.k10",
        ("probe", "build"),
    ),
}


def pairs(n_rows):
    """The rows that each question aggregates. Every cold key occurs once on a side; only hot ones multiply."""
    n_hot10, n_hot50, n_small = n_rows // 10, n_rows // 2, max(1, n_rows // SMALL_SHARE)
    hot10 = n_hot10 * HOT_KEY_PROBE_ROWS + n_rows - n_hot10
    probe_hot = 2 * n_rows // 10
    both = n_hot10 * BOTH_PARTNERS + BOTH_PARTNERS * probe_hot + n_rows - probe_hot - BOTH_PARTNERS
    small = n_hot10 + n_small - 1
    return {
        "hot10": hot10,
        "hot50": n_hot50 * HOT_KEY_PROBE_ROWS + n_rows - n_hot50,
        "hot100": n_rows * HOT_KEY_PROBE_ROWS,
        "both": both,
        "null_keys": 2 * n_rows,
        "null_keys_full": 3 * n_rows,
        "build50x": n_rows,
        "wrong_side": small,
        "wrong_side_left": small,
        "misled": hot10,
    }


def main():
    environment.enter_venv()
    import skew_tables
    from generate import whole

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=whole, default=20_000_000, help="N, at least 10000 (default: 2e7)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=environment.CACHE / "data")
    chosen = parser.parse_args()
    if chosen.rows < 10_000:
        parser.error("--rows must be at least 10000: with fewer, cold and hot keys overlap")
    skew_tables.generate(chosen.rows, chosen.seed, chosen.out.expanduser())


if __name__ == "__main__":
    main()
