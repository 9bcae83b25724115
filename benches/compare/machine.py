"""What the figures depend on besides the engines: the machine, how busy it is, and its page cache."""

import os
import platform
import time
from pathlib import Path

import capped

DISTURBED_SHARE = 0.10  # of the wall time: above it, other processes took part of the machine
DISTURBED_SECONDS = 0.3  # below it, the share is noise of a short run
QUIET_SHARE = 0.05  # of one processor
WAIT_S = 2
READ_BYTES = 1 << 20


def describe():
    """The part of the report that says where it was measured."""
    return {
        "cpu": cpu_model(),
        "processors": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def wait_while_running(name):
    """Block as long as a process called `name` runs; two quiet looks in a row, as builds pause between files."""
    n_quiet = 0
    while n_quiet < 2:
        n_quiet = 0 if is_running(name) else n_quiet + 1
        if n_quiet < 2:
            time.sleep(WAIT_S)


def wait_until_quiet():
    """Block until other processes leave the machine alone for two looks in a row."""
    n_quiet = 0
    while n_quiet < 2:
        busy = capped.busy_seconds()
        time.sleep(WAIT_S)
        share = (capped.busy_seconds() - busy) / WAIT_S
        n_quiet = n_quiet + 1 if share < QUIET_SHARE else 0


def is_running(name):
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == name[:15]:  # the kernel keeps 15 bytes
                return True
        except OSError:
            continue  # ended meanwhile
    return False


def is_disturbed(run):
    return run["foreign_cpu_s"] > max(DISTURBED_SECONDS, DISTURBED_SHARE * run["wall_s"])


def prepare_cache(path, mode):
    """Give every run the same page cache: the input read through once (warm) or dropped (cold).

    Warm pages were charged to this process, so they do not count against the cap of the run."""
    with open(path, "rb", buffering=0) as file:
        if mode == "cold":
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return
        block = bytearray(READ_BYTES)
        while file.readinto(block):
            pass


def sync(path):
    """Seconds until the result is on disk: what an engine that does not fsync has left to be done."""
    started = time.monotonic()
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return round(time.monotonic() - started, 3)
