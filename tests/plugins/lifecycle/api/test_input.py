"""Malformed, huge, odd and hostile input, at the lifecycle's routes and at the trigger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from include.release.returned import returned
from tests.plugins.lifecycle.api.conftest import JSON, Api, verdict_body
from tests.plugins.lifecycle.api.kept import verdicts

DAG_RUNS = "/api/v2/dags/digits_lifecycle/dagRuns"
REVISION = {"model": "digits", "version": 1, "state": "RUNNING"}
LOOK = next(looks[0] for kind, _, looks in verdicts(0) if kind == "canary" and looks)
RETURNED = verdict_body("return", returned(1, 2, "anna"), "digits_lifecycle/odd")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def look(**fields: Any) -> dict[str, Any]:
    return {"run_key": "digits_lifecycle/odd", "number": 0, "body": LOOK | {"look": LOOK["look"] | fields}}


def evidence(**fields: Any) -> dict[str, Any]:
    return RETURNED | {"body": RETURNED["body"] | {"evidence": fields}}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("revisions", REVISION | {"version": 0}, "version"),
    ("revisions", REVISION | {"version": 2**70}, "version"),
    ("revisions", REVISION | {"version": 2**31}, "version"),
    ("revisions", REVISION | {"version": True}, "version"),
    ("revisions", REVISION | {"state": "FINE"}, "state"),
    ("revisions", REVISION | {"model": "../etc"}, "model"),
    ("revisions", REVISION | {"model": "digits\n"}, "model"),
    ("revisions", REVISION | {"colour": "red"}, "colour"),
    ("revisions", REVISION | {"message": "half a \ud800 letter"}, "message"),
    ("revisions", REVISION | {"message": "\x00"}, "message"),
    ("revisions", REVISION | {"message": "x" * 4001}, "message"),
    ("verdicts", RETURNED | {"kind": "GATE!"}, "kind"),
    ("verdicts", RETURNED | {"decision": "MAYBE"}, "decision"),
    ("verdicts", RETURNED | {"decision": "FAIL"}, "decision"),
    ("verdicts", RETURNED | {"version": 2**70}, "version"),
    ("verdicts", RETURNED | {"run_key": "x" * 321}, "run_key"),
    ("verdicts", RETURNED | {"run_key": "a\ud800"}, "run_key"),
    ("verdicts", RETURNED | {"body": {}}, "decision"),
    ("verdicts", evidence(more=nested(900)), "evidence"),
    ("verdicts", evidence(champion=nested(900)), "champion"),
    ("verdicts", evidence(champion=1.5), "champion"),
    ("looks", look() | {"number": -1}, "number"),
    ("looks", look() | {"number": 2**70}, "number"),
    ("looks", look(at_s=-1), "at_s"),
    ("looks", look(at_s=float("nan")), "at_s"),
    ("looks", look(at_s=float("inf")), "at_s"),
    ("looks", look(step=10**6), "step"),
    ("looks", look(stable={"requests": 3, "errors": 9, "latencies": {}}), "stable"),
    ("looks", look(canary={"requests": 3, "errors": 0, "latencies": {"one": 3}}), "latencies"),
    ("looks", look(canary={"requests": 3, "errors": 0, "latencies": {"7" * 400: 3}}), "latencies"),
    ("looks", look(canary={"requests": 3, "errors": 0, "latencies": {"7": -3}}), "latencies"),
    ("looks", look(more={"a": nested(900)}), "more"),
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG, ids=lambda part: str(part)[:40])
def test_a_malformed_record_is_refused_with_the_fields_name(api: Api, path: str, body: dict[str, Any], field: str) -> None:
    before = api.get("history").json()["head"]
    answer = api.put(path, body)
    assert answer.status_code == 422, answer.text
    assert field in answer.json()["detail"] and len(answer.json()["detail"]) <= 1000
    assert api.get("history").json()["head"] == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 50_000, b"9" * 5000, b'{"a":' * 900 + b"1" + b"}" * 900], ids=repr
)
@pytest.mark.parametrize("path", ["verdicts", "looks", "revisions"])
def test_what_is_no_record_is_refused(api: Api, path: str, body: bytes) -> None:
    answer = api.call("PUT", path, data=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text[:300]
    assert answer.json()["detail"]


@pytest.mark.parametrize(("path", "most_kib"), [("verdicts", 8192), ("looks", 1024), ("revisions", 128)])
def test_a_huge_body_is_refused_by_its_length_and_while_it_comes(api: Api, path: str, most_kib: int) -> None:
    assert api.call("PUT", path, data=b" " * (most_kib * 1024 + 1), headers=JSON).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(most_kib // 64 + 2):
            yield b" " * 65536

    assert api.call("PUT", path, data=endless(), headers=JSON).status_code == 413


def test_looks_that_no_trial_can_have_left_say_so_on_its_page(api: Api) -> None:
    """Each is well formed; the second is earlier than the first."""
    run_key = api.run_key()
    for number in (0, 1):
        assert api.put("looks", {"run_key": run_key, "number": number, "body": LOOK}).status_code == 200
    answer = api.get("trial", params={"run_key": run_key})
    assert answer.status_code in (404, 409) and answer.json()["detail"], answer.text


@pytest.mark.parametrize(
    "query",
    [
        "verdicts?limit=0",
        "verdicts?limit=x",
        "verdicts?model=%00",
        "verdicts?kind=%00",
        "verdicts?version=99999999999999999999",
        "verdicts?run_key=x/manual__1+00",
        "looks",
        "history?after=99999999999999999999",
    ],
)
def test_wrong_queries_are_refused(api: Api, query: str) -> None:
    assert api.get(query).status_code == 422


ODD_RUNS: list[tuple[bytes, str]] = [
    (json.dumps({"logical_date": None, "dag_run_id": "r" * 300}).encode(), "dag_run_id: has 300 characters, 200 are the most"),
    (json.dumps({"logical_date": None, "conf": {"strenght": 1}}).encode(), "strenght"),
    (json.dumps({"logical_date": None, "conf": {"data_source": "/etc/passwd"}}).encode(), "in none of the folders that runs may read"),
    (json.dumps({"logical_date": None, "conf": {"data_source": "../diabetes/model.yaml"}}).encode(), "data:<file>"),
    (json.dumps({"logical_date": None, "conf": {"\ud800": 1}}).encode(), "lone surrogate"),
    (json.dumps({"logical_date": None, "conf": {"data_source": "\udfff.csv"}}).encode(), "lone surrogate"),
    (json.dumps({"logical_date": None, "conf": {"canary_steps": nested(900)}}).encode(), "32 levels"),
    (b'{"logical_date": null, "conf": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, "nested"),
]


@pytest.mark.parametrize(("body", "says"), ODD_RUNS, ids=[says for _, says in ODD_RUNS])
def test_an_odd_run_is_refused_at_the_trigger_with_a_sentence(api: Api, body: bytes, says: str) -> None:
    body = body[: 128 * 1024] if len(body) > 128 * 1024 else body
    answer = api.call("POST", DAG_RUNS, "olaf", data=body, headers=JSON)
    assert answer.status_code in (413, 422), answer.text[:300]
    assert says in answer.json()["detail"] or answer.status_code == 413


def test_a_trigger_that_is_no_json_is_airflows_to_refuse(api: Api) -> None:
    assert api.call("POST", DAG_RUNS, "olaf", data=b"\xff{", headers=JSON).status_code in (400, 422)
    assert api.call("POST", DAG_RUNS, None, data=b"{}", headers=JSON).status_code == 401
