"""Pages for people: the lifecycle's page in Airflow's navigation, and the report of a run as it was kept on MLflow."""

from __future__ import annotations

import mimetypes
import re
from html import escape
from pathlib import Path

from fastapi import APIRouter, Depends, HTTPException, Response, status
from fastapi.responses import FileResponse, RedirectResponse

from api_shared.auth import may_read
from api_shared.page_files import PageFiles
from api_shared.security_headers import FRAMES_POLICY
from include.errors import InputError, UpdraftError
from include.monitoring.look import CHANGE_PAGE
from include.report.render import themed
from lifecycle.api.live import registry

pages = APIRouter(dependencies=[Depends(may_read)], include_in_schema=False)
FILES = PageFiles(Path(__file__).parents[1] / "ui")
# The report is shown with no rights of its own: no scripts, no access to the Airflow session.
REPORT_POLICY = (
    "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'self'"
)
# Data Docs take their style from public addresses. They run apart: an opaque origin, without Airflow's session.
DOCS_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; style-src 'unsafe-inline' https:; script-src 'unsafe-inline' https:; "
    "img-src data: https:; font-src https:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

# Evidently's report draws by the scripts that it holds itself. It runs apart, and reaches nothing.
CHANGE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


@pages.get("/ui")
def page() -> FileResponse:
    """The page that Airflow's navigation shows: all models."""
    return FILES.page("index.html")


@pages.get("/model")
def model_page() -> FileResponse:
    """The page of one model, by ``name`` or by the ``dag`` whose tab it is."""
    return FILES.page("model.html")


@pages.get("/run")
def run_page() -> FileResponse:
    """The tab of a run: what became of it, and its report."""
    return FILES.page("run.html", FRAMES_POLICY)


@pages.get("/serving")
def serving_page() -> FileResponse:
    """The page Serving in Airflow's navigation: every revision, and what can be done to it."""
    return FILES.page("serving.html")


@pages.get("/usage")
def usage_page() -> FileResponse:
    """The other page in Airflow's navigation: tokens, and what they cost."""
    return FILES.page("usage.html")


@pages.get("/cost")
def cost_page() -> FileResponse:
    """What a month has cost, in Airflow's navigation."""
    return FILES.page("cost.html")


@pages.get("/audit")
def audit_page() -> FileResponse:
    """Who did what, in Airflow's navigation."""
    return FILES.page("audit.html")


@pages.get("/new-model")
def new_model_page() -> FileResponse:
    """The page by which operators make models."""
    return FILES.page("new_model.html")


@pages.get("/ui/{name}")
def part(name: str) -> FileResponse:
    """The pages' scripts, styles and pictures."""
    return FILES.part(name)


@pages.get("/report/{mlflow_run_id}")
def report_folder(mlflow_run_id: str) -> RedirectResponse:
    """Into the folder, so that the report's links to its neighbours lead there, as they do on disk."""
    return RedirectResponse(f"{_checked(mlflow_run_id)}/", status.HTTP_307_TEMPORARY_REDIRECT)


@pages.get("/report/{mlflow_run_id}/")
def report(mlflow_run_id: str, theme: str = "") -> Response:
    """The report of one run, read from MLflow, in Airflow's theme where that is said."""
    found = _artifact(mlflow_run_id, "report.html", REPORT_POLICY)
    found.body = themed(bytes(found.body), theme)
    found.headers["Content-Length"] = str(len(found.body))
    return found


@pages.get("/report/{mlflow_run_id}/data_docs/{path:path}")
def data_docs(mlflow_run_id: str, path: str) -> Response:
    """Great Expectations' pages about the run's data, read from MLflow."""
    if ".." in path.split("/") or not re.fullmatch(r"[\w./%+: -]+", path):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such page.")
    return _artifact(mlflow_run_id, f"data_docs/{path}", DOCS_POLICY)


@pages.get("/report/{mlflow_run_id}/change.html")
def change(mlflow_run_id: str) -> Response:
    """Evidently's report of the latest look at what this run's version was asked in production, read from MLflow."""
    return _artifact(mlflow_run_id, CHANGE_PAGE, CHANGE_POLICY)


def _checked(mlflow_run_id: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{1,64}", mlflow_run_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "That is not an MLflow run id.")
    return mlflow_run_id


def _artifact(mlflow_run_id: str, path: str, policy: str) -> Response:
    try:
        content = registry().read(_checked(mlflow_run_id), path)
    except InputError as error:
        return _said(404, f"No {path} is kept for this run.", str(error))
    except UpdraftError as error:
        return _said(503, "MLflow, which keeps the report, does not answer. This page asks again every ten seconds.", str(error))
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Response(content, media_type=kind, headers={"Content-Security-Policy": policy})


def _said(code: int, sentence: str, cause: str) -> Response:
    """A page in a report's place, without rights; one that is away for a while loads itself again."""
    again = '<meta http-equiv="refresh" content="10">' if code == status.HTTP_503_SERVICE_UNAVAILABLE else ""
    text = (FILES.folder / "away.html").read_text().format(again=again, sentence=escape(sentence), cause=escape(cause))
    headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"} | ({"Retry-After": "10"} if again else {})
    return Response(text, code, media_type="text/html", headers=headers)
