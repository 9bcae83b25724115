#!/usr/bin/env python3
"""Replays the SQL files of this folder in DuckDB and lists what differs.

    ~/.cache/brimful/compare-venv/bin/python tests/slt/verify.py [FILE...]

Run it from the root of the checkout, with a Python that has the module `duckdb` (see benches/compare/requirements.txt).
A record with a comment line `# duckdb: reason` right above it is one where DuckDB has other rules; it is replayed too,
and reported when DuckDB agrees after all. `--complete` writes the rows into records of type `query` that have no `----`
line yet: read them before believing them.
"""
import argparse
import datetime
import decimal
import json
import math
import pathlib
import re
import sys

import duckdb
import numpy

HERE = pathlib.Path(__file__).parent

# What differs between the engines as a matter of taste is set alike, so that it does not hide what matters.
SETTINGS = [
    "SET threads = 1",
    "SET integer_division = true",
    "SET default_null_order = 'nulls_last_on_asc_first_on_desc'",
    "SET TimeZone = 'UTC'",
]
# The same functions by other names.
MACROS = [
    "CREATE MACRO signum(x) AS sign(x)::DOUBLE",
    "CREATE MACRO octet_length(x) AS strlen(x)",
    "CREATE MACRO nvl(x, y) AS coalesce(x, y)",
]
FLOATS = {"DOUBLE", "FLOAT"}
INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
            "UHUGEINT", "BIGNUM"}


class Record:
    """Lines of one paragraph: comments, directives, SQL and rows."""

    def __init__(self, path, line, lines):
        self.path, self.line, self.lines = path, line, lines
        n_before = next(i for i, text in enumerate(lines) if text.startswith(("query", "statement")))
        self.differs = next((text[9:].strip() for text in lines[:n_before] if text.startswith("# duckdb:")), None)
        self.head, *body = lines[n_before:]
        self.has_rows = "----" in body
        end = body.index("----") if self.has_rows else len(body)
        self.sql, self.rows = "\n".join(body[:end]), body[end + 1:]

    @property
    def place(self):
        return f"{self.path}:{self.line}"


def paragraphs(path):
    """Numbered runs of lines between empty lines."""
    lines, start = [], 1
    for number, text in enumerate(path.read_text().split("\n") + [""], 1):
        if text:
            start = start if lines else number
            lines.append(text)
        elif lines:
            yield start, lines
            lines = []


def is_record(lines):
    return any(text.startswith(("query", "statement")) for text in lines)


def cell(value, kind):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if kind == "R":
        return canonical_float(value)
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, datetime.datetime):
        return iso(value)
    if isinstance(value, (list, dict)):
        return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)
    text = str(value)
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") or "(empty)"


def iso(value):
    text = value.replace(tzinfo=None, microsecond=0).isoformat()
    micros = value.microsecond
    if micros:
        text += f".{micros // 1000:03}" if micros % 1000 == 0 else f".{micros:06}"
    return text + ("Z" if value.tzinfo else "")


def plain(value):
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.datetime):
        return iso(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def canonical_float(value):
    if value is None or value == "NULL":
        return "NULL"
    try:
        number = float(value)
    except ValueError:
        return str(value)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("inf" if number > 0 else "-inf")
    rounded = float(f"{number:.11e}")
    return repr(0.0 if rounded == 0 else rounded)


def canonical_row(row, kinds):
    cells = row.split("\t")
    return "\t".join(canonical_float(c) if k == "R" and c != "NULL" else c for c, k in zip(cells, kinds)) \
        if len(cells) == len(kinds) else row


def narrow(value, column):
    """A REAL as the shortest text that reads back as the same REAL."""
    return float(str(numpy.float32(value))) if value is not None and str(column[1]) == "FLOAT" else value


def kinds_of(description):
    letters = []
    for column in description:
        name = str(column[1]).split("(")[0]
        letters.append("R" if name in FLOATS else "I" if name in INTEGERS else "T")
    return "".join(letters)


def is_ordered(sql):
    """Whether there is an ORDER BY outside of parentheses."""
    outer, before = sql, None
    while outer != before:
        before, outer = outer, re.sub(r"\([^()]*\)", "", outer)
    return "order by" in outer.lower()


def run(connection, sql):
    """Rows as lists, and the letters of their types; or the message of the error."""
    try:
        result = connection.execute(sql)
        columns = result.description
        rows = [[narrow(value, column) for value, column in zip(row, columns)] for row in result.fetchall()]
        return rows, columns, None
    except Exception as error:  # every kind of failure of the other engine is an answer
        return None, None, str(error).split("\n")[0]


def check(connection, record):
    """What is wrong with a record, or None."""
    rows, description, error = run(connection, record.sql)
    words = record.head.split()
    if words[:2] == ["statement", "ok"]:
        return error
    if words[1] == "error":
        return None if error else f"no error but {rows[:3]}"
    if error:
        return error
    kinds = words[1]
    if len(kinds) != len(description):
        return f"{len(description)} columns"
    found = ["\t".join(cell(value, kind) for value, kind in zip(row, kinds)) for row in rows]
    wanted = [canonical_row(row, kinds) for row in record.rows]
    if words[2:] == ["rowsort"]:
        found, wanted = sorted(found), sorted(wanted)
    if found == wanted:
        return None
    return "\n  expected\n    " + "\n    ".join(wanted) + "\n  duckdb\n    " + "\n    ".join(found)


def complete(connection, path):
    """Writes types and rows into queries that have none."""
    out = []
    for _, lines in paragraphs(path):
        if is_record(lines):
            record = Record(path, 0, lines)
            rows, description, error = run(connection, record.sql)
            if record.head.startswith("query") and not record.has_rows and not error:
                kinds = kinds_of(description)
                ordered = is_ordered(record.sql) or len(rows) < 2
                head = f"query {kinds}" if ordered else f"query {kinds} rowsort"
                texts = ["\t".join(cell(value, kind) for value, kind in zip(row, kinds)) for row in rows]
                at = lines.index(record.head)
                lines = lines[:at] + [head] + lines[at + 1:] + ["----"] + (texts if ordered else sorted(texts))
            elif error and not record.has_rows and record.head.startswith("query"):
                print(f"{path}: {error}\n    {record.sql}")
        out.append("\n".join(lines))
    path.write_text("\n\n".join(out) + "\n")


def connect():
    connection = duckdb.connect()
    for setting in SETTINGS + MACROS:
        connection.execute(setting)
    return connection


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    parser.add_argument("--complete", action="store_true")
    arguments = parser.parse_args()
    n_records = n_marked = 0
    complaints = []
    for path in arguments.files or sorted(HERE.rglob("*.slt")):
        connection = connect()
        if arguments.complete:
            complete(connection, path)
            continue
        for line, lines in paragraphs(path):
            if not is_record(lines):
                continue
            record = Record(path, line, lines)
            wrong = check(connection, record)
            n_records += 1
            if record.differs is None and wrong:
                complaints.append(f"{record.place}: {record.sql}\n  {wrong}")
            elif record.differs is not None:
                n_marked += 1
                if not wrong:
                    complaints.append(f"{record.place}: DuckDB agrees, so the mark can go: {record.sql}")
    print("\n".join(complaints))
    print(f"{n_records} records, {n_marked} marked as different, {len(complaints)} to look at")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
