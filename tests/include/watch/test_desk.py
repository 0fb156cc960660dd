"""What the watch wants of MLflow and Airflow: asked, kept and begun once, however often one tries. Their answers are a list."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from include.canary.observations import Arm, Latencies, Look
from include.errors import ComponentError
from include.runtime.airflow_api import Refused
from include.watch import desk
from include.watch.desk import Office
from include.watch.state import Return, State, Watched
from include.watch.watcher import Facts

BACK = Return(3, 2, "watch__v3__1__1000", "The watch found harm.")


class Airflow:
    """Paused or not, with runs by id and the looks of version 3's trial; ``away`` calls fail first."""

    def __init__(self) -> None:
        self.paused, self.away, self.refuses = False, 0, False
        self.runs: dict[str, dict[str, Any]] = {}
        self.kept: list[Any] = []
        self.holds: list[dict[str, Any]] = []

    def get(self, path: str, params: dict[str, Any] | None = None, missing_ok: bool = False) -> Any:
        self._answer()
        if path.endswith("/looks"):
            arm = Arm(100, 1, Latencies.of([5.0] * 99), refused=2)
            look = Look(1.0, 0, 50, Arm(), arm).to_json()
            return [{"body": {"mirrored": mirrored, "look": look}} for mirrored in (True, False, False)]
        if path.endswith("/holds"):
            assert params == {"model": "digits", "held": True}
            return self.holds
        if "/dagRuns/" in path:
            return self.runs.get(path.rpartition("/")[2])
        return {"is_paused": self.paused}

    def post(self, path: str, body: dict[str, Any]) -> None:
        self._answer()
        assert path == "/api/v2/dags/digits_rollback/dagRuns" and body["dag_run_id"] not in self.runs
        self.runs[body["dag_run_id"]] = {"state": "queued", "conf": body["conf"]}

    def call(self, method: str, path: str, json: dict[str, Any]) -> None:
        self._answer()
        if self.refuses:
            raise Refused("refused.", 422, "no", {}, where="the API")
        self.kept.append(json)

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise ComponentError("no answer.", where="the API")


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def office(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> Office:
    clock = iter(range(0, 10_000, 60))
    monkeypatch.setattr(desk.time, "monotonic", lambda: float(next(clock)))
    mlflow = SimpleNamespace(
        aliases=lambda model: {"champion": 3, "previous": 2}, version=lambda model, version: {"tags": {"updraft.run_key": "r"}}
    )
    return Office(airflow, mlflow, lambda text: None)  # type: ignore[arg-type]


def watching(**more: Any) -> State:
    return State(models={"digits": Watched(**more)})


def test_the_past_is_what_the_versions_own_trial_has_shown_of_real_traffic(office: Office):
    office.carry(watching())
    office.round()
    assert office.facts("digits") == Facts(3, 2, Arm(200, 2, Latencies.of([5.0] * 198), refused=4), "")


def test_a_paused_rollback_dag_is_a_persons_hold(office: Office, airflow: Airflow):
    airflow.paused = True
    office.carry(watching())
    office.round()
    facts = office.facts("digits")
    assert facts is not None and "paused" in facts.held


def test_a_hold_by_rest_is_a_persons_hold_too(office: Office, airflow: Airflow):
    airflow.holds = [{"who": "anna", "why": "a fair"}]
    office.carry(watching())
    office.round()
    facts = office.facts("digits")
    assert facts is not None and facts.held == "anna holds it: a fair"


def test_a_return_is_begun_once_and_again_only_when_it_failed(office: Office, airflow: Airflow):
    office.carry(watching(returning=BACK))
    for _ in range(3):
        office.round()
    assert {name: run["conf"] for name, run in airflow.runs.items()} == {BACK.run_id: {"version": 2, "reason": BACK.reason}}
    airflow.runs[BACK.run_id]["state"] = "failed"
    office.round()
    assert set(airflow.runs) == {BACK.run_id, f"{BACK.run_id}__2"}
    for _ in range(5):
        for run in airflow.runs.values():
            run["state"] = "failed"
        office.round()
    assert len(airflow.runs) == desk.TRIES


@pytest.mark.parametrize("away", [0, 1, 3])
def test_a_verdict_is_kept_once_however_long_nobody_answers(office: Office, airflow: Airflow, away: int):
    airflow.away, body = away, {"run_key": "digits_rollback/watch__1", "kind": "watch"}
    state = State(unsent=(body,))
    assert office.carry(state) == set()
    for _ in range(6):
        office.round()
    assert airflow.kept == [body] and office.carry(state) == {body["run_key"]}


def test_a_verdict_that_is_refused_is_not_sent_for_ever(office: Office, airflow: Airflow):
    airflow.refuses, state = True, State(unsent=({"run_key": "r", "kind": "watch"},))
    office.carry(state)
    office.round()
    assert office.carry(state) == {"r"}
