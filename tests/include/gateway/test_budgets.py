"""Budgets of tokens, through the real Envoy, with the real count beside it."""

import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from bench.budget.site import KEY, MODEL, site
from include.budgets.ledger import used
from include.cost.month import Month
from include.errors import InputError
from include.gateway import budgets
from include.gateway.budgets import Budget
from include.gateway.key_ring import KeyRing
from include.gateway.keys import Key
from include.gateway.listener import LOG_FLUSH_MS
from include.gateway.observe import Cursor, end_of
from tests.waiting import until

CHAT = "/v1/chat/completions"
TEMPLATE = budgets.TEMPLATE_TOKENS


@pytest.fixture(scope="module")
def place():
    with site() as found:
        yield found


@pytest.fixture(autouse=True)
def clean(place):
    yield
    for budget in place.gateway.budgets().values():
        place.gateway.set_budget(replace(budget, tokens=None, gpu_hours=None))


def ask(place, key=KEY, **fields):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}], **fields}
    return httpx.post(place.settings.gateway_url + CHAT, json=body, headers={"authorization": f"Bearer {key}"}, timeout=30)


def spent(place, scope="key", name="demo"):
    tokens, held = used(place.settings.budget_ledger, month())
    return tokens[scope, name], held[scope, name]


def month():
    return str(Month.of(time.time()))


def settled(place, scope="key", name="demo"):
    """What is counted once all that has been asked is."""
    time.sleep(2 * LOG_FLUSH_MS / 1000)  # Envoy's log is whole by then
    until(lambda: spent(place, scope, name)[1] == 0 and cursor(place) == end_of(place.gateway.access_log))
    return spent(place, scope, name)[0]


def cursor(place):
    with closing(sqlite3.connect(place.settings.budget_ledger)) as database:
        return Cursor(*database.execute("SELECT inode, offset FROM place").fetchone())


@pytest.mark.integration
def test_a_key_is_refused_once_its_budget_is_used_up_and_others_go_on(place):
    other = KeyRing(place.settings, place.gateway).add("other")
    before = settled(place)
    place.gateway.set_budget(Budget("key", "demo", tokens=before + 700))
    assert ask(place, max_tokens=5).status_code == 200
    until(lambda: settled(place) > before)
    refused = ask(place, max_tokens=5000)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert "budget of key demo" in error["message"] and int(refused.headers["retry-after"]) >= 1
    assert ask(place, key=other, max_tokens=5000).status_code == 200
    place.gateway.set_budget(Budget("key", "demo"))
    assert ask(place, max_tokens=5000).status_code == 200


@pytest.mark.integration
def test_who_names_no_max_tokens_gets_no_more_than_is_left(place):
    before = settled(place)
    place.gateway.set_budget(Budget("key", "demo", tokens=before + 100 + TEMPLATE + 20))
    assert ask(place, max_tokens=None).status_code == 200
    given = json.loads(place.told.read_text())["max_tokens"]
    assert 1 <= given <= 120
    assert settled(place) <= before + 100 + TEMPLATE + 20


@pytest.mark.integration
def test_a_word_that_a_server_may_pass_over_bounds_its_answer_too(place):
    place.gateway.set_budget(Budget("key", "demo", tokens=10**9))
    assert ask(place, max_completion_tokens=7).status_code == 200
    assert json.loads(place.told.read_text())["max_tokens"] == 7
    assert ask(place, max_tokens=3, max_completion_tokens=7).status_code == 200
    assert json.loads(place.told.read_text())["max_tokens"] == 3


@pytest.mark.integration
def test_a_model_and_a_team_have_budgets_too(place):
    ring = KeyRing(place.settings, place.gateway)
    secret = ring.add("ann", team="text")
    place.gateway.set_budget(Budget("team", "text", tokens=0))
    refused = ask(place, key=secret, max_tokens=1)
    assert refused.status_code == 429 and "team text" in refused.json()["error"]["message"]
    place.gateway.set_budget(Budget("team", "text"))
    place.gateway.set_budget(Budget("model", MODEL, tokens=0))
    assert "model talk" in ask(place, max_tokens=1).json()["error"]["message"]
    assert ask(place, key="platform-0123456789", max_tokens=1).status_code == 200, "the platform's own probes go on"
    ring.revoke("ann")


@pytest.mark.integration
def test_without_the_count_nothing_of_a_budget_is_spent(place):
    place.gateway.set_budget(Budget("key", "demo", tokens=10**9))
    place.kill("budgets")
    answer = ask(place, max_tokens=1)
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "budget_unknown"
    place.count()
    until(lambda: ask(place, max_tokens=1).status_code == 200)


@pytest.mark.integration
def test_a_caller_who_hangs_up_is_settled_as_reserved(place):
    before = settled(place)
    place.gateway.set_budget(Budget("key", "demo", tokens=10**9))
    body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}], "max_tokens": 2000, "stream": True}
    url, headers = place.settings.gateway_url + CHAT, {"authorization": f"Bearer {KEY}"}
    with httpx.stream("POST", url, json=body, headers=headers, timeout=30) as answer:
        next(answer.iter_bytes())
        assert spent(place)[1] >= 2000
    assert settled(place) >= before + 2000


@pytest.mark.integration
def test_a_count_that_is_ended_properly_goes_on_where_it_stood(place):
    before = settled(place)
    process = place.running["budgets"]
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(10)
    place.count()
    assert settled(place) == before


def test_whose_requests_reserve():
    keys = {"ann": Key("ann", "x", team="text"), "bob": Key("bob", "y")}
    found = {
        one.of: one for one in (Budget("team", "text", tokens=1), Budget("model", "m", tokens=1), Budget("team", "vision", gpu_hours=1))
    }
    assert budgets.counted(found, keys) == ({"ann"}, {"m"})


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"scope": "user", "name": "x"}, "user"),
        ({"scope": "key", "name": "X Y"}, "X Y"),
        ({"scope": "model", "name": "../x"}, "../x"),
        ({"scope": "key", "name": "demo", "tokens": -1}, "tokens"),
        ({"scope": "key", "name": "demo", "tokens": 1.5}, "tokens"),
        ({"scope": "key", "name": "demo", "gpu_hours": 1}, "gpu_hours"),
        ({"scope": "team", "name": "t", "gpu_hours": float("nan")}, "gpu_hours"),
        ({"scope": "team", "name": "t", "warn": 0}, "warn"),
    ],
)
def test_what_is_no_budget_is_refused_by_name(fields, names):
    with pytest.raises(InputError) as error:
        Budget(**fields)
    assert names in str(error.value)


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "budgets.json"
    for text in ("{", '[{"scope": "key"}]', '{"key": 1}', '[{"scope": "key", "name": "demo", "tokens": "many"}]'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"budgets\.json"):
            budgets.read(path)
