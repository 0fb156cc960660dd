"""Pages for people: the lifecycle's page in Airflow's navigation, and the report of a run as it was kept on MLflow."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

from fastapi import APIRouter, Depends, HTTPException, Response, status
from fastapi.responses import FileResponse, RedirectResponse

from api_shared.auth import may_read
from api_shared.security_headers import PAGE_POLICY
from include.errors import UpdraftError
from include.monitoring.look import CHANGE_PAGE
from lifecycle.api.live import registry

pages = APIRouter(dependencies=[Depends(may_read)], include_in_schema=False)
FOLDER = Path(__file__).parents[1] / "ui"
SHARED = Path(__file__).parents[2] / "ui_shared"
KINDS = {".js": "text/javascript", ".css": "text/css"}
PARTS = {path.name: path for path in (*FOLDER.iterdir(), *SHARED.iterdir()) if path.suffix in KINDS}
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
    """The page that Airflow's navigation shows."""
    return FileResponse(FOLDER / "index.html", media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})


@pages.get("/usage")
def usage_page() -> FileResponse:
    """The other page in Airflow's navigation: tokens, and what they cost."""
    return FileResponse(FOLDER / "usage.html", media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})


@pages.get("/cost")
def cost_page() -> FileResponse:
    """What a month has cost, in Airflow's navigation."""
    return FileResponse(FOLDER / "cost.html", media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})


@pages.get("/new-model")
def new_model_page() -> FileResponse:
    """The page by which operators make models."""
    return FileResponse(FOLDER / "new_model.html", media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})


@pages.get("/ui/{name}")
def part(name: str) -> FileResponse:
    """The page's script and style."""
    if name not in PARTS:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "The page has no such file.")
    path = PARTS[name]
    return FileResponse(path, media_type=KINDS[path.suffix], headers={"Cache-Control": "no-cache"})


@pages.get("/report/{mlflow_run_id}")
def report_folder(mlflow_run_id: str) -> RedirectResponse:
    """Into the folder, so that the report's links to its neighbours lead there, as they do on disk."""
    return RedirectResponse(f"{_checked(mlflow_run_id)}/", status.HTTP_307_TEMPORARY_REDIRECT)


@pages.get("/report/{mlflow_run_id}/")
def report(mlflow_run_id: str) -> Response:
    """The report of one run, read from MLflow."""
    return _artifact(mlflow_run_id, "report.html", REPORT_POLICY)


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
    except UpdraftError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"No {path} is kept for this run: {error}") from None
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Response(content, media_type=kind, headers={"Content-Security-Policy": policy})
