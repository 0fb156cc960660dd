"""Tells the platform what turned out to be right: all labels of a file, or none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from include.errors import InputError
from include.runtime.airflow_api import AirflowApi, Refused

MOST_LABELS = 10_000
"""Labels of one call."""
TOO_MUCH = 413
SHOWN = 20
COUNTED = ("new", "corrected", "same", "unlogged")


def tell(
    api: AirflowApi, model: str, found: Mapping[int, Mapping[str, Any]], where: str, *, skip: bool, at_once: int = MOST_LABELS
) -> dict[str, int]:
    """Tell labels by their line in the file ``where``; ``skip``: pass over ids that are not in the log. Return how many were of each kind.

    First all of them are looked at, for a file may be longer than a call. What is kept already is kept once. Raises InputError that lists
    what is wrong by line, and keeps none.
    """
    path = f"/lifecycle/v1/models/{model}/feedback"
    lines, counts, faults = sorted(found, key=lambda line: str(found[line]["id"])), Counter[str](), list[str]()  # by time
    for check in (True, False):
        parts = [lines[begin : begin + at_once] for begin in range(0, len(lines), at_once)][::-1]
        while parts:
            part = parts.pop()
            body = {"labels": [found[line] for line in part], "unlogged": "skip" if skip else "refuse", "check": check}
            try:
                answer = api.post(path, body)
            except Refused as error:
                if error.status == TOO_MUCH and len(part) > 1:
                    parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                    continue
                named = [f"line {part[fault['line'] - 1]}: {fault['id']} {fault['fault']}" for fault in error.body.get("faults", ())]
                faults += named or [error.detail]
            else:
                counts.update({} if check else answer)
        if faults:
            listed = "\n".join(f"  {fault}" for fault in faults[:SHOWN])
            more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
            remedy = "\nCorrect them and tell the file again" + ("." if skip else "; --skip passes over ids that are not in the log.")
            raise InputError(f"{len(faults)} labels are wrong, and none is kept:\n{listed}{more}", where=where, remedy=remedy)
    return {name: counts[name] for name in COUNTED}
