"""Runs one command as a fresh process under a hard kernel memory cap and measures it from outside.

The cap is a memory cgroup (version 1). The kernel counts everything in it: anonymous memory and the
page cache the process fills. Page cache is reclaimed before anything is killed, so `peak_cgroup` may
touch the cap in a healthy run; `peak_rss` (VmHWM, from wait4 of this one child) is the figure a
budget is judged by.

ru_maxrss also remembers the memory of the forked parent before exec, so whoever imports this module
must stay small: no numpy, no DuckDB.
"""

import os
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup/memory")
BLOCK_BYTES = 512  # unit of ru_inblock and ru_oublock
REMOVE_ATTEMPTS = 50


@dataclass
class Outcome:
    """What one process did, as the kernel saw it."""

    return_code: int
    wall_s: float
    cpu_s: float
    peak_rss: int
    peak_cgroup: int | None  # None: no cgroup
    cap: int | None  # None: not capped
    killed_by_cap: bool
    timed_out: bool
    read_bytes: int
    written_bytes: int
    foreign_cpu_s: float  # processor time that others took meanwhile
    stdout: str
    stderr: str


def cap_available():
    """Return None when caps work here, otherwise the reason why not."""
    probe = CGROUP_ROOT / f"compare-{uuid.uuid4().hex[:8]}"
    try:
        probe.mkdir()
        (probe / "memory.limit_in_bytes").write_text(str(1 << 30))
        probe.rmdir()
    except OSError as error:
        return f"no writable version 1 memory cgroup at {CGROUP_ROOT} ({error.strerror})"
    return None


class MemoryCgroup:
    """One cgroup for one run; removed on exit."""

    def __init__(self, cap):
        self.path = CGROUP_ROOT / f"compare-{uuid.uuid4().hex[:8]}"
        self.cap = cap

    def __enter__(self):
        self.path.mkdir()
        (self.path / "memory.swappiness").write_text("0")  # the cap is on memory: no escape into swap
        if self.cap:
            (self.path / "memory.limit_in_bytes").write_text(str(self.cap))
        return self

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self):
        return int((self.path / "memory.max_usage_in_bytes").read_text())

    def n_kills(self):
        lines = (self.path / "memory.oom_control").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def __exit__(self, *_):
        for _ in range(REMOVE_ATTEMPTS):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)


class NoCgroup:
    """Stands in where cgroups are not writable: measures, but caps nothing."""

    cap = None

    def __enter__(self):
        return self

    def enter(self):
        pass

    def peak(self):
        return None

    def n_kills(self):
        return 0

    def __exit__(self, *_):
        pass


def run(command, cap, threads, timeout_s, environment, scratch, folder=None):
    """Run `command` (in `folder`) on `threads` processors under `cap` bytes (None: no cap).

    Its output goes through files in `scratch`. Of a shell, `peak_rss` is that of the largest process it started."""
    group = MemoryCgroup(cap) if cap_available() is None else NoCgroup()
    cpus = sorted(os.sched_getaffinity(0))[:threads]

    def before_exec():
        group.enter()
        os.sched_setaffinity(0, cpus)

    with group, open(scratch / "stdout", "wb") as out, open(scratch / "stderr", "wb") as err:
        busy, started = busy_seconds(), time.monotonic()
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=err,
            env=environment,
            cwd=folder,
            preexec_fn=before_exec,
            start_new_session=True,
        )
        status, usage, timed_out = wait(process, timeout_s)
        wall_s, busy = time.monotonic() - started, busy_seconds() - busy
        cpu_s = usage.ru_utime + usage.ru_stime
        return Outcome(
            return_code=os.waitstatus_to_exitcode(status),
            wall_s=round(wall_s, 3),
            cpu_s=round(cpu_s, 3),
            peak_rss=usage.ru_maxrss * 1024,
            peak_cgroup=group.peak(),
            cap=group.cap,
            killed_by_cap=group.n_kills() > 0,
            timed_out=timed_out,
            read_bytes=usage.ru_inblock * BLOCK_BYTES,
            written_bytes=usage.ru_oublock * BLOCK_BYTES,
            foreign_cpu_s=round(max(0.0, busy - cpu_s), 2),
            stdout=tail(scratch / "stdout"),
            stderr=tail(scratch / "stderr"),
        )


def wait(process, timeout_s):
    """Reap this child alone: RUSAGE_CHILDREN would be the maximum over all children so far."""
    timed_out = threading.Event()

    def kill():
        timed_out.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout_s, kill)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return status, usage, timed_out.is_set()


def busy_seconds():
    """Processor time that the whole machine has spent: user, nice, system, interrupts and stolen."""
    ticks = [int(part) for part in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, io_wait = ticks[3], ticks[4]
    return (sum(ticks) - idle - io_wait) / os.sysconf("SC_CLK_TCK")


def tail(path, n_bytes=4000):
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - n_bytes))
        return file.read().decode(errors="replace").strip()
