"""What turned out to be right: kept once, corrected with its history, refused whole and by line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from include.predictions import known, labels
from include.predictions.journal import Journal, keep
from include.predictions.segments import hour_of
from include.predictions.store import Segment, store
from include.runtime.settings import Settings
from tests.include.predictions.rows import row
from tests.plugins.lifecycle.api.conftest import Api

MODELS = {"digits": 3, "diabetes": 151.5}
"""Models of the repository, and an answer of each."""


def identity(at_s: float) -> str:
    """As the gateway makes one."""
    time_hex, rest = f"{int(at_s * 1000):012x}", uuid4().hex
    return f"{time_hex[:8]}-{time_hex[8:]}-7{rest[:3]}-8{rest[3:6]}-{rest[6:18]}"


@pytest.fixture
def settings(api: Api) -> Settings:
    return replace(Settings.load(), home=api.database.parent / "updraft", port_base=int(api.url.rpartition(":")[2]) - 80)


@pytest.fixture
def logged(settings: Settings):
    """Logs requests of a model, days ago or in this moment, and returns their ids."""

    def log(count: int = 3, model: str = "digits", days: float = 0, parts: str = "") -> list[str]:
        at_s = time.time() - days * 86400
        ids = [f"{identity(at_s)}{parts}" for _ in range(count)]
        rows = [row(0, inputs={}, outputs={"label": MODELS[model]}) | {"id": one, "time": at_s, "model": model} for one in ids]
        if days:
            keep(settings.prediction_log, store(settings.predictions), rows)
        else:
            Journal(settings.prediction_log).append(rows)
        return ids

    return log


def tell(api: Api, pairs: Sequence[tuple[str, Any]], model: str = "digits", user: str | None = "olaf", **more: Any) -> Any:
    return api.call("POST", f"models/{model}/feedback", user, json={"labels": [{"id": one, "label": label} for one, label in pairs]} | more)


def kept(api: Api, ids: Sequence[str], model: str = "digits") -> list[tuple[str, Any]]:
    rows = api.get(f"models/{model}/feedback", params={"limit": 10_000}).json()
    return [(found["id"], found["label"]) for found in rows if found["id"] in ids]


def test_labels_are_kept_once_however_often_they_are_told(api: Api, logged):
    ids = logged(2) + logged(1, days=20)
    pairs = [(one, number) for number, one in enumerate(ids)]
    assert tell(api, pairs).json() == {"new": 3, "corrected": 0, "same": 0, "unlogged": 0}
    assert tell(api, pairs).json() == {"new": 0, "corrected": 0, "same": 3, "unlogged": 0}
    assert kept(api, ids) == pairs


def test_a_correction_counts_and_leaves_what_it_corrects(api: Api, logged):
    (one,) = logged(1)
    tell(api, [(one, 3)])
    assert tell(api, [(one, 8)]).json()["corrected"] == 1
    assert kept(api, [one]) == [(one, 3), (one, 8)]


def test_what_is_wrong_is_told_by_line_and_nothing_is_kept(api: Api, logged):
    good, twice, typed = logged(3)
    rows = logged(1, parts=".0")[0].removesuffix(".0")
    never, undrawn = identity(time.time()), str(uuid4())
    pairs = [(good, 1), (twice, 2), (twice, 2), (typed, "three"), (never, 1), (undrawn, 1), ("nonsense", 1), (rows, 1)]
    answer = tell(api, pairs)
    assert answer.status_code == 422 and answer.json()["detail"].startswith("6 of 8 labels are wrong, and none is kept. Line 3: ")
    faults = {fault["line"]: fault["fault"] for fault in answer.json()["faults"]}
    said = {3: "line 2 already", 4: "whole number '3'", 5: "not in the model's log", 6: "not drawn", 7: "x-request-id", 8: f"{rows}.0"}
    assert set(faults) == set(said) and all(words in faults[line] for line, words in said.items())
    assert kept(api, [good, twice, typed]) == []


def test_what_is_not_in_the_log_is_passed_over_where_that_is_wanted(api: Api, logged):
    (good,) = logged(1)
    assert tell(api, [(good, 1), (str(uuid4()), 1)], unlogged="skip").json() == {"new": 1, "corrected": 0, "same": 0, "unlogged": 1}


def test_a_check_keeps_nothing(api: Api, logged):
    (one,) = logged(1)
    assert tell(api, [(one, 1)], check=True).json()["new"] == 1
    assert kept(api, [one]) == []


@pytest.mark.parametrize(("model", "wrong"), [("digits", 2.5), ("digits", True), ("diabetes", "151"), ("diabetes", False)])
def test_a_label_of_the_wrong_type_is_refused(api: Api, logged, model, wrong):
    (one,) = logged(1, model)
    assert tell(api, [(one, wrong)], model).status_code == 422
    assert tell(api, [(one, MODELS[model])], model).json()["new"] == 1


def test_another_models_request_is_not_known(api: Api, logged):
    (one,) = logged(1, "diabetes")
    assert tell(api, [(one, 3)]).status_code == 422


def test_a_call_looks_through_a_bounded_number_of_files(api: Api, logged, settings):
    hours = [Segment(hour_of(time.time() - (48 + hour) * 3600), "diabetes", 1, "x") for hour in range(known.MOST_FILES + 1)]
    paths = [Path(settings.predictions) / segment.name for segment in hours]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    ids = [identity(segment.hour.timestamp() + 600) for segment in hours]
    answer = tell(api, [(one, 3.0) for one in ids], "diabetes")
    assert answer.status_code == 413 and f"{known.MOST_FILES + 1} files" in answer.json()["detail"]
    assert tell(api, [(one, 3.0) for one in ids[1:]], "diabetes", unlogged="skip").json()["unlogged"] == known.MOST_FILES
    for path in paths:
        path.unlink()


def test_a_model_that_is_gone_is_told(api: Api):
    answer = tell(api, [("x", 1)], "gone")
    assert answer.status_code == 404 and "gone" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [{"labels": []}, {}, {"labels": [{"id": "x"}]}, {"labels": [{"id": "x", "label": None}]}, {"labels": [{"id": "x", "label": [1]}]}],
)
def test_what_is_no_feedback_is_refused(api: Api, body):
    assert api.call("POST", "models/digits/feedback", "olaf", json=body).status_code == 422


def test_too_much_at_once_is_refused(api: Api):
    assert tell(api, [("x", "y" * 10_000_000)]).status_code == 413
    assert tell(api, [("x", 1)] * 10_001).status_code == 422


@pytest.mark.parametrize(("user", "status"), [("vera", 403), (None, 401), ("olaf", 200), ("anna", 200), ("updraft", 200)])
def test_operators_give_feedback_and_viewers_read_it(api: Api, logged, user, status):
    (one,) = logged(1)
    assert tell(api, [(one, 1)], user=user).status_code == status
    assert bool(kept(api, [one])) is (status == 200)


def test_labels_come_back_as_a_frame_of_the_latest(api: Api, logged, settings, monkeypatch):
    first, second = logged(2)
    tell(api, [(first, 1), (second, 2)])
    tell(api, [(first, 7)])
    monkeypatch.setattr("include.predictions.reader.service", lambda settings: api.client("updraft"))
    monkeypatch.setattr("include.predictions.reader.PAGE", 2)
    frame = labels(settings, "digits").set_index("id")
    assert (frame["label"][first], frame["label"][second]) == (7, 2) and str(frame["time"].dtype).endswith("UTC]")
    assert labels(settings, "wine").empty
