"""What alerts bring about: recorded first, then begun, each once. Airflow's API is a dict of runs, the database is real."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from include.errors import ComponentError
from include.kinds.load import load
from include.runtime.airflow_api import Refused
from include.runtime.settings import REPO
from include.spec.parts import Replicas
from include.spec.schema import Act as Kind
from include.spec.schema import Monitor, Spec
from lifecycle.db import acts, alerts, evidence, holds
from lifecycle.db.alerts import Told
from lifecycle.db.models import Act
from lifecycle.responder import Responder

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DIGITS = load(REPO / "include" / "models" / "digits" / "model.yaml")


class Killed(BaseException):
    """As kill -9: nobody catches it."""


class Airflow:
    """Runs by key, as Airflow's API begins them; ``fails`` is raised before or after a run has begun."""

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}
        self.posts, self.fails, self.after = 0, None, False
        self.replicas: dict[str, Any] = {"wanted": 1, "why": ""}

    def get(self, path: str) -> dict[str, Any]:
        return {"replicas": self.replicas}

    def post(self, path: str, body: dict[str, Any]) -> None:
        if path == "/serving/v1/models/digits/scale":
            self.replicas = {"wanted": body["replicas"], "why": body["why"]}
            if self.fails:
                raise self.fails
            return
        key = f"{path.split('/')[4]}/{body['dag_run_id']}"
        self.posts += 1
        if self.fails and not self.after:
            raise self.fails
        if key in self.runs:
            raise Refused("refused.", 409, "there", {}, where="the API")
        self.runs[key] = body
        if self.fails:
            raise self.fails


class Mlflow:
    def __init__(self) -> None:
        self.found: dict[str, int] | None = {"champion": 2, "previous": 1}

    def aliases(self, model: str) -> dict[str, int]:
        if self.found is None:
            raise ComponentError("no answer.", where="MLflow")
        return self.found


