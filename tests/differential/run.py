#!/usr/bin/env python3
"""Asks Brimful and DuckDB the same random questions about random tables, and compares the answers.

    ~/.cache/brimful/compare-venv/bin/python tests/differential/run.py --brimful target/debug/brimful
    ... run.py --seed 17 --query 204        one query of a run again

Brimful runs on 1 to 8 threads and governs as little memory as it can. What it does not support yet is found out at the
start and left out. A failing query is made smaller, query and tables, before it is printed; its tables stay for a look.
Exit code 0: no differences.
"""
import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import duckdb

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import answers
import queries
import tables

SETTINGS = ["SET threads = 1", "SET integer_division = true",
            "SET default_null_order = 'nulls_last_on_asc_first_on_desc'", "SET TimeZone = 'UTC'"]
QUERIES_PER_TABLES = 25
PROBES = {
    "join": "SELECT a.x FROM (VALUES (1)) AS a (x) JOIN (VALUES (1)) AS b (x) ON a.x = b.x",
    "window": "SELECT sum(x) OVER (ORDER BY x) FROM (VALUES (1)) AS t (x)",
    "setop": "SELECT x FROM (VALUES (1)) AS t (x) EXCEPT SELECT 2",
    "subquery": "SELECT x FROM (VALUES (1)) AS t (x) WHERE x NOT IN (SELECT 1)",
}
# Differences of taste, which are not looked into.
KNOWN = [
    "too large for its type",           # DuckDB's sums are wider
    "two columns are called",           # GROUP BY x, CAST(x AS DOUBLE): the planner gives both one name
]


class Engine:
    """The command, with a budget and a number of threads that change from query to query."""

    def __init__(self, binary):
        self.binary = binary
        self.features = [name for name, sql in PROBES.items() if not self.once(sql, "1GiB", 2)[1]]

    def once(self, sql, governed, threads):
        """CSV, or the message of the error."""
        command = [self.binary, "sql", "-", "--format", "csv", "--memory-budget", "1GiB", "--threads", str(threads)]
        environment = dict(os.environ, BRIMFUL_TEST_GOVERNED=governed)
        done = subprocess.run(command, input=sql.encode(), capture_output=True, timeout=120, env=environment)
        message = done.stderr.decode() if done.returncode else ""
        return done.stdout.decode(), message or ("" if done.returncode == 0 else f"exit code {done.returncode}")

    def ask(self, sql, rng):
        """The answer under a random strain; a budget that is refused is raised."""
        threads = rng.choice([1, 2, 8, 8])
        for mib in [rng.choice([2, 6, 12]), 60, 1024]:
            csv, message = self.once(sql, f"{mib}MiB", threads)
            if "is too small" not in message and "below what" not in message:
                break
        return csv, message, f"BRIMFUL_TEST_GOVERNED={mib}MiB --threads {threads}"


class Case:
    """One query over its tables."""

    def __init__(self, query, all_tables, seed, folder):
        self.query, self.tables, self.seed, self.folder = query, all_tables, seed, folder

    def sql(self, for_brimful):
        names = {table.name: table.quoted if for_brimful else table.name for table in self.tables}
        return self.query.sql().format(**names)

    def run(self, engine):
        """(outcome, text): "same", "unsupported", "both fail" or "different"."""
        sql = self.sql(False)
        connection = duckdb.connect()
        for setting in SETTINGS:
            connection.execute(setting)
        for table in self.tables:
            tables.create_in_duckdb(connection, table)
        try:
            result = connection.execute(sql)
            types, rows = [str(column[1]) for column in result.description], result.fetchall()
        except duckdb.Error as error:
            types, rows = None, str(error).split("\n")[0]
        csv, message, strain = engine.ask(self.sql(True), random.Random(self.seed))
        if message:
            if any(text in message for text in KNOWN):
                return "known", message
            if "not supported" in message:
                return "unsupported", message
            if types is None:
                return "both fail", message
            return "different", f"{strain}\nbrimful fails: {message}"
        if types is None:
            return "different" if not is_taste(rows) else "known", f"{strain}\nonly duckdb fails: {rows}"
        difference = answers.difference(csv, rows, types, ordered=bool(self.query.order))
        return ("different", f"{strain}\n{difference}") if difference else ("same", "")


def is_taste(message):
    return any(text in message for text in ("Out of Range", "Conversion Error", "ambiguous", "Binder Error"))


