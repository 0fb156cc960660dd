"""Teams: who sees and changes whose models, keys, budgets and acts. tina: operator of `vision`; tom: its viewer; ada: its admin."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.plugins.lifecycle.api.conftest import Api

HOLD = {"held": True, "why": "Look at it first."}


def names(api: Api, user: str) -> set[str]:
    return {row["model"] for row in api.get("summary", user).json()["models"]}


def test_lists_show_what_is_a_teams_own_and_everything_to_others(api: Api) -> None:
    assert names(api, "tina") == names(api, "tom") == {"seeing"}
    assert names(api, "ada") == {"seeing", "reading"}
    assert {"seeing", "reading", "digits"} <= names(api, "olaf") and names(api, "olaf") == names(api, "anna")
    served = api.get("/serving/v1/models", "tina").json()["models"]
    assert [row["model"] for row in served] == ["seeing"]


@pytest.mark.parametrize("path", ["acts", "holds", "verdicts", "revisions", "looks", "history", "events", "alerts", "notices"])
def test_lists_over_all_models_need_a_model_of_ones_own(api: Api, path: str) -> None:
    assert api.get(path, "tina").status_code == 403
    assert api.get(path, "olaf").status_code in (200, 422)


def test_figures_for_prometheus_are_those_of_ones_own_models(api: Api) -> None:
    for model in ("seeing", "reading"):
        assert api.put("revisions", {"model": model, "version": 7, "state": "STOPPED"}).status_code == 200
    line = 'updraft_revision_state{{model="{}",revision="7",state="STOPPED"}} 1'
    mine, all_of_them = (api.get("metrics", user).text for user in ("tina", "olaf"))
    assert line.format("seeing") in mine and "reading" not in mine and "digits" not in mine
    assert line.format("seeing") in all_of_them and line.format("reading") in all_of_them


@pytest.mark.parametrize(
    "path", ["acts?model=reading", "holds?model=digits", "spec?run_key=reading_lifecycle/x", "trial?run_key=digits_lifecycle/x"]
)
def test_anothers_model_is_not_there(api: Api, path: str) -> None:
    answer = api.get(path, "tina")
    assert answer.status_code == 404 and "of yours" in answer.json()["detail"]
    assert api.get("acts?model=seeing", "tina").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "looks?run_key=reading_lifecycle/x&model=seeing",
        "spec?run_key=reading_lifecycle/x&model=seeing",
        "trial?run_key=reading_lifecycle/x&model=seeing",
        "orders?run_key=reading_lifecycle/x&model=seeing",
        "outcome?run_key=reading_lifecycle/x&model=seeing",
        "searches?run_key=reading_lifecycle/x&model=seeing",
        "verdicts?model=seeing&run_key=reading_lifecycle/x",
        "acts?model=reading&model=seeing",
    ],
)
def test_a_model_of_ones_own_opens_no_other(api: Api, path: str) -> None:
    answer = api.get(path, "tina")
    assert answer.status_code == 404 and "'reading' of yours" in answer.json()["detail"], answer.text


@pytest.mark.parametrize("path", ["looks", "verdicts", "spec", "trial", "outcome"])
def test_a_run_of_no_models_dag_may_be_about_any(api: Api, path: str) -> None:
    answer = api.get(f"{path}?run_key=release/x", "tina")
    assert answer.status_code == 404 and "no run of a model of yours" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["acts", "holds", "revisions", "history", "events", "alerts", "notices"])
def test_what_a_list_passes_over_opens_it_for_nobody(api: Api, path: str) -> None:
    assert api.get(f"{path}?run_key=seeing_lifecycle/x", "tina").status_code == 403
    assert api.get("history?model=seeing", "tina").status_code == 403


def test_what_people_are_told_is_shown_to_the_models_team(api: Api) -> None:
    assert api.get("notices?model=seeing", "tina").status_code == 200
    assert api.get("notices?model=reading", "tina").status_code == 404


def test_a_viewer_of_a_team_changes_nothing_of_it_and_an_operator_nothing_of_others(api: Api) -> None:
    assert api.call("POST", "holds", "tom", json={"model": "seeing"} | HOLD).status_code == 403
    assert api.call("POST", "holds", "ada", json={"model": "reading"} | HOLD).status_code == 403
    assert api.call("POST", "holds", "tina", json={"model": "reading"} | HOLD).status_code == 404
    assert api.call("POST", "holds", "tina", json={"model": "seeing"} | HOLD).status_code == 200
    stop = {"json": {"why": "x"}}
    assert api.call("POST", "/serving/v1/models/reading/revisions/1/stop", "tina", **stop).status_code == 404
    more = {"json": {"replicas": 2, "why": "For speed."}}
    assert api.call("POST", "/serving/v1/models/reading/scale", "tina", **more).status_code == 404
    assert api.call("POST", "/serving/v1/models/seeing/revisions/1/stop", "tom", **stop).status_code == 403


@pytest.mark.parametrize(("user", "dag"), [("tom", "seeing_lifecycle"), ("tina", "reading_lifecycle"), ("tina", "digits_rollback")])
def test_nobody_runs_what_is_not_theirs(api: Api, user: str, dag: str) -> None:
    answer = api.call("POST", f"/api/v2/dags/{dag}/dagRuns", user, json={"logical_date": None})
    assert answer.status_code == 403 and "another team's model" in answer.json()["detail"]
    assert api.call("POST", "/api/v2/dags/seeing_lifecycle/dagRuns", "tina", json={"logical_date": None}).status_code != 403


@pytest.mark.parametrize("dag", ["serving_reconcile", "updraft_backup"])
def test_what_works_on_all_teams_models_is_run_by_nobody_of_one_team(api: Api, dag: str) -> None:
    body = {"logical_date": None, "conf": {"model": "reading"}}
    answer = api.call("POST", f"/api/v2/dags/{dag}/dagRuns", "tina", json=body)
    assert answer.status_code == 403 and "of all teams" in answer.json()["detail"]
    assert api.call("POST", f"/api/v2/dags/{dag}/dagRuns", "olaf", json=body).status_code == 404, "no DAG is loaded here"


def test_a_teams_admin_makes_and_ends_its_keys_and_no_others(api: Api) -> None:
    key = {"name": "eyes", "models": ["seeing"], "team": "vision"}
    assert api.call("POST", "keys", "tina", json=key).status_code == 403
    assert api.call("POST", "keys", "ada", json=key | {"team": "text"}).status_code == 403
    assert api.call("POST", "keys", "ada", json=key | {"models": []}).status_code == 403
    assert api.call("POST", "keys", "ada", json=key | {"models": ["reading"]}).status_code == 403
    assert api.call("POST", "keys", "ada", json=key).status_code == 201
    assert api.call("POST", "keys", "anna", json={"name": "others"}).status_code == 201
    assert [row["name"] for row in api.get("keys", "ada").json()] == ["eyes"]
    assert api.call("DELETE", "keys/others", "ada").status_code == 403
    assert api.call("DELETE", "keys/eyes", "ada").status_code == 200
    assert api.call("DELETE", "keys/others", "anna").status_code == 200


def test_budgets_are_set_by_admins_counted_and_shown_to_whose_they_are(api: Api) -> None:
    body = {"tokens": 1000, "gpu_hours": 5, "why": "A pilot."}
    assert api.call("PUT", "budgets/team/vision", "ada", json=body).status_code == 403
    made = api.call("PUT", "budgets/team/vision", "anna", json=body)
    assert made.status_code == 200 and (made.json()["level"], made.json()["tokens_used"]) == ("fine", 0), made.text
    assert api.call("PUT", "budgets/key/nobody", "anna", json={"tokens": 1}).status_code == 404
    assert api.call("PUT", "budgets/model/digits", "anna", json={"tokens": 0}).json()["level"] == "used up"
    for wrong in ({}, {"tokens": -1}, {"gpu_hours": -1}, {"tokens": 1, "warn": 0}, {"tokens": 1.5}):
        assert api.call("PUT", "budgets/team/vision", "anna", json=wrong).status_code == 422, wrong
    assert api.call("PUT", "budgets/key/updraft", "anna", json={"gpu_hours": 1}).status_code == 422
    assert [row["name"] for row in api.get("budgets", "tina").json()] == ["vision"]
    assert {row["name"] for row in api.get("budgets").json()} == {"vision", "digits"}
    for path in ("budgets/team/vision", "budgets/model/digits"):
        assert api.call("DELETE", path, "anna").status_code == 200
    assert api.call("DELETE", "budgets/team/vision", "anna").status_code == 404


def test_who_did_what_is_one_list(api: Api) -> None:
    api.call("POST", "keys", "anna", json={"name": "audited", "models": ["seeing"], "team": "vision"})
    api.call("DELETE", "keys/audited", "anna")
    api.call("PUT", "budgets/team/audited", "anna", json={"tokens": 5, "why": "=why"})
    api.call("PUT", "/gpu-pool/v1/quotas/audited", "anna", json={"guaranteed": 0, "limit": 3, "weight": 1})
    api.call("POST", "holds", "olaf", json={"model": "digits"} | HOLD)
    found = api.get("audit?limit=1000").json()
    acts = {(line["who"], line["act"], line["kind"], line["name"]) for line in found}
    assert acts >= {
        ("anna", "key made", "key", "audited"),
        ("anna", "key revoked", "key", "audited"),
        ("anna", "budget set", "budget", "team audited"),
        ("anna", "quota set", "quota", "audited"),
        ("olaf", "hold set", "model", "digits"),
    }
    assert found == sorted(found, key=lambda line: (line["at"], line["entry"] or 0), reverse=True)
    [made] = [line for line in found if (line["act"], line["name"]) == ("key made", "audited")]
    assert json.loads(made["detail"])["models"] == ["seeing"] and made["entry"]
    assert {line["kind"] for line in api.get("audit?kind=key").json()} == {"key"}
    assert {line["who"] for line in api.get("audit?who=olaf").json()} == {"olaf"}
    assert api.get("audit?until=2020-01-01T00:00:00").json() == []
    rows = list(csv.DictReader(io.StringIO(api.get("audit?format=csv&kind=budget").text)))
    assert "'=why" in {row["why"] for row in rows}
    lines = [json.loads(line) for line in api.get("audit?format=jsonl&kind=key").text.splitlines()]
    assert lines == api.get("audit?kind=key&limit=1000").json()
    assert api.get("audit", None).status_code == 401


def test_the_list_of_acts_shows_a_team_its_own(api: Api) -> None:
    api.call("POST", "holds", "tina", json={"model": "seeing"} | HOLD)
    api.call("POST", "holds", "olaf", json={"model": "digits"} | HOLD)
    assert {line["name"] for line in api.get("audit?kind=model", "tom").json()} == {"seeing"}


def test_acts_are_in_the_chain_that_proves_them(api: Api) -> None:
    api.call("POST", "keys", "anna", json={"name": "chained"})
    api.call("DELETE", "keys/chained", "anna")
    entries = api.get("history?limit=1000", "anna").json()["entries"]
    acts = [entry for entry in entries if entry["kind"] == "act" and entry["content"]["body"].get("name") == "chained"]
    assert [entry["content"]["act"] for entry in acts] == ["key made", "key revoked"] and {entry["author"] for entry in acts} == {"anna"}


def test_one_is_told_what_one_is(api: Api) -> None:
    assert api.get("me", "ada").json() == {"name": "ada", "admin": False, "teams": {"vision": "admin", "text": "viewer"}}
    assert api.get("me", "anna").json() == {"name": "anna", "admin": True, "teams": {}}
