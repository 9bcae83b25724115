"""Turns the records of runs into the tables that are printed."""

import math
from collections import defaultdict

MIB = 1 << 20
LADDER_PROMISE = 2.5  # halving the budget never costs more than this


def size_text(n_bytes):
    for unit, name in ((1 << 30, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.4g} {name}"
    return f"{n_bytes} B"


def table(header, rows):
    """A Markdown table with aligned columns: numbers right, the rest left."""
    cells = [header] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[idx]) for row in cells) for idx in range(len(header))]
    columns = list(zip(*cells[1:]))
    is_number = [all(cell[:1].isdigit() or cell in ("", "-") for cell in column) for column in columns]
    lines = []
    for row in cells:
        padded = [c.rjust(w) if right else c.ljust(w) for c, w, right in zip(row, widths, is_number)]
        lines.append("| " + " | ".join(padded) + " |")
    rule = "|".join("-" * (w + 1) + (":" if right else "-") for w, right in zip(widths, is_number))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def summaries(runs):
    """One record per (question, budget, engine): the fastest repeat, or the failure if any repeat failed."""
    groups = defaultdict(list)
    for run in runs:
        groups[run["question"], run["budget"], run["engine"]].append(run)
    return {key: summary(group) for key, group in groups.items()}


def summary(group):
    failed = [run for run in group if run["status"] != "ok"]
    best = min(failed or group, key=lambda run: run["query_s"])
    return best | {"peak_rss": max(run["peak_rss"] for run in group)}


def best_peer(found, question, budget):
    peers = [
        run
        for (other, limit, engine), run in found.items()
        if (other, limit) == (question, budget) and engine != "brimful" and run["status"] == "ok"
    ]
    return min(peers, key=lambda run: run["query_s"], default=None)


def ratio_text(found, run):
    """Brimful's time over the best peer's; less than 1 is faster."""
    if run["engine"] != "brimful" or run["status"] != "ok":
        return ""
    peer = best_peer(found, run["question"], run["budget"])
    return f"{run['query_s'] / peer['query_s']:.2f} of {peer['engine']}" if peer else "only one to finish"


def status_text(run):
    status = run["status"] + (" ~" if run["disturbed"] else "")
    return status if len(status) <= 60 else status[:57] + "..."


def runs_table(runs):
    found = summaries(runs)
    rows = []
    for (question, budget, engine), run in found.items():
        share = f"{100 * run['peak_rss'] / budget:.0f} %"
        written = f"{run['written_bytes'] / MIB:.0f}"
        seconds = [f"{run[name]:.2f}" for name in ("query_s", "wall_s", "cpu_s")]
        peak = f"{run['peak_rss'] / MIB:.0f}"
        row = [question, size_text(budget), engine, *seconds, peak, share, written]
        rows.append(row + [status_text(run), ratio_text(found, run)])
    header = ["question", "budget", "engine", "query s", "wall s", "CPU s", "peak MiB", "of budget"]
    return table(header + ["written MiB", "status", "ratio"], rows)


def overview(runs):
    """Question by engine at each budget, in seconds, with the geometric mean of the ratios."""
    found = summaries(runs)
    engines = list(dict.fromkeys(run["engine"] for run in runs))
    parts = []
    for budget in dict.fromkeys(run["budget"] for run in runs):
        questions = dict.fromkeys(run["question"] for run in runs if run["budget"] == budget)
        rows = [overview_row(found, question, budget, engines) for question in questions]
        parts.append(f"budget {size_text(budget)}, seconds\n\n" + table(["question", *engines, "ratio"], rows))
        parts.append(mean_text(found, questions, budget))
        parts.append(sum_text(found, questions, budget, engines))
    return "\n\n".join(part for part in parts if part)


def overview_row(found, question, budget, engines):
    row, ratio = [question], ""
    for engine in engines:
        run = found.get((question, budget, engine))
        row.append("" if run is None else f"{run['query_s']:.2f}" if run["status"] == "ok" else short_failure(run))
        ratio = ratio_text(found, run) if run and engine == "brimful" else ratio
    return [*row, ratio]


def short_failure(run):
    """The first words of a status say which kind of failure it is."""
    return run["status"].split(":")[0].split(" after")[0]


def mean_text(found, questions, budget):
    logs = []
    for question in questions:
        run, peer = found.get((question, budget, "brimful")), best_peer(found, question, budget)
        if run and peer and run["status"] == "ok":
            logs.append(math.log(run["query_s"] / peer["query_s"]))
    if not logs:
        return ""
    return f"geometric mean of brimful / best peer over {len(logs)} questions: {math.exp(sum(logs) / len(logs)):.2f}"


def sum_text(found, questions, budget, engines):
    """The time of whole processes over all questions, and over how many that is."""
    texts = []
    for engine in engines:
        done = [found.get((question, budget, engine)) for question in questions]
        done = [run for run in done if run and run["status"] == "ok"]
        texts.append(f"{engine} {sum(run['wall_s'] for run in done):.2f} ({len(done)} of {len(questions)})")
    return f"sum of wall s: {', '.join(texts)}"


def ladder_table(runs):
    """Each budget against the one before it, from large to small."""
    found, rows = summaries(runs), []
    for question in dict.fromkeys(run["question"] for run in runs):
        for engine in dict.fromkeys(run["engine"] for run in runs):
            steps = sorted((key[1], run) for key, run in found.items() if (key[0], key[2]) == (question, engine))
            rows += ladder_rows(question, engine, steps[::-1])
    header = ["question", "engine", "budget", "query s", "step", "peak MiB", "written MiB", "status"]
    return table(header, rows) + "\n\n" + steepest_text(rows)


def steepest_text(rows):
    """The worst step of the ladder, which is what the promise is about."""
    steps = [(float(row[4].split("x")[0]), row) for row in rows if row[4] != "-"]
    if not steps:
        return "no step: not two neighbouring budgets finished"
    factor, (question, engine, budget, *_) = max(steps, key=lambda step: step[0])
    return f"steepest step: {factor:.2f}x, {engine} {question} to {budget} (bound {LADDER_PROMISE})"


def ladder_rows(question, engine, steps):
    prior = None
    for budget, run in steps:
        step = "-"
        if prior and prior["status"] == run["status"] == "ok":
            factor = run["query_s"] / prior["query_s"]
            step = f"{factor:.2f}x" + (" too steep" if factor > LADDER_PROMISE else "")
        sizes = [f"{run['peak_rss'] / MIB:.0f}", f"{run['written_bytes'] / MIB:.0f}"]
        yield [question, engine, size_text(budget), f"{run['query_s']:.2f}", step, *sizes, status_text(run)]
        prior = run
