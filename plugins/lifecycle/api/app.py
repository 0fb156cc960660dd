"""The FastAPI application that Airflow mounts at /lifecycle."""

from __future__ import annotations

from fastapi import FastAPI

from lifecycle.api.pages import pages
from lifecycle.api.routes import router
from lifecycle.api.summary import router as summary


def create_app() -> FastAPI:
    """Airflow does not authenticate plugin routes: each router brings its own dependency."""
    app = FastAPI(title="Updraft lifecycle", description="Revisions, verdicts and canary looks.", version="1")
    app.include_router(router)
    app.include_router(summary)
    app.include_router(pages)
    return app
