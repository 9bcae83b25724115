#!/usr/bin/env python3
"""Runs Brimful, DuckDB, Polars and DataFusion on the same questions and reports who needed what.

One fresh process per run, one at a time, on the same processors, under a kernel memory cap. Every
engine writes its result to a Parquet file, which is checked afterwards against DuckDB's answer.
Standard library only: the peers and the check run in the venv as processes of their own, so that
this process stays small (see `capped.py`).
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
import capped  # noqa: E402
import check  # noqa: E402
import environment  # noqa: E402
import machine  # noqa: E402
import peers  # noqa: E402
import queries  # noqa: E402
import report  # noqa: E402

ENGINES = ("brimful", "duckdb", "polars", "datafusion")
LADDER_BUDGETS = "4GiB,2GiB,1GiB,512MiB,256MiB,128MiB"
UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
RAM_SHARE = 0.8  # no peer may take the machine down with it
WARM_SHARE = 0.5  # a file larger than this share of memory does not stay in the page cache


def size(text):
    """`256MiB` in bytes."""
    match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 256MiB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def default_brimful():
    target = os.environ.get("CARGO_TARGET_DIR") or environment.HERE.parents[1] / "target"
    return Path(target) / "release" / "brimful"


# ---- one run -------------------------------------------------------------------------------


def cap_of(options, engine, budget):
    """The bytes after which the kernel kills the run; None for no cap."""
    if engine == "brimful":
        return budget + options.cap_extra
    if options.peer_cap == "none":
        return None
    times = re.fullmatch(r"([0-9.]+)x", options.peer_cap)
    cap = int(float(times[1]) * budget) if times else size(options.peer_cap)
    return min(cap, int(RAM_SHARE * machine.memory_bytes()))


def command_of(options, engine, question, budget, folder):
    result, spill = folder / "result.parquet", folder / "spill"
    if engine == "brimful":
        sql = question.text_for(engine, options.data)
        return [
            *(str(options.brimful), "sql", sql, "-o", str(result), "--format", "parquet"),
            *("--memory-budget", f"{budget // report.MIB}MiB", "--threads", str(options.threads)),
            *("--spill-dir", str(spill), "--metrics", str(folder / "metrics.json")),
        ]
    return [
        *(str(options.python), str(environment.HERE / "peers.py"), engine, question.name),
        *("--data", str(options.data), "--out", str(result), "--spill-dir", str(spill)),
        *("--budget", str(budget), "--threads", str(options.threads)),
    ]


def process_environment(options, engine, budget, folder):
    """The same few variables for every engine: what the shell happens to export must not change a figure."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "USER") if name in os.environ}
    return kept | peers.settings(engine, budget, options.threads, folder / "spill")


