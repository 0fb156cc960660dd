"""How workers share the tests: whole folders go to one worker, so that what a folder's tests start is started once; long ones first."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair, which others use too.
settings.register_profile("updraft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("updraft")

UMASK = os.umask(0o022)
os.umask(UMASK)
ROOT = Path(__file__).parent
LONGEST = (
    *("include/steps/llm", "include/steps", "include/data", "include/canary"),
    *("include/backends", "include/release", "plugins/lifecycle", "include/gateway", "include/platform", "plugins/gpu_pool"),
    *("include/serving", "include/targets", "include/sandbox", "include/registry", "include/judge"),
)
"""Folders in the order in which they are begun; the others follow as they come, so that no worker waits long for the other's last one."""


APART = ("include/steps/llm",)
"""Folders that share little with the one that they are in."""


def part(nodeid: str) -> str:
    """Return the folder below ``tests`` whose tests one worker runs: two names, as in ``include/serving``, or one of ``APART``."""
    folder = "/".join(Path(nodeid.partition("::")[0]).parts[1:-1])
    return folder if folder in APART else "/".join(folder.split("/")[:2])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = part(item.nodeid)
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Give each test the umask of the first: programs that a test calls in its own process set theirs, and the users of later tests' steps
    would then read nothing of what those write."""
    os.umask(UMASK)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("soak") and time.time() > float(os.environ.get("UPDRAFT_TESTS_END", "inf")):
        pytest.skip("a long test, for which was no time before UPDRAFT_TESTS_END")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return part(nodeid)

    config.option.loadscopereorder = False
    return ByFolder(config, log)
