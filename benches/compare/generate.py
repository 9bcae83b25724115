#!/usr/bin/env python3
"""Writes the group-by table of the public db-benchmark as Parquet and CSV, at any size.

Memory: a few chunks of about one million rows, whatever `--rows` says. The sorted table is also
drawn chunk by chunk: the table is cut into cells in sort order, the number of rows of each cell
is drawn first (sequential binomials, so the whole is one multinomial draw), and only then the
rows of a few neighbouring cells. One exception: with `--na` and a small `--groups`, the rows whose
id3 is NULL are a single cell, 5 % of the rows of one (id1, id2).

The same seed gives the same table, whatever the number of threads.
"""

import argparse
import json
import math
import os
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True
import environment  # noqa: E402

environment.enter_venv()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute  # noqa: E402
import pyarrow.csv  # noqa: E402
import pyarrow.parquet  # noqa: E402

CHUNK_ROWS = 1_000_000  # also the rows of a Parquet row group
V3_STEPS = 100_000_000  # v3 is an integer number of millionths, so it has six decimals exactly
CSV_BATCH_ROWS = 65_536  # the writer's default of 1024 costs a third of the time
DICTIONARY_BYTES = 4 << 20  # the 1e5 values of a medium key as text take more than the default of 1 MiB
MAX_LINKS = 60_000  # ext4 allows 65,000 links to a file

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id1", "id2", "id3")]
    + [(name, pa.int32()) for name in ("id4", "id5", "id6", "v1", "v2")]
    + [("v3", pa.float64())]
)


