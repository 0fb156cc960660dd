"""Runs Python 3.11 with the arguments given: the one on this machine, or one that uv brings.

    python3 include/runtime/python.py SCRIPT [ARGUMENT ...]

Written for whatever Python there is: Ubuntu 24.04 has 3.12, Debian 13 has 3.13. Standard library only, and nothing that 3.9 doesn't know.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 9):  # noqa: UP036
    sys.exit(f"Updraft's setup begins with a Python of 3.9 or newer; this is {sys.version.split()[0]}. Set PYTHON=/path/to/python3.")

REPO = Path(__file__).resolve().parents[2]
if __name__ == "__main__":  # run by its path, before anything is installed
    sys.path.insert(0, str(REPO))
from include.runtime.tools import TOOLS, find_uv, say  # noqa: E402

VERSION = "3.11"
PLACE = TOOLS / "python"


def find() -> Path:
    """The Python to run everything with: this one, one on PATH, one that was brought before, else one that is brought now."""
    if is_wanted(sys.executable):
        return Path(sys.executable)
    return on_path() or brought() or bring()


def is_wanted(python: str) -> bool:
    """Whether a program is Python 3.11 and runs: pyenv has a shim on PATH for versions that aren't chosen, too."""
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == VERSION
    except OSError:
        return False


def on_path() -> Path | None:
    """The first working ``python3.11`` of PATH, or None."""
    for folder in os.get_exec_path():
        python = Path(folder) / f"python{VERSION}"
        if os.access(python, os.X_OK) and is_wanted(str(python)):
            return python
    return None


def brought() -> Path | None:
    """The Python that was brought below ``PLACE``, or None."""
    found = sorted(PLACE.glob(f"cpython-{VERSION}.*/bin/python{VERSION}"))
    return next((python for python in reversed(found) if is_wanted(str(python))), None)


def bring() -> Path:
    """Have uv fetch a build of Python 3.11.

    Raises SystemExit, with what to do, where it can't be fetched.
    """
    say("python", f"no Python {VERSION} here: uv fetches one (about 30 MB) into {PLACE}")
    command = [str(find_uv()), "python", "install", "--no-bin", "--install-dir", str(PLACE), VERSION]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    python = brought()
    if done.returncode == 0 and python:
        return python
    why = done.stderr.strip().splitlines() or ["it left no interpreter that runs"]
    sys.exit(
        f"Updraft runs on Python {VERSION}. There is none on PATH, and uv could not fetch one ({why[-1].strip()}).\n"
        f"Install it (apt-get install python{VERSION}, where your system has it), set PYTHON=/path/to/python{VERSION}, or set\n"
        "UV_PYTHON_INSTALL_MIRROR to a mirror of Python's builds that this machine reaches."
    )


if __name__ == "__main__":
    os.execv(str(find()), [f"python{VERSION}", *sys.argv[1:]])
