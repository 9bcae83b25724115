"""Random queries over random tables, as parts that can be taken away one by one.

A table is written as `{t0}` and filled in for each engine. Every query has an order that decides its rows when it has a
LIMIT: it orders by all columns that it selects.
"""
import copy
from dataclasses import dataclass, field

WIDE = ("wide", "huge")
NUMBERS = ("small", "int", "big", "float", "dec")
WHOLE = ("small", "int", "big")


@dataclass
class Query:
    """One SELECT, or a set operation of two."""
    select: list = field(default_factory=list)   # (expression, alias, kind)
    source: str = ""
    where: list = field(default_factory=list)
    group: list = field(default_factory=list)
    sets: str = ""
    having: list = field(default_factory=list)
    distinct: bool = False
    order: list = field(default_factory=list)    # (" DESC NULLS LAST" and the like) for each column
    limit: tuple = ()
    operator: str = ""
    other: object = None
    feature: str = "plain"

    def sql(self):
        text = ("SELECT DISTINCT " if self.distinct else "SELECT ")
        text += ", ".join(f"{expr} AS {alias}" for expr, alias, _ in self.select) + f" FROM {self.source}"
        if self.where:
            text += " WHERE " + " AND ".join(f"({part})" for part in self.where)
        if self.sets:
            text += f" GROUP BY {self.sets}"
        elif self.group:
            text += " GROUP BY " + ", ".join(self.group)
        if self.having:
            text += " HAVING " + " AND ".join(f"({part})" for part in self.having)
        if self.operator:
            text += f" {self.operator} {self.other.sql()}"
        if self.order:
            keys = [f"{idx + 1}{how}" for idx, how in enumerate(self.order)]
            text += " ORDER BY " + ", ".join(keys)
        if self.limit:
            text += f" LIMIT {self.limit[0]}" + (f" OFFSET {self.limit[1]}" if self.limit[1] else "")
        return text

    def smaller(self):
        """Queries with one part less."""
        def without(**changes):
            smaller = copy.deepcopy(self)
            for name, change in changes.items():
                setattr(smaller, name, change)
            return smaller
        if self.operator:
            yield without(operator="", other=None)
            yield copy.deepcopy(self.other)
            for other in self.other.smaller():
                if len(other.select) == len(self.select):
                    yield without(other=other)
        if self.limit:
            yield without(limit=())
        if self.order and not self.limit:
            yield without(order=[])
        if self.distinct:
            yield without(distinct=False)
        for name in ("where", "having"):
            parts = getattr(self, name)
            for idx in range(len(parts)):
                yield without(**{name: parts[:idx] + parts[idx + 1:]})
        if len(self.select) > 1 and not self.operator:
            for idx in range(len(self.select)):
                yield without(select=self.select[:idx] + self.select[idx + 1:],
                              order=self.order[:idx] + self.order[idx + 1:])


