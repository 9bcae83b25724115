#!/usr/bin/env python3
"""Asks Brimful and DuckDB the same random questions over small random tables, and stops at the first difference.

    python3 differential.py --n 500 --seed 1 --brimful ../../target/release/brimful

Joins in many orders and of every kind, subqueries (EXISTS, IN, NOT IN with NULLs, scalar), CTEs that are used twice, set
operations with and without ALL, groups. Every query returns integers and NULLs, so answers must be the same
multiset. A query's seed is printed with it; `--seed S --n 1` asks it again.
"""

import argparse
import collections
import csv
import io
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import environment  # noqa: E402

COLUMNS = ("a", "b", "c")
N_TABLES = 6


def make_tables(connection, folder, rng):
    """Tables of 0 to 60 rows; some columns are unique, some have few values, some are NULL now and then."""
    for number in range(N_TABLES):
        n_rows = rng.choice((0, 1, 5, 20, 60))
        n_values = [rng.choice((2, 5, 20)) for _ in COLUMNS]
        null_share = [rng.choice((0, 0, 0.1, 0.5)) for _ in COLUMNS]

        def cell(idx, row):
            if rng.random() < null_share[idx]:
                return "NULL::BIGINT"
            return f"{row if idx == 0 and number % 2 else rng.randrange(n_values[idx])}::BIGINT"

        rows = [", ".join(cell(idx, row) for idx in range(len(COLUMNS))) for row in range(n_rows)]
        values = ", ".join(f"({row})" for row in rows) or "(NULL::BIGINT, NULL::BIGINT, NULL::BIGINT)"
        keep = "" if rows else "WHERE false"
        file = folder / f"t{number}.parquet"
        connection.execute(f"COPY (SELECT * FROM (VALUES {values}) AS v (a, b, c) {keep}) TO '{file}' (FORMAT parquet)")


