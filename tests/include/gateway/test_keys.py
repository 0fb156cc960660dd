"""Callers' keys, through a real Envoy that has nothing behind it but a small server of OpenAI's API."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.errors import InputError
from include.gateway import keys
from include.gateway.__main__ import main
from include.gateway.credentials import Credentials
from include.gateway.gateway import Gateway
from include.gateway.key_ring import KeyRing
from include.gateway.openai import INFERENCE_PATHS
from include.gateway.rate_limits import Limit
from include.runtime.settings import Settings
from tests.include.gateway.talker import Talker
from tests.ports import free_base
from tests.waiting import until

OWN = "the-platforms-own-key"
CHAT = "/v1/chat/completions"


@dataclass
class Door:
    """An Envoy, its keys, and a way to ask it."""

    settings: Settings
    gateway: Gateway
    ring: KeyRing

    def ask(self, path: str, key: str | None = None, method: str = "GET", header: str = "x-api-key", **more: Any) -> httpx.Response:
        headers = {header: key if header == "x-api-key" else f"bearer {key}"} if key is not None else {}
        return httpx.request(method, self.settings.gateway_url + path, headers=headers, timeout=20, **more)

    def chat(self, key: str, model: str = "chat") -> httpx.Response:
        return self.ask(CHAT, key, "POST", json={"model": model, "messages": [{"role": "user", "content": "?"}]})


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    settings = replace(Settings.load(), home=tmp_path_factory.mktemp("door"), port_base=free_base())
    gateway = Gateway(settings, Credentials({"updraft": OWN}, "secret"))
    gateway.prepare()
    talker = Talker()
    with (settings.home / "envoy.log").open("w") as log:
        process = subprocess.Popen(gateway.command(concurrency=1), stdout=log, stderr=log)
    try:
        until(gateway.admin.running)
        for model in ("chat", "other"):
            gateway.add_revision(talker.endpoint(model, "1"))
            gateway.set_split(model, {"1": 100})
        yield Door(settings, gateway, KeyRing(settings, gateway))
        assert process.poll() is None and not gateway.admin.rejected()
    finally:
        process.terminate()
        process.wait(timeout=20)
        talker.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of a key of one test's own."""
    return f"k{abs(hash(request.node.nodeid)) % 10**12}"


pytestmark = pytest.mark.integration


def test_a_new_key_is_in_force_when_it_is_made_and_a_revoked_one_never_again(door: Door, name: str) -> None:
    key = door.ring.add(name)
    assert door.chat(key).status_code == 200
    door.ring.revoke(name)
    assert door.chat(key).status_code == 401
    assert door.chat(OWN).status_code == 200


def test_no_key_and_a_wrong_one_are_told_apart(door: Door, name: str) -> None:
    none, wrong = door.ask("/v2/models/chat"), door.ask("/v2/models/chat", "ud_wrong")
    assert (none.status_code, wrong.status_code) == (401, 401)
    assert "none was sent" in none.json()["error"] and "is not known here" in wrong.json()["error"]
    assert none.headers["www-authenticate"] == "Bearer"
    openai = door.chat("ud_wrong").json()["error"]
    assert openai["code"] == "invalid_api_key" and "is not known here" in openai["message"]


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER", "beaReR"])
def test_bearer_is_taken_in_any_case(door: Door, word: str) -> None:
    headers = {"authorization": f"{word} {OWN}"}
    assert httpx.get(f"{door.settings.gateway_url}/v1/models", headers=headers, timeout=20).status_code == 200


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", f"Bearer {OWN} x", OWN, f"Bearer{OWN}", "Bearer " + "k" * 4000])
def test_what_is_no_bearer_token_is_refused(door: Door, header: str) -> None:
    headers = {"authorization": header}
    assert httpx.get(f"{door.settings.gateway_url}/v1/models", headers=headers, timeout=20).status_code == 401


def test_a_key_for_one_model_opens_no_other(door: Door, name: str) -> None:
    key = door.ring.add(name, models=["chat"])
    assert door.chat(key).status_code == 200
    refused = door.chat(key, "other")
    assert refused.status_code == 403 and "not good for this model" in refused.json()["error"]["message"]
    assert door.ask("/v1/models/chat", key).status_code == 200
    assert [door.ask(path, key).status_code for path in ("/v1/models/other", "/v1/models", "/v2/models/other")] == [403] * 3
    assert door.ask("/v2/models/other/infer", key, "POST").status_code == 403
    assert door.ask("/models/other/own", key).status_code == 403 and door.ask("/models/chat/own", key).status_code == 404
    # Hidden behind whatever a path can be written as.
    assert door.ask("/v2/models/chat/../other/infer", key, "POST").status_code == 403
    assert door.ask("/v2/models/%6fther/infer", key, "POST").status_code in (403, 404)