class Site:
    """One platform's responder: the same database in every round, a new process in each."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.airflow, self.mlflow, self.said = Airflow(), Mlflow(), list[str]()
        self.on_alert = {"ErrorRateHigh": Kind.ROLLBACK, "drift": Kind.RETRAIN, "warning": Kind.NOTIFY}
        self.more: dict[str, Any] = {}

        self.most = 1

    @property
    def specs(self) -> dict[str, Spec]:
        serve = DIGITS.serve.model_copy(update={"replicas": Replicas(max=self.most)})
        return {"digits": DIGITS.model_copy(update={"monitor": Monitor(on_alert=self.on_alert, **self.more), "serve": serve})}

    def round(self, now: datetime = NOW) -> None:
        with Session(self.engine) as session:
            Responder(self.airflow, self.mlflow, self.said.append).round(session, self.specs, now)  # type: ignore[arg-type]

    def alert(self, *fingerprints: str, **changed: Any) -> None:
        plain = {"starts_at": NOW, "name": "ErrorRateHigh", "model": "digits", "severity": "critical", "summary": "bad", "labels": {}}
        with Session(self.engine) as session:
            alerts.keep(session, [Told(**{"fingerprint": one, "ends_at": None} | plain | changed) for one in fingerprints], NOW)
            session.commit()

    def verdict(self, kind: str, decision: str, **found: Any) -> None:
        body = {"decision": decision, "reasons": ["Harm."], "rules": [], "evidence": found}
        with Session(self.engine) as session:
            content = {"run_key": f"r/{kind}", "kind": kind, "model": "digits", "version": 2, "decision": decision, "body": body}
            evidence.keep_verdict(session, "updraft", content).at = NOW
            session.commit()

    def hold(self, held: bool) -> None:
        with Session(self.engine) as session:
            holds.set_hold(session, "digits", held, "anna", "a fair", NOW)
            session.commit()

    @property
    def acts(self) -> list[Act]:
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(select(Act).order_by(Act.at, Act.state, Act.id)))

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(row.act, row.state) for row in self.acts]


@pytest.fixture
def site(engine: Engine) -> Site:
    return Site(engine)


def test_an_alert_takes_production_back_once_however_long_it_fires(site: Site):
    site.alert("ab")
    for _ in range(3):
        site.round()
    (row,), (key,) = site.acts, site.airflow.runs
    assert (row.act, row.state, row.champion, row.version, row.run_key) == ("rollback", "BEGUN", 2, 1, key)
    assert key == f"digits_rollback/act__{row.id}" and row.cause.startswith("alert/ab/") and row.name == "ErrorRateHigh"
    assert site.airflow.runs[key]["conf"] == {"version": 1, "reason": "ErrorRateHigh: bad"} and site.airflow.posts == 1


@pytest.mark.parametrize("after", [False, True], ids=["before the run", "after the run"])
@pytest.mark.parametrize("fault", [Killed(), ComponentError("no answer.", where="Airflow")], ids=["killed", "away"])
def test_killed_or_unanswered_at_the_trigger_it_begins_one_run(site: Site, fault: BaseException, after: bool):
    site.alert("ab")
    site.airflow.fails, site.airflow.after = fault, after
    if isinstance(fault, Killed):
        with pytest.raises(Killed):
            site.round()
    else:
        site.round()
    assert site.states == [("rollback", "PLANNED")] and len(site.airflow.runs) == after
    site.airflow.fails = None
    site.round()
    site.round()
    assert site.states == [("rollback", "BEGUN")] and len(site.airflow.runs) == 1


def test_a_storm_begins_one_run_and_says_of_each_of_the_others_why_not(site: Site):
    site.alert(*(f"{number:04x}" for number in range(1000)))
    site.round()
    assert len(site.airflow.runs) == 1
    assert sorted(site.states) == [("rollback", "BEGUN")] + [("rollback", "REFUSED")] * 999
    assert all("under way" in row.reason for row in site.acts if row.state == "REFUSED")


@pytest.mark.parametrize(
    "changed",
    [{"model": "nobody"}, {"model": ""}, {"ends_at": NOW}, {"name": "Other", "severity": "info"}],
    ids=["an unknown model", "no model", "resolved before it fired", "nothing is said of it"],
)
def test_what_asks_for_nothing_is_not_recorded(site: Site, changed: dict[str, Any]):
    site.alert("ab", **changed)
    site.round()
    assert site.acts == [] and site.airflow.posts == 0


def test_a_verdict_of_drift_retrains_and_an_old_one_or_one_that_passed_does_not(site: Site):
    site.verdict("drift", "PASS")
    site.round()
    site.verdict("drift", "ALARM")
    site.round(NOW + timedelta(hours=2))
    assert site.acts == []
    site.round()
    (row,), (key,) = site.acts, site.airflow.runs
    assert (row.act, row.state, row.name) == ("retrain", "BEGUN", "drift") and key.startswith("digits_lifecycle/act__")
    assert site.airflow.runs[key]["conf"] == {} and "drift: Harm." in site.airflow.runs[key]["note"]


def test_harm_that_the_watch_could_not_act_on_asks_by_its_kind(site: Site):
    site.on_alert = {"watch": Kind.RETRAIN}
    site.verdict("watch", "ROLLBACK")  # done already
    site.round()
    assert site.acts == []
    site.verdict("watch", "FAIL")
    site.round()
    assert site.states == [("retrain", "BEGUN")]


def test_after_a_return_nothing_goes_back_again(site: Site):
    """The watch's own rollback fires ChampionHarmed: `previous` is the bad version by then."""
    site.more = {"cool_down_s": 0}
    site.verdict("return", "PROMOTE", champion=3, version=2, who="the watch", why="")
    site.mlflow.found = {"champion": 2, "previous": 3}
    site.alert("ab")
    site.round()
    assert site.states == [("rollback", "REFUSED")] and "Version 3" in site.acts[0].reason and not site.airflow.runs


def test_the_cool_down_counts_every_return(site: Site):
    site.verdict("return", "PROMOTE", champion=4, version=2, who="anna", why="")
    site.alert("ab")
    site.round(NOW + timedelta(minutes=59))
    assert site.states == [("rollback", "REFUSED")] and "cool_down_s" in site.acts[0].reason
    site.round(NOW + timedelta(minutes=61))
    assert site.states == [("rollback", "BEGUN")] and site.acts[0].reason == "" and len(site.airflow.runs) == 1


