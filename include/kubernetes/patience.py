"""A call that must come through is tried again while the API server is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from include.errors import ComponentError

AGAIN_S = 2.0
"""Between two tries."""
T = TypeVar("T")


def insist(call: Callable[[], T], patience_s: float, away: type[ComponentError] = ComponentError) -> T:
    """What the call returns; its error of the kind ``away`` once it has been met for ``patience_s`` seconds, any other at once."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except away:
            if time.monotonic() > until:
                raise
            time.sleep(AGAIN_S)
