"""The run's tasks over time: how long each waited and how long it ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from include.report.data import TaskTime
from include.report.scale import Scale, seconds
from include.report.svg import CHAR_PX, drawing, fitting, line, rect, text

ROW = 24.0
NOT_RUN = ("skipped", "upstream_failed", "removed", None)


@dataclass(frozen=True)
class Span:
    """A task that ran (or runs): seconds since the run's first task was scheduled."""

    task_id: str
    state: str
    waited_from: float
    start: float
    end: float
    tries: int


@dataclass(frozen=True)
class Timings:
    """``wall_s`` from the first task's scheduling to the last one's end; ``busy_s`` of it at least one task ran."""

    spans: tuple[Span, ...]
    wall_s: float
    busy_s: float

    @property
    def overhead_s(self) -> float:
        return self.wall_s - self.busy_s


def timings(tasks: Sequence[TaskTime]) -> Timings:
    """Tasks that have ended, in order of their start."""
    ended = [task for task in tasks if task.state not in NOT_RUN and task.seconds() is not None]
    if not ended:
        return Timings((), 0.0, 0.0)
    zero = min(_epoch(task.scheduled or task.queued or task.started) for task in ended)
    spans = sorted((_span(task, zero) for task in ended), key=lambda span: (span.start, span.end))
    wall = max(span.end for span in spans)
    busy, reached = 0.0, 0.0
    for span in spans:
        busy += max(span.end - max(span.start, reached), 0.0)
        reached = max(reached, span.end)
    return Timings(tuple(spans), wall, busy)


def _span(task: TaskTime, zero: float) -> Span:
    start, end = _epoch(task.started) - zero, _epoch(task.ended) - zero
    # A deferred task is scheduled again when it comes back: what it waited for then lies within its own time.
    waits = [_epoch(value) - zero for value in (task.scheduled, task.queued) if value]
    return Span(task.task_id, task.state or "", min([start, *waits]), start, end, task.tries)


def _epoch(value: str | None) -> float:
    return datetime.fromisoformat(value).timestamp() if value else float("inf")


def gantt(title: str, found: Timings, width: float) -> Markup:
    """One row a task, with its seconds."""
    left = 12 + CHAR_PX * max(len(span.task_id) for span in found.spans)
    left = min(left, width * 0.32)
    x = Scale(0, found.wall_s, left, width - 78)
    height = 10 + ROW * len(found.spans) + 26
    parts = []
    for tick in x.ticks(4 if width < 600 else 8):
        parts += [
            line(x(tick), 6, x(tick), height - 24, "grid"),
            text(x(tick), height - 8, seconds(tick) if tick else "0", "middle", "label faint"),
        ]
    for index, span in enumerate(found.spans):
        top = 8 + index * ROW
        tone = "bad" if span.state == "failed" else "task"
        words = seconds(span.end - span.start) + (" failed" if span.state == "failed" else "")
        parts += [
            text(left - 6, top + 15, fitting(span.task_id, left - 8), "end"),
            rect(x(span.waited_from), top + 9, x(span.start) - x(span.waited_from), 6, "bar waited"),
            rect(x(span.start), top + 4, max(x(span.end) - x(span.start), 1.5), 16, f"bar {tone}", rx=2),
            text(max(x(span.end), x(span.start) + 1.5) + 5, top + 16, words),
        ]
    return drawing(title, width, height, parts, f"{len(found.spans)} tasks in {seconds(found.wall_s)}")
