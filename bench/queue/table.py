"""The figures for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.queue.figures import Figures
from bench.queue.simulate import ANSWER_S
from bench.queue.trace import QOS, Job, peak_gpus
from include.pool.order import overtaking_s

NAME = 31


def setting(jobs: Sequence[Job], gpus: Sequence[int], left_out: int, checkpoint_s: float) -> str:
    """What was played, on what."""
    days = (jobs[-1].submitted_at - jobs[0].submitted_at) / 86400
    classes = ", ".join(f"{name} {priority}{' (preemptible)' if preemptible else ''}" for name, (priority, preemptible) in QOS.items())
    return f"""\
{len(jobs):,} pods that want GPUs arrive over {days:.1f} days; if nobody waited they would use {peak_gpus(jobs):.1f} GPUs at their peak.
Clusters drawn from the node list: {", ".join(map(str, gpus))} GPUs. Left out, as no node there could ever take them: {left_out} pods.
Priorities from qos: {classes}. Told to stop, a holder stops after {ANSWER_S:g} s and later
starts anew ("checkpoints": from the last, one every {checkpoint_s / 60:g} min). "told": the pool knows how long each takes; else
nobody knows.
"""


def table(found: Mapping[str, Figures], ageing_s: float) -> str:
    """Titles and figures; ``ageing_s`` is the pool's, for its bound."""
    priorities = list(next(iter(found.values())).jobs)
    lines = ["Waiting in the queue by priority, median / p99; the longest of all; and how late pods finished by priority, p99:", ""]
    lines.append(
        f"{'':{NAME}}"
        + "".join(f"{f'priority {one}':>20}" for one in priorities)
        + f"{'longest':>10}"
        + _row(f"late {p}" for p in priorities)
    )
    for title, one in found.items():
        waits = "".join(f"{f'{brief(one.wait_median_s[p])} / {brief(one.wait_p99_s[p])}':>20}" for p in priorities)
        lines.append(f"{title:{NAME}}{waits}{brief(max(one.longest_s.values())):>10}" + _row(brief(one.late_p99_s[p]) for p in priorities))
    lines += ["", f"{'':{NAME}}" + _row(("held GPU-h", "goodput", "lost GPU-h", "stops", "busy", "overtaken"), 12)]
    for title, one in found.items():
        row = (
            f"{one.held_gpu_h:,.0f}",
            f"{one.goodput:.2%}",
            f"{one.lost_gpu_h:,.1f}",
            f"{one.stops:,}",
            f"{one.busy:.1%}",
            f"{one.overtaken:,}",
        )
        lines.append(f"{title:{NAME}}" + _row(row, 12))
    bounds = ", ".join(f"{overtaking_s(one, ageing_s) / 60:g} min (priority {one})" for one in priorities)
    return (
        "\n".join(lines)
        + f"""

late: so much later than with no wait and no stop, work done twice included. goodput: useful GPU-hours over those held; a share that takes
a whole slot holds a whole GPU. busy: of the clusters' GPUs, while pods arrive.
Starvation bound: who came so much later than a pod never stands before it in Updraft's line: {bounds}.
overtaken: pods that ever stood behind such a latecomer."""
    )


def _row(cells: Iterable[str], width: int = 10) -> str:
    return "".join(f"{cell:>{width}}" for cell in cells)


def brief(seconds: float) -> str:
    """`1.4 h`: in the largest unit of which it is one at least."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