class Generator:
    """Writes queries with what the engine can do so far."""

    def __init__(self, rng, tables, features):
        self.rng, self.tables, self.features = rng, tables, features
        self.n_aliases = 0

    def alias(self, prefix="c"):
        self.n_aliases += 1
        return f"{prefix}{self.n_aliases}"

    def chance(self, share):
        return self.rng.random() < share

    # Expressions. A scope is a list of (name, kind).

    def column(self, scope, kinds):
        fitting = [column for column in scope if column[1] in kinds]
        return self.rng.choice(fitting) if fitting else None

    def literal(self, kind):
        rng = self.rng
        if kind in WHOLE:
            return str(rng.choice([0, 1, -1, 2, 3, 7, 10, -5, 100]))
        if kind in WIDE:
            return f"CAST({rng.choice(['0', '1', '-5'])} AS DECIMAL(38,2))"
        if kind in ("float", "dec"):
            return rng.choice(["0.0", "1.5", "-2.25", "10.0", "0.25"]) + ("::DOUBLE" if kind == "float" else "")
        if kind == "text":
            return rng.choice(["'a'", "'b'", "''", "'key'", "'Zoë'", "'it''s'", "'a text that is longer than inline ones'"])
        if kind == "bool":
            return rng.choice(["true", "false"])
        if kind == "date":
            return f"DATE '2024-{rng.choice(['02-27', '02-29', '03-01', '01-31', '12-31'])}'"
        return f"TIMESTAMP '2024-02-{rng.choice(['28 23:59:59', '29 00:00:00', '28 00:00:00'])}'"

    def expression(self, scope, kind, depth=2):
        """An expression of about that kind: whole numbers may come out wider."""
        rng = self.rng
        found = self.column(scope, WHOLE if kind in WHOLE else (kind,))
        if depth == 0 or self.chance(0.35):
            return found[0] if found and self.chance(0.85) else self.literal(kind)
        sub = lambda kind: self.expression(scope, kind, depth - 1)
        shared = [lambda: f"CASE WHEN {self.predicate(scope, depth - 1)} THEN {sub(kind)} ELSE {sub(kind)} END",
                  lambda: f"coalesce({sub(kind)}, {sub(kind)})",
                  lambda: f"CASE WHEN {self.predicate(scope, depth - 1)} THEN {sub(kind)} END",
                  lambda: f"nullif({sub(kind)}, {self.literal(kind)})"]
        if kind in WHOLE:
            own = [lambda: f"({sub('big')} + {self.literal('big')})", lambda: f"({sub('big')} - {sub('big')})",
                   lambda: f"(CAST({sub('big')} AS BIGINT) * {self.literal('big')})", lambda: f"abs({sub('big')})",
                   lambda: f"({sub('big')} % {rng.choice(['3', '7', '-4'])})", lambda: f"length({sub('text')})",
                   lambda: f"({sub('big')} / {rng.choice(['2', '3', '-4'])})",
                   lambda: f"CAST(extract({rng.choice(['year', 'month', 'day', 'doy'])} FROM {sub('date')}) AS BIGINT)"]
        elif kind == "float":
            own = [lambda: f"({sub('float')} + {sub('float')})", lambda: f"({sub('float')} * 0.5::DOUBLE)",
                   lambda: f"floor({sub('float')})", lambda: f"abs({sub('float')})",
                   lambda: f"CAST({sub('big')} AS DOUBLE)"]
        elif kind == "text":
            own = [lambda: f"upper({sub('text')})", lambda: f"({sub('text')} || {sub('text')})",
                   lambda: f"substr({sub('text')}, {rng.randint(1, 3)}, {rng.randint(0, 4)})",
                   lambda: f"CAST({sub('big')} AS VARCHAR)", lambda: f"replace({sub('text')}, 'a', 'bb')",
                   lambda: f"left({sub('text')}, {rng.randint(0, 3)})", lambda: f"reverse({sub('text')})"]
        elif kind == "bool":
            own = [lambda: self.predicate(scope, depth - 1)]
        elif kind == "date":
            own = [lambda: f"({sub('date')} + {rng.randint(0, 40)})",
                   lambda: f"CAST({sub('time')} AS DATE)",
                   lambda: f"CAST({sub('date')} + INTERVAL '{rng.choice(['1 month', '3 days', '1 year'])}' AS DATE)"]
        elif kind == "time":
            own = [lambda: f"({sub('time')} + INTERVAL '{rng.choice(['1 hour', '1 day', '1 month'])}')",
                   lambda: f"CAST(date_trunc('{rng.choice(['month', 'day', 'hour'])}', {sub('time')}) AS TIMESTAMP)"]
        else:
            return found[0] if found else self.literal('wide') if kind in WIDE else f"CAST({self.literal('dec')} AS DECIMAL(9,2))"
        return rng.choice(own + shared)() if self.chance(0.75) else rng.choice(own)()

    def predicate(self, scope, depth=2):
        rng = self.rng
        kind = rng.choice(sorted({column[1] for column in scope}) or ["big"])
        sub = lambda kind: self.expression(scope, kind, max(depth - 1, 0))
        if depth > 0 and self.chance(0.35):
            return rng.choice([
                lambda: f"({self.predicate(scope, depth - 1)} AND {self.predicate(scope, depth - 1)})",
                lambda: f"({self.predicate(scope, depth - 1)} OR {self.predicate(scope, depth - 1)})",
                lambda: f"(NOT {self.predicate(scope, depth - 1)})"])()
        shapes = [lambda: f"{sub(kind)} {rng.choice(['=', '<>', '<', '<=', '>', '>='])} {sub(kind)}",
                  lambda: f"{sub(kind)} {rng.choice(['=', '<', '>='])} {self.literal(kind)}",
                  lambda: f"{sub(kind)} IS {rng.choice(['', 'NOT '])}NULL",
                  lambda: f"{sub(kind)} IS {rng.choice(['', 'NOT '])}DISTINCT FROM {sub(kind)}",
                  lambda: f"{sub(kind)} {rng.choice(['', 'NOT '])}IN ({self.literals(kind)})",
                  lambda: f"{sub(kind)} BETWEEN {self.literal(kind)} AND {self.literal(kind)}"]
        if kind == "text":
            pattern = rng.choice(["'a%'", "'%a%'", "'_'", "'%e_'", "'%'", "'Zo%'", "'it''s'"])
            shapes.append(lambda: f"{sub('text')} {rng.choice(['', 'NOT '])}LIKE {pattern}")
        if kind == "bool":
            shapes += [lambda: sub("bool"), lambda: f"({sub('bool')}) IS {rng.choice(['', 'NOT '])}TRUE"]
        return "(" + rng.choice(shapes)() + ")"

    def literals(self, kind):
        values = [self.literal(kind) for _ in range(self.rng.randint(1, 5))]
        return ", ".join(values + (["NULL"] if self.chance(0.15) else []))

    # Sources.

    def source(self, depth=1):
        """What stands after FROM, and its scope."""
        rng = self.rng
        if depth > 0 and self.chance(0.2):
            inner = self.query(depth - 1)
            alias = self.alias("q")
            return f"({inner.sql()}) AS {alias}", [(f"{alias}.{name}", kind) for _, name, kind in inner.select]
        if depth > 0 and "join" in self.features and self.chance(0.5):
            return self.join(depth)
        table = rng.choice(self.tables)
        alias = self.alias("t")
        return f"{{{table.name}}} AS {alias}", [(f"{alias}.{column.name}", column.kind) for column in table.columns]

    def join(self, depth):
        rng = self.rng
        left, left_scope = self.source(depth - 1)
        right, right_scope = self.source(depth - 1)
        if self.chance(0.04):
            return f"{left} CROSS JOIN (SELECT * FROM {right} LIMIT 0) AS {self.alias('n')}", left_scope
        kind = rng.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        pairs = [(a[0], b[0]) for a in left_scope for b in right_scope
                 if a[1] == b[1] and a[1] not in ("bool",) or a[1] in WHOLE and b[1] in WHOLE]
        if not pairs:
            return left, left_scope
        conditions = [f"{a} {rng.choice(['=', '=', '=', '=', 'IS NOT DISTINCT FROM'])} {b}"
                      for a, b in rng.sample(pairs, min(len(pairs), rng.choice([1, 1, 2])))]
        if self.chance(0.3):
            conditions.append(self.predicate(left_scope + right_scope, 1))
        return f"{left} {kind} {right} ON {' AND '.join(conditions)}", left_scope + right_scope

    # Queries.

    def query(self, depth=1):
        rng = self.rng
        makers = [self.plain, self.plain, self.grouped, self.grouped, self.grouped, self.distinct_rows]
        if depth > 0:
            makers += [self.unions]
            makers += [self.set_operation] * ("setop" in self.features)
            makers += [self.windowed] * (3 * ("window" in self.features))
            makers += [self.with_subquery] * (3 * ("subquery" in self.features))
        return rng.choice(makers)(depth)

    def finished(self, query, allow_limit=True):
        """With an order, and perhaps a limit."""
        if self.chance(0.5):
            query.order = [self.rng.choice(["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]) for _ in query.select]
            if allow_limit and self.chance(0.6):
                query.limit = (self.rng.choice([0, 1, 3, 10, 100]), self.rng.choice([0, 0, 0, 1, 5, 1000]))
        return query

    def items(self, scope, n_items):
        items = []
        for _ in range(n_items):
            kind = self.rng.choice(sorted({column[1] for column in scope}))
            items.append((self.expression(scope, kind), self.alias(), kind))
        return items

    def filters(self, scope):
        return [self.predicate(scope) for _ in range(self.rng.choice([0, 0, 1, 1, 2]))]

    def plain(self, depth):
        source, scope = self.source(depth)
        query = Query(self.items(scope, self.rng.randint(1, 4)), source, self.filters(scope))
        return self.finished(query)

    def distinct_rows(self, depth):
        query = self.plain(depth)
        query.distinct = True
        return query

    def aggregate(self, scope):
        rng = self.rng
        kind = rng.choice(sorted({column[1] for column in scope}))
        arg = self.expression(scope, kind, 1)
        number = self.expression(scope, "float", 1)
        whole = self.expression(scope, "big", 1)
        text = self.expression(scope, "text", 1)
        choices = [("count(*)", "big"), (f"count({arg})", "big"), (f"min({arg})", kind), (f"max({arg})", kind),
                   (f"sum({whole})", "huge"), (f"sum({number})", "float"), (f"avg({number})", "float"),
                   (f"avg({whole})", "float"), (f"count(DISTINCT {arg})", "big"), (f"sum(DISTINCT {whole})", "huge"),
                   (f"bool_and({self.predicate(scope, 1)})", "bool"), (f"bool_or({self.predicate(scope, 1)})", "bool"),
                   (f"stddev({number})", "rough"), (f"var_pop({number})", "rough"),
                   (f"median({number})", "float"), (f"string_agg({text}, ',' ORDER BY {text})", "text")]
        if kind == "dec":
            choices.append((f"sum({arg})", "huge"))
        call, result = rng.choice(choices)
        if "ORDER BY" not in call and self.chance(0.2):
            call += f" FILTER (WHERE {self.predicate(scope, 1)})"
        return call, self.alias(), result

    def grouped(self, depth):
        rng = self.rng
        source, scope = self.source(depth)
        keys = [] if self.chance(0.2) else self.items(scope, rng.choice([1, 1, 2, 3]))
        keys = [(expr, alias, kind) for expr, alias, kind in keys if "'" in expr or any(n in expr for n, _ in scope)]
        calls = [self.aggregate(scope) for _ in range(rng.randint(1, 3))]
        query = Query(keys + calls, source, self.filters(scope), [expr for expr, _, _ in keys])
        plain_keys = [expr for expr, _, _ in keys if expr.replace(".", "").replace("_", "").isalnum()]
        if keys and len(plain_keys) == len(keys) and len(set(plain_keys)) == len(keys) and self.chance(0.15):
            shape = rng.choice(["ROLLUP ({})", "CUBE ({})", "GROUPING SETS (({}), ())"])
            query.sets = shape.format(", ".join(plain_keys))
        if self.chance(0.25):
            query.having = [rng.choice(["count(*) > 1", "count(*) % 2 = 0", "count(*) < 5"])]
        rough = any(kind == "rough" for _, _, kind in calls)
        query.select = [(expr, alias, "float" if kind == "rough" else kind) for expr, alias, kind in query.select]
        query = query if rough else self.finished(query)
        # Whoever reads these columns knows no wide sums.
        if any(kind == "huge" for _, _, kind in query.select):
            query.select = [(f"CAST({expr} AS DECIMAL(38,2))" if kind == "huge" else expr, alias,
                             "wide" if kind == "huge" else kind) for expr, alias, kind in query.select]
        return query

    def pair(self, depth):
        """Two queries with columns of the same kinds."""
        first_source, first_scope = self.source(depth - 1)
        other_source, other_scope = self.source(depth - 1)
        common = sorted({kind for _, kind in first_scope} & {kind for _, kind in other_scope} - {"wide", "huge"})
        kinds = [self.rng.choice(common or ["big"]) for _ in range(self.rng.randint(1, 3))]
        make = lambda source, scope: Query(
            [(self.expression(scope, kind, 1), self.alias(), kind) for kind in kinds], source, self.filters(scope))
        return make(first_source, first_scope), make(other_source, other_scope)

    def unions(self, depth):
        first, first.other = self.pair(depth)
        first.operator = self.rng.choice(["UNION ALL", "UNION"])
        return self.finished(first)

    def set_operation(self, depth):
        first, first.other = self.pair(depth)
        first.operator = self.rng.choice(["INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"])
        return self.finished(first)

    def windowed(self, depth):
        rng = self.rng
        source, scope = self.source(depth)
        columns = [name for name, _ in scope]
        wholes = [name for name, kind in scope if kind in WHOLE] or ["0"]
        items = self.items(scope, 1)
        # One call only: where rows tie, the values of two could be paired in two ways.
        partition = f"PARTITION BY {', '.join(rng.sample(columns, min(len(columns), rng.choice([1, 1, 2]))))}" \
            if self.chance(0.6) else ""
        # Every column is in the order, so that rows that tie are the same row.
        order = [f"{name}{rng.choice(['', ' DESC', ' NULLS FIRST'])}" for name in rng.sample(columns, len(columns))]
        total, key = "ORDER BY " + ", ".join(order), rng.choice(wholes)
        frame = rng.choice(["", "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", "ROWS UNBOUNDED PRECEDING",
                            "ROWS BETWEEN 1 PRECEDING AND 3 FOLLOWING",
                            "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                            "ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING"])
        value, kind = rng.choice(scope)
        whole = rng.choice(wholes)
        calls = [(f"row_number() OVER ({partition} {total})", "big"),
                 (f"rank() OVER ({partition} ORDER BY {key})", "big"),
                 (f"dense_rank() OVER ({partition} ORDER BY {key} DESC)", "big"),
                 (f"ntile(3) OVER ({partition} {total})", "big"),
                 (f"cume_dist() OVER ({partition} ORDER BY {key})", "float"),
                 (f"lag({value}, {rng.randint(0, 3)}) OVER ({partition} {total})", kind),
                 (f"lead({value}) OVER ({partition} {total})", kind),
                 (f"first_value({value}) OVER ({partition} {total} {frame})", kind),
                 (f"last_value({value}) OVER ({partition} {total} {frame})", kind),
                 (f"count({value}) OVER ({partition} {total} {frame})", "big"),
                 (f"min({value}) OVER ({partition} {total} {frame})", kind),
                 (f"CAST(sum({whole}) OVER ({partition} {total} {frame}) AS DECIMAL(38,2))", "wide"),
                 (f"count(*) OVER ({partition} ORDER BY {key} RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING)", "big"),
                 (f"count(*) OVER ({partition} ORDER BY {key})", "big"),
                 (f"max({value}) OVER ({partition})", kind)]
        call, result = rng.choice(calls)
        items.append((call, self.alias(), result))
        return self.finished(Query(items, source, self.filters(scope)))

    def with_subquery(self, depth):
        rng = self.rng
        source, scope = self.source(0)
        table = rng.choice(self.tables)
        inner = [(f"s.{column.name}", column.kind) for column in table.columns]
        pairs = [(a, b) for a in scope for b in inner if a[1] == b[1]]
        if not pairs:
            return self.plain(depth)
        (outer_name, _), (inner_name, _) = rng.choice(pairs)
        (second_outer, _), (second_inner, _) = rng.choice(pairs)
        where = f" WHERE {self.predicate(inner, 1)}" if self.chance(0.6) else ""
        tied = f" WHERE {inner_name} = {outer_name}" + (f" AND {self.predicate(inner, 1)}" if self.chance(0.4) else "")
        rows = f"FROM {{{table.name}}} AS s"
        parts = [f"{outer_name} IN (SELECT {inner_name} {rows}{where})",
                 f"{outer_name} NOT IN (SELECT {inner_name} {rows}{where})",
                 f"EXISTS (SELECT 1 {rows}{tied})", f"NOT EXISTS (SELECT 1 {rows}{tied})",
                 f"{second_outer} IN (SELECT {second_inner} {rows}{tied})",
                 f"{second_outer} NOT IN (SELECT {second_inner} {rows}{tied})",
                 f"{second_outer} >= (SELECT max({second_inner}) {rows}{tied})",
                 f"{outer_name} = (SELECT min({inner_name}) {rows}{where})",
                 f"(SELECT count(*) {rows}{tied}) > 1"]
        query = Query(self.items(scope, rng.randint(1, 3)), source, self.filters(scope) + [rng.choice(parts)])
        if self.chance(0.3):
            query.select.append((f"(SELECT count({second_inner}) {rows}{tied})", self.alias(), "big"))
        return self.finished(query)
