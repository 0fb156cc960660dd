"""``python -m tests.advisories``: the locks against the known vulnerabilities of what they pin, by pip-audit; part of ``make lint``.

Exit 1 for a vulnerability that a newer version mends, unless ``tests/advisories.txt`` has its id and a reason. Others are listed. Where the
advisories can't be asked (no network, an index without them), that is said, and nothing fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Collection
from pathlib import Path
from typing import Any

from include.runtime.install import RUNTIMES
from include.runtime.lock import blocks
from include.runtime.tools import find_uv

PIP_AUDIT = "pip-audit==2.10.1"
SOURCE = "https://pypi.org/pypi/pip/json"
ANSWER_S = 10
ACCEPTED = Path(__file__).with_suffix(".txt")
Found = dict[str, Any]


def reachable(source: str = SOURCE) -> str:
    """Why the advisories can't be asked; empty when they can."""
    try:
        with urllib.request.urlopen(source, timeout=ANSWER_S) as answer:
            return "" if "vulnerabilities" in json.loads(answer.read()) else "this index has none"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def accepted(text: str) -> set[str]:
    """The ids that stand first in a file's lines. Pure."""
    return {line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("#")}


def to_mend(report: Found, known: set[str]) -> tuple[list[str], list[str]]:
    """Sentences about what a newer version mends, and about the rest, of a report as pip-audit prints it. Pure."""
    mended, others = [], []
    for package in report["dependencies"]:
        for one in package.get("vulns", ()):
            if known & {one["id"], *one.get("aliases", ())}:
                continue
            fixed = ", ".join(one["fix_versions"])
            sentence = f"{package['name']} {package['version']}: {one['id']}" + (f", mended in {fixed}" if fixed else ", not mended yet")
            (mended if fixed else others).append(sentence)
    return mended, others


def files(pinned: Collection[str]) -> list[list[str]]:
    """The same packages (``name==version``) in as few lists as have each name but once, which pip-audit wants. Pure."""
    found: list[dict[str, str]] = []
    for one in sorted(pinned):
        name = one.partition("==")[0]
        free = next((part for part in found if name not in part), None)
        if free is None:
            found.append(free := {})
        free[name] = one
    return [list(part.values()) for part in found]


def main() -> int:
    if why := reachable():
        print(f"The advisories can't be asked here ({why}): the locks were not looked through.")
        return 0
    uv, known, failed = find_uv(), accepted(ACCEPTED.read_text()), False
    for pinned in files({name for lock in RUNTIMES.values() for name in blocks(lock.read_text())}):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(pinned))
            file.flush()
            command = [str(uv), "tool", "run", "-q", PIP_AUDIT, "--disable-pip", "--no-deps", "-f", "json", "-r", file.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            mended, others = to_mend(json.loads(done.stdout), known)
        except ValueError:
            print(f"pip-audit gave no report: {done.stderr.strip()[-300:]}")
            continue
        print("\n".join((*mended, *others)) or f"No advisory on {len(pinned)} packages.")
        failed |= bool(mended)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
