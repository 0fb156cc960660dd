"""``make bench-formats``: what the platform takes, beside what it was given: tables, and chats where their runtime is installed.

Prints each part's table, and as the last line JSON: ``cases``, ``silently_wrong`` and ``unclear`` of all parts, and each part's own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

from include.runtime.settings import Settings

PARTS = {"tables": "trainer", "chats": "airflow", "modules": "torch"}
"""The runtime that each part is started in."""


def measure(part: str, runtime: str) -> dict[str, Any] | None:
    """The figures of a part; None where it is not there or couldn't be measured, which is said."""
    python = Settings.load().python(runtime)
    if importlib.util.find_spec(f"bench.formats.{part}") is None:
        return None
    done = subprocess.run([str(python), "-m", f"bench.formats.{part}"], stdout=subprocess.PIPE, text=True, env=os.environ)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        print(f"{part} could not be measured", file=sys.stderr)
        return None
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def main() -> int:
    found = {part: figures for part, runtime in PARTS.items() if (figures := measure(part, runtime)) is not None}
    whole = {name: sum(figures[name] for figures in found.values()) for name in ("cases", "silently_wrong", "unclear")}
    print(json.dumps(whole | found))
    return 0 if found and not whole["silently_wrong"] else 1


if __name__ == "__main__":
    sys.exit(main())
