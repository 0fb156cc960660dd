"""Runs the tests: ``python -m tests [PYTEST'S ARGUMENTS]``, as `make test` does.

Two cores are shared: the journeys, which time what callers see, run one behind the other, and beside them, in what they leave of the
cores, the tests that only compute; then all other tests, which mostly wait for servers, by three workers. What fails is run once more
alone: what passes then is listed as flaky at the end, to be mended; the exit status is that of the tests that fail alone too. What each
part took stands at the end, with the folders that took most of it. Long tests (marked `soak`) come last; those that would begin after
``UPDRAFT_TESTS_END`` (seconds since 1970) are skipped, and listed as all that is skipped.

With arguments, pytest gets them, and three workers run what they choose.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from include.runtime.settings import REPO

CORES, WORKERS = ("-n", "2"), ("-n", "3")
"""How many workers share what computes, and what mostly waits: a server's tests take half a core."""
JOURNEYS = "tests/journey"
SOAKING = (JOURNEYS, "tests/include/steps/llm")
"""Folders that have long tests."""
COMPUTING = tuple(
    f"tests/include/{name}"
    for name in (
        *("steps", "data", "pool", "estimate", "canary", "spec", "gates", "kinds", "report", "placement", "tensorrt"),
        *("monitoring", "models", "bundles"),
    )
)
"""Folders whose tests start no server of their own but an MLflow: it doesn't matter to them how long they take."""
NICENESS, PATIENCE = 10, "--timeout=900"
"""What gives way gets a tenth of a processor that others want, and has this long for a test."""
FOLDERS = 12
"""So many of a part's folders are named in the end, those that took longest."""
FAILED, NONE = 1, 5
"""pytest's exit statuses when tests failed, and nothing worse happened; and when there were none."""


class Part:
    """One run of pytest's with a memory of its own of what failed. One that yields uses what others leave of the processors, and is silent
    until it has ended."""

    def __init__(self, name: str, arguments: Sequence[str], memory: Path, *, yields: bool = False) -> None:
        self.name, self._memory, self._yields = name, memory / name.replace(" ", "-"), yields
        self._times, self._output = self._memory.with_suffix(".xml"), self._memory.with_suffix(".txt")
        self._process: subprocess.Popen[bytes] | None = None
        self._arguments = [f"-ocache_dir={self._memory}", f"--junitxml={self._times}", "--durations=30", *arguments]
        self._chosen = [argument for argument in arguments if argument not in (*CORES, *WORKERS)]
        self.seconds = 0.0
        self.status = 0

    def run(self) -> None:
        begun = time.monotonic()
        command = [sys.executable, "-m", "pytest", *self._arguments]
        if self._yields:
            with self._output.open("w") as output:
                self._process = subprocess.Popen(command, cwd=REPO, stdout=output, stderr=output, start_new_session=True)
            give_way(self._process.pid)
            self.status = self._process.wait()
        else:
            self.status = subprocess.run(command, cwd=REPO, check=False).returncode
        self.seconds = time.monotonic() - begun

    def end(self) -> None:
        """End a run that yields and goes on, as the keyboard ends the others."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def printed(self) -> str:
        """What a run that yields has printed."""
        return self._output.read_text() if self._output.exists() else ""

    def failed(self) -> list[str]:
        path = self._memory / "v" / "cache" / "lastfailed"
        return sorted(json.loads(path.read_text())) if path.exists() else []

    def told(self) -> str:
        """What it took: minutes, how busy its workers were, and seconds by folder, setups and teardowns with them."""
        seconds: dict[str, float] = defaultdict(float)
        for case in ElementTree.parse(self._times).iter("testcase") if self._times.exists() else ():
            seconds[".".join(case.get("classname", "").split(".")[1:3])] += float(case.get("time", 0))
        workers = int(self._arguments[self._arguments.index("-n") + 1]) if "-n" in self._arguments else 1
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
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would each compile all of Updraft, and the tests
    with tempfile.TemporaryDirectory(prefix="updraft-tests-") as folder:
        return _run(stages(arguments, Path(folder)))


def give_way(process: int) -> None:
    """Have a session's processes use what others leave of the processors. Where Linux weighs whole sessions against each other, a process's
    niceness counts inside its own only."""
    os.setpriority(os.PRIO_PROCESS, process, NICENESS)
    with suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(NICENESS))


def stages(arguments: Sequence[str], memory: Path) -> list[list[tuple[Part, ...]]]:
    """What is run, and in which order: parts that stand together at once, and failures again at the end of each stage."""
    if arguments:
        return [[(Part("tests", [*WORKERS, *arguments], memory),)]]
    journeys = Part("journeys", [JOURNEYS, "-m", "not soak"], memory)
    computing = Part("computing tests", [*CORES, PATIENCE, *COMPUTING, "-m", "not soak"], memory, yields=True)
    elsewhere = [f"--ignore={folder}" for folder in (JOURNEYS, *COMPUTING)]
    others = Part("other tests", [*WORKERS, "tests", *elsewhere, "-m", "not soak"], memory)
    return [[(journeys, computing), (others,)], [(Part("long tests", [*SOAKING, "-m", "soak"], memory),)]]


def _together(parts: Sequence[Part]) -> None:
    with ThreadPoolExecutor(len(parts)) as pool:
        try:
            list(pool.map(Part.run, parts))
        except BaseException:
            for part in parts:
                part.end()
            raise
    for part in parts:
        print(part.printed(), end="", flush=True)


def _run(stages: list[list[tuple[Part, ...]]]) -> int:
    flaky: list[str] = []
    for groups in stages:
        for parts in groups:
            _together(parts)
        stage = [part for parts in groups for part in parts]
        if worse := [part.status for part in stage if part.status not in (0, FAILED, NONE)]:
            return worse[0]
        failed = {part.name: part.failed() for part in stage}
        if any(failed.values()):
            print(f"\n{sum(map(len, failed.values()))} failed beside other tests. They are run once more, alone.", flush=True)
        still = {name for part in stage for name in part.again()}
        flaky += [name for names in failed.values() for name in names if name not in still]
    parts = [part for groups in stages for together in groups for part in together]
    print("\n".join(["", "Flaky: failed beside others, passed alone. Mend them:", *flaky]) if flaky else "\nNo test is flaky.")
    print("".join(f"\n{part.told()}" for part in parts), flush=True)
    return next((part.status for part in parts if part.status not in (0, NONE)), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
