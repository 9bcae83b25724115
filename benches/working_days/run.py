#!/usr/bin/env python3
"""Runs the three working days in four ways and compares everything that they write, with each other and with DuckDB.

The ways are the Rust examples, the files in examples/sql, examples/pipelines and examples/shell. Each process runs under a
kernel memory cap of the budget and 64 MiB. What is printed: wall and processor time, the peak of resident memory (VmHWM;
of a shell script that of its largest process), and what differs. Exit code 1 when a process failed, passed its budget, or wrote something else
than DuckDB finds in the same files, or when the plan of the first day does not read 6 of 14 columns.

    cargo build --release --bins --examples
    python3 benches/working_days/run.py                        # 1 million rows
    python3 benches/working_days/run.py --rows 1e8 --day sensors

Standard library only: whoever starts a measured process must stay small (see benches/compare/capped.py).
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(REPOSITORY / "benches" / "compare"))
import capped  # noqa: E402
import days  # noqa: E402
import environment  # noqa: E402

MIB = 1 << 20
CAP_EXTRA = 64 * MIB
WAYS = ("rust", "sql", "yaml", "shell")
# Of data and results together, as a caution before a disk runs full.
BYTES_PER_ROW = {"sensors": 90, "health": 100, "claims": 100}


class Failed(Exception):
    """What went wrong, for a person to read."""


# ---- data and answers ----------------------------------------------------------------------


def n_rows_of(options, day):
    return int(options.rows * day.share_of_rows)


def make_data(options, day):
    """The data of `day`, made when it is missing; under the same cap as everything else."""
    folder = options.data or environment.CACHE / "data" / f"days_{options.rows}"
    folder = folder / day.name
    if (folder / f"{day.name}.made").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder.parent).free, BYTES_PER_ROW[day.name] * n_rows_of(options, day)
    if free < needed:
        raise Failed(f"{folder.parent} has {free >> 20} MiB left, and {needed >> 20} MiB may be needed")
    command = [str(options.examples_dir / "working_day_data"), day.name, str(n_rows_of(options, day)), str(folder)]
    with scratch_folder(options) as scratch:
        outcome = capped.run(command, options.cap, options.threads, options.timeout, os.environ, scratch)
    if outcome.return_code != 0:
        raise Failed(f"{' '.join(command)}: exit {outcome.return_code}\n{outcome.stderr}")
    print(f"made {folder}: {outcome.wall_s:.1f} s, {outcome.peak_rss >> 20} MiB resident at most", flush=True)
    return folder


def answers_of(options, day, data):
    """The folder of DuckDB's answers; made again when a question or the data changes."""
    said = [day, (data / f"{day.name}.made").stat().st_mtime_ns, (HERE / "answers.py").read_text()]
    folder = data / f"answers-{hashlib.sha256(repr(said).encode()).hexdigest()[:12]}"
    if not folder.exists():
        print(f"DuckDB answers the questions of {day.name} ...", flush=True)
        partial = Path(tempfile.mkdtemp(prefix="answers-partial-", dir=data))
        step(options, "answer", day, data, partial)
        partial.rename(folder)
    return folder


