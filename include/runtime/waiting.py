"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], timeout_s: float, every_s: float = 0.1) -> T:
    """Return the first true answer of ``condition``, asked every ``every_s`` seconds; after ``timeout_s`` seconds its last, false one."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        left = deadline - time.monotonic()
        if found or left <= 0:
            return found
        time.sleep(min(every_s, left))
