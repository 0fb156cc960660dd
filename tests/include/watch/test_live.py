"""A champion that goes bad on real servers: callers have the version before within seconds, and the copies prove it."""

from __future__ import annotations

import time

import pytest

from include.canary.observations import Arm, Latencies
from include.gateway.table import Split
from include.kinds.load import load
from include.runtime.settings import REPO
from include.spec.schema import Monitor, WatchMode
from include.watch.watcher import Facts, Watcher
from tests.include.watch.test_watcher import Desk

pytestmark = pytest.mark.integration


def test_callers_have_the_version_before_and_the_copies_prove_why(stage, tmp_path):
    for version, params in (("1", {}), ("2", {"error_rate": 0.5})):
        stage.gateway.add_revision(stage.serve("soured", version, **params).endpoint())
    stage.gateway.set_split("soured", {"2": 100})
    stage.backend.stand_by(stage.backend.find("soured", "1"), 3600)
    desk = Desk()
    desk.known = Facts(2, 1, Arm(6000, 60, Latencies.of([50.0] * 5940)), "")
    spec = load(REPO / "include" / "models" / "digits" / "model.yaml").model_copy(update={"monitor": Monitor(watch=WatchMode.ROLLBACK)})
    watch = Watcher(stage.gateway, stage.backend, desk, tmp_path / "watch.json")
    until, lent_s, answers = time.monotonic() + 240, 0.0, []
    began_s = time.monotonic()
    while not desk.kept and time.monotonic() < until:
        answers.append(stage.infer("soured").status_code)
        if not lent_s and stage.gateway.split("soured") == Split({"1": 100}, mirror="2"):
            lent_s, answers = time.monotonic() - began_s, []
        if len(answers) % 5 == 0:
            watch.round({"soured": spec}, time.time())
    watch.round({"soured": spec}, time.time())
    print(f"lent after {lent_s:.2f} s, decided after {time.monotonic() - began_s:.2f} s")
    assert [body["decision"] for body in desk.kept] == ["ROLLBACK"], desk.kept
    assert set(answers) == {200}  # while the champion was on trial
    assert stage.gateway.split("soured") == Split({"1": 100})