def run_once(options, engine, question, budget):
    """Run one engine on one question and return the record of it; leaves nothing on disk."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=options.scratch))
    try:
        (folder / "spill").mkdir()
        if options.wait_while:
            machine.wait_while_running(options.wait_while)
        if options.wait_quiet:
            machine.wait_until_quiet()
        for file in question.files(options.data).values():
            machine.prepare_cache(file, options.cache)
        outcome = capped.run(
            command_of(options, engine, question, budget, folder),
            cap_of(options, engine, budget),
            options.threads,
            options.timeout,
            process_environment(options, engine, budget, folder),
            folder,
        )
        return record_of(options, engine, question, budget, outcome, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def record_of(options, engine, question, budget, outcome, folder):
    result = folder / "result.parquet"
    record = dict(engine=engine, question=question.name, budget=budget, query_s=outcome.wall_s)
    record |= {name: value for name, value in vars(outcome).items() if name not in ("stdout", "stderr")}
    record |= own_report(engine, outcome, folder)
    if result.exists() and outcome.return_code == 0:
        record |= {"result_bytes": result.stat().st_size, "sync_s": machine.sync(result)}
    record["left_behind"] = sum(1 for path in (folder / "spill").rglob("*") if path.is_file())
    record["status"] = status_of(options, question, outcome, result)
    record["disturbed"] = machine.is_disturbed(record)
    if record["status"] != "ok":
        record["stderr"] = outcome.stderr[-2000:]
    return record


def own_report(engine, outcome, folder):
    """What the engine itself says: a peer its version and time without Python, Brimful its metrics."""
    if engine == "brimful":
        metrics = folder / "metrics.json"
        try:
            return {"metrics": json.loads(metrics.read_text())}
        except (OSError, ValueError):
            return {}
    return json.loads(outcome.stdout.splitlines()[-1]) if outcome.return_code == 0 and outcome.stdout else {}


def status_of(options, question, outcome, result):
    """`ok`, or how it failed in one line."""
    if outcome.timed_out:
        return f"timed out after {outcome.wall_s:.0f} s"
    if outcome.return_code != 0 and outcome.killed_by_cap:
        return f"killed by the cap: {report.size_text(outcome.cap)}"
    if outcome.return_code != 0:
        return f"failed ({outcome.return_code}): {error_line(outcome.stderr)}"
    if not result.exists():
        return "failed: no result file"
    if options.no_check:
        return "ok"
    found = fingerprint(options, question, result)
    if isinstance(found, str):
        return f"wrong: {found}"
    wrong = check.differences(check.known_answer(options.data, question), found, question.tolerance)
    return f"wrong: {'; '.join(wrong[:3])}" if wrong else "ok"


def error_line(stderr):
    """The line of a message or traceback that says what happened."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"(error|[\w.]*(Error|Exception|Panic\w*))\b:?", line)]
    return (named or lines or ["no message"])[-1]


def check_command(options, *words):
    command = [options.python, environment.HERE / "check.py", "--threads", options.threads]
    return [str(word) for word in (*command, "--scratch", options.scratch, *words)]


def fingerprint(options, question, result):
    """The fingerprint of the result file, or the message why it cannot be read."""
    command = check_command(options, "fingerprint", question.name, result)
    process = subprocess.run(command, capture_output=True, text=True)
    return json.loads(process.stdout) if process.returncode == 0 else error_line(process.stderr)


# ---- all runs ------------------------------------------------------------------------------


def load_runs(options):
    if not (options.resume and options.json and options.json.exists()):
        return []
    return json.loads(options.json.read_text())["runs"]


def save(options, runs):
    if not options.json:
        return
    settings = {name: str(value) for name, value in vars(options).items() if name not in ("json", "resume")}
    whole = {"machine": machine.describe(), "settings": settings, "runs": runs}
    partial = options.json.with_name(options.json.name + ".partial")
    partial.write_text(json.dumps(whole, indent=1) + "\n")
    os.replace(partial, options.json)


def measure(options):
    """Every question at every budget; the engines take turns, so that a slow minute hits all of them."""
    runs = load_runs(options)
    done = {(run["question"], run["budget"], run["engine"], run["repeat"]) for run in runs}
    for question in options.questions:
        for budget in options.budgets:
            for repeat in range(options.repeat):
                for engine in options.engines:
                    if (question.name, budget, engine, repeat) in done:
                        continue
                    runs.append(quiet_run(options, engine, question, budget) | {"repeat": repeat})
                    save(options, runs)
                    print(progress_line(runs[-1]), file=sys.stderr, flush=True)
    return runs


def quiet_run(options, engine, question, budget):
    """Run again, up to `--retry-disturbed` times, when other processes took part of the machine."""
    for _ in range(options.retry_disturbed):
        record = run_once(options, engine, question, budget)
        if not record["disturbed"]:
            return stamped(record)
        print(f"{engine} {question.name}: disturbed, once more", file=sys.stderr)
    return stamped(run_once(options, engine, question, budget))


def stamped(record):
    return record | {"at": time.strftime("%Y-%m-%d %H:%M:%S")}


def progress_line(run):
    peak = report.size_text(run["peak_rss"])
    place = f"{run['question']} {report.size_text(run['budget'])} {run['engine']}"
    return f"{place}: {run['query_s']:.2f} s, {peak}, {report.status_text(run)}"


