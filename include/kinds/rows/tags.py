"""Several labels of a row as one text, ``late|urgent``: sorted, without repeats, empty where there are none. Pure.

As a text they pass through everything that knows one label a row: requests, logs, trials, labels that come back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MARK = "|"


def joined(labels: Iterable[Any]) -> str:
    """Return the ``labels`` as one text. Raises ValueError naming a label that no such text can hold."""
    found = sorted({str(label).strip() for label in labels})
    for label in found:
        if not label or MARK in label:
            raise ValueError(f"the label {label!r} is empty, or holds {MARK!r}")
    return MARK.join(found)


def parts(text: str) -> tuple[str, ...]:
    """Return the labels that a text of :func:`joined` holds; none of an empty one."""
    return tuple(text.split(MARK)) if text else ()


def read(value: Any) -> str:
    """Return the labels of one row's target, which is a list of them or such a text, as one text. Raises ValueError for anything else."""
    if isinstance(value, str):
        return joined(value.split(MARK)) if value.strip() else ""
    if isinstance(value, bytes) or not hasattr(value, "__iter__"):
        raise ValueError(f"{value!r:.60} is {type(value).__name__}, and no list of labels")
    return joined(value)