def step(options, *words):
    """One step of `answers.py`; the lines that it prints."""
    with scratch_folder(options) as scratch:
        word, day, *paths = words
        command = [str(options.python), str(HERE / "answers.py"), "--scratch", str(scratch)]
        done = subprocess.run([*command, word, day.name, *map(str, paths)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"answers.py {word} {day.name} failed:\n{done.stderr}")
    return done.stdout.splitlines()


def scratch_folder(options):
    options.scratch.mkdir(parents=True, exist_ok=True)
    return PathFolder(prefix="days-", dir=options.scratch)


class PathFolder(tempfile.TemporaryDirectory):
    """A temporary folder as a path."""

    def __enter__(self):
        return Path(super().__enter__())


# ---- one way -------------------------------------------------------------------------------


def commands_of(options, way, day, data):
    """The command lines of a way; each runs in a folder where the data is and `out` is to be."""
    budget = f"{options.budget // MIB}MiB"
    limits = ["--memory-budget", budget, "--threads", str(options.threads)]
    if way == "rust":
        n_rows = str(n_rows_of(options, day))
        return [[str(options.examples_dir / day.example), n_rows, budget, str(data), "out"]]
    files = [str(place) for place in paths_of(way, day)]
    if way == "sql":
        return [["brimful", "sql", "-f", file, *limits] for file in files]
    if way == "yaml":
        look = [["brimful", "run", files[0], "--dry-run", *limits]] if day.plan_says else []
        return look + [["brimful", "run", file, *limits] for file in files]
    return [["sh", file] for file in files]


def paths_of(way, day):
    place, ending = {"sql": ("sql", "sql"), "yaml": ("pipelines", "yaml"), "shell": ("shell", "sh")}[way]
    return [REPOSITORY / "examples" / place / f"{file}.{ending}" for file in day.files]


def prepare_place(options, day, data, place):
    """A folder with the data as links, and one with `brimful` under that name."""
    (place / "bin").mkdir()
    (place / "bin" / "brimful").symlink_to(options.brimful)
    (place / "work" / "out").mkdir(parents=True)
    (place / "spill").mkdir()
    for name in day.inputs:
        (place / "work" / name).symlink_to(data / name)


def environment_of(options, place):
    variables = {name: value for name, value in os.environ.items() if not name.startswith("BRIMFUL_")}
    return variables | {
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "BRIMFUL_MEMORY_BUDGET": f"{options.budget // MIB}MiB",
        "BRIMFUL_THREADS": str(options.threads),
        "TMPDIR": str(place / "spill"),
    }


def run_way(options, way, day, data, answers, place):
    """Run and check one way; what it took and what is wrong with it."""
    prepare_place(options, day, data, place)
    taken = {"day": day.name, "way": way, "wall_s": 0.0, "cpu_s": 0.0, "peak_rss": 0, "wrong": []}
    said = []
    for command in commands_of(options, way, day, data):
        command[0] = shutil.which(command[0], path=environment_of(options, place)["PATH"]) or command[0]
        outcome = capped.run(
            command, options.cap, options.threads, options.timeout, environment_of(options, place), place, place / "work"
        )
        taken["wall_s"] += outcome.wall_s
        taken["cpu_s"] += outcome.cpu_s
        taken["peak_rss"] = max(taken["peak_rss"], outcome.peak_rss)
        said.append((place / "stdout").read_text(errors="replace"))
        if outcome.return_code != 0:
            killed = ", killed by the memory cap" if outcome.killed_by_cap else ""
            taken["wrong"].append(f"{' '.join(command)}: exit {outcome.return_code}{killed}\n{outcome.stderr}")
            return taken
    if taken["peak_rss"] > options.budget:
        taken["wrong"].append(f"{taken['peak_rss'] / MIB:.1f} MiB resident, budget {options.budget // MIB} MiB")
    if day.plan_says not in said[0]:
        taken["wrong"].append(f"its plan does not say {day.plan_says!r}:\n{said[0]}")
    taken["wrong"] += step(options, "check", day, data, answers, place / "work" / "out")
    return taken


def run_day(options, day, data, answers):
    """All ways of one day; each is also compared with the first."""
    with scratch_folder(options) as kept:
        first = None
        for way in options.ways:
            with scratch_folder(options) as place:
                taken = run_way(options, way, day, data, answers, place)
                out = place / "work" / "out"
                if not taken["wrong"] and first:
                    lines = step(options, "compare", day, data, kept, out)
                    taken["wrong"] += [f"{line} (compared with {first})" for line in lines]
                elif not taken["wrong"]:
                    first = way
                    for output in day.outputs:
                        written = out / output.name
                        shutil.copy(written if written.exists() else f"{written}.json", kept)
            print_row(options, taken)
            yield taken


# ---- the table -----------------------------------------------------------------------------


def print_header(options):
    cap = f"cap {options.cap // MIB} MiB" if options.cap else f"no cap: {capped.cap_available()}"
    print(f"{options.rows:,} rows, budget {options.budget // MIB} MiB, {cap}, {options.threads} threads\n")
    print(f"{'day':<8} {'way':<6} {'seconds':>8} {'of CPU':>7} {'peak MiB':>9} {'of budget':>10}  result", flush=True)


def print_row(options, taken):
    share = f"{100 * taken['peak_rss'] / options.budget:.0f} %"
    verdict = "equal" if not taken["wrong"] else "WRONG"
    peak = taken["peak_rss"] / MIB
    seconds = f"{taken['wall_s']:>8.1f} {taken['cpu_s']:>7.1f}"
    print(f"{taken['day']:<8} {taken['way']:<6} {seconds} {peak:>9.0f} {share:>10}  {verdict}", flush=True)
    for line in taken["wrong"]:
        print("         " + line.replace("\n", "\n         "), flush=True)


def arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target") / "release"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=1_000_000, help="default: 1e6")
    parser.add_argument("--day", default="all", help=f"{', '.join(days.DAYS)} or all, separated by commas")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"default: {','.join(WAYS)}")
    parser.add_argument("--budget", type=int, default=512, help="MiB; default: 512")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="default: 2")
    parser.add_argument("--brimful", type=Path, default=target / "brimful")
    parser.add_argument("--examples-dir", type=Path, default=target / "examples", help="the built Rust examples")
    parser.add_argument("--data", type=Path, help="default: data/days_<rows> in the cache folder; a folder for each day in it")
    parser.add_argument("--scratch", type=Path, default=environment.CACHE / "scratch", help="for results and spilling")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for each process; default: 3600")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--remove-data", action="store_true", help="delete the data of each day after it")
    options = parser.parse_args()
    options.ways = options.ways.split(",")
    named = list(days.DAYS) if options.day == "all" else options.day.split(",")
    if strange := [name for name in named if name not in days.DAYS] + [way for way in options.ways if way not in WAYS]:
        parser.error(f"not known: {', '.join(strange)}")
    options.days = [days.DAYS[name] for name in named]
    options.budget *= MIB
    options.cap = None if capped.cap_available() else options.budget + CAP_EXTRA
    options.brimful, options.examples_dir = options.brimful.resolve(), options.examples_dir.resolve()
    if not options.brimful.exists():
        parser.error(f"{options.brimful} is missing: cargo build --release --bins --examples")
    return options


def main():
    options = arguments()
    # So that processes and folders of this run go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.python = environment.ensure_python()
    taken = []
    print_header(options)
    for day in options.days:
        data = make_data(options, day)
        taken += run_day(options, day, data, answers_of(options, day, data))
        if options.remove_data:
            shutil.rmtree(data)
    if options.json:
        options.json.write_text(json.dumps(taken, indent=1) + "\n")
    n_wrong = sum(bool(run["wrong"]) for run in taken)
    print(f"\n{len(taken)} runs, {n_wrong} wrong")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"error: {failure}")
