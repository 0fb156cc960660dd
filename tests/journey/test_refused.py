"""Bad input: a clear error, and nothing half-done."""

import json

import pytest
import requests

from include.errors import InputError
from include.runtime.credentials import VIEWER
from tests.journey.site import SERVED, Site

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]

DAG = f"{SERVED}_lifecycle"


def post(site: Site, body: object, dag_id: str = DAG, token: str | None = "") -> requests.Response:
    """A trigger as a caller without our client would send it; ``token`` None sends none, "" the administrator's."""
    site.api.get("/api/v2/version")
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token or site.api._token}"
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return requests.post(f"{site.settings.airflow_url}/api/v2/dags/{dag_id}/dagRuns", data=data, headers=headers, timeout=30)


def runs(site: Site, dag_id: str = DAG) -> int:
    return int(site.api.get(f"/api/v2/dags/{dag_id}/dagRuns", params={"limit": 1})["total_entries"])


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ({"strenght": 2.0}, "strenght: unknown parameter. Did you mean `strength`?"),
        ({"strength": "2"}, "strength: must be a number"),
        ({"strength": -1.0}, "strength: -1.0 is below the minimum"),
        ({"strength": True}, "strength: must be a number"),
        ({"mischief": "none at all"}, "mischief: "),
        ({"canary_steps": [50, 20]}, "canary_steps"),
        ({"canary_steps": "50"}, "canary_steps: must be a list"),
        ({"min_score": None}, "min_score: must be a number"),
        ({"data_source": 5}, "data_source: must be null or a text"),
        ([1, 2], "conf"),
        ("strength=2", "conf"),
    ],
)
def test_a_wrong_parameter_is_refused_at_the_trigger_with_its_name(site: Site, conf: object, says: str):
    before = runs(site)
    answer = post(site, {"logical_date": None, "conf": conf})
    assert answer.status_code == 422, answer.text
    assert says in answer.text
    assert runs(site) == before


def test_a_huge_conf_is_refused(site: Site):
    answer = post(site, {"logical_date": None, "conf": {"strength": "x" * 300_000}})
    assert answer.status_code == 413
    assert "128 KiB" in answer.json()["detail"]


def test_a_conf_over_its_own_limit_is_refused(site: Site):
    answer = post(site, {"logical_date": None, "conf": {"data_source": "x" * 100_000}})
    assert answer.status_code == 422
    assert "conf: " in answer.json()["detail"]


@pytest.mark.parametrize("body", ["{", "", "null", "[]", '{"conf": {}, "logical_date": "yesterday"}'])
def test_what_is_no_trigger_is_airflows_own_to_refuse(site: Site, body: str):
    before = runs(site)
    answer = post(site, body)
    assert answer.status_code in (400, 422), answer.text
    assert runs(site) == before


@pytest.mark.parametrize("token", [None, "nonsense"])
def test_without_a_token_nothing_is_told(site: Site, token: str | None):
    answer = post(site, {"logical_date": None, "conf": {"strenght": 1}}, token=token)
    assert answer.status_code in (401, 403)
    assert "strength" not in answer.text


def test_the_form_of_the_ui_is_checked_too(site: Site):
    site.api.get("/api/v2/version")
    headers = {"authorization": f"Bearer {site.api._token}"}
    body = {"logical_date": None, "conf": {"strenght": 1.0}}
    answer = requests.post(f"{site.settings.airflow_url}/ui/dags/{DAG}/dagRuns", json=body, headers=headers, timeout=30)
    assert answer.status_code in (404, 405, 422), "Airflow's form posts elsewhere now: the check must follow it"


def test_other_requests_pass_untouched(site: Site):
    assert site.api.get("/api/v2/dags")["total_entries"] >= 2
    with pytest.raises(InputError, match="404"):
        site.api.trigger("no_such_lifecycle", {"anything": 1})


def test_a_viewer_reads_what_is_kept_and_changes_nothing(site: Site, champion: int):
    viewer = site.client(VIEWER)
    assert any(row["version"] == champion for row in viewer.get("/lifecycle/v1/revisions", params={"model": SERVED}))
    row = {"model": SERVED, "version": champion, "state": "ERROR"}
    with pytest.raises(InputError, match="403"):
        viewer.call("PUT", "/lifecycle/v1/revisions", json=row)
    verdict = {"run_key": "x", "kind": "gate", "model": SERVED, "decision": "PASS", "body": {}}
    with pytest.raises(InputError, match="403"):
        viewer.call("PUT", "/lifecycle/v1/verdicts", json=verdict)
    with pytest.raises(InputError, match="403"):
        viewer.trigger(DAG, {})


@pytest.mark.parametrize(
    "path", ["/lifecycle/v1/revisions", "/lifecycle/v1/verdicts", "/lifecycle/v1/looks?run_key=x", "/lifecycle/report/x"]
)
def test_without_a_login_the_plugin_tells_nothing(site: Site, path: str):
    answer = requests.get(site.settings.airflow_url + path, timeout=30, allow_redirects=False)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("raiser", "has nothing in production"),
        ("nobody", "there is no model 'nobody'"),
        ("../digits", "there is no model '../digits'"),
        ("", "no model is named"),
    ],
)
def test_a_rollback_of_what_is_not_in_production_is_refused(site: Site, model: str, says: str):
    done = site.command("include.release", "rollback", model)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert says in done.stderr


def test_a_rollback_to_a_version_that_was_never_registered_fails_and_changes_nothing(site: Site, champion: int):
    done = site.command("include.release", "rollback", SERVED, "9999")
    assert done.returncode == 1
    assert "has no version 9999" in done.stderr and "Traceback" not in done.stderr
    site.settled(champion)
