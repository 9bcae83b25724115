"""DuckDB's answers to the questions of a working day, and what differs between two folders of answers.

Every value must be equal, floating-point numbers to a relative tolerance (`TOLERANCE`): sums depend on the order of additions.
Rows must come in the same order. Results that are as large as the input are told apart by a sum of hashes of each row
with its place, and deleted.

Started by `run.py` in the venv, one process a step. Standard library and DuckDB.
"""

import argparse
import itertools
import json
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import days  # noqa: E402

TOLERANCE = 1e-9
MOST_SHOWN = 5
BATCH_ROWS = 10_000
FLOATS = ("FLOAT", "DOUBLE", "REAL")
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


def connect(options):
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{options.memory}'")
    connection.execute(f"SET temp_directory = '{options.scratch}'")
    return connection


# ---- answers of DuckDB ---------------------------------------------------------------------


def write_answers(connection, day, folder):
    """The results of `day` as Parquet files in `folder`, from the data in the current folder."""
    written = {}
    for result in day.results:
        path = folder / f"{result.name}.parquet"
        if result.sql in written:
            os.link(written[result.sql], path)
        else:
            connection.execute(f"COPY ({result.sql}) TO '{path}' (FORMAT parquet)")
            written[result.sql] = path
        if result.by_fingerprint:
            condense(connection, path, folder / f"{result.name}.json")


def condense(connection, path, target):
    """Put the fingerprint of a large Parquet file in its place."""
    columns = [name for name, _ in columns_of(connection, f"'{path}'")]
    values = ", ".join(canonical(name, kind) for name, kind in columns_of(connection, f"'{path}'"))
    source = f"read_parquet('{path}', file_row_number = true)"
    n_rows, rows, places = connection.execute(
        f"SELECT count(*), sum(hash({values})::HUGEINT), sum(hash(file_row_number, {values})::HUGEINT) FROM {source}"
    ).fetchone()
    # HUGEINT comes as int; JSON of Python keeps all digits.
    fingerprint = {"columns": columns, "rows": n_rows, "hash of rows": rows, "hash of rows in order": places}
    target.write_text(json.dumps(fingerprint, indent=1) + "\n")
    path.unlink()


# ---- comparing -----------------------------------------------------------------------------


def columns_of(connection, source):
    described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    return [(name, kind) for name, kind, *_ in described if name != "file_row_number"]


def kind_of(sql_type):
    """What a column holds; engines differ in widths."""
    for kind, types in (("number", FLOATS), ("integer", INTEGERS)):
        if sql_type in types:
            return kind
    return sql_type.split("(")[0].lower()


def canonical(name, sql_type):
    width = {"number": "DOUBLE", "integer": "BIGINT"}.get(kind_of(sql_type), sql_type)
    return f'"{name}"::{width}'


def source_of(connection, folder, name, like):
    """A result as something to select from; CSV is read with the types that it was written from."""
    answer = folder / f"{name}.parquet"  # of DuckDB
    if answer.exists():
        return f"'{answer}'"
    path = folder / name
    if not name.endswith(".csv"):
        return f"'{path}'"
    types = ", ".join(f"'{column}': '{kind}'" for column, kind in like)
    return f"read_csv('{path}', header = true, types = {{{types}}})"


def differences(connection, day, expected, found):
    """Describe what differs between the folders `expected` and `found`."""
    for output in day.outputs:
        for difference in differences_of(connection, output, expected, found):
            yield f"{output.name}: {difference}"


def differences_of(connection, output, expected, found):
    if isinstance(output, days.Sample):
        drawn = [folder / output.name for folder in (expected, found)]
        if drawn[0].exists() and drawn[0].read_bytes() != drawn[1].read_bytes():
            yield "the files differ"
        return
    if output.by_fingerprint:
        left, right = (json.loads((folder / f"{output.name}.json").read_text()) for folder in (expected, found))
        yield from (f"{what} is {right[what]}, expected {left[what]}" for what in left if left[what] != right[what])
        return
    answer = expected / f"{output.name}.parquet"
    like = columns_of(connection, f"'{answer}'") if answer.exists() else None
    if like is None and output.name.endswith(".csv"):
        # Both are ours, and were compared with the answer already.
        like = columns_of(connection, f"read_csv('{expected / output.name}', header = true)")
    left = source_of(connection, expected, output.name, like)
    right = source_of(connection, found, output.name, like)
    yield from itertools.islice(differences_of_rows(connection, left, right), MOST_SHOWN)


