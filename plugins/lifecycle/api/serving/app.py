"""The FastAPI application that Airflow mounts at /serving."""

from __future__ import annotations

from fastapi import FastAPI

from api_shared.application import application
from api_shared.problems import install
from lifecycle.api.serving.change import router as change
from lifecycle.api.serving.metrics import router as metrics
from lifecycle.api.serving.read import router as read

TAGS = {
    "models": "Models, who serves them, and who gets how much of their traffic.",
    "revisions": "Deployed versions: their states, starts, stops and logs.",
    "history": "Who changed what, and why.",
    "reconcile": "Desired against actual, and what is being done about it.",
}


def create_app() -> FastAPI:
    """The application with all its routes, each behind its own rights."""
    app = application(
        title="Updraft serving",
        description="Serving control: what runs, and how to start, stop, share out and see it.",
        routers=(read, metrics, change),
        tags=TAGS,
    )
    install(app)
    return app