def test_an_alert_that_was_refused_and_has_ended_is_not_tried_again(site: Site):
    site.hold(True)
    site.alert("ab")
    site.round()
    site.alert("ab", ends_at=NOW)
    site.hold(False)
    site.round()
    assert site.states == [("rollback", "REFUSED")] and not site.airflow.runs


def test_a_storm_that_goes_on_begins_no_more_than_the_damping_allows(site: Site):
    site.on_alert = {"ErrorRateHigh": Kind.RETRAIN}
    site.alert(*(f"{number:04x}" for number in range(20)))
    for hour in range(30):
        site.round(NOW + timedelta(hours=hour, seconds=1))
    begun = sorted(row.at for row in site.acts if row.state == "BEGUN")
    assert len(begun) == 6 and begun[3] - begun[0] >= timedelta(days=1)  # max_a_day is 3


def test_a_hold_stops_acts_and_not_notices_until_it_is_lifted(site: Site):
    site.hold(True)
    site.alert("ab")
    site.alert("cd", name="Slow", severity="warning")
    site.round()
    assert sorted(site.states) == [("notify", "NOTIFIED"), ("rollback", "REFUSED")] and not site.airflow.runs
    assert any("anna" in row.reason and "a fair" in row.reason for row in site.acts)
    site.hold(False)
    site.round()
    assert sorted(site.states) == [("notify", "NOTIFIED"), ("rollback", "BEGUN")] and len(site.airflow.runs) == 1


def test_while_a_run_is_under_way_nothing_is_begun(site: Site):
    with Session(site.engine) as session:
        session.add(DagRun(dag_id="digits_lifecycle", run_id="manual__1", run_type="manual", state="running", run_after=NOW))
        session.commit()
    site.alert("ab")
    site.round()
    assert site.states == [("rollback", "REFUSED")] and "digits_lifecycle/manual__1" in site.acts[0].reason


def test_while_mlflow_is_away_an_alert_waits(site: Site):
    site.mlflow.found = None
    site.alert("ab")
    site.round()
    site.round()
    assert site.acts == [] and len(site.said) <= 2
    site.mlflow.found = {"champion": 2, "previous": 1}
    site.round()
    assert site.states == [("rollback", "BEGUN")]


def test_what_airflow_refuses_is_said_and_not_tried_for_ever(site: Site):
    site.airflow.fails = Refused("refused.", 404, "no such DAG", {}, where="the API")
    site.alert("ab")
    site.round()
    site.round()
    assert site.states == [("rollback", "REFUSED")] and "no such DAG" in site.acts[0].reason and site.airflow.posts == 1


def test_old_acts_are_thrown_away(site: Site):
    site.alert("ab")
    site.round()
    site.alert("ab", ends_at=NOW)
    site.alert("cd", starts_at=NOW + acts.KEPT)
    site.round(NOW + acts.KEPT + timedelta(days=1))
    assert [row.cause.split("/")[1] for row in site.acts] == ["cd"]


def test_an_alert_adds_one_server_once_and_the_next_waits_for_the_cool_down(site: Site):
    site.on_alert, site.most = {"ErrorRateHigh": Kind.SCALE}, 3
    site.alert("ab")
    site.airflow.fails = Killed()
    with pytest.raises(Killed):  # it was done, and killed before that was noted
        site.round()
    site.airflow.fails = None
    for _ in range(3):
        site.round()
    (row,) = site.acts
    assert (row.act, row.state, row.run_key) == ("scale", "BEGUN", "") and site.airflow.runs == {}
    assert site.airflow.replicas["wanted"] == 2 and "ErrorRateHigh: bad" in site.airflow.replicas["why"]
    site.alert("cd", starts_at=NOW + timedelta(seconds=60))
    site.round(NOW + timedelta(seconds=60))
    assert site.airflow.replicas["wanted"] == 2
    assert "scaled by an alert" in next(one.reason for one in site.acts if one.state == "REFUSED")


def test_an_alert_adds_no_server_beyond_the_spec(site: Site):
    site.on_alert = {"ErrorRateHigh": Kind.SCALE}
    site.alert("ab")
    site.round()
    (row,) = site.acts
    assert row.state == "REFUSED" and "serve.replicas.max" in row.reason and site.airflow.replicas["wanted"] == 1
