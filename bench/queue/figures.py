"""What is told of how the jobs fared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.queue.simulate import Course, Played

HOUR = 3600.0


@dataclass(frozen=True)
class Figures:
    """Of one system over all its clusters; by priority where a mapping. Seconds and GPU-hours.

    ``goodput`` is useful work over all that GPUs were held for, ``busy`` what of the cluster was held while jobs arrived.
    """

    jobs: dict[int, int]
    wait_median_s: dict[int, float]
    wait_p99_s: dict[int, float]
    late_p99_s: dict[int, float]
    longest_s: dict[int, float]
    stops: int
    lost_gpu_h: float
    held_gpu_h: float
    goodput: float
    busy: float
    overtaken: int


def figures(runs: Sequence[tuple[Played, int]]) -> Figures:
    """``runs``: what was played on each cluster, with that cluster's GPUs."""
    courses = [course for played, _ in runs for course in played.courses]
    by_priority = {
        priority: [course for course in courses if course.job.priority == priority]
        for priority in sorted({course.job.priority for course in courses}, reverse=True)
    }
    waits = {priority: [course.waited_s for course in some] for priority, some in by_priority.items()}
    held = sum(course.held_s * course.gpus for course in courses)
    return Figures(
        jobs={priority: len(some) for priority, some in by_priority.items()},
        wait_median_s={priority: quantile(some, 0.5) for priority, some in waits.items()},
        wait_p99_s={priority: quantile(some, 0.99) for priority, some in waits.items()},
        late_p99_s={priority: quantile([course.late_s for course in some], 0.99) for priority, some in by_priority.items()},
        longest_s={priority: max(some) for priority, some in waits.items()},
        stops=sum(course.stops for course in courses),
        lost_gpu_h=sum(course.lost_s * course.gpus for course in courses) / HOUR,
        held_gpu_h=held / HOUR,
        goodput=sum(course.job.gpu_s for course in courses) / held,
        busy=sum(_early_gpu_s(played.courses) for played, _ in runs) / sum(gpus * _arriving_s(played.courses) for played, gpus in runs),
        overtaken=sum(played.overtaken for played, _ in runs),
    )


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least so great a part of them doesn't exceed (the nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)]


def _early_gpu_s(courses: Sequence[Course]) -> float:
    return sum(course.early_s * course.gpus for course in courses)


def _arriving_s(courses: Sequence[Course]) -> float:
    arrivals = [course.job.submitted_at for course in courses]
    return max(max(arrivals) - min(arrivals), 1.0)
