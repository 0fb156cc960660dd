"""Airflow's components as the platform starts them."""

import inspect

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner, TriggerRunnerSupervisor
from airflow.models.dagbag import DagPriorityParsingRequest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from lifecycle.components import changes
from lifecycle.components.changes import AGAIN_S, Changes
from lifecycle.components.prompt import PromptRunner, PromptSupervisor
from tests.dags.conftest import alone

__all__ = ["alone"]

AHEAD = """
import json, os, threading
from lifecycle.components.__main__ import import_ahead, modules
import_ahead(modules({component!r}))
threads = len(os.listdir("/proc/self/task")) if {component!r} != "triggerer" else 1  # NumPy's own survive a fork
import sys
print(json.dumps([threading.active_count(), threads, {module!r} in sys.modules]))
"""


@pytest.mark.parametrize(
    ("component", "module"),
    [
        ("scheduler", "lifecycle.operators.canary"),
        ("dag-processor", "lifecycle.operators.batch"),
        ("triggerer", "lifecycle.triggers.canary"),
    ],
)
def test_what_forks_has_everything_imported_and_no_thread_of_its_own(alone, component, module):
    assert alone.ask(AHEAD.format(component=component, module=module)) == [1, 1, True]


def test_a_module_that_is_broken_keeps_no_component_from_starting(capsys):
    from lifecycle.components.__main__ import import_ahead

    import_ahead(["lifecycle.no_such_module", "lifecycle.specs"])
    assert "lifecycle.no_such_module could not be imported ahead: ModuleNotFoundError" in capsys.readouterr().err


def test_airflow_s_triggerer_takes_its_turns_as_this_expects():
    turn = inspect.getsource(TriggerRunner.arun)
    assert turn.index("await self.cancel_triggers()") < turn.index("with anyio.move_on_after(1):") < turn.index("await stop_event.wait()")
    assert "while not self.stop:" in turn and "stop_event = self._stop_event = anyio.Event()" in turn
    for name, whole in (("load_triggers", TriggerRunnerSupervisor), ("clean_unused", TriggerRunnerSupervisor)):
        assert f"self.{name}()" in inspect.getsource(whole.run_once)
    assert issubclass(PromptRunner, TriggerRunner) and issubclass(PromptSupervisor, TriggerRunnerSupervisor)


def test_dag_files_are_read_at_once_when_a_model_changes_and_twice_again_for_what_airflow_puts_off():
    asked = []
    now = [0.0]
    looks = Changes(lambda: asked.append(now[0]))
    for now[0] in (0.0, 3.0, 6.0):
        looks.look("one", now[0])
    assert asked == []
    for step in range(40):
        now[0] = 9.0 + 3 * step
        looks.look("two", now[0])
    assert asked == [9.0, 21.0, 69.0] and AGAIN_S == (10.0, 60.0)


def test_files_are_asked_for_as_airflow_s_own_page_asks(monkeypatch):
    from contextlib import contextmanager
    from pathlib import Path

    engine = create_engine("sqlite://")
    DagPriorityParsingRequest.__table__.create(engine)

    @contextmanager
    def session():
        with Session(engine) as made, made.begin():
            yield made

    monkeypatch.setattr("airflow.utils.session.create_session", session)
    changes.ask_airflow("updraft", [Path("lifecycle.py"), Path("batch.py")])
    with session() as asked:
        rows = [(row.bundle_name, row.relative_fileloc) for row in asked.query(DagPriorityParsingRequest)]
    assert sorted(rows) == [("updraft", "batch.py"), ("updraft", "lifecycle.py")]