def test_a_key_for_one_verb_opens_no_other(door: Door, name: str) -> None:
    looks = door.ring.add(name, verbs=["metadata"])
    asks = door.ring.add(f"{name}x", verbs=["infer"])
    assert door.ask("/v1/models", looks).status_code == 200 and door.chat(asks).status_code == 200
    refused = door.chat(looks)
    assert refused.status_code == 403 and "the verb infer" in refused.json()["error"]["message"]
    assert door.ask("/v1/models", asks).status_code == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", [*INFERENCE_PATHS, "/v1/../v1//chat/completions?x=1", "/v2/models/chat/infer"])
def test_a_path_that_asks_a_model_needs_the_verb_infer_by_any_method(door: Door, name: str, method: str, path: str) -> None:
    looks = door.ring.add(name, verbs=["metadata"])
    refused = door.ask(path, looks, method, json={"model": "chat", "messages": [{"role": "user", "content": "?"}]})
    assert refused.status_code == 403 and "the verb infer" in refused.text
    door.ring.revoke(name)


def test_a_key_ends_with_its_days(door: Door, name: str) -> None:
    key = door.ring.add(name, days=1)
    assert door.chat(key).status_code == 200
    door.gateway.change_keys(lambda known: {**known, name: replace(known[name], expires_at=time.time() - 1)})
    assert "has expired" in door.chat(key).json()["error"]["message"]


def test_a_rotated_key_is_another_and_the_one_before_may_overlap(door: Door, name: str) -> None:
    first = door.ring.add(name)
    second = door.ring.rotate(name, overlap_s=3600)
    assert (door.chat(first).status_code, door.chat(second).status_code) == (200, 200)
    third = door.ring.rotate(name)
    assert [door.chat(key).status_code for key in (first, second, third)] == [401, 401, 200]


def test_no_file_holds_a_key_and_the_models_never_see_one(door: Door, name: str) -> None:
    key = door.ring.add(name)
    assert door.chat(key).status_code == 200
    held = [path for path in door.settings.home.rglob("*") if path.is_file() and {key.encode(), OWN.encode()} & set(_words(path))]
    assert held == []
    assert door.settings.keys.stat().st_mode & 0o777 == 0o600


def _words(path: Path) -> list[bytes]:
    return path.read_bytes().replace(b'"', b" ").split()


def test_the_last_use_of_a_key_is_shown(door: Door, name: str) -> None:
    key = door.ring.add(name)

    def used() -> float | None:
        return next(row.last_used for row in door.ring.list() if row.name == name)

    assert used() is None
    before = time.time()
    assert door.chat(key).status_code == 200
    until(lambda: used() is not None)
    assert before - 1 < float(used() or 0) < time.time() + 1


def test_connections_live_on_while_keys_change(door: Door, name: str) -> None:
    with httpx.Client(base_url=door.settings.gateway_url, headers={"x-api-key": OWN}, timeout=20) as client:
        with client.stream("GET", "/v1/models") as answer:
            answer.read()
            port = answer.extensions["network_stream"].get_extra_info("client_addr")
        door.ring.add(name)
        with client.stream("GET", "/v1/models") as answer:
            assert answer.status_code == 200
            assert answer.extensions["network_stream"].get_extra_info("client_addr") == port


def test_a_revoked_key_takes_its_limit_along(door: Door, name: str) -> None:
    door.ring.add(name)
    door.gateway.set_limit(name, Limit(requests=5))
    door.ring.revoke(name)
    assert name not in door.gateway.limits()
    door.gateway.prepare()


WRONG = [
    {"name": "updraft"},
    {"name": "A b"},
    {"name": "*"},
    {"name": ""},
    {"models": ["../etc"]},
    {"verbs": ["delete"]},
    {"verbs": []},
    {"days": 0},
    {"days": -1},
    {"days": 1e9},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_key_that_can_not_be_is_refused_and_changes_nothing(door: Door, name: str, wrong: dict[str, Any]) -> None:
    before = door.settings.keys.read_bytes() if door.settings.keys.exists() else b""
    with pytest.raises(InputError):
        door.ring.add(**({"name": name} | wrong))
    assert (door.settings.keys.read_bytes() if door.settings.keys.exists() else b"") == before


def test_the_command_makes_lists_rotates_and_revokes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside a gateway that is down."""
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    monkeypatch.setenv("UPDRAFT_PORT_BASE", str(free_base()))
    (tmp_path / "credentials.json").write_text(json.dumps({"api_keys": {"demo": "k"}, "probe_secret": "s"}))
    assert main(["key", "add", "team-a", "--model", "wine", "--verb", "infer", "--days", "30"]) == 0
    made = capsys.readouterr().out.strip()
    assert made.startswith(keys.PREFIX) and keys.digest(made) in (tmp_path / "keys.json").read_text()
    assert main(["key", "add", "team-a"]) == 2 and "already" in capsys.readouterr().err
    assert main(["key", "list"]) == 0
    listed = capsys.readouterr().out
    assert "demo: the platform's own" in listed and "team-a: infer of wine; ends " in listed and made not in listed
    assert main(["key", "rotate", "team-a"]) == 0 and capsys.readouterr().out.strip() != made
    assert main(["key", "revoke", "team-a"]) == 0 and main(["key", "revoke", "team-a"]) == 2