def differences_of_rows(connection, left, right):
    left_columns, right_columns = columns_of(connection, left), columns_of(connection, right)
    if [name for name, _ in left_columns] != [name for name, _ in right_columns]:
        yield f"the columns are {right_columns}, expected {left_columns}"
        return
    for (name, wanted), (_, kind) in zip(left_columns, right_columns):
        if kind_of(wanted) != kind_of(kind):
            yield f"{name} is of type {kind}, expected {wanted}"
            return
    names = [name for name, _ in left_columns]
    left_rows, right_rows = rows_of(connection, left), rows_of(connection, right)
    for row, (wanted, found) in enumerate(itertools.zip_longest(left_rows, right_rows)):
        if wanted is None or found is None:
            yield f"there are {'more' if wanted is None else 'fewer'} rows than expected, from row {row} on"
            return
        for name, one, other in zip(names, wanted, found):
            if not is_close(one, other):
                yield f"row {row}: {name} is {other!r}, expected {one!r}"


def rows_of(connection, source):
    cursor = connection.cursor().execute(f"SELECT * FROM {source}")
    while batch := cursor.fetchmany(BATCH_ROWS):
        yield from batch


def is_close(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or abs(one - other) <= TOLERANCE * max(abs(one), abs(other))
    return one == other


def sample_differences(connection, sample, found):
    """A sample has as many rows as asked, and each of them is one of the data in the current folder."""
    types = dict(columns_of(connection, sample.source))
    header = [name for name, _ in columns_of(connection, f"read_csv('{found / sample.name}', header = true)")]
    if wrong := [name for name in header if name not in types]:
        yield f"{sample.name}: no columns of the data: {wrong}"
        return
    drawn = source_of(connection, found, sample.name, [(name, types[name]) for name in header])
    names = ", ".join(f'"{name}"' for name in header)
    n_rows, n_strange = connection.execute(
        f"WITH drawn AS (SELECT * FROM {drawn}), "
        f"known AS (SELECT DISTINCT {names} FROM {sample.source} SEMI JOIN drawn USING ({names})) "
        f"SELECT (SELECT count(*) FROM drawn), (SELECT count(*) FROM drawn ANTI JOIN known USING ({names}))"
    ).fetchone()
    if n_rows != sample.rows:
        yield f"{sample.name}: {n_rows} rows, expected {sample.rows}"
    if n_strange:
        yield f"{sample.name}: {n_strange} rows are not in the data"


# ---- the steps -----------------------------------------------------------------------------


def check(connection, day, expected, found):
    """Compare what one way wrote with DuckDB's answers."""
    missing = [output.name for output in day.outputs if not exists(found, output)]
    if missing:
        return [f"{name} was not written" for name in missing]
    for result in day.results:
        if result.by_fingerprint and (found / result.name).exists():
            condense(connection, found / result.name, found / f"{result.name}.json")
    lines = list(differences(connection, day, expected, found))
    return lines + [line for sample in day.samples for line in sample_differences(connection, sample, found)]


def exists(folder, output):
    return (folder / output.name).exists() or (folder / f"{output.name}.json").exists()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", default="4GiB", help="of DuckDB")
    parser.add_argument("--scratch", required=True)
    parser.add_argument("step", choices=("answer", "check", "compare"))
    parser.add_argument("day", type=days.DAYS.__getitem__)
    parser.add_argument("data", type=Path)
    parser.add_argument("expected", type=Path, help="folder of DuckDB's answers; for compare, of another way")
    parser.add_argument("found", type=Path, nargs="?", help="folder that one way wrote")
    return parser.parse_args()


def main():
    options = arguments()
    connection = connect(options)
    os.chdir(options.data)
    if options.step == "answer":
        write_answers(connection, options.day, options.expected)
        return
    if options.step == "check":
        lines = check(connection, options.day, options.expected, options.found)
    else:
        lines = list(differences(connection, options.day, options.expected, options.found))
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
