"""The tables of the join questions, in the shape of the public db-benchmark.

For each of three sizes n (N / 1e6, N / 1e3, N) there is a pool of 1.1 n keys: 0.9 n stand on both sides, 0.1 n only in
`x`, 0.1 n only in the tables that are joined to it. A table has each of its n keys at least once; the rows
left over have one drawn at random; all in random order. id1 to id3 are the keys as INT32, id4 to id6 the same as text
(`id7`), v1 and v2 are uniform from 0 to 100 with six decimals.

Memory: a few chunks of a million rows. `<folder>.totals.json` has, for each inner join, the number of rows and the
sum of v1 as the generator counted them.
"""

import json
from dataclasses import dataclass
from threading import Lock

import numpy as np
import pyarrow as pa
import shuffled
from generate import V3_STEPS, power

TABLE_KEYS = {"x": 3, "small": 1, "medium": 2, "big": 3}
# An int of id3 or a text of it occurs once: a dictionary would only overflow.
DICTIONARIES = ("id1", "id2", "id4", "id5")
QUESTION_KEYS = {"j1": 0, "j2": 1, "j4": 1, "j5": 2}


@dataclass(frozen=True)
class Shape:
    """What decides the tables: nothing else does."""

    n_rows: int
    seed: int

    def n_keys(self, key_idx):
        return max(1, self.n_rows // (10**6, 10**3, 1)[key_idx])

    def n_common(self, key_idx):
        """How many of the keys stand on both sides."""
        return max(1, self.n_keys(key_idx) * 9 // 10)

    def table_rows(self, table):
        return self.n_rows if table == "x" else self.n_keys(TABLE_KEYS[table] - 1)

    @property
    def name(self):
        return f"J1_{power(self.n_rows)}_NA_0_0"


class Totals:
    """Rows of `x` that have a partner, and the sum of their v1, for each inner join."""

    def __init__(self):
        self.sums = {question: [0, 0] for question in QUESTION_KEYS}
        self.lock = Lock()

    def add(self, partners, v1):
        with self.lock:
            for question, key_idx in QUESTION_KEYS.items():
                self.sums[question][0] += int(np.count_nonzero(partners[key_idx]))
                self.sums[question][1] += int(v1[partners[key_idx]].sum(dtype=np.int64))

    def expected(self):
        return {
            question: {"exact": {"rows": str(n_rows)}, "rounded": {"sum(v1)": total / 1e6}}
            for question, (n_rows, total) in self.sums.items()
        }


def draw(shape, table, totals, chunk_idx, rows):
    table_idx = list(TABLE_KEYS).index(table)
    rng = np.random.Generator(np.random.SFC64([shape.seed, table_idx, chunk_idx]))
    columns, partners = {}, []
    for key_idx in range(TABLE_KEYS[table]):
        indices = key_indices(shape, table_idx, key_idx, rows, rng)
        n_keys, n_common = shape.n_keys(key_idx), shape.n_common(key_idx)
        partners.append(indices < n_common)
        if table != "x":  # past the keys that only `x` has
            indices = np.where(indices < n_common, indices, indices + n_keys - n_common)
        keys = 1 + shuffled.shuffle(indices, 2 * n_keys - n_common, [shape.seed, key_idx])
        columns[f"id{1 + key_idx}"] = keys.astype(np.int32)
    for key_idx in range(TABLE_KEYS[table]):
        columns[f"id{4 + key_idx}"] = shuffled.id_text(columns[f"id{1 + key_idx}"])
    value = rng.integers(0, V3_STEPS, len(rows), dtype=np.int32, endpoint=True)
    columns["v1" if table == "x" else "v2"] = value / 1e6
    if table == "x":
        totals.add(partners, value)
    return pa.table(columns)


def key_indices(shape, table_idx, key_idx, rows, rng):
    """Which of its keys each row has: in random order first each once, then any."""
    n_keys, n_rows = shape.n_keys(key_idx), shape.table_rows(list(TABLE_KEYS)[table_idx])
    positions = shuffled.shuffle(rows, n_rows, [shape.seed, 1 + table_idx, key_idx])
    drawn = rng.integers(0, n_keys, len(rows)) if n_rows > n_keys else 0
    return np.where(positions < n_keys, positions, drawn)


def schema_of(table):
    ids = range(1, 1 + TABLE_KEYS[table])
    value = pa.field("v1" if table == "x" else "v2", pa.float64())
    ints = [pa.field(f"id{idx}", pa.int32()) for idx in ids]
    return pa.schema([*ints, *(pa.field(f"id{3 + idx}", pa.string()) for idx in ids), value])


def generate(shape, out, formats, compression):
    folder, totals = out / shape.name, Totals()
    folder.mkdir(parents=True, exist_ok=True)
    for table in TABLE_KEYS:
        shuffled.write(
            *(folder, table, schema_of(table), shape.table_rows(table)),
            lambda chunk_idx, rows, table=table: draw(shape, table, totals, chunk_idx, rows),
            *(formats, compression, DICTIONARIES),
        )
    description = {**shape.__dict__, "compression": compression, "expected": totals.expected()}
    (out / f"{shape.name}.totals.json").write_text(json.dumps(description, indent=1) + "\n")
