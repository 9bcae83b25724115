"""The Python environment of the comparison: a venv in a cache folder, made on first use.

The scripts here need pinned wheels that no system Python has, so the venv is built from
`requirements.txt` and rebuilt when that file changes. Standard library only, because it runs
before the venv exists.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
CACHE = Path(os.environ.get("BRIMFUL_COMPARE_CACHE", "~/.cache/brimful")).expanduser()
DEFAULT_VENV = Path(os.environ.get("BRIMFUL_COMPARE_VENV", CACHE / "compare-venv")).expanduser()
STAMP = "requirements.sha256"


def ensure_python(folder=DEFAULT_VENV):
    """Return the Python of the venv in `folder`, after building the venv if it is missing or stale."""
    folder = Path(folder).expanduser()
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = folder / STAMP
    if python.exists() and stamp.exists() and stamp.read_text().strip() == wanted:
        return python
    print(f"preparing {folder} from {REQUIREMENTS.name} ...", file=sys.stderr)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)]
    subprocess.run(install, check=True)
    stamp.write_text(wanted + "\n")
    return python


def enter_venv(folder=DEFAULT_VENV):
    """Make sure that the running script runs inside the venv: replaces the process if it does not."""
    if Path(sys.prefix).resolve() == Path(folder).expanduser().resolve():
        return
    python = str(ensure_python(folder))
    os.execv(python, [python, *sys.argv])
