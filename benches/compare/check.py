"""Fingerprints of result files, the reference answers, and the comparison of the two.

One DuckDB process reads a result file after the timed run and computes:

- `exact`: row count; for every text, integer and copied float column the number of values, the sum,
  the smallest and the largest; and the sum of one hash per row over all of them, which does not depend on
  the row order. These must be equal.
- `rounded`: for every measure the count of values, sum, smallest, largest, and the sum weighted by the
  row's hash: the right numbers beside the wrong keys change it. These must agree within 1e-9.
- `order`: rows that come too early in the file, NULL last. Must be zero.

The reference is DuckDB's answer with half of the machine's memory, kept in `<data>.answers.json`.
Imported by `compare.py` without DuckDB; run in the venv for the rest.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import machine  # noqa: E402
import queries  # noqa: E402

TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-12  # for values that cancel to zero, such as the correlation of independent columns
N_WEIGHTS = 1021


# ---- comparing: standard library only ------------------------------------------------------


def differences(expected, actual, tolerance):
    """Describe every difference between two fingerprints; an empty list means the same answer."""
    found = []
    for part in ("exact", "order"):
        for name, value in expected[part].items():
            if actual[part].get(name) != value:
                found.append(f"{name} is {actual[part].get(name)}, expected {value}")
    for name, value in expected["rounded"].items():
        other = actual["rounded"].get(name)
        if not is_close(value, other, tolerance):
            found.append(f"{name} is {other}, expected {value}")
    return found


def is_close(left, right, tolerance=TOLERANCE):
    if left is None or right is None:
        return left is right
    return abs(left - right) <= max(tolerance * max(abs(left), abs(right)), ABSOLUTE_TOLERANCE)


def answers_path(stem):
    return Path(f"{stem}.answers.json")


def answer_key(stem, question):
    """Changes when the question, the data or DuckDB's version (its hash) does: no stale answer is used."""
    sizes = [(file.stat().st_size, file.stat().st_mtime_ns) for file in question.files(stem).values()]
    pins = (Path(__file__).parent / "requirements.txt").read_text().splitlines()
    duckdb_pin = next(pin for pin in pins if pin.startswith("duckdb"))
    source = f"{question}|{sizes}|{duckdb_pin}"
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def load_answers(stem):
    path = answers_path(stem)
    return json.loads(path.read_text()) if path.exists() else {}


def known_answer(stem, question):
    question = question.reference
    answer = load_answers(stem).get(question.name)
    return answer["fingerprint"] if answer and answer["key"] == answer_key(stem, question) else None


# ---- fingerprints: needs DuckDB ------------------------------------------------------------


def exact_columns(question):
    """Every exact column as one canonical SQL type: engines differ in the width they write."""
    casts = [(name, f"{name}::VARCHAR") for name in question.text]
    casts += [(name, f"{name}::BIGINT") for name in question.ints]
    return casts + [(name, f"{name}::DOUBLE") for name in question.copied_floats]


def exact_sql(question):
    parts = {"rows": "count(*)"}
    for name, cast in exact_columns(question):
        parts[f"count({name})"] = f"count({name})"
        parts[f"min({name})"] = f"min({cast})"
        parts[f"max({name})"] = f"max({cast})"
        if name in question.ints:
            parts[f"sum({name})"] = f"sum({cast}::HUGEINT)"
        if name in question.text:
            parts[f"bytes({name})"] = f"sum(strlen({cast})::HUGEINT)"
    if exact_columns(question):
        parts["row_hash"] = "sum(row_hash::HUGEINT)"
    return {name: f"({sql})::VARCHAR" for name, sql in parts.items()}


def rounded_sql(question):
    parts = {}
    for name in question.measures:
        # A correlation without variance is NaN in one engine and NULL in another.
        value = f"(CASE WHEN isnan({name}::DOUBLE) THEN NULL ELSE {name}::DOUBLE END)"
        parts[f"count({name})"] = f"count({value})::DOUBLE"
        parts[f"sum({name})"] = f"fsum({value})"
        parts[f"weighted({name})"] = f"fsum({value} * (row_hash % {N_WEIGHTS})::DOUBLE)"
        parts[f"min({name})"] = f"min({value})"
        parts[f"max({name})"] = f"max({value})"
    return parts


def select(connection, source, question, *several_parts):
    """The values of one or more sets of expressions, in one pass over `source`."""
    expressions = [sql for parts in several_parts for sql in parts.values()]
    hashed = ", ".join(cast for _, cast in exact_columns(question)) or "0"
    rows = f"SELECT *, hash({hashed}) AS row_hash FROM {source}"
    values = iter(connection.execute(f"SELECT {', '.join(expressions)} FROM ({rows})").fetchone())
    return [dict(zip(parts, values)) for parts in several_parts]


def order_sql(question, file):
    """Count the rows that must not follow the row before them, and prove that the file order was seen."""
    conditions, equal = [], "true"
    for name, direction in question.order:
        less = "<" if direction == "asc" else ">"
        before = f"(prior_{name} IS NULL AND {name} IS NOT NULL OR {name} {less} prior_{name})"
        conditions.append(f"({equal} AND {before})")
        equal += f" AND {name} IS NOT DISTINCT FROM prior_{name}"
    columns = [name for name, _ in question.order] + ["file_row_number"]
    priors = ", ".join(f"{name}, lag({name}) OVER () AS prior_{name}" for name in columns)
    return f"""
        SELECT count(*) FILTER (file_row_number > 0 AND ({" OR ".join(conditions)})),
               count(*) FILTER (file_row_number > 0 AND prior_file_row_number IS DISTINCT FROM file_row_number - 1)
        FROM (SELECT {priors} FROM read_parquet('{file}', file_row_number = true))"""


