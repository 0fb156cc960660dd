"""Runs the tests: ``python -m tests [PYTEST'S ARGUMENTS]``, as `make test` does.

Two cores are shared: the journeys, which time what callers see, run alone, one behind the other; then all other tests by two workers, which
may time each other's. What fails is run once more alone: what passes then is listed as flaky at the end, to be mended; the exit status is
that of the tests that fail alone too. What each part took stands at the end, with the folders that took most of it. Long tests
(marked `soak`) come last; with ``UPDRAFT_TESTS_MINUTES`` those that would begin later than that are skipped, and listed as all that is
skipped.

With arguments, pytest gets them, and two workers run what they choose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from include.runtime.settings import REPO

WORKERS = ("-n", "2")
JOURNEYS = "tests/journey"
FOLDERS = 12
"""So many of a part's folders are named in the end, those that took longest."""
FAILED, NONE = 1, 5
"""pytest's exit statuses when tests failed, and nothing worse happened; and when there were none."""


class Part:
    """One run of pytest's with a memory of its own of what failed."""

    def __init__(self, name: str, arguments: Sequence[str], memory: Path) -> None:
        self.name, self._memory = name, memory / name.replace(" ", "-")
        self._times = self._memory.with_suffix(".xml")
        self._arguments = [f"-ocache_dir={self._memory}", f"--junitxml={self._times}", "--durations=30", *arguments]
        self._chosen = [argument for argument in arguments if argument not in WORKERS]
        self.seconds = 0.0
        self.status = 0

    def run(self) -> None:
        begun = time.monotonic()
        self.status = subprocess.run([sys.executable, "-m", "pytest", *self._arguments], cwd=REPO, check=False).returncode
        self.seconds = time.monotonic() - begun

    def failed(self) -> list[str]:
        path = self._memory / "v" / "cache" / "lastfailed"
        return sorted(json.loads(path.read_text())) if path.exists() else []

    def told(self) -> str:
        """What it took: minutes, how busy its workers were, and seconds by folder, setups and teardowns with them."""
        seconds: dict[str, float] = defaultdict(float)
        for case in ElementTree.parse(self._times).iter("testcase") if self._times.exists() else ():
            seconds[".".join(case.get("classname", "").split(".")[1:3])] += float(case.get("time", 0))
        workers = int(WORKERS[1]) if WORKERS[0] in self._arguments else 1
        busy = sum(seconds.values()) / (workers * max(self.seconds, 1))
        longest = sorted(seconds.items(), key=lambda row: -row[1])[:FOLDERS]
        folders = ", ".join(f"{folder} {took:.0f}" for folder, took in longest) or "none"
        return f"{self.name}: {self.seconds / 60:.1f} minutes, {busy:.0%} of them in tests; seconds by folder: {folders}"

    def again(self) -> list[str]:
        """Run what failed once more, alone; return what fails again."""
        if self.failed():
            command = [sys.executable, "-m", "pytest", f"-ocache_dir={self._memory}", "--last-failed", "--last-failed-no-failures=none"]
            self.status = subprocess.run([*command, *self._chosen], cwd=REPO, check=False).returncode
        return self.failed()


def main(arguments: list[str]) -> int:
    """The exit status: 0 when each test passed beside others or alone."""
    os.environ.setdefault("UPDRAFT_TESTS_END", str(time.time() + 60 * float(os.environ.get("UPDRAFT_TESTS_MINUTES", "inf"))))
    with tempfile.TemporaryDirectory(prefix="updraft-tests-") as folder:
        return _run(stages(arguments, Path(folder)))


def stages(arguments: Sequence[str], memory: Path) -> list[list[Part]]:
    """What is run, and in which order; failures are run again at the end of each stage."""
    if arguments:
        return [[Part("tests", [*WORKERS, *arguments], memory)]]
    return [
        [
            Part("journeys", [JOURNEYS, "-m", "not soak"], memory),
            Part("other tests", [*WORKERS, "tests", f"--ignore={JOURNEYS}", "-m", "not soak"], memory),
        ],
        [Part("long tests", ["tests", "-m", "soak"], memory)],
    ]


def _run(stages: list[list[Part]]) -> int:
    flaky: list[str] = []
    for stage in stages:
        for part in stage:
            part.run()
        if worse := [part.status for part in stage if part.status not in (0, FAILED, NONE)]:
            return worse[0]
        failed = {part.name: part.failed() for part in stage}
        if any(failed.values()):
            print(f"\n{sum(map(len, failed.values()))} failed beside other tests. They are run once more, alone.", flush=True)
        still = {name for part in stage for name in part.again()}
        flaky += [name for names in failed.values() for name in names if name not in still]
    parts = [part for stage in stages for part in stage]
    print("\n".join(["", "Flaky: failed beside others, passed alone. Mend them:", *flaky]) if flaky else "\nNo test is flaky.")
    print("".join(f"\n{part.told()}" for part in parts), flush=True)
    return next((part.status for part in parts if part.status not in (0, NONE)), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
