"""`make up` has ended once models' DAGs are there; not before, and not never."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.errors import ComponentError
from include.platform.model_dags import wait_for
from include.runtime.settings import Settings
from tests.journey import newcomer


class Airflow:
    """Answers as Airflow does while it reads DAG files: away, then without the DAG, then with it."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), []

    def get(self, path: str, *, missing_ok: bool) -> Any:
        self.asked.append(path)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("UPDRAFT_MODELS", str(tmp_path / "models"))
    (tmp_path / "models" / "broken").mkdir(parents=True)
    (tmp_path / "models" / "broken" / "model.yaml").write_text("name: broken\n")
    return Settings(home=tmp_path / "home", runtimes=tmp_path, port_base=1)


def test_it_waits_for_a_model_that_can_be_read(settings: Settings) -> None:
    newcomer.write(settings.models, "whole")
    airflow = Airflow(ComponentError("away"), None, {"dag_id": "whole_lifecycle"})
    wait_for(settings, airflow, pytest.fail)
    assert airflow.asked == ["/api/v2/dags/whole_lifecycle"] * 3


def test_it_says_that_it_waits_no_longer(settings: Settings) -> None:
    newcomer.write(settings.models, "whole")
    said: list[str] = []
    wait_for(settings, Airflow(None), said.append, most_s=0.01)
    assert len(said) == 1 and "not yet read" in said[0]


def test_without_a_model_that_can_be_read_nobody_waits(settings: Settings) -> None:
    wait_for(settings, Airflow(AssertionError()), pytest.fail)
