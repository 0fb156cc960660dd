"""What bench-scale makes of the API's rows, by hand; that the platform itself runs is the journeys' to show."""

import pytest

from bench.scale.__main__ import figures, quantile
from include.platform.scale import Scale


def at(second: float) -> str:
    return f"2026-01-01T00:{int(second) // 60:02}:{second % 60:06.3f}+00:00"


def run(number: int, queued: float, end: float, state: str = "success") -> dict[str, object]:
    return {"dag_id": f"m{number}", "dag_run_id": "r", "queued_at": at(queued), "end_date": at(end), "state": state}


def task(number: int, queued: float | None, start: float | None, tries: int = 1) -> dict[str, object]:
    when = {"queued_when": queued, "start_date": start}
    stamps = {name: None if value is None else at(value) for name, value in when.items()}
    return {"dag_id": f"m{number}", "dag_run_id": "r", "try_number": tries, **stamps}


def test_lag_is_from_queued_to_running_and_a_run_waits_for_its_first_task():
    runs = [run(0, 0, 60), run(1, 0, 90), run(2, 0, 120, "failed")]
    tasks = [task(0, 1, 1.5), task(0, 20, 21), task(1, 2, 4, tries=2), task(1, 50, 50.25), task(2, 3, 3.5), task(2, None, None, tries=0)]
    found = figures(Scale.SCALED, 7, 12.34, runs, tasks)
    assert (found.runs, found.failed, found.retries, found.models, found.parsed_s) == (3, 1, 1, 7, 12.3)
    assert (found.scheduler_lag_p50_s, found.scheduler_lag_p99_s) == (0.5, 2.0)
    assert (found.first_task_p50_s, found.first_task_p99_s) == (3.5, 4.0)
    assert (found.wall_s, found.runs_per_minute, found.tasks_per_minute) == (120.0, 1.5, 2.5)


def test_a_run_that_has_not_ended_in_time_has_failed_and_the_others_are_still_measured():
    runs = [run(0, 0, 60), run(1, 0, 90), {**run(2, 0, 1), "state": "running", "end_date": None}]
    found = figures(Scale.SCALED, 7, 1, runs, [task(0, 1, 1.5)])
    assert (found.runs, found.failed, found.wall_s, found.runs_per_minute, found.run_p50_s) == (3, 1, 90.0, 1.33, 60.0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)])
def test_a_quantile_is_the_value_of_nearest_rank(share: float, value: float):
    assert quantile([float(number) for number in range(1, 101)], share) == value


def test_nothing_measured_is_nothing():
    assert quantile([], 0.99) == 0.0
