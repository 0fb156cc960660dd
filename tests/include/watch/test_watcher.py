"""The watch on the gateway's real files and log, in simulated time; MLflow and Airflow are a desk that says what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.canary.observations import Arm
from include.errors import ComponentError
from include.gateway.endpoint import Endpoint
from include.gateway.gateway import Gateway
from include.gateway.table import Split
from include.kinds.load import load
from include.runtime.settings import REPO, Settings
from include.spec.schema import Monitor, Spec, WatchMode
from include.watch.state import State
from include.watch.watcher import Facts, Watcher
from tests.include.watch.lives import PAST

START_S, LOOK_S = 1_000_000.0, 0.5
ALONE, LENT, BACK = Split({"2": 100}), Split({"1": 100}, mirror="2"), Split({"1": 100})


class Desk:
    def __init__(self) -> None:
        self.known: Facts | None = Facts(2, 1, PAST, "")
        self.kept: list[dict[str, Any]] = []
        self.away = False

    def facts(self, model: str) -> Facts | None:
        return self.known

    def refresh(self, model: str) -> None: ...

    def carry(self, state: State) -> set[str]:
        if self.away:
            return set()
        self.kept += state.unsent
        return {body["run_key"] for body in state.unsent}


class Site:
    """Version 2 of digits is champion, and version 1 stands by. Time passes by :meth:`pass_s`."""

    def __init__(self, home: Path) -> None:
        (home / "credentials.json").write_text(json.dumps({"api_keys": {"updraft": "k"}, "probe_secret": "s"}))
        (home / "logs").mkdir()
        self.gateway, self.desk, self.path, self.now_s = Gateway(Settings.load()), Desk(), home / "watch.json", START_S
        for version in ("1", "2"):
            self.gateway.add_revision(Endpoint("digits", version, 23900 + int(version)))
        self.gateway.set_split("digits", {"2": 100})
        self.until_s = START_S + 1e6
        self.spec: Spec = load(REPO / "include" / "models" / "digits" / "model.yaml").model_copy(
            update={"monitor": Monitor(watch=WatchMode.ROLLBACK)}
        )
        self.words: list[str] = []
        self.begin()

    def begin(self) -> None:
        """The watch starts, as after a kill."""
        revisions = SimpleNamespace(
            find=lambda model, version: SimpleNamespace(version=version),
            standby=lambda revision: self.until_s or None,
            ready=lambda revision: True,
        )
        self.watch = Watcher(self.gateway, revisions, self.desk, self.path, self.words.append)  # type: ignore[arg-type]

    def monitor(self, **fields: Any) -> None:
        self.spec = self.spec.model_copy(update={"monitor": self.spec.monitor.model_copy(update=fields)})

    def round(self) -> None:
        self.now_s += LOOK_S
        self.watch.round({"digits": self.spec}, self.now_s)

    def ask(self, failing: set[str], requests: int = 5) -> None:
        """What Envoy logs of so many requests by the split there is; all of a ``failing`` version's answers are 500."""
        split = self.gateway.split("digits")
        assert split is not None
        arms = [(version, "live") for version in split.weights] + ([(split.mirror, "mirror")] if split.mirror else [])
        with self.gateway.access_log.open("a") as log:
            for _ in range(requests):
                for version, kind in arms:
                    line = {"time": "1.0", "kind": kind, "client": "demo", "model": "digits", "revision": version, "flags": "-"}
                    line |= {"served_by": version, "path": "/v2/models/digits/infer", "attempts": 1, "upstream_us": 5000}
                    log.write(json.dumps(line | {"status": 500 if version in failing else 200}) + "\n")

    def pass_s(self, seconds: float, failing: set[str] = frozenset(), until: Callable[[], bool] = lambda: False) -> None:  # type: ignore[assignment]
        for _ in range(int(seconds / LOOK_S)):
            if until():
                return
            self.ask(failing)
            self.round()

    @property
    def split(self) -> Split | None:
        return self.gateway.split("digits")

    @property
    def decisions(self) -> list[str]:
        return [body["decision"] for body in self.desk.kept]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    monkeypatch.setenv("UPDRAFT_PORT_BASE", "23000")
    made = Site(tmp_path)
    made.pass_s(10)
    return made


def test_a_champion_that_is_well_keeps_its_traffic(site: Site):
    site.pass_s(60)
    assert site.split == ALONE and not site.desk.kept


def test_a_champion_that_fails_is_taken_back(site: Site):
    site.pass_s(5, {"2"}, lambda: site.split == LENT)
    assert site.split == LENT  # no caller pays for the proof
    site.pass_s(60, {"2"}, lambda: site.split == BACK)
    assert site.split == BACK and site.decisions == ["ROLLBACK"]
    returning = site.watch.state.models["digits"].returning
    assert returning is not None and (returning.champion, returning.version) == (2, 1)
    assert site.desk.kept[0]["run_key"] == f"digits_rollback/{returning.run_id}"
    site.desk.known = Facts(1, 2, PAST, "")  # the rollback DAG has run
    site.pass_s(60, {"1"})
    assert site.split == BACK and site.watch.state.models["digits"].returning is None
    assert (
        site.decisions == ["ROLLBACK", "FAIL"] and "version 2 was taken out by the watch itself" in site.desk.kept[1]["body"]["reasons"][-1]
    )


def test_where_the_version_before_fails_too_the_champion_answers_again(site: Site):
    site.pass_s(5, {"1", "2"}, lambda: site.split == LENT)
    site.pass_s(10, {"1", "2"}, lambda: bool(site.desk.kept))
    assert site.split == ALONE and site.decisions == ["PASS"]