@dataclass(frozen=True)
class Shape:
    """What decides the table: nothing else does."""

    n_rows: int
    n_groups: int  # K: the number of values of id1, id2, id4, id5
    na_percent: int
    is_sorted: bool
    seed: int

    @property
    def n_large(self):
        """The number of values of id3 and id6."""
        return max(1, self.n_rows // self.n_groups)

    def n_kept(self, n_values):
        """How many of `n_values` key values are not NULL: the last `na_percent` of the values are."""
        return n_values - n_values * self.na_percent // 100

    @property
    def name(self):
        return f"G1_{power(self.n_rows)}_{power(self.n_groups)}_{self.na_percent}_{int(self.is_sorted)}"


def power(number):
    """1000000 -> `1e6`, 250000 -> `25e4`, as the db-benchmark names its files."""
    digits = str(number).rstrip("0")
    return f"{digits}e{len(str(number)) - len(digits)}"


# ---- drawing -------------------------------------------------------------------------------


def draws(shape):
    """Yield one function per chunk, in file order; each returns the chunk's code arrays."""
    if shape.is_sorted:
        yield from sorted_draws(shape)
        return
    for chunk_idx in range(math.ceil(shape.n_rows / CHUNK_ROWS)):
        n_rows = min(CHUNK_ROWS, shape.n_rows - chunk_idx * CHUNK_ROWS)
        yield lambda chunk_idx=chunk_idx, n_rows=n_rows: draw_chunk(shape, chunk_idx, n_rows)


def chunk_random(shape, chunk_idx):
    return np.random.Generator(np.random.SFC64([shape.seed, chunk_idx]))


def draw_chunk(shape, chunk_idx, n_rows):
    rng = chunk_random(shape, chunk_idx)
    small, large = shape.n_groups, shape.n_large
    sizes = {"id1": small, "id2": small, "id3": large, "id4": small, "id5": small, "id6": large}
    codes = {name: rng.integers(0, n_values, n_rows, dtype=np.int32) for name, n_values in sizes.items()}
    return codes | draw_values(shape, rng, n_rows)


def draw_values(shape, rng, n_rows):
    columns = {
        "v1": rng.integers(1, 6, n_rows, dtype=np.int32),
        "v2": rng.integers(1, 16, n_rows, dtype=np.int32),
        "v3": rng.integers(0, V3_STEPS, n_rows, dtype=np.int32, endpoint=True),
    }
    if shape.na_percent:
        for name in ("v1", "v2", "v3"):
            columns[f"{name}_null"] = rng.random(n_rows, dtype=np.float32) < shape.na_percent / 100
    return columns


def sorted_cells(shape):
    """Yield (id1, id2, id3 from, id3 to, weight) in sort order; NULL keys come last, as one code."""
    small = key_parts(shape, shape.n_groups)
    for id1, weight1 in small:
        for id2, weight2 in small:
            yield from id3_cells(shape, id1, id2, weight1 * weight2)


def key_parts(shape, n_values):
    """The codes of a small key with their probabilities; every NULL value is folded into one code."""
    n_kept = shape.n_kept(n_values)
    parts = [(code, 1 / n_values) for code in range(n_kept)]
    return parts + [(n_kept, (n_values - n_kept) / n_values)] * (n_kept < n_values)


def id3_cells(shape, id1, id2, weight):
    n_values, n_kept = shape.n_large, shape.n_kept(shape.n_large)
    n_parts = max(1, round(weight * shape.n_rows / CHUNK_ROWS))
    edges = [n_kept * part // n_parts for part in range(n_parts + 1)]
    for low, high in zip(edges, edges[1:]):
        if high > low:
            yield id1, id2, low, high, weight * (high - low) / n_values
    if n_kept < n_values:
        yield id1, id2, n_kept, n_kept + 1, weight * (n_values - n_kept) / n_values


def sorted_draws(shape):
    rng = np.random.Generator(np.random.SFC64([shape.seed, 2**31]))
    n_left, weight_left = shape.n_rows, 1.0
    cells, n_cell_rows, chunk_idx = [], 0, 0
    for *cell, weight in sorted_cells(shape):
        if n_cell_rows >= CHUNK_ROWS:
            yield lambda chunk_idx=chunk_idx, cells=cells: draw_cells(shape, chunk_idx, cells)
            cells, n_cell_rows, chunk_idx = [], 0, chunk_idx + 1
        n_rows = int(rng.binomial(n_left, min(1.0, weight / weight_left))) if weight_left > 1e-12 else n_left
        n_left, weight_left = n_left - n_rows, weight_left - weight
        cells.append((*cell, n_rows))
        n_cell_rows += n_rows
    cells[-1] = (*cell, n_rows + n_left)  # the rows that rounding of the weights left to nobody
    yield lambda: draw_cells(shape, chunk_idx, cells)


def draw_cells(shape, chunk_idx, cells):
    rng = chunk_random(shape, chunk_idx)
    id1, id2, low, high, n_rows = (np.array(part, dtype=np.int64) for part in zip(*cells))
    cell = np.repeat(np.arange(len(cells)), n_rows)
    id3 = rng.integers(low[cell], high[cell])
    codes = {"id1": id1[cell], "id2": id2[cell], "id3": id3}
    for name, n_values in (("id4", shape.n_groups), ("id5", shape.n_groups), ("id6", shape.n_large)):
        drawn = rng.integers(0, n_values, len(cell), dtype=np.int32)
        codes[name] = np.minimum(drawn, shape.n_kept(n_values))  # every NULL sorts as one value
    major = cell * shape.n_large + id3
    minor = (codes["id4"].astype(np.int64) * shape.n_groups + codes["id5"]) * shape.n_large + codes["id6"]
    order = np.lexsort((minor, major))
    return {name: column[order] for name, column in codes.items()} | draw_values(shape, rng, len(cell))


# ---- code arrays to Arrow ------------------------------------------------------------------

FIVE_DIGITS = np.array([list(f"{number:05d}".encode()) for number in range(100_000)], dtype=np.uint8)


def id_text(codes, width):
    """`id001` from 0: built as one block of bytes, because formatting row by row is 50 times slower."""
    values = np.asarray(codes, dtype=np.int64) + 1
    text = np.empty((len(values), 2 + width), dtype=np.uint8)
    text[:, :2] = np.frombuffer(b"id", dtype=np.uint8)
    if width <= 5:
        text[:, 2:] = FIVE_DIGITS[values][:, 5 - width :]
    else:
        head, tail = np.divmod(values, 100_000)
        text[:, 2 : width - 3] = FIVE_DIGITS[head][:, 10 - width :]
        text[:, width - 3 :] = FIVE_DIGITS[tail]
    offsets = np.arange(0, text.size + 1, 2 + width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(text))


def with_nulls(array, is_null):
    if not is_null.any():
        return array
    return pa.compute.if_else(pa.array(is_null), pa.scalar(None, array.type), array)


def to_table(shape, columns):
    arrays = []
    for name, n_values in (("id1", shape.n_groups), ("id2", shape.n_groups), ("id3", shape.n_large)):
        array = id_text(columns[name], 10 if name == "id3" else 3)
        arrays.append(with_nulls(array, columns[name] >= shape.n_kept(n_values)))
    for name, n_values in (("id4", shape.n_groups), ("id5", shape.n_groups), ("id6", shape.n_large)):
        array = pa.array((columns[name] + 1).astype(np.int32))
        arrays.append(with_nulls(array, columns[name] >= shape.n_kept(n_values)))
    for name in ("v1", "v2", "v3"):
        values = columns[name] / 1e6 if name == "v3" else columns[name]
        array = pa.array(values)
        arrays.append(with_nulls(array, columns[f"{name}_null"]) if shape.na_percent else array)
    return pa.table(arrays, schema=SCHEMA)


# ---- writing -------------------------------------------------------------------------------


SMALL_COLUMNS = ["id1", "id2", "id4", "id5", "v1", "v2"]


class ParquetFile:
    """Small keys as dictionaries; id3, id6 and v3 plain: a dictionary of them overflows in every row group."""

    def __init__(self, path, compression, schema=SCHEMA, dictionaries=SMALL_COLUMNS):
        # Without the Arrow schema in the footer every engine sees plain Parquet types.
        self.writer = pa.parquet.ParquetWriter(
            *(path, schema),
            compression=compression,
            use_dictionary=dictionaries,
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            store_schema=False,
        )

    def write(self, table):
        n_groups = max(1, round(table.num_rows / CHUNK_ROWS))  # a sorted chunk is a little larger than the others
        self.writer.write_table(table, row_group_size=math.ceil(table.num_rows / n_groups))

    def close(self):
        self.writer.close()


class CsvFile:
    def __init__(self, path, schema=SCHEMA):
        options = pa.csv.WriteOptions(batch_size=CSV_BATCH_ROWS, quoting_style="none", quoting_header="none")
        self.writer = pa.csv.CSVWriter(path, schema, write_options=options)

    def write(self, table):
        self.writer.write_table(table)

    def close(self):
        self.writer.close()


class Totals:
    """Exact totals of what was drawn, to check the engines against something that is no engine."""

    def __init__(self):
        self.sums = {"n": 0, "n_id1": 0, "sum_v1": 0, "sum_v2": 0, "sum_v3_millionths": 0}

    def add(self, shape, columns):
        self.sums["n"] += len(columns["v1"])
        self.sums["n_id1"] += int(np.count_nonzero(columns["id1"] < shape.n_kept(shape.n_groups)))
        for name, total in (("v1", "sum_v1"), ("v2", "sum_v2"), ("v3", "sum_v3_millionths")):
            kept = columns[name][~columns[f"{name}_null"]] if shape.na_percent else columns[name]
            self.sums[total] += int(kept.sum(dtype=np.int64))


def generate(shape, folder, formats, compression):
    """Write the table; a file appears under its name only when it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f"{shape.name}.{kind}" for kind in formats}
    partial = {kind: path.with_name(path.name + ".partial") for kind, path in paths.items()}
    files = [
        ParquetFile(partial[kind], compression) if kind == "parquet" else CsvFile(partial[kind]) for kind in formats
    ]
    totals, started = Totals(), time.time()
    with ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(2) as writers:
        for columns, table in in_order(pool, shape):
            totals.add(shape, columns)
            list(writers.map(lambda file: file.write(table), files))
            report(totals.sums["n"], shape.n_rows, started)
    assert totals.sums["n"] == shape.n_rows, "the chunks do not add up to the table"
    for file in files:
        file.close()
    for kind, path in paths.items():
        os.replace(partial[kind], path)
    write_description(shape, folder, compression, totals)
    return list(paths.values())


def in_order(pool, shape):
    """Draw two chunks ahead and hand them out in file order."""
    ahead = deque()
    for draw in draws(shape):
        ahead.append(pool.submit(drawn_table, shape, draw))
        if len(ahead) > 2:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def drawn_table(shape, draw):
    columns = draw()
    return columns, to_table(shape, columns)


def report(n_done, n_rows, started):
    if sys.stderr.isatty() or n_done == n_rows:
        print(f"\r{n_done:,} of {n_rows:,} rows, {time.time() - started:.0f} s", end="", file=sys.stderr)
        print("" if n_done < n_rows else "\n", end="", file=sys.stderr)


def write_description(shape, folder, compression, totals):
    description = {**shape.__dict__, "compression": compression, "totals": totals.sums}
    (folder / f"{shape.name}.totals.json").write_text(json.dumps(description, indent=1) + "\n")


def link_archive(source, folder, total_bytes):
    """Fill `folder` with hard links to `source` until they add up: an archive that takes no disk."""
    n_links = math.ceil(total_bytes / source.stat().st_size)
    if n_links > MAX_LINKS:
        raise SystemExit(f"error: {n_links} links to {source} are too many (at most {MAX_LINKS}); use a larger file")
    folder.mkdir(parents=True, exist_ok=True)
    for link_idx in range(n_links):
        link = folder / f"part-{link_idx:05d}{source.suffix}"
        link.unlink(missing_ok=True)
        os.link(source, link)
    print(f"{folder}: {n_links} links, {n_links * source.stat().st_size:,} bytes")


def whole(text):
    """`1e8` and `100000000` are the same number of rows."""
    number = float(text)
    if number != int(number) or number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(number)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=whole, default=1_000_000, help="N, for example 1e8")
    parser.add_argument("--groups", type=whole, default=100, help="K: 2, 10 or 100 in the db-benchmark, at most 999")
    parser.add_argument("--na", type=int, default=0, choices=range(0, 51), metavar="PERCENT")
    parser.add_argument("--sorted", action="store_true", help="sorted by id1 to id6, NULL last")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", default="parquet", help="parquet, csv or parquet,csv")
    parser.add_argument("--compression", default="zstd", choices=("zstd", "snappy"))
    parser.add_argument("--out", type=Path, default=environment.CACHE / "data")
    parser.add_argument("--link-archive", type=Path, metavar="DIR", help="fill DIR with hard links to the file")
    parser.add_argument("--total-bytes", type=whole, default=120_000_000_000)
    chosen = parser.parse_args()
    if not 2 <= chosen.groups <= 999 or chosen.rows < chosen.groups:
        parser.error("--groups must lie between 2 and 999 and not exceed --rows")
    if not set(chosen.format.split(",")) <= {"parquet", "csv"}:
        parser.error("--format takes parquet, csv or both with a comma")
    return chosen


def main():
    chosen = arguments()
    shape = Shape(chosen.rows, chosen.groups, chosen.na, chosen.sorted, chosen.seed)
    formats = chosen.format.split(",")
    paths = [chosen.out / f"{shape.name}.{kind}" for kind in formats]
    if not (chosen.link_archive and all(path.exists() for path in paths)):
        paths = generate(shape, chosen.out, formats, chosen.compression)
    for path in paths:
        print(f"{path}: {path.stat().st_size:,} bytes")
    if chosen.link_archive:
        link_archive(paths[0], chosen.link_archive, chosen.total_bytes)


if __name__ == "__main__":
    main()
