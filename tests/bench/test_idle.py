"""Whose processor time and memory is whose."""

import pytest

from bench.idle.__main__ import summary
from bench.idle.processes import GUARD, SERVER, SUPERVISORD, Share, Used, part_of, shares, total


@pytest.mark.parametrize(
    ("program", "command", "part"),
    [
        ("airflow-scheduler", b"airflow scheduler", "airflow-scheduler"),
        ("revision-digits-1", b"python\0-P\0/x/triton/guard.py\0updraft_\0--\0tritonserver", GUARD),
        ("revision-digits-1", b"tritonserver\0--model-repository=/x", SERVER),
    ],
)
def test_a_process_belongs_to_its_program_and_a_revision_s_guard_is_apart_from_its_server(program, command, part):
    assert part_of({"SUPERVISOR_PROCESS_NAME": program}, command) == part


def test_what_has_no_program_is_supervisord():
    assert part_of({}, b"python -m supervisor") == SUPERVISORD


def test_processor_time_is_counted_from_the_first_moment_and_of_what_is_new_from_its_beginning():
    before = {1: Used("a", 5.0, 10, 8), 2: Used("b", 1.0, 20, 20)}
    after = {1: Used("a", 5.6, 10, 8), 3: Used("a", 0.3, 4, 2), 2: Used("b", 1.0, 20, 20)}
    found = shares(before, after, 60.0)
    assert found == {"a": Share(pytest.approx(1.5), 14, 10), "b": Share(0.0, 20, 20)}
    assert total(found) == Share(pytest.approx(1.5), 34, 30)


def test_a_revision_costs_what_the_platform_costs_more_without_the_servers():
    idle = {"a": Share(4.0, 100, 80)}
    served = {"a": Share(4.5, 110, 90), GUARD: Share(0.5, 40, 10), SERVER: Share(10.0, 2000, 1800)}
    found = summary(idle, served, 20)
    assert found["revision_beside_its_server_cpu_pct"] == 0.05 and found["server_cpu_pct"] == 0.5 and found["cpu_pct"] == 4.0
    assert found["revision_beside_its_server_pss_mib"] == 1.0 and found["server_pss_mib"] == 90.0
