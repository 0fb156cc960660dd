import pytest
import requests

from lifecycle.api.datamodels import UsageRow
from lifecycle.api.page_models import OverviewRow, SummaryRow, TrialRow, VersionsRow
from tests.plugins.lifecycle.ui.conftest import Served
from tests.plugins.lifecycle.ui.served import PROMOTED_RUN, TRIAL_RUN

PATHS = [
    "ui",
    "usage",
    "serving",
    "v1/usage",
    "v1/metrics",
    "ui/models.js",
    "model?name=digits",
    "run?dag=a&run=b",
    "v1/overview",
    "v1/versions?model=digits",
    "v1/compare?model=digits&a=1&b=2",
    "v1/calling?model=digits",
    "v1/orders?run_key=a/b",
    "v1/summary",
    "v1/trial?run_key=a/b",
    "report/abc/",
    "report/abc/data_docs/index.html",
]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_served_without_a_token(served: Served, path: str) -> None:
    assert served.get(path, token=False).status_code == 401


def test_a_forged_token_is_refused(served: Served) -> None:
    forged = {"Authorization": f"Bearer {served.token[:-4]}AAAA"}
    assert requests.get(f"{served.url}/lifecycle/ui", headers=forged, timeout=30).status_code == 403


def test_the_page_may_run_only_its_own_files(served: Served) -> None:
    answer = served.get("ui")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy and "http:" not in answer.text and "https:" not in answer.text
    assert served.get("ui/models.js").headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["../api/auth.py", "..%2Fapi%2Fauth.py", "index.html", "nothing.js"])
def test_only_the_pages_own_files_are_given_out(served: Served, name: str) -> None:
    assert served.get(f"ui/{name}").status_code == 404


def test_the_summary_joins_what_four_owners_know(served: Served) -> None:
    models = {row["model"]: row for row in served.get("v1/summary").json()["models"]}
    digits = models["digits"]
    assert digits["aliases"] == {"previous": 1, "champion": 2, "challenger": 3}
    assert digits["split"] == {"weights": {"2": 90, "3": 10}, "mirror": None}
    assert [row["version"] for row in digits["revisions"]] == [3, 2, 1]
    assert [(run["run_id"], run["state"]) for run in digits["runs"]] == [(TRIAL_RUN, "running"), (PROMOTED_RUN, "success")]
    assert digits["runs"][0]["tasks"][0]["why"] == "is on trial, without holding a worker"
    assert digits["runs"][1]["report"] == served.report and digits["runs"][1]["began"].startswith("Begun ")
    assert digits["runs"][1]["verdicts"][-1]["decision"] == "PROMOTE"
    assert models["diabetes"]["runs"] == [] and models["diabetes"]["aliases"] == {}


def test_what_the_page_reads_is_as_the_api_describes_it(served: Served) -> None:
    SummaryRow.model_validate_json(served.get("v1/summary").text, strict=False)
    trial = served.get("v1/trial", params={"run_key": f"digits_lifecycle/{TRIAL_RUN}"})
    TrialRow.model_validate_json(trial.text, strict=False)
    OverviewRow.model_validate_json(served.get("v1/overview").text, strict=False)
    VersionsRow.model_validate_json(served.get("v1/versions?model=digits").text, strict=False)
    UsageRow.model_validate_json(served.get("v1/usage").text, strict=False)


def test_the_summary_holds_no_evidence(served: Served) -> None:
    assert "evidence" not in served.get("v1/summary").text


def test_one_model_can_be_asked_for(served: Served) -> None:
    assert [row["model"] for row in served.get("v1/summary?model=digits").json()["models"]] == ["digits"]
    assert served.get("v1/summary?model=No+Such").status_code == 422


def test_a_running_trial_says_what_it_waits_for(served: Served) -> None:
    found = served.get("v1/trial", params={"run_key": f"digits_lifecycle/{TRIAL_RUN}"}).json()
    assert found["decision"] == "CONTINUE" and len(found["series"]) >= 8
    assert "of 36 s of the trial have passed" in found["waiting"][0]
    assert any(line.startswith("errors: ") for line in found["waiting"])


def test_a_run_without_a_canary_has_no_trial(served: Served) -> None:
    assert served.get("v1/trial", params={"run_key": "digits_lifecycle/none"}).status_code == 404


def test_the_report_comes_from_mlflow_without_rights(served: Served) -> None:
    answer = served.get(f"report/{served.report}")
    assert answer.url.endswith(f"/report/{served.report}/") and "PROMOTED" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy and "allow-scripts" not in policy and "allow-same-origin" not in policy


def test_the_reports_link_to_the_data_docs_leads_there(served: Served) -> None:
    answer = served.get(f"report/{served.report}/data_docs/index.html")
    assert answer.status_code == 200 and "Data Docs" in answer.text
    assert "allow-same-origin" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["report/nothex!/", "report/abc123/", "report/{run}/data_docs/..%2Fa", "report/{run}/data_docs/b"])
def test_an_unknown_page_is_404(served: Served, path: str) -> None:
    assert served.get(path.format(run=served.report)).status_code == 404


def test_the_overview_is_made_once_and_not_sent_again_while_nothing_changes(served: Served) -> None:
    first = served.get("v1/overview")
    again = served.get("v1/overview", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304 and again.content == b""
    assert first.json()["unknown"] == []


@pytest.mark.parametrize(
    ("run_key", "order", "status", "said"),
    [
        (f"digits_lifecycle/{TRIAL_RUN}", "resume", 409, "not paused"),
        (f"digits_lifecycle/{PROMOTED_RUN}", "end", 409, "decided already: PROMOTE"),
        ("digits_lifecycle/none", "end", 409, "No trial of this run"),
        ("other/none", "end", 409, "No trial of this run"),
        (f"digits_lifecycle/{TRIAL_RUN}", "explode", 422, "order"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_a_sentence(served: Served, run_key: str, order: str, status: int, said: str) -> None:
    body = {"run_key": run_key, "order": order, "why": "because"}
    headers = {"Authorization": f"Bearer {served.operator}"}
    answer = requests.post(f"{served.url}/lifecycle/v1/orders", json=body, headers=headers, timeout=30)
    assert answer.status_code == status and said in answer.text


def test_an_order_needs_rights_and_a_reason(served: Served) -> None:
    body, url = {"run_key": f"digits_lifecycle/{TRIAL_RUN}", "order": "end", "why": "because"}, f"{served.url}/lifecycle/v1/orders"
    assert requests.post(url, json=body, headers={"Authorization": f"Bearer {served.token}"}, timeout=30).status_code == 403
    operator = {"Authorization": f"Bearer {served.operator}"}
    assert requests.post(url, json=body | {"why": "  "}, headers=operator, timeout=30).status_code == 422
    assert served.get("v1/orders", params={"run_key": body["run_key"]}).json() == []
