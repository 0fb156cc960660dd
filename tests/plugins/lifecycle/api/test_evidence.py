"""What runs have found is kept as it was found, follows from its evidence, and can't be changed unseen."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from include.errors import InputError
from include.evidence.__main__ import entries, main
from include.evidence.chain import BEGIN, Head, faults, seal
from include.evidence.recompute import KINDS, Difference, difference
from include.evidence.stopped import stopped
from include.release.returned import returned
from include.runtime.airflow_api import AirflowApi
from lifecycle.db import evidence
from lifecycle.db.models import Base
from tests.plugins.lifecycle.api.conftest import Api, verdict_body
from tests.plugins.lifecycle.api.kept import verdicts

MANY = 1000


class Direct(AirflowApi):
    """The API's answers about the evidence in a database, without a server between: ``lifecycle.db`` as the routes use it."""

    def __init__(self, database: Path) -> None:
        super().__init__("", "", "")
        self.engine = create_engine(f"sqlite:///{database}")

    def get(self, path: str, **kwargs: Any) -> Any:
        asked = {"after": 0} | kwargs["params"]
        with Session(self.engine) as session:
            rows, head = evidence.history(session, int(asked["after"]), int(asked["limit"]))
        return {"entries": rows, "head": vars(head)}


@dataclass
class Kept:
    database: Path
    api: Direct
    kinds: Counter[str]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A thousand verdicts of every kind with the looks behind them, as the API's bodies let them in."""
    database, seen = tmp_path_factory.mktemp("kept") / "airflow.db", Counter[str]()
    api = Direct(database)
    Base.metadata.create_all(api.engine)
    with Session(api.engine) as session:
        for number, (kind, verdict, looks) in enumerate(part for seed in itertools.count() for part in verdicts(seed)):
            if number == MANY:
                break
            for at, body in enumerate(looks):
                evidence.keep_look(session, "updraft", {"run_key": f"r/{number}", "number": at, "body": _stored(body)})
            evidence.keep_verdict(session, "updraft", _stored(verdict_body(kind, verdict, f"r/{number}")))
            seen[kind] += 1
        session.commit()
    return Kept(database, api, seen)


