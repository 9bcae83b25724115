"""Shuffled numbers without the shuffle: which value stands in a row is computed from the row's number.

A table in which each key occurs once, in random order, usually needs all keys in memory. Here a permutation is a
function of the position, so tables are written chunk by chunk, and two tables agree on their keys by agreeing
on a seed. Memory: a few chunks, whatever the number of rows.
"""

import math
import os
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute
from generate import CHUNK_ROWS, CsvFile, ParquetFile

N_ROUNDS = 3  # multiply, then fold the upper half into the lower; two leave neighbours recognizable
CHUNKS_AHEAD = 2


def shuffle(positions, n_values, seed):
    """Map each of the numbers below `n_values` to another one of them, one to one."""
    n_bits = max(1, (n_values - 1).bit_length())
    rng = np.random.Generator(np.random.SFC64([*seed, n_values]))
    factors = rng.integers(0, 1 << n_bits, N_ROUNDS, dtype=np.uint64) | np.uint64(1)
    offsets = rng.integers(0, 1 << n_bits, N_ROUNDS, dtype=np.uint64)
    values = np.asarray(positions).astype(np.uint64)
    outside = np.arange(len(values))
    # A power of two is permuted; whoever lands outside is sent on until inside, which is one to one as well.
    while len(outside):
        values[outside] = mix(values[outside], n_bits, factors, offsets)
        outside = outside[values[outside] >= n_values]
    return values.astype(np.int64)


def mix(values, n_bits, factors, offsets):
    mask, half = np.uint64((1 << n_bits) - 1), np.uint64((n_bits + 1) // 2)
    for factor, offset in zip(factors, offsets):
        values = (values * factor + offset) & mask
        values ^= values >> half
    return values


def id_text(values):
    """`id7` of 7."""
    return pa.compute.binary_join_element_wise("id", pa.array(values).cast(pa.string()), "")


def write(folder, name, schema, n_rows, draw, formats, compression="zstd", dictionaries=()):
    """Write the table whose chunks `draw(chunk_idx, row numbers)` returns; a file has its name only when complete."""
    paths = [folder / f"{name}.{kind}" for kind in formats]
    partial = [path.with_name(path.name + ".partial") for path in paths]
    files = [
        CsvFile(path, schema) if kind == "csv" else ParquetFile(path, compression, schema, list(dictionaries))
        for kind, path in zip(formats, partial)
    ]
    started = time.time()
    with ThreadPoolExecutor(2) as pool:
        for table in in_order(pool, n_rows, draw):
            for file in files:
                file.write(table.cast(schema))
    for file, path, unfinished in zip(files, paths, partial):
        file.close()
        os.replace(unfinished, path)
        print(f"{path}: {path.stat().st_size:,} bytes, {time.time() - started:.0f} s", file=sys.stderr)


def in_order(pool, n_rows, draw):
    """Draw a few chunks ahead and hand them out in file order."""
    ahead = deque()
    for chunk_idx in range(math.ceil(n_rows / CHUNK_ROWS)):
        rows = np.arange(chunk_idx * CHUNK_ROWS, min(n_rows, (chunk_idx + 1) * CHUNK_ROWS))
        ahead.append(pool.submit(draw, chunk_idx, rows))
        if len(ahead) > CHUNKS_AHEAD:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()
