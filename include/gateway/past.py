"""What a model was asked over a range of time, step by step and revision by revision, out of the gateway's log and its older files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from include.canary.observations import Latencies
from include.gateway.observe import FALLBACK, LIVE, Entry, rotated
from include.gateway.recent import OUT_OF_ORDER_S, PASSED_THROUGH, pieces_backwards

MOST_BYTES = 64 * 1024 * 1024
"""Of the log that are read at most, from its end."""
MOST_S = 5.0
"""For which it is read at most."""
MOST_STEPS = 1000
"""Of one range."""
STEPS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Steps that are chosen among where nobody names one."""
FEW_STEPS = 120
"""A range has no more of a step that is chosen for it."""


@dataclass
class Step:
    """What came in one step that begins at ``at_s`` (seconds since the epoch).

    ``requests``: all of callers' own; ``refused``: of these, those at the caller's fault; ``errors``: those that the chosen revision did
    not answer well at the first attempt, whatever the caller got in the end, as the judge counts them. ``fallbacks``: answered by another
    model in this one's place, and counted nowhere else. Times are the whole answer's, of a language model its first byte's, in
    milliseconds, of what was answered well. Tokens are None where no answer told any.
    """

    at_s: int
    requests: int = 0
    errors: int = 0
    refused: int = 0
    fallbacks: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    times_ms: list[float] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Count one more request."""
        if entry.kind == FALLBACK:
            self.fallbacks += 1
            return
        self.requests += 1
        self.refused += entry.callers_fault
        self.errors += entry.error
        if entry.prompt_tokens is not None or entry.completion_tokens is not None:
            self.prompt_tokens = (self.prompt_tokens or 0) + (entry.prompt_tokens or 0)
            self.completion_tokens = (self.completion_tokens or 0) + (entry.completion_tokens or 0)
        if not entry.callers_fault and not entry.error and entry.latency_us is not None:
            self.times_ms.append(entry.latency_us / 1000)

    def quantile_ms(self, q: float) -> float | None:
        """Return a quantile of the times; None where none was answered well."""
        return Latencies.of(self.times_ms).quantile(q)


Steps = dict[int, Step]


@dataclass(frozen=True)
class Past:
    """Steps in which something came, by when they begin: of all, and by revision ("" for requests that no revision was chosen for).

    ``known_since_s``: from then on nothing is left out, and a step that is absent had no request; before, nothing is known. None: there is
    no log here.
    """

    known_since_s: float | None
    all: Steps = field(default_factory=dict)
    revisions: dict[str, Steps] = field(default_factory=dict)

    def add(self, entry: Entry, step_s: int) -> None:
        """Count one more request, in its step."""
        at_s = int(entry.time_s // step_s) * step_s
        parts = [self.all] if entry.kind == FALLBACK else [self.all, self.revisions.setdefault(entry.revision or "", {})]
        for steps in parts:
            steps.setdefault(at_s, Step(at_s)).add(entry)

    def since(self, known_s: float, step_s: int) -> Past:
        """Return what of it is known whole: the steps that begin at ``known_s`` or after."""
        first = max(math.ceil(known_s / step_s) * step_s, self.known_since_s or 0.0)
        kept = [{at: step for at, step in steps.items() if at >= first} for steps in (self.all, *self.revisions.values())]
        return Past(first, kept[0], {name: steps for name, steps in zip(self.revisions, kept[1:], strict=True) if steps})


def step_of(seconds: float) -> int:
    """Return the step that suits a range of so many seconds."""
    return next((step for step in STEPS_S if seconds / step <= FEW_STEPS), -(-int(seconds) // FEW_STEPS))


def past(
    log: Path,
    model: str,
    since_s: float,
    until_s: float,
    step_s: int,
    most_bytes: int = MOST_BYTES,
    most_s: float = MOST_S,
    clock: Callable[[], float] = time.monotonic,
) -> Past:
    """Return what ``model`` was asked from ``since_s`` on and before ``until_s``, in steps that begin at multiples of ``step_s``.

    The log is read from its end, until all of the range is there, or for ``most_bytes`` or ``most_s``. Nothing is known where it can't be
    read.
    """
    found, reached_s, whole, begin = Past(since_s), math.inf, False, clock()
    if not log.exists():
        return Past(None)
    try:
        for lines in pieces_backwards(log, most_bytes):
            for entry in _wanted(lines, model, since_s, until_s):
                found.add(entry, step_s)
            first = next(filter(None, map(Entry.parse, lines)), None)
            reached_s = reached_s if first is None else min(reached_s, first.time_s)
            if reached_s < since_s - OUT_OF_ORDER_S or clock() - begin > most_s:
                break
        else:
            whole = sum(path.stat().st_size for path in rotated(log) if path.exists()) <= most_bytes
    except OSError:
        return Past(None)
    if reached_s < since_s - OUT_OF_ORDER_S:
        return found
    # Lines are written when requests end: one that is written before those read may have begun a while after the first of them.
    known_s = until_s if reached_s == math.inf else reached_s if whole else reached_s + OUT_OF_ORDER_S
    return found.since(known_s, step_s)


def _wanted(lines: list[bytes], model: str, since_s: float, until_s: float) -> Iterator[Entry]:
    """Yield the requests for the model in the range: a line without its name is not worth parsing."""
    name = model.encode()
    for line in lines:
        if name not in line or (entry := Entry.parse(line)) is None:
            continue
        asked = entry.inference or entry.path.startswith(PASSED_THROUGH)
        if entry.model == model and entry.kind in (LIVE, FALLBACK) and asked and since_s <= entry.time_s < until_s:
            yield entry
