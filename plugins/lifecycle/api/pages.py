"""Pages for people: the report of a run, as it was kept on MLflow."""

from __future__ import annotations

from airflow.models.connection import Connection
from fastapi import APIRouter, Depends, HTTPException, status
from fastapi.responses import HTMLResponse

from include.errors import UpdraftError
from include.registry.mlflow import Mlflow
from lifecycle.api.auth import may_read

pages = APIRouter(dependencies=[Depends(may_read)])
# The report is shown with no rights of its own: no scripts from elsewhere, no access to the Airflow session.
POLICY = "sandbox allow-scripts allow-popups; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@pages.get("/report/{mlflow_run_id}", response_class=HTMLResponse)
def report(mlflow_run_id: str) -> HTMLResponse:
    """The report of one run, read from MLflow."""
    if not mlflow_run_id.isalnum():
        raise HTTPException(status.HTTP_404_NOT_FOUND, "That is not an MLflow run id.")
    connection = Connection.get_connection_from_secrets("updraft_mlflow")
    client = Mlflow(str(connection.host), connection.login or "", connection.password or "")
    try:
        return HTMLResponse(client.read(mlflow_run_id, "report.html"), headers={"Content-Security-Policy": POLICY})
    except UpdraftError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"No report is kept for this run: {error}") from None
