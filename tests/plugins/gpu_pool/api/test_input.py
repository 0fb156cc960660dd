"""Malformed, huge and negative input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gpu_pool.api.datamodels import AskRow
from include.pool.ask import Ask
from tests.plugins.gpu_pool.api.conftest import Fleet, Served

REQUESTS = "requests"
WRONG: list[dict[str, Any]] = [
    {},
    {"gpus": 1},
    {"key": "", "gpus": 1},
    {"key": "k" * 513, "gpus": 1},
    {"key": "a\x00b", "gpus": 1},
    {"key": "a\ud800b", "gpus": 1},
    {"key": "k"},
    {"key": "k", "gpus": 0},
    {"key": "k", "gpus": -1},
    {"key": "k", "gpus": 65},
    {"key": "k", "gpus": 10**30},
    {"key": "k", "gpus": 1.5},
    {"key": "k", "gpus": "1"},
    {"key": "k", "gpus": True},
    {"key": "k", "gpus": 1, "fraction": 0.5},
    {"key": "k", "fraction": -0.1},
    {"key": "k", "fraction": 1e-9},
    {"key": "k", "fraction": float("nan")},
    {"key": "k", "memory": "-20GiB"},
    {"key": "k", "memory": "20 gigs"},
    {"key": "k", "memory": "9" * 31},
    {"key": "k", "memory_mib": -1},
    {"key": "k", "memory_mib": 2**60},
    {"key": "k", "mig": "../../etc"},
    {"key": "k", "gpus": 1, "nodes": 0},
    {"key": "k", "fraction": 0.5, "nodes": 2},
    {"key": "k", "gpus": 1, "priority": 0},
    {"key": "k", "gpus": 1, "priority": 11},
    {"key": "k", "gpus": 1, "team": "a b"},
    {"key": "k", "gpus": 1, "team": "\u202e"},
    {"key": "k", "gpus": 1, "models": ["m"] * 33},
    {"key": "k", "gpus": 1, "models": [""]},
    {"key": "k", "gpus": 1, "labels": {"a": 1}},
    {"key": "k", "gpus": 1, "labels": {"a": "\x00"}},
    {"key": "k", "gpus": 1, "duration_s": -1},
    {"key": "k", "gpus": 1, "duration_s": float("inf")},
    {"key": "k", "gpus": 1, "grace_s": 1e9},
    {"key": "k", "gpus": 1, "ttl_s": 0},
    {"key": "k", "gpus": 1, "preemptible": "no"},
    {"key": "k", "gpus": 1, "gpu": 1},
    {"key": "k", "gpus": 1, "holder": "anna"},
]


@pytest.mark.parametrize("body", WRONG, ids=lambda body: json.dumps(body)[:60])
def test_a_wrong_request_is_refused_with_a_sentence_and_leaves_nothing(served: Served, body: dict[str, Any]) -> None:
    before = served.get("events?limit=1").json()
    answer = served.call("POST", REQUESTS, data=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert 5 < len(answer.json()["detail"]) < 1000
    assert served.get("events?limit=1").json() == before


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"[" * 50_000, b'{"gpus": ' + b"9" * 5000 + b"}", b"{}" * 9],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_json_object_is_refused(served: Served, body: bytes) -> None:
    answer = served.call("POST", REQUESTS, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["detail"]


def test_a_huge_body_is_refused_by_its_length_and_while_it_comes(served: Served) -> None:
    large = {"Content-Type": "application/json"}
    assert served.call("POST", REQUESTS, data=b" " * 129 * 1024, headers=large).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 1024

    assert served.call("POST", REQUESTS, data=endless(), headers=large).status_code == 413


def test_a_reports_body_may_be_larger_but_not_huge(fleet: Fleet) -> None:
    devices = [{"uuid": f"{fleet.name}-{n}", "index": n, "model": "m", "memory_mib": 1, "failed": "x" * 400} for n in range(1000)]
    assert fleet.report(nodes=[{"name": fleet.name, "devices": devices}]).status_code == 200
    huge = devices + [device | {"uuid": device["uuid"] * 8} for device in devices]
    assert fleet.report(nodes=[{"name": fleet.name, "devices": huge}] * 2).status_code == 413


@pytest.mark.parametrize(
    "device",
    [
        {"memory_mib": -1},
        {"index": -1},
        {"uuid": ""},
        {"uuid": "a\nb"},
        {"sharing": "yes"},
        {"readings": {"power_w": float("nan")}},
        {"processes": [{"pid": -4}]},
        {"used_mib": 2**70},
        {"secret": 1},
    ],
    ids=str,
)
def test_a_wrong_report_is_refused_whole(fleet: Fleet, device: dict[str, Any]) -> None:
    good = {"uuid": "a", "index": 0, "model": "m", "memory_mib": 1}
    body = {
        "source": "declared",
        "sequence": 9,
        "clock": 0,
        "nodes": [{"name": fleet.name, "devices": [good, good | {"uuid": "b"} | device]}],
    }
    headers = {"Content-Type": "application/json"}
    answer = fleet.served.call("PUT", f"reports/{fleet.name}", token=fleet.token, data=json.dumps(body), headers=headers)
    assert answer.status_code == 422, answer.text
    assert [device["uuid"] for device in fleet.shown()["devices"]] == [f"{fleet.name}-0"]


def test_a_device_named_twice_is_refused(fleet: Fleet) -> None:
    device = {"uuid": "a", "index": 0, "model": "m", "memory_mib": 1}
    assert fleet.report(nodes=[{"name": fleet.name, "devices": [device, device]}]).status_code == 422
    assert fleet.report(nodes=[{"name": fleet.name, "devices": []}] * 2).status_code == 422


@pytest.mark.parametrize("path", ["leases/x", "leases/%00", "leases/..%2f", f"requests/{'a' * 65}", "nodes/%00/history", "nodes/-/history"])
def test_names_that_cannot_be_are_refused(served: Served, path: str) -> None:
    assert served.get(path).status_code in (404, 422)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=-1", "after=99999999999999999999", "node=%00"])
def test_wrong_queries_are_refused(served: Served, query: str) -> None:
    assert served.get(f"events?{query}").status_code == 422


def test_a_request_is_told_whole() -> None:
    assert set(AskRow.model_fields) == set(Ask().to_json())