def fingerprint(connection, question, file):
    source = f"read_parquet('{file}')"
    if question.tie_column:
        return tie_fingerprint(connection, question, file)
    found = unordered_fingerprint(connection, question, source)
    return found | {"order": order_fingerprint(connection, question, file)}


def unordered_fingerprint(connection, question, source):
    exact, rounded = select(connection, source, question, exact_sql(question), rounded_sql(question))
    return {"exact": exact, "rounded": rounded, "order": {}}


def tie_fingerprint(connection, question, file):
    """Rows above the boundary value are certain; of the rows that equal it, only the value is."""
    source, column = f"read_parquet('{file}')", question.tie_column
    certain = f"(FROM {source} WHERE {column} > (SELECT min({column}) FROM {source}))"
    [exact] = select(connection, certain, question, exact_sql(question))
    n_rows, total = connection.execute(f"SELECT count(*)::VARCHAR, fsum({column}) FROM {source}").fetchone()
    return {
        "exact": exact | {"all rows": n_rows},
        "rounded": {f"all sum({column})": total},
        "order": order_fingerprint(connection, question, file),
    }


def order_fingerprint(connection, question, file):
    if not question.order:
        return {}
    n_early, n_unseen = connection.execute(order_sql(question, file)).fetchone()
    if n_unseen:
        raise SystemExit("error: DuckDB did not read the file in order; the order of the result is not proved")
    return {"rows out of order": n_early}


def connect(threads, scratch):
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}")
    connection.execute(f"SET temp_directory = '{scratch}'")
    connection.execute(f"SET memory_limit = '{machine.memory_bytes() // 2 >> 20}MiB'")
    return connection


def make_answer(connection, stem, question, scratch):
    sql = question.text_for("duckdb", stem)
    if question.order or question.tie_column:
        result = Path(scratch) / "reference.parquet"
        connection.execute(f"COPY ({sql}) TO '{result}' (FORMAT parquet, COMPRESSION zstd)")
        found = fingerprint(connection, question, result)
        result.unlink()
    else:  # where only the rows count, a result of many gigabytes need not be written
        found = unordered_fingerprint(connection, question, f"({sql})")
    return {"key": answer_key(stem, question), "sql": question.sql, "fingerprint": found}


def make_answers(stem, questions, threads, scratch_root):
    """Compute the missing reference answers and keep each as soon as it is known."""
    scratch = tempfile.mkdtemp(prefix="reference-", dir=scratch_root)
    try:
        for question in dict.fromkeys(question.reference for question in questions):
            if known_answer(stem, question):
                continue
            print(f"reference answer of {question.name} ...", file=sys.stderr)
            connection = connect(threads, scratch)
            answers = load_answers(stem) | {question.name: make_answer(connection, stem, question, scratch)}
            connection.close()
            check_totals(stem, question, answers[question.name]["fingerprint"])
            partial = Path(f"{answers_path(stem)}.partial")
            partial.write_text(json.dumps(answers, indent=1) + "\n")
            os.replace(partial, answers_path(stem))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_totals(stem, question, found):
    """Hold the reference itself against what the generator knows without any engine, where it left that."""
    path = Path(f"{stem}.totals.json")
    if not path.exists():
        return
    expected = generator_expects(json.loads(path.read_text()), question)
    for part in ("exact", "rounded"):
        for name, value in expected[part].items():
            other = found[part][name]
            if not (other == value if part == "exact" else is_close(other, value)):
                raise SystemExit(f"error: the reference says {name} = {other}, the generator {value}")


def generator_expects(description, question):
    """The part of the fingerprint of `question` that the generator wrote down, or the totals it follows from."""
    if question.name != "scan_count_sum":
        return description.get("expected", {}).get(question.name, {"exact": {}, "rounded": {}})
    totals = description["totals"]
    rounded = {
        "sum(n)": totals["n"],
        "sum(n_id1)": totals["n_id1"],
        "sum(v1)": totals["sum_v1"],
        "sum(v2)": totals["sum_v2"],
        "sum(v3)": totals["sum_v3_millionths"] / 1e6,
    }
    return {"exact": {}, "rounded": rounded}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    commands = parser.add_subparsers(dest="command", required=True)
    reference = commands.add_parser("reference", help="compute the missing reference answers")
    reference.add_argument("stem", help="path of the data without its extension")
    reference.add_argument("--questions", default="all")
    result = commands.add_parser("fingerprint", help="print the fingerprint of a result file")
    result.add_argument("question", type=queries.BY_NAME.__getitem__)
    result.add_argument("file", type=Path)
    return parser.parse_args()


def main():
    chosen = arguments()
    chosen.scratch.mkdir(parents=True, exist_ok=True)
    if chosen.command == "reference":
        make_answers(chosen.stem, queries.chosen(chosen.questions), chosen.threads, chosen.scratch)
        return
    connection = connect(chosen.threads, chosen.scratch)
    print(json.dumps(fingerprint(connection, chosen.question, chosen.file)))


if __name__ == "__main__":
    main()
