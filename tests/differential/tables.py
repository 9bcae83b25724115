"""Small random tables with NULLs, duplicates and skew, as CSV or Parquet files.

Values are chosen so that both engines must agree to the last digit: floating-point numbers are multiples of 1/4, so that
their sums are exact; CSV columns begin with a value that tells their type.
"""
import csv
import datetime
import decimal
import random
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = ["", "a", "A", "b", "ab", "zz", "key", "Zoë", "日本", "it's", 'say "x"', "a,b", "x y", "%", "a_b",
         "a text that is longer than inline ones", "a text that is longer than inline ones, and another"]
INTEGERS = ("small", "int", "big")


@dataclass
class Column:
    name: str
    kind: str


@dataclass
class Table:
    name: str
    columns: list
    rows: list
    path: str
    format: str

    @property
    def quoted(self):
        return "'" + self.path + "'"


DUCKDB_TYPES = {"small": "SMALLINT", "int": "INTEGER", "big": "BIGINT", "float": "DOUBLE", "text": "VARCHAR",
                "bool": "BOOLEAN", "date": "DATE", "time": "TIMESTAMP", "dec": "DECIMAL(9,2)"}
ARROW_TYPES = {"small": pa.int16(), "int": pa.int32(), "big": pa.int64(), "float": pa.float64(), "text": pa.string(),
               "bool": pa.bool_(), "date": pa.date32(), "time": pa.timestamp("us"), "dec": pa.decimal128(9, 2)}


def value(rng, kind, spread, in_csv):
    if kind in INTEGERS:
        return rng.randint(-spread, spread)
    if kind == "float":
        return rng.randint(-4 * spread, 4 * spread) / 4
    if kind == "text":
        words = [word for word in WORDS if word] if in_csv else WORDS
        return rng.choice(words) if spread < 50 else f"{rng.choice(words)}{rng.randint(0, spread)}"
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "date":
        return datetime.date(2024, 2, 27) + datetime.timedelta(days=rng.randint(-spread, spread))
    if kind == "time":
        start = datetime.datetime(2024, 2, 28, 23, 59, 59)
        return start + datetime.timedelta(seconds=rng.randint(-spread, spread) * rng.choice([1, 60, 86400]))
    return decimal.Decimal(rng.randint(-100 * spread, 100 * spread)) / 100


def column_values(rng, kind, n_rows, in_csv):
    spread = rng.choice([1, 3, 10, 100, 1000])
    share_null = rng.choice([0, 0, 0.1, 0.5, 1.0 if rng.random() < 0.1 and not in_csv else 0.2])
    hot, share_hot = value(rng, kind, spread, in_csv), rng.choice([0, 0, 0.5, 0.95])
    out = []
    for idx in range(n_rows):
        if rng.random() < share_null and not (in_csv and idx == 0):
            out.append(None)
        else:
            out.append(hot if rng.random() < share_hot else value(rng, kind, spread, in_csv))
    return out


def random_table(rng, name, folder):
    format = rng.choice(["csv", "parquet", "parquet"])
    kinds = ["big", "float", "text", "bool", "date", "time"] if format == "csv" else list(DUCKDB_TYPES)
    n_columns = rng.randint(2, 7)
    chosen = ["big"] + [rng.choice(kinds) for _ in range(n_columns - 1)]
    columns = [Column(f"{name}_{kind}{idx}", kind) for idx, kind in enumerate(chosen)]
    n_rows = rng.choice([1, 2, 7, 30, 100, 300, 300, 1000, 3000]) if format == "csv" else \
        rng.choice([0, 1, 2, 7, 30, 100, 300, 300, 1000, 3000])
    values = [column_values(rng, column.kind, n_rows, format == "csv") for column in columns]
    rows = list(zip(*values)) if n_rows else []
    return Table(name, columns, rows, f"{folder}/{name}.{format}", format)


def write(table, seed):
    """Writes the file. The layout of Parquet files is random, too."""
    rng = random.Random(seed)
    if table.format == "csv":
        with open(table.path, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([column.name for column in table.columns])
            for row in table.rows:
                writer.writerow([text(cell) for cell in row])
        return
    arrays = {column.name: pa.array([row[idx] for row in table.rows], ARROW_TYPES[column.kind])
              for idx, column in enumerate(table.columns)}
    pq.write_table(pa.table(arrays), table.path, row_group_size=rng.choice([10, 100, 1000, 100000]),
                   compression=rng.choice(["none", "snappy", "zstd"]), use_dictionary=rng.random() < 0.6,
                   data_page_size=rng.choice([100, 10000, 1000000]), write_page_index=rng.random() < 0.5,
                   data_page_version=rng.choice(["1.0", "2.0"]))


def text(cell):
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ")
    return str(cell)


def create_in_duckdb(connection, table):
    """A view with the types that both engines are to see."""
    if table.format == "parquet":
        source = f"read_parquet('{table.path}')"
    else:
        columns = ", ".join(f"'{column.name}': '{DUCKDB_TYPES[column.kind]}'" for column in table.columns)
        source = f"read_csv('{table.path}', header = true, auto_detect = false, columns = {{{columns}}})"
    connection.execute(f"CREATE OR REPLACE VIEW {table.name} AS SELECT * FROM {source}")
