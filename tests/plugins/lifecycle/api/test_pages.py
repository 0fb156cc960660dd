"""The pages as Airflow itself serves them: where they stand, who may act from them, what they say while MLflow is away."""

import re
from typing import Any

import pytest
import requests

from lifecycle_plugin import PAGES
from tests.plugins.lifecycle.api.conftest import Api


def by_cookie(api: Api, method: str, path: str, user: str, **more: Any) -> requests.Response:
    """As a page's script calls: with Airflow's session cookie alone."""
    return requests.request(method, f"{api.url}{path}", cookies={"_token": api.tokens[user]}, timeout=30, **more)


def test_airflow_knows_the_pages_their_places_and_their_icons(api: Api) -> None:
    plugins = api.get("/api/v2/plugins", "anna").json()["plugins"]
    views = {view["name"]: view for plugin in plugins for view in plugin["external_views"]}
    assert views["Models"]["nav_top_level"] and views["GPUs"]["nav_top_level"]
    assert (views["Model"]["destination"], views["Report"]["destination"]) == ("dag", "dag_run")
    for view in views.values():
        for icon in ("icon", "icon_dark_mode"):
            answer = by_cookie(api, "GET", view[icon], "vera")
            assert answer.status_code == 200 and answer.headers["Content-Type"] == "image/svg+xml", view[icon]
        page = by_cookie(api, "GET", re.sub(r"\{\w+\}", "a", view["href"]), "vera")
        assert page.status_code == 200 and "text/html" in page.headers["Content-Type"]
    assert {page["name"] for page in PAGES} <= set(views)


def test_what_a_page_does_is_done_with_the_rights_of_its_user(api: Api) -> None:
    body = {"logical_date": None, "conf": {}, "note": "Why: the data is new"}
    answers = {
        user: by_cookie(api, "POST", "/api/v2/dags/digits_lifecycle/dagRuns", user, json=body).status_code for user in ("vera", "olaf")
    }
    assert answers["vera"] == 403 and answers["olaf"] == 404, "the operator is let through to where there is no such DAG"
    assert requests.post(f"{api.url}/api/v2/dags/digits_lifecycle/dagRuns", json=body, timeout=30).status_code == 401


def test_without_the_registry_the_overview_answers_and_says_what_it_does_not_know(api: Api) -> None:
    found = api.get("overview").json()
    assert "registry" in found["unknown"] and "does not answer" in found["registry_problem"]
    digits = next(row for row in found["models"] if row["model"] == "digits")
    assert digits["word"] in ("unknown", "serves"), "not: nothing has run yet"


def test_versions_and_how_to_call_answer_without_the_registry(api: Api) -> None:
    assert "does not answer" in api.get("versions?model=digits").json()["registry_problem"]
    assert api.get("calling?model=digits").json()["why"]
    assert api.get("compare?model=digits&a=1&b=2").status_code == 404


@pytest.mark.parametrize("path", ["versions?model=..%2Fx", "compare?model=digits&a=0&b=1", "outcome?run_key=", "orders?run_key=a%20b"])
def test_bad_input_is_refused_with_a_sentence(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 422 and isinstance(answer.json()["detail"], str)
