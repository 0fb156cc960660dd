"""Callers' keys over REST; the gateway behind it is down, and reads them when it starts."""

from __future__ import annotations

import pytest

from include.gateway.keys import digest
from tests.plugins.lifecycle.api.conftest import Api

TEAM = {"name": "team-a", "models": ["digits"], "verbs": ["infer"], "days": 30}


def test_an_admin_makes_lists_rotates_and_revokes_a_key(api: Api) -> None:
    made = api.call("POST", "keys", "anna", json=TEAM)
    assert made.status_code == 201 and made.headers["Cache-Control"] == "no-store", made.text
    secret = made.json()["key"]
    kept = (api.log.parent / "updraft" / "keys.json").read_text()
    assert secret not in kept and digest(secret) in kept
    assert api.call("POST", "keys", "anna", json=TEAM).status_code == 409
    rows = {row["name"]: row for row in api.get("keys", "anna").json()}
    assert rows["updraft"]["own"] and not rows["team-a"]["own"]
    assert (rows["team-a"]["models"], rows["team-a"]["verbs"], rows["team-a"]["created_by"]) == (["digits"], ["infer"], "anna")
    assert rows["team-a"]["expires_at"] and rows["team-a"]["last_used"] is None and secret not in api.get("keys", "anna").text
    turned = api.call("POST", "keys/team-a/rotate", "anna", json={"overlap_hours": 1})
    assert turned.status_code == 200 and turned.json()["key"] != secret
    assert api.call("DELETE", "keys/team-a", "anna").json() == {"revoked": True}
    assert api.call("DELETE", "keys/team-a", "anna").status_code == 404
    assert api.call("DELETE", "keys/updraft", "anna").status_code == 404


@pytest.mark.parametrize("user", ["olaf", "vera", "updraft"])
def test_keys_are_the_admins_alone(api: Api, user: str) -> None:
    acts = [("GET", "keys"), ("POST", "keys"), ("POST", "keys/x/rotate"), ("DELETE", "keys/x")]
    assert [api.call(method, path, user, json=TEAM).status_code for method, path in acts] == [403] * 4


@pytest.mark.parametrize(
    "wrong",
    [{"name": "A b"}, {"name": "*"}, {"models": ["../x"]}, {"verbs": ["delete"]}, {"verbs": []}, {"days": 0}, {"days": 1e9}, {"x": 1}],
    ids=str,
)
def test_a_key_that_can_not_be_is_refused_with_the_fields_name(api: Api, wrong: dict[str, object]) -> None:
    answer = api.call("POST", "keys", "anna", json=TEAM | wrong)
    assert answer.status_code == 422 and next(iter(wrong)) in answer.json()["detail"], answer.text