def prepare(options):
    """Venv, data and reference answers, before anything is timed."""
    options.scratch.mkdir(parents=True, exist_ok=True)
    options.python = environment.ensure_python(options.venv)
    files = {file for question in options.questions for file in question.files(options.data).values()}
    missing = {file for file in files if not file.exists()}
    if missing:
        makers = "generate.py --format parquet,csv, joins.py, skew.py or tpch.py"
        raise SystemExit(f"error: no {min(missing)}; write it with {makers}")
    if "brimful" in options.engines and not os.access(options.brimful, os.X_OK):
        raise SystemExit(f"error: no program at {options.brimful}; build it or name it with --brimful")
    choose_cache(options)
    reason = capped.cap_available()
    if reason:
        print(f"warning: no memory cap: {reason}. Peaks are measured, but nothing enforces them.", file=sys.stderr)
    names = [q.name for q in options.questions if check.known_answer(options.data, q) is None]
    if names and not options.no_check:
        command = check_command(options, "reference", options.data, "--questions", ",".join(names))
        subprocess.run(command, check=True)


def choose_cache(options):
    if options.cache:
        return
    largest = max(
        sum(file.stat().st_size for file in question.files(options.data).values()) for question in options.questions
    )
    options.cache = "warm" if largest < WARM_SHARE * machine.memory_bytes() else "cold"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", required=True, help="path of the data without or with its extension")
    add("--engines", default=",".join(ENGINES))
    groups = ", ".join(queries.GROUPS)
    add("--questions", help=f"comma-separated, or one of {groups} (default: all, q10 with --ladder; a folder's own)")
    add("--budgets", help="default: 4GiB,1GiB,256MiB,128MiB; with --ladder " + LADDER_BUDGETS)
    add("--ladder", action="store_true", help="report each budget against the one before it")
    add("--brimful", type=Path, default=default_brimful(), help="the program (default: %(default)s)")
    add("--threads", type=int, default=2)
    add("--repeat", type=int, default=1)
    add("--timeout", type=float, default=1800, metavar="SECONDS")
    add("--cap-extra", type=size, default=64 << 20, help="what Brimful's cap leaves above the budget (default: 64MiB)")
    add("--peer-cap", default="3x", help="cap of the peers: 3x the budget (default), a size, or none")
    add("--cache", choices=("warm", "cold"), help="page cache of the input (default: warm if it fits half the memory)")
    add("--json", type=Path, metavar="OUT", help="write every run to OUT")
    add("--resume", action="store_true", help="keep the runs that OUT already has")
    add("--no-check", action="store_true", help="do not check the answers")
    add("--wait-while", metavar="NAME", help="before each run, wait while a process of this name runs (rustc)")
    add("--wait-quiet", action="store_true", help="before each run, wait until others leave the processors alone")
    add("--retry-disturbed", type=int, default=0, metavar="N", help="repeat a run that others disturbed")
    add("--scratch", type=Path, default=environment.CACHE / "scratch", help="results and spill files (deleted)")
    add("--venv", type=Path, default=environment.DEFAULT_VENV)
    return parser


def parse(parser):
    options = parser.parse_args()
    options.data = re.sub(r"\.(parquet|csv)$", "", str(Path(options.data).expanduser().resolve()))
    is_folder = Path(options.data).is_dir()
    usual = queries.usual_group(options.data) if is_folder else "q10" if options.ladder else "all"
    options.questions = queries.chosen(options.questions or usual)
    budgets = options.budgets or (LADDER_BUDGETS if options.ladder else "4GiB,1GiB,256MiB,128MiB")
    options.budgets = [size(budget) for budget in budgets.split(",")]
    options.engines = options.engines.split(",")
    if not set(options.engines) <= set(ENGINES):
        parser.error(f"--engines takes {', '.join(ENGINES)}")
    if options.peer_cap != "none" and not re.fullmatch(r"[0-9.]+x", options.peer_cap):
        size(options.peer_cap)
    return options


def main():
    # As an exception, so that the run under way is killed and its folder removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    options = parse(arguments())
    prepare(options)
    runs = measure(options)
    print(report.ladder_table(runs) if options.ladder else report.runs_table(runs))
    if not options.ladder:
        print("\n" + report.overview(runs))


if __name__ == "__main__":
    main()
