"""The questions: one SQL text each, the same for every engine; only the table's name differs.

A question also says what its result looks like, so that the check can be exact where it may be:
text and integer columns and copied floats must match bit for bit, measures up to rounding.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import joins
import skew
import tpch


@dataclass(frozen=True)
class Question:
    name: str
    sql: str  # `{table}` is the table
    text: tuple = ()  # key columns by type
    ints: tuple = ()
    copied_floats: tuple = ()  # floats handed through, never computed
    measures: tuple = ()  # computed numbers, compared with a tolerance
    order: tuple = ()  # (column, "asc" or "desc"): the order the file must prove, NULL last
    tie_column: str = ""  # of the rows that tie on the smallest value of it, any may be in the result
    file_format: str = "parquet"
    tables: tuple = ("x",)  # several: the data is a folder with a file for each
    tolerance: float = 1e-9  # relative, for measures

    def files(self, stem):
        """The file of each table by name."""
        if self.tables == ("x",):
            return {"x": Path(f"{stem}.{self.file_format}")}
        return {table: Path(stem) / f"{table}.{self.file_format}" for table in self.tables}

    @property
    def reference(self):
        """The question whose answer is the reference: the same one over Parquet, since both files hold the same rows."""
        return BY_NAME[self.name.removesuffix("_csv")]

    def text_for(self, engine, stem):
        """The SQL that `engine` is given. Brimful and DuckDB name the files; the others register them as tables."""
        registers = engine in ("polars", "datafusion")
        names = {table: table if registers else f"'{file}'" for table, file in self.files(stem).items()}
        if self.tables == ("x",):
            return self.sql.format(table=names["x"])
        scale = tpch.settings(stem) if "{fraction}" in self.sql else {}
        return self.sql.format(**names, **scale)


IDS = "id1, id2, id3, id4, id5, id6"
WHOLE_ROW = dict(
    text=("id1", "id2", "id3"), ints=("id4", "id5", "id6", "v1", "v2"), copied_floats=("v3",)
)

QUESTIONS = (
    Question("q1", "SELECT id1, sum(v1) AS v1 FROM {table} GROUP BY id1", text=("id1",), measures=("v1",)),
    Question(
        "q2",
        "SELECT id1, id2, sum(v1) AS v1 FROM {table} GROUP BY id1, id2",
        text=("id1", "id2"),
        measures=("v1",),
    ),
    Question(
        "q3",
        "SELECT id3, sum(v1) AS v1, avg(v3) AS v3 FROM {table} GROUP BY id3",
        text=("id3",),
        measures=("v1", "v3"),
    ),
    Question(
        "q4",
        "SELECT id4, avg(v1) AS v1, avg(v2) AS v2, avg(v3) AS v3 FROM {table} GROUP BY id4",
        ints=("id4",),
        measures=("v1", "v2", "v3"),
    ),
    Question(
        "q5",
        "SELECT id6, sum(v1) AS v1, sum(v2) AS v2, sum(v3) AS v3 FROM {table} GROUP BY id6",
        ints=("id6",),
        measures=("v1", "v2", "v3"),
    ),
    Question(
        "q7",
        "SELECT id3, max(v1) - min(v2) AS range_v1_v2 FROM {table} GROUP BY id3",
        text=("id3",),
        measures=("range_v1_v2",),
    ),
    Question(
        "q9",
        "SELECT id2, id4, power(corr(v1, v2), 2) AS r2 FROM {table} GROUP BY id2, id4",
        text=("id2",),
        ints=("id4",),
        measures=("r2",),
    ),
    Question(
        "q10",
        f"SELECT {IDS}, sum(v3) AS v3, count(*) AS cnt FROM {{table}} GROUP BY {IDS}",
        text=("id1", "id2", "id3"),
        ints=("id4", "id5", "id6"),
        measures=("v3", "cnt"),
    ),
    Question("distinct", "SELECT DISTINCT id1, id2, id3 FROM {table}", text=("id1", "id2", "id3")),
    Question(
        "sort",
        "SELECT * FROM {table} ORDER BY id3 NULLS LAST, v3 NULLS LAST",
        order=(("id3", "asc"), ("v3", "asc")),
        **WHOLE_ROW,
    ),
    Question(
        "top100",
        "SELECT * FROM {table} ORDER BY v3 DESC NULLS LAST LIMIT 100",
        order=(("v3", "desc"),),
        tie_column="v3",
        **WHOLE_ROW,
    ),
    Question(
        "scan_count_sum",
        "SELECT count(*) AS n, count(id1) AS n_id1, sum(v1) AS v1, sum(v2) AS v2, sum(v3) AS v3 FROM {table}",
        measures=("n", "n_id1", "v1", "v2", "v3"),
        file_format="csv",
    ),
)

# These need all values of a group at once, or the rows of a group in order.
HOLISTIC = (
    Question(
        "q6",
        "SELECT id4, id5, median(v3) AS median_v3, stddev(v3) AS sd_v3 FROM {table} GROUP BY id4, id5",
        ints=("id4", "id5"),
        measures=("median_v3", "sd_v3"),
    ),
    Question(
        "q8",
        "SELECT id6, v3 FROM (SELECT id6, v3, row_number() OVER (PARTITION BY id6 ORDER BY v3 DESC) AS n "
        "FROM {table} WHERE v3 IS NOT NULL) AS ranked WHERE n <= 2",
        ints=("id6",),
        copied_floats=("v3",),
    ),
    Question(
        "count_distinct",
        "SELECT id1, count(DISTINCT id3) AS n_id3 FROM {table} GROUP BY id1",
        text=("id1",),
        ints=("n_id3",),
    ),
    Question("count_distinct_all", "SELECT count(DISTINCT id3) AS n_id3 FROM {table}", ints=("n_id3",)),
    Question("median_all", "SELECT median(v3) AS median_v3 FROM {table}", measures=("median_v3",)),
)

JOINS = tuple(Question(name, **shape) for name, shape in joins.QUESTIONS.items())

TPCH_JOIN = (Question("orders_lineitem", **joins.ORDERS_LINEITEM),)

SKEW = tuple(Question(name, **shape) for name, shape in skew.QUESTIONS.items())

TPCH = tuple(
    Question(f"tpch{number}", tpch.sql_of(number), tables=tpch.tables_of(tpch.sql_of(number)), **shape)
    for number, shape in tpch.SHAPES.items()
)

CSV = tuple(
    replace(question, name=f"{question.name}_csv", file_format="csv")
    for question in QUESTIONS
    if question.file_format == "parquet"
)

GROUPS = {
    **{"all": QUESTIONS, "all_csv": CSV, "holistic": HOLISTIC, "joins": JOINS},
    **{"tpch": TPCH, "tpch_join": TPCH_JOIN, "skew": SKEW},
}

BY_NAME = {question.name: question for group in GROUPS.values() for question in group} | {"scan": QUESTIONS[-1]}


def usual_group(stem):
    """What is asked of data in a folder, by the name that its generator gave the folder."""
    return {"J1": "joins", "S1": "skew"}.get(Path(stem).name[:2], "tpch")


def chosen(names):
    """The questions of a comma-separated list, or of a group by its name."""
    if names in GROUPS:
        return list(GROUPS[names])
    unknown = [name for name in names.split(",") if name not in BY_NAME]
    if unknown:
        raise SystemExit(f"error: no question {unknown[0]!r}; there are {', '.join(BY_NAME)}")
    return [BY_NAME[name] for name in names.split(",")]
