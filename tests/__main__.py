"""Runs the tests: ``python -m tests [PYTEST'S ARGUMENTS]``, as `make test` does.

Two workers share the machine, and time the tests of each other's servers. So what fails is run once more alone: what passes then is listed
as flaky at the end, to be mended; the exit status is that of the tests that fail alone too.
"""

from __future__ import annotations

import json
import subprocess
import sys

from include.runtime.settings import REPO

WORKERS = 2
SLOWEST = 30
LAST_FAILED = REPO / ".pytest_cache" / "v" / "cache" / "lastfailed"
FAILED = 1
"""pytest's exit status when tests failed, and nothing worse happened."""


def main(arguments: list[str]) -> int:
    """The exit status: 0 when each test passed beside others or alone."""
    LAST_FAILED.unlink(missing_ok=True)
    status = _pytest("-n", str(WORKERS), f"--durations={SLOWEST}", *arguments)
    failed = sorted(json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else []
    if status != FAILED or not failed:
        return status
    print(f"\n{len(failed)} failed beside other tests. They are run once more, alone.", flush=True)
    status = _pytest("--last-failed", "--last-failed-no-failures=none", *arguments)
    still = set(json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else set()
    flaky = [name for name in failed if name not in still]
    print("\n".join(["", "Flaky: failed beside others, passed alone. Mend them:", *flaky]) if flaky else "\nNo test is flaky.")
    return status


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=REPO, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
