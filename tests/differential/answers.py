"""Compares the CSV of one engine with the rows of the other."""
import datetime
import decimal
import math


def split_csv(text):
    """Rows of cells; an empty cell is None and `""` an empty text."""
    rows, row, cell, quoted, inside, at = [], [], [], False, False, 0
    while at < len(text):
        letter = text[at]
        if inside and letter == '"' and text[at + 1:at + 2] == '"':
            cell.append('"')
            at += 1
        elif letter == '"':
            quoted, inside = True, not inside
        elif letter in ",\n" and not inside:
            value = "".join(cell)
            row.append(value if value or quoted else None)
            cell, quoted = [], False
            if letter == "\n":
                rows.append(row)
                row = []
        else:
            cell.append(letter)
        at += 1
    return rows


def normal(value, type_name):
    """A value as something that both engines write alike; numbers as numbers."""
    if value is None:
        return None
    base = type_name.split("(")[0]
    if base in ("DOUBLE", "FLOAT"):
        return float(value)
    if base == "DECIMAL" or "INT" in base or base == "BIGNUM":
        return decimal.Decimal(value).normalize() + 0
    if base == "BOOLEAN":
        return value if isinstance(value, bool) else value == "true"
    if base.startswith("TIMESTAMP"):
        return value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(value)
    if base == "DATE":
        return value if isinstance(value, datetime.date) else datetime.date.fromisoformat(value)
    return str(value)


def close(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or a != a and b != b
    return a == b


def order_key(row):
    """An order of rows in which nearly equal floating-point numbers do not matter."""
    return [(value is None, f"{value:.5g}" if isinstance(value, float) else str(value)) for value in row]


def difference(csv, expected, types, ordered):
    """What is different, or None."""
    found = split_csv(csv)[1:]
    if found and len(found[0]) != len(types):
        return f"{len(found[0])} columns and not {len(types)}"
    try:
        found = [[normal(cell, type_name) for cell, type_name in zip(row, types)] for row in found]
    except (ValueError, decimal.InvalidOperation) as error:
        return f"a value of another type: {error}"
    expected = [[normal(cell, type_name) for cell, type_name in zip(row, types)] for row in expected]
    if not ordered:
        found, expected = sorted(found, key=order_key), sorted(expected, key=order_key)
    if len(found) != len(expected):
        return f"{len(found)} rows and not {len(expected)}\n  {found[:5]}\n  {expected[:5]}"
    for idx, (a, b) in enumerate(zip(found, expected)):
        if not all(close(x, y) for x, y in zip(a, b)):
            return f"row {idx}\n  brimful {a}\n  duckdb  {b}"
    return None
