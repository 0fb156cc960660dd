"""Holds over REST: who may set them, what is kept, and where it shows. The models' folder is the shipped one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugins.lifecycle.api.conftest import Api

HELD = {"model": "diabetes", "held": True, "why": "a fair"}


def now(api: Api) -> list[dict[str, Any]]:
    return api.get("holds", params={"model": "diabetes", "held": True}).json()


def test_an_operator_holds_a_model_and_lets_it_go_on_and_both_are_kept(api: Api):
    assert api.call("POST", "holds", "olaf", json=HELD).status_code == 200
    (row,) = now(api)
    assert (row["who"], row["why"], row["held"]) == ("olaf", "a fair", True)
    (shown,) = api.get("summary", params={"model": "diabetes"}).json()["models"]
    assert shown["hold"]["who"] == "olaf" and shown["acts"] == []
    assert api.call("POST", "holds", "anna", json=HELD | {"held": False, "why": "it is over"}).status_code == 200
    assert now(api) == []
    history = api.get("holds", params={"model": "diabetes"}).json()
    assert [(row["who"], row["held"]) for row in history[:2]] == [("anna", False), ("olaf", True)]


@pytest.mark.parametrize(("user", "status"), [("vera", 403), (None, 401)])
def test_nobody_else_holds_a_model(api: Api, user: str | None, status: int):
    assert api.call("POST", "holds", user, json=HELD).status_code == status
    assert now(api) == []


@pytest.mark.parametrize(
    ("wrong", "status"),
    [({"model": "nobody"}, 404), ({"why": " "}, 422), ({"why": "a\x00b"}, 422), ({"held": "yes"}, 422), ({"x": 1}, 422)],
)
def test_a_wrong_hold_is_refused_and_not_kept(api: Api, wrong: dict[str, Any], status: int):
    answer = api.call("POST", "holds", "olaf", json=HELD | wrong)
    assert answer.status_code == status and answer.json()["detail"]
    assert now(api) == []


def test_nobody_writes_acts_or_notices(api: Api):
    assert api.get("acts").json() == []
    assert api.get("notices", params={"state": "LOST"}).json() == []
    assert api.get("notices", params={"state": "GONE"}).status_code == 422
    for method in ("POST", "PUT", "DELETE"):
        assert [api.call(method, path, "anna", json={}).status_code for path in ("acts", "notices")] == [405, 405]