def _stored(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_a_thousand_verdicts_come_out_equal_from_their_evidence_alone(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = main(["recompute"], kept.api), capsys.readouterr().out
    assert code == 0 and kept.kinds.total() == MANY, said
    assert set(kept.kinds) == {"canary", *KINDS} and all(f"{count} {kind}" in said for kind, count in kept.kinds.items())
    assert "0 come out otherwise; 0 of an earlier version" in said


def test_a_verdict_that_does_not_follow_from_its_evidence_is_found() -> None:
    """Such as whoever could write to the table would leave, had he computed the chain anew."""
    failed = next(found for seed in itertools.count() for kind, found, _ in verdicts(seed) if kind == "gate" and found.decision == "FAIL")
    body = _stored(failed.to_json())
    assert difference("gate", body) is None

    def found(**changed: Any) -> Difference:
        problem = difference("gate", body | changed)
        assert problem is not None
        return problem

    assert "decision FAIL, stored PASS" in found(decision="PASS").said
    assert "can't be computed again" in found(evidence={}).said
    turned = [rule | {"passed": rule["passed"] is not True} for rule in body["rules"]]
    for lie in (found(decision="PASS"), found(evidence={}), found(rules=turned), found(rules=[])):
        assert not lie.only_words
    reworded = found(reasons=["As it was put before."], rules=[rule | {"bar": "another bar"} for rule in body["rules"]])
    assert reworded.only_words and "reasons, rules" in reworded.said


def test_words_of_an_earlier_version_are_counted_apart_and_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = Direct(tmp_path / "airflow.db")
    Base.metadata.create_all(api.engine)
    body = _stored(verdict_body("return", returned(1, 2, "anna"), "r/1"))
    with Session(api.engine) as session:
        evidence.keep_verdict(session, "updraft", body | {"body": body["body"] | {"reasons": ["As it was put before."]}})
        session.commit()
    assert main(["recompute"], api) == 0
    said = capsys.readouterr().out
    assert "1 return computed again, 0 come out otherwise" in said and "1 come out with the same decision" in said


def test_the_chain_of_all_that_is_kept_is_whole(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-history"], kept.api) == 0
    end = capsys.readouterr().out.split()[-1]
    assert main(["verify-history", "--anchor", end], kept.api) == 0
    assert main(["verify-history", "--anchor", f"7:{'0' * 64}"], kept.api) == 1
    assert main(["verify-history", "--anchor", "nonsense"], kept.api) == 2


LAST_GATE = "WHERE entry = (SELECT max(entry) FROM updraft_verdict WHERE kind = 'gate')"
FIRST = "WHERE entry = (SELECT min(entry) FROM updraft_verdict)"
FIRST_LOOK = "WHERE entry = (SELECT min(entry) FROM updraft_look)"
DAMAGE = {
    "altered": f"UPDATE updraft_verdict SET body = replace(body, '0.95', '0.94') {LAST_GATE}",
    "altered by one letter": f"UPDATE updraft_verdict SET model = 'digitz' {FIRST}",
    "backdated": f"UPDATE updraft_look SET at = '2020-01-01 00:00:00.000000' {FIRST_LOOK}",
    "another author": f"UPDATE updraft_look SET author = 'olaf' {FIRST_LOOK}",
    "removed": f"DELETE FROM updraft_look {FIRST_LOOK}",
    "the last removed": "DELETE FROM updraft_verdict WHERE entry = (SELECT number FROM updraft_chain)",
    "swapped": "UPDATE updraft_verdict SET entry = CASE entry WHEN 1 THEN -2 WHEN 2 THEN -1 END WHERE entry IN (1, 2); "
    "UPDATE updraft_verdict SET entry = -entry WHERE entry < 0",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_changed_in_the_database_is_found(kept: Kept, tmp_path: Path, damage: str) -> None:
    copy = Path(shutil.copyfile(kept.database, tmp_path / "airflow.db"))
    with sqlite3.connect(copy) as connection:
        connection.executescript(DAMAGE[damage])
        assert connection.total_changes
    assert main(["verify-history"], Direct(copy)) == 1


def test_a_chain_that_was_written_anew_has_other_hashes_than_were_noted(kept: Kept) -> None:
    whole = list(entries(kept.api, 60))
    middle, end = Head(whole[40].number, whole[40].hash), Head(60, whole[-1].hash)
    assert list(faults(whole, end, [middle])) == []
    anew, previous = [], BEGIN
    for entry in whole:  # by another author, and every hash right
        sealed = seal(entry.number, entry.kind, entry.content, "olaf", datetime.fromisoformat(entry.at), previous)
        anew.append(replace(entry, author="olaf", previous=previous, hash=sealed))
        previous = sealed
    assert list(faults(anew, Head(60, previous))) == []
    assert len(list(faults(anew, Head(60, previous), [middle]))) == 1


def test_every_kind_of_verdict_goes_through_the_api_as_it_is(api: Api) -> None:
    for seed in (0, 1):
        for kind, verdict, looks in verdicts(seed):
            run_key = api.run_key()
            for number, body in enumerate(looks[:3]):
                answer = api.put("looks", {"run_key": run_key, "number": number, "body": body})
                assert answer.status_code == 200 and answer.json()["body"] == _stored(body), answer.text
            answer = api.keep(kind, verdict, run_key)
            assert answer.status_code == 200, (kind, answer.text)
            assert json.dumps(answer.json()["body"], sort_keys=True) == json.dumps(verdict.to_json(), sort_keys=True)


def test_the_command_reads_the_running_platform(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.keep("return", returned(1, 2, "anna"))
    assert main(["verify-history"], api.client("vera")) == 0
    assert " entries, 0 faults" in capsys.readouterr().out


def test_a_task_that_tries_again_keeps_its_verdict_once_and_another_one_beside_it(api: Api) -> None:
    run_key = api.run_key()
    first = api.keep("return", returned(1, 2, "anna"), run_key).json()
    assert api.keep("return", returned(1, 2, "anna"), run_key).json()["entry"] == first["entry"]
    second = api.keep("return", returned(1, 3, "anna"), run_key).json()
    assert second["entry"] > first["entry"]
    rows = api.get("verdicts", params={"run_key": run_key}).json()
    assert [row["body"]["evidence"]["version"] for row in rows] == [3]


def test_the_latest_of_a_kind_and_a_version_is_found_behind_however_many_others(api: Api) -> None:
    older = api.keep("return", returned(1, 7, "anna"), version=7).json()["entry"]
    later = [api.keep("stopped", stopped("train", InputError("is away.")), version=8).json()["entry"] for _ in range(3)]
    found = [row["entry"] for row in api.get("verdicts", params={"kind": "return", "version": 7, "limit": 1}).json()]
    assert found == [older] and api.get("verdicts", params={"kind": "stopped", "version": 7}).json() == []
    assert [row["entry"] for row in api.get("verdicts", params={"version": 8, "limit": 2}).json()] == later[:0:-1]


def test_verdicts_that_are_kept_at_the_same_time_stand_one_after_the_other(api: Api) -> None:
    def keep(number: int) -> int:
        verdict = returned(1, number + 1, "anna")
        entry = api.client("updraft").call("PUT", "/lifecycle/v1/verdicts", json=verdict_body("return", verdict, f"r/at-once-{number}"))
        return int(entry["entry"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(keep, range(24)))) == 24
    assert main(["verify-history"], api.client("vera")) == 0


def test_a_look_that_is_kept_is_never_rewritten_and_none_is_left_out(api: Api) -> None:
    run_key = api.run_key()
    looks = next(found for seed in itertools.count() for kind, _, found in verdicts(seed) if kind == "canary" and len(found) > 2)
    first: dict[str, Any] = {"run_key": run_key, "number": 0, "body": looks[0]}
    assert api.put("looks", first).status_code == 200
    assert api.put("looks", first | {"body": looks[1]}).json()["body"] == looks[0]
    assert api.put("looks", first | {"number": 2}).status_code == 409
    assert api.call("DELETE", "looks", params={"run_key": run_key}).status_code == 405
    assert [row["body"] for row in api.get("looks", params={"run_key": run_key}).json()] == [looks[0]]