def test_without_a_version_that_stands_by_the_errors_prove_themselves(site: Site):
    site.until_s = 0.0
    site.pass_s(10, {"2"}, lambda: bool(site.desk.kept))
    assert site.split == ALONE and site.decisions == ["ROLLBACK"]  # the rollback DAG starts version 1
    assert site.watch.state.models["digits"].returning is not None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda site: site.monitor(watch=WatchMode.NOTIFY), "`notify`"),
        (
            lambda site: setattr(site.desk, "known", Facts(2, 1, PAST, "the DAG digits_rollback is paused: a person holds it.")),
            "a person holds",
        ),
        (lambda site: setattr(site.desk, "known", Facts(2, None, PAST, "")), "no version was champion before"),
    ],
)
def test_what_may_not_be_done_is_not_and_is_said_once(site: Site, change: Callable[[Site], Any], why: str):
    change(site)
    site.pass_s(60, {"2"})
    assert site.split == ALONE and site.decisions == ["FAIL"] and why in site.desk.kept[0]["body"]["reasons"][-1]


@pytest.mark.parametrize(("acts", "why"), [((-60.0,), "cool_down_s"), ((-9000.0, -8000.0, -7000.0), "max_a_day"), ((-9e4,) * 3, "")])
def test_it_acts_neither_soon_again_nor_often(site: Site, acts: tuple[float, ...], why: str):
    state = site.watch.state
    known = replace(state.models["digits"], acts=tuple(site.now_s + act for act in acts))
    site.watch.state = replace(state, models={"digits": known})
    site.pass_s(60, {"2"}, lambda: bool(site.desk.kept))
    assert site.decisions == ["FAIL" if why else "ROLLBACK"] and why in site.desk.kept[0]["body"]["reasons"][-1]


def test_killed_during_a_trial_it_goes_on_and_acts_once(site: Site):
    site.pass_s(5, {"2"}, lambda: site.split == LENT)
    site.pass_s(2, {"2"})
    site.begin()
    site.pass_s(60, {"2"}, lambda: site.split == BACK)
    assert site.split == BACK and site.decisions == ["ROLLBACK"]
    before = site.watch.state.models["digits"].returning
    site.begin()
    site.pass_s(10)
    assert site.watch.state.models["digits"].returning == before and site.decisions == ["ROLLBACK"]


def test_killed_before_the_traffic_moved_it_begins_anew(site: Site):
    move = site.gateway.exchange_split
    site.gateway.exchange_split = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        site.pass_s(5, {"2"})
    site.gateway.exchange_split = move  # type: ignore[method-assign]
    site.begin()
    site.pass_s(60, {"2"}, lambda: site.split == BACK)
    assert site.split == BACK and site.decisions == ["ROLLBACK"]


@pytest.mark.parametrize("moved", [True, False])
def test_a_gateway_that_does_not_answer_leaves_nothing_half_done(site: Site, moved: bool):
    """The files may have changed or not when Envoy does not say that it runs them: at the suspicion, and at the way back."""
    move = site.gateway.exchange_split

    def fails(model: str, before: Split, after: Split) -> bool:
        site.gateway.exchange_split = move  # type: ignore[method-assign]
        if moved:
            move(model, before, after)
        raise ComponentError("no answer.", where="Envoy")

    site.gateway.exchange_split = fails  # type: ignore[method-assign,assignment]
    site.pass_s(60, {"2"}, lambda: site.split == LENT)
    site.gateway.exchange_split = fails  # type: ignore[method-assign,assignment]
    site.pass_s(60, {"2"}, lambda: site.split == BACK)
    assert site.split == BACK and site.decisions == ["ROLLBACK"]


def test_whoever_changes_production_meanwhile_has_it(site: Site):
    site.pass_s(5, {"2"}, lambda: site.split == LENT)
    site.gateway.set_split("digits", {"1": 50, "2": 50})
    site.pass_s(30, {"2"})
    assert site.split == Split({"1": 50, "2": 50}) and not site.desk.kept


def test_a_model_that_is_watched_no_more_has_its_own_traffic(site: Site):
    site.pass_s(5, {"2"}, lambda: site.split == LENT)
    site.monitor(watch=WatchMode.OFF)
    site.round()
    assert site.split == ALONE and not site.watch.state.models


def test_a_verdict_waits_for_who_takes_it_across_a_kill(site: Site):
    site.desk.away = True
    site.pass_s(60, {"2"}, lambda: site.split == BACK)
    assert site.split == BACK and not site.desk.kept
    site.desk.away = False
    site.begin()
    site.round()
    assert site.decisions == ["ROLLBACK"] and not site.watch.state.unsent


def test_what_was_logged_while_the_watch_was_away_for_long_is_no_news(site: Site):
    site.ask({"2"}, 500)
    site.now_s += 3600
    site.pass_s(10)
    assert site.split == ALONE and not site.desk.kept


def test_another_version_is_another_life(site: Site):
    site.gateway.add_revision(Endpoint("digits", "3", 23903))
    site.gateway.set_split("digits", {"3": 100})
    site.round()
    assert site.watch.state.models["digits"].life.version == 2  # type: ignore[union-attr]  # nobody has called it champion
    site.desk.known = Facts(3, 2, None, "")
    site.round()
    assert site.watch.state.models["digits"].life.version == 2  # type: ignore[union-attr]  # and its past is not known yet
    site.desk.known = Facts(3, 2, Arm(), "")
    site.round()
    assert site.watch.state.models["digits"].life.version == 3  # type: ignore[union-attr]


def test_a_file_that_is_torn_is_one_that_knows_nothing(site: Site):
    site.path.write_text(site.path.read_text()[:50])
    site.begin()
    site.pass_s(60, {"2"}, lambda: site.split == LENT)
    assert site.split == LENT
