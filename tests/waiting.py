"""Waiting for conditions, with a deadline that fails the test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def until(
    condition: Callable[[], Any], timeout_s: float = 60, what: str = "", *, every_s: float = 0.02, seen: Callable[[], Any] = lambda: ""
) -> float:
    """Wait for a condition; return the seconds it took. Fails the test after ``timeout_s``, with ``what`` and what was ``seen`` last."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout_s, f"not within {timeout_s} s: {what} {seen()}"
        time.sleep(every_s)
    return time.monotonic() - begun


def age_s(process: int) -> float:
    """How long a process has been there (seconds)."""
    begun = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begun


def ended(process: int) -> bool:
    """Whether a process runs no more (it may still wait to be buried)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
