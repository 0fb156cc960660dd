"""News of a model's data by webhook: signed, taken once, kept before it is answered."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import pytest

from include.events import signature
from tests.plugins.lifecycle.api.conftest import Api
from tests.plugins.lifecycle.api.served import EVENTS_SECRET

MODEL = "listening"


def post(
    api: Api, body: Any, *, message_id: str = "", at: float | None = None, secret: str = EVENTS_SECRET, sender: str = "warehouse"
) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    message_id, stamp = message_id or uuid4().hex, str(int(time.time() if at is None else at))
    signed = signature.sign(signature.key_of(secret), message_id, stamp, raw)
    headers = {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": signed, "Content-Type": "application/json"}
    return api.call("POST", "events", None, data=raw, headers=headers, params={"sender": sender})


def kept(api: Api, summary: str) -> list[dict[str, Any]]:
    return [row for row in api.get("events", params={"model": MODEL, "limit": 1000}).json() if row["summary"] == summary]


@pytest.fixture
def mark() -> str:
    return uuid4().hex


def test_news_is_kept_once_however_often_it_is_told(api: Api, mark: str):
    for _ in range(3):
        answer = post(api, {"model": MODEL, "summary": mark, "more": "is not looked at"}, message_id=mark)
        assert answer.status_code == 200 and answer.json()["state"] == "WAITING", answer.text
    (row,) = kept(api, mark)
    assert (row["model"], row["kind"], row["sender"]) == (MODEL, "webhook", "warehouse")


def test_the_same_id_with_another_content_is_refused(api: Api, mark: str):
    post(api, {"model": MODEL, "summary": mark}, message_id=mark)
    assert post(api, {"model": MODEL, "summary": f"{mark} otherwise"}, message_id=mark).status_code == 409
    assert len(kept(api, mark)) == 1


@pytest.mark.parametrize("more", [{"secret": "another secret 16"}, {"sender": "nobody"}, {"sender": "short"}, {"at": 1e9}], ids=str)
def test_what_is_forged_or_old_is_refused_and_nothing_is_kept(api: Api, mark: str, more: dict[str, Any]):
    answer = post(api, {"model": MODEL, "summary": mark}, **more)
    assert answer.status_code == 401 and answer.json()["detail"]
    assert not kept(api, mark)


def test_a_login_signs_nothing(api: Api, mark: str):
    for user in ("anna", "updraft", None):
        answer = api.call("POST", "events", user, json={"model": MODEL, "summary": mark}, params={"sender": "warehouse"})
        assert answer.status_code == 422 and "webhook-id" in answer.json()["detail"]
    assert not kept(api, mark)


def test_a_sender_tells_only_of_the_models_that_its_connection_names(api: Api, mark: str):
    assert post(api, {"model": MODEL, "summary": mark}, sender="other").status_code == 403
    assert not kept(api, mark)


@pytest.mark.parametrize(("model", "why"), [("nobody", "no model"), ("deaf", "asks for no events")])
def test_news_that_nobody_asks_for_is_refused(api: Api, mark: str, model: str, why: str):
    answer = post(api, {"model": model, "summary": mark})
    assert answer.status_code == 404 and why in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": 3}', b'{"model": "listening", "summary": 3}', b"\xff"], ids=str)
def test_what_is_no_event_is_refused(api: Api, body: bytes):
    answer = post(api, body)
    assert answer.status_code in (400, 422) and answer.json()["detail"]


def test_too_much_waits_and_more_is_refused(api: Api, mark: str):
    assert post(api, {"model": "flooded", "summary": mark}).status_code == 429


def test_a_body_that_is_too_long_is_refused(api: Api):
    assert post(api, {"model": MODEL, "summary": "x" * 200_000}).status_code == 413


def test_viewers_read_and_nobody_else_without_a_login(api: Api):
    assert api.get("events").status_code == 200 and api.get("events", None).status_code == 401
    assert api.get("began", params={"run_key": "digits_lifecycle/none"}).status_code == 404
