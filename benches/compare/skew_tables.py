"""The tables of the skewed joins.

`build` and `probe` have a column per kind of skew, so that one file serves several questions. With p the place of a row
in a random order, a key column is p itself, each value once, except in the first places:

- `build`, N rows: k10 and k50 are 0 in the first 10 and 50 % of the places, k100 everywhere, knull is NULL; kboth is 0
  in the first tenth and 1 in the next 50 places.
- `probe`, 2 N rows: k is 0 in the first 5 places; kboth is 1 in the first tenth and 0 in the next 50 places.
- `small`, N / 1000 rows: k is 0 once, the others are spread over the keys that `build` has once in k10.
- `wide`, N rows: k and partner, each number once, in two orders; pad is 328 bytes of which 20 differ.

v and w are 0 to 999; bt and pt are text, each once, 24 and 32 bytes. Memory: a few chunks of a million rows.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute
import shuffled
import skew
from generate import power

PAD_BYTES = 328


def text(values, n_bytes):
    digits = pa.compute.utf8_lpad(pa.array(values).cast(pa.string()), n_bytes - 4, "0")
    return pa.compute.binary_join_element_wise("row-", digits, "")


def small_values(places):
    """0 to 999, not in step with any key; 64 bits, because Polars sums 32 bits in 32 bits."""
    return (places * 7919 + places // 1000) % skew.V_VALUES


def draw_build(n_rows, seed, rows):
    place = shuffled.shuffle(rows, n_rows, [seed, 1])
    n_hot = n_rows // 10
    both = np.where(place < n_hot, 0, np.where(place < n_hot + skew.BOTH_PARTNERS, 1, place))
    return {
        "k10": np.where(place < n_hot, 0, place),
        "k50": np.where(place < n_rows // 2, 0, place),
        "k100": np.zeros(len(rows), dtype=np.int64),
        "knull": pa.nulls(len(rows), pa.int64()),
        "kboth": both,
        "v": small_values(place),
        "bt": text(place, 24),
    }


def draw_probe(n_rows, seed, rows):
    place = shuffled.shuffle(rows, 2 * n_rows, [seed, 2])
    n_hot = 2 * n_rows // 10
    return {
        "k": np.where(place < skew.HOT_KEY_PROBE_ROWS, 0, place),
        "kboth": np.where(place < n_hot, 1, np.where(place < n_hot + skew.BOTH_PARTNERS, 0, place)),
        "w": small_values(place),
        "pt": text(place, 32),
    }


def draw_small(n_rows, seed, rows):
    n_small = max(1, n_rows // skew.SMALL_SHARE)
    place = shuffled.shuffle(rows, n_small, [seed, 3])
    step = (n_rows - n_rows // 10) // n_small
    key = np.where(place == 0, 0, n_rows // 10 + place * step)
    return {"k": key, "w": small_values(place), "pt": text(place, 32)}


def draw_wide(n_rows, seed, rows):
    place = shuffled.shuffle(rows, n_rows, [seed, 4])
    return {
        "k": place,
        "partner": shuffled.shuffle(rows, n_rows, [seed, 5]),
        "v": small_values(place),
        "pad": pa.compute.utf8_rpad(text(place, 20), PAD_BYTES, "."),
    }


DRAW = {"build": draw_build, "probe": draw_probe, "small": draw_small, "wide": draw_wide}
SMALL_COLUMNS = ("v", "w", "k100", "knull")


def generate(n_rows, seed, out):
    folder = out / f"S1_{power(n_rows)}"
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"build": n_rows, "probe": 2 * n_rows, "small": max(1, n_rows // skew.SMALL_SHARE), "wide": n_rows}
    for table, n_table_rows in sizes.items():
        draw = DRAW[table]
        schema = pa.table(draw(n_rows, seed, np.arange(1))).schema
        shuffled.write(
            *(folder, table, schema, n_table_rows),
            lambda _, rows, draw=draw: pa.table(draw(n_rows, seed, rows)),
            *(["parquet"], "zstd", SMALL_COLUMNS),
        )
    expected = {name: {"exact": {"sum(n)": str(n)}, "rounded": {}} for name, n in skew.pairs(n_rows).items()}
    description = {"n_rows": n_rows, "seed": seed, "expected": expected}
    (out / f"{folder.name}.totals.json").write_text(json.dumps(description, indent=1) + "\n")