class Writer:
    """Writes one query."""

    def __init__(self, rng, folder):
        self.rng, self.folder, self.n_aliases = rng, folder, 0

    def table(self):
        self.n_aliases += 1
        alias = f"x{self.n_aliases}"
        if self.rng.random() < 0.15:
            inner = self.rng.choice(
                ("SELECT DISTINCT a, b, c FROM {t}", "SELECT a, max(b) AS b, count(*) AS c FROM {t} GROUP BY a")
            )
            return f"({inner.format(t=self.file())}) AS {alias}", alias
        return f"{self.file()} AS {alias}", alias

    def file(self):
        return f"'{self.folder}/t{self.rng.randrange(N_TABLES)}.parquet'"

    def column(self, aliases):
        return f"{self.rng.choice(aliases)}.{self.rng.choice(COLUMNS)}"

    def comparison(self, aliases):
        op = self.rng.choice(("=", "=", "<", "<>", ">="))
        if self.rng.random() < 0.4:
            return f"{self.column(aliases)} {op} {self.rng.randrange(6)}"
        return f"{self.column(aliases)} {op} {self.column(aliases)}"

    def condition(self, aliases, depth=0):
        kind = self.rng.random()
        if kind < 0.15 and depth < 2:
            word = self.rng.choice(("OR", "AND"))
            return f"({self.condition(aliases, depth + 1)} {word} {self.condition(aliases, depth + 1)})"
        if kind < 0.45 and depth < 2:
            return self.subquery(aliases)
        if kind < 0.5:
            return f"{self.column(aliases)} IS {self.rng.choice(('', 'NOT '))}NULL"
        return self.comparison(aliases)

    def subquery(self, aliases):
        source, alias = self.table()
        inner = [self.comparison([alias])] if self.rng.random() < 0.5 else []
        correlated = f"{self.column([alias])} = {self.column(aliases)}"
        kind = self.rng.choice(("exists", "in", "scalar"))
        if kind == "exists":
            where = " AND ".join([correlated, *inner])
            return f"{self.rng.choice(('', 'NOT '))}EXISTS (SELECT 1 FROM {source} WHERE {where})"
        if kind == "in":
            if self.rng.random() < 0.3:
                inner.append(correlated)
            where = f" WHERE {' AND '.join(inner)}" if inner else ""
            word = self.rng.choice(("IN", "NOT IN"))
            return f"{self.column(aliases)} {word} (SELECT {self.column([alias])} FROM {source}{where})"
        if self.rng.random() < 0.6:
            inner.append(correlated)
        where = f" WHERE {' AND '.join(inner)}" if inner else ""
        function = self.rng.choice(("max", "min", "sum", "count"))
        op = self.rng.choice(("=", "<", ">"))
        return f"{self.column(aliases)} {op} (SELECT {function}({self.column([alias])}) FROM {source}{where})"

    def joined(self):
        """A FROM clause, its aliases, and equalities for WHERE that tie the tables that commas separate."""
        source, alias = self.table()
        aliases, text, ties = [alias], source, []
        for _ in range(self.rng.choice((0, 1, 1, 2, 2, 3, 4))):
            source, alias = self.table()
            key = f"{self.column([alias])} = {self.column(aliases)}"
            word = self.rng.choice((",", ",", ",", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))
            if word == ",":
                # A comma binds less than JOIN, so that a later ON cannot name earlier tables.
                text = f"({text}) CROSS JOIN {source}"
                ties += [key] if self.rng.random() < 0.9 else []
            else:
                extra = f" AND {self.comparison([*aliases, alias])}" if self.rng.random() < 0.3 else ""
                text = f"({text}) {word} {source} ON {key}{extra}"
            aliases.append(alias)
        return text, aliases, ties

    def select(self, n_columns):
        source, aliases, conditions = self.joined()
        conditions += [self.condition(aliases) for _ in range(self.rng.choice((0, 0, 1, 1, 2)))]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        columns = [self.column(aliases) for _ in range(n_columns)]
        if self.rng.random() < 0.4:
            functions = ("count", "sum", "min", "max")
            calls = [f"{self.rng.choice(functions)}({self.column(aliases)})" for _ in range(n_columns - 1)]
            items = ", ".join(f"{item} AS r{idx}" for idx, item in enumerate([columns[0], *calls]))
            having = f" HAVING count(*) > {self.rng.randrange(3)}" if self.rng.random() < 0.3 else ""
            return f"SELECT {items} FROM {source}{where} GROUP BY {columns[0]}{having}"
        items = ", ".join(f"{item} AS r{idx}" for idx, item in enumerate(columns))
        return f"SELECT {self.rng.choice(('', '', 'DISTINCT '))}{items} FROM {source}{where}"

    def query(self):
        n_columns = self.rng.choice((1, 2, 3))
        kind = self.rng.random()
        if kind < 0.25:
            operation = self.rng.choice(("UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"))
            return f"({self.select(n_columns)}) {operation} ({self.select(n_columns)})"
        if kind < 0.4:
            # Names of CTEs are nobody else's.
            return (
                f"WITH g AS ({self.select(3)}) SELECT g1.r0 AS r0, g2.r1 AS r1 FROM g AS g1 JOIN g AS g2 "
                f"ON g1.r0 = g2.r0 WHERE g1.r1 >= (SELECT min(r1) FROM g) OR g1.r2 IS NULL"
            )
        return self.select(n_columns)


def rows_of_brimful(options, query):
    command = [options.brimful, "sql", query, "--format", "csv", "--threads", "2", "--memory-budget", options.budget]
    process = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    if process.returncode != 0:
        return f"failed: {process.stderr.strip()}"
    rows = list(csv.reader(io.StringIO(process.stdout)))[1:]
    return collections.Counter(tuple(None if cell == "" else int(cell) for cell in row or [""]) for row in rows)


def ask(options, connection, folder, seed):
    rng = random.Random(seed)
    make_tables(connection, folder, rng)
    query = Writer(rng, folder).query()
    expected = collections.Counter(tuple(row) for row in connection.execute(query).fetchall())
    found = rows_of_brimful(options, query)
    if found == expected:
        return "same" if expected else "empty"
    print(f"seed {seed}\n{query}\nexpected {dict(expected)}\nfound {found if isinstance(found, str) else dict(found)}")
    return "different"


def main():
    environment.enter_venv()
    import duckdb

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=200, help="how many queries (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first one")
    parser.add_argument("--brimful", type=Path, default=environment.HERE.parents[1] / "target" / "release" / "brimful")
    parser.add_argument("--budget", default="128MiB")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first difference")
    options = parser.parse_args()
    connection, n_of = duckdb.connect(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seed, options.seed + options.n):
            outcome = ask(options, connection, Path(folder), seed)
            n_of[outcome] += 1
            if outcome == "different" and not options.keep_going:
                break
    print(", ".join(f"{n} {outcome}" for outcome, n in n_of.items()))
    sys.exit(n_of["different"] > 0)


if __name__ == "__main__":
    main()