def shrink(case, engine, kind, most_runs=150):
    """A smaller case that still goes wrong the same way."""
    n_runs = 0

    def still_fails(candidate):
        nonlocal n_runs
        n_runs += 1
        try:
            outcome, text = candidate.run(engine)
        except Exception:
            return False
        return outcome == "different" and ("fails" in text) == kind

    progress = True
    while progress and n_runs < most_runs:
        progress = False
        for query in case.query.smaller():
            candidate = Case(query, case.tables, case.seed, case.folder)
            if n_runs < most_runs and still_fails(candidate):
                case, progress = candidate, True
                break
    for idx, table in enumerate(case.tables):
        rows, step = table.rows, max(len(table.rows) // 2, 1)
        while step and n_runs < most_runs + 120 and len(rows) > 1:
            # The first row of a CSV file tells the types.
            at = 1 if table.format == "csv" else 0
            while at < len(rows) and n_runs < most_runs + 120:
                fewer = rows[:at] + rows[at + step:]
                smaller = tables.Table(table.name, table.columns, fewer, f"{case.folder}/small_{table.name}.{table.format}",
                                       table.format)
                tables.write(smaller, case.seed)
                candidate = Case(case.query, case.tables[:idx] + [smaller] + case.tables[idx + 1:], case.seed, case.folder)
                if fewer and still_fails(candidate):
                    rows, case = fewer, candidate
                else:
                    at += step
            step //= 2
        kept = tables.Table(table.name, table.columns, rows, f"{case.folder}/small_{table.name}.{table.format}", table.format)
        tables.write(kept, case.seed)
        case.tables[idx] = kept
    return case


def cases_of_round(engine, seed, round_idx, folder):
    """The tables and queries of a round; the same for a seed."""
    rng = random.Random(f"{seed}.{round_idx}")
    folder = pathlib.Path(folder) / f"round{round_idx}"
    folder.mkdir(parents=True, exist_ok=True)
    all_tables = [tables.random_table(rng, f"t{idx}", folder) for idx in range(rng.choice([1, 2, 3]))]
    for table in all_tables:
        tables.write(table, round_idx)
    generator = queries.Generator(rng, all_tables, engine.features)
    return [Case(generator.query(), all_tables, round_idx * QUERIES_PER_TABLES + idx, folder)
            for idx in range(QUERIES_PER_TABLES)]


def run_round(engine, seed, round_idx, folder, only):
    outcomes, failures = collections.Counter(), []
    for idx, case in enumerate(cases_of_round(engine, seed, round_idx, folder)):
        number = round_idx * QUERIES_PER_TABLES + idx
        if only is not None and number != only:
            continue
        outcome, text = case.run(engine)
        outcomes[outcome] += 1
        if outcome == "unsupported":
            outcomes["  " + text.split("\n")[0][:100]] += 1
        if outcome == "different":
            small = shrink(case, engine, "fails" in text)
            _, small_text = small.run(engine)
            shown = "\n".join(f"  {table.name} {table.path}: {[c.name for c in table.columns]} {table.rows[:12]}"
                              for table in small.tables if "{" + table.name + "}" in small.query.sql())
            failures.append(f"--seed {seed} --query {number}\n{small.sql(True)}\n{small_text or text}\n{shown}\n")
    if not failures:
        shutil.rmtree(pathlib.Path(folder) / f"round{round_idx}", ignore_errors=True)
    return outcomes, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brimful", default="target/debug/brimful")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--query", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    engine = Engine(arguments.brimful)
    print(f"seed {arguments.seed}; with {', '.join(engine.features) or 'neither joins nor windows'}")
    folder = tempfile.mkdtemp(prefix="brimful-differential-")
    rounds = range(-(-arguments.queries // QUERIES_PER_TABLES))
    if arguments.query is not None:
        rounds = [arguments.query // QUERIES_PER_TABLES]
    outcomes, n_failures = collections.Counter(), 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        jobs = [pool.submit(run_round, engine, arguments.seed, idx, folder, arguments.query) for idx in rounds]
        for job in concurrent.futures.as_completed(jobs):
            counted, failures = job.result()
            outcomes += counted
            n_failures += len(failures)
            for failure in failures:
                print(failure, flush=True)
    for name, count in sorted(outcomes.items(), key=lambda item: -item[1]):
        print(f"{count:6} {name}")
    print(f"seed {arguments.seed}: {n_failures} differences" + (f"; tables in {folder}" if n_failures else ""))
    sys.exit(1 if n_failures else 0)


if __name__ == "__main__":
    main()
