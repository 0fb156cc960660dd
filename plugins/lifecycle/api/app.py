"""The FastAPI application that Airflow mounts at /lifecycle."""

from __future__ import annotations

from fastapi import FastAPI

from api_shared.application import application
from api_shared.body_limit import MOST_BYTES
from api_shared.problems import install
from include.new_model.uploads import TooLarge
from include.predictions.known import TooSpread
from lifecycle.api.acts import router as acts
from lifecycle.api.alerts import MOST_BYTES as MOST_ALERT_BYTES
from lifecycle.api.alerts import router as alerts
from lifecycle.api.audit import router as audit
from lifecycle.api.budgets import router as budgets
from lifecycle.api.calling import router as calling
from lifecycle.api.cost import router as cost
from lifecycle.api.events import router as events
from lifecycle.api.feedback import MOST_BYTES as MOST_FEEDBACK_BYTES
from lifecycle.api.feedback import router as feedback
from lifecycle.api.keys import router as keys
from lifecycle.api.me import router as me
from lifecycle.api.new_model import UPLOADS
from lifecycle.api.new_model import most_bytes as most_upload_bytes
from lifecycle.api.new_model import router as new_model
from lifecycle.api.outcomes import router as outcomes
from lifecycle.api.overview import router as overview
from lifecycle.api.pages import pages
from lifecycle.api.routes import router
from lifecycle.api.searches import router as searches
from lifecycle.api.summary import router as summary
from lifecycle.api.usage import router as usage
from lifecycle.api.versions import router as versions

MOST_LOOK_BYTES = 1024 * 1024
MOST_VERDICT_BYTES = 8 * 1024 * 1024
"""The curves of a long trial, thousands of rules about a wide table."""
TAGS = {
    "revisions": "Deployed model versions and their states.",
    "evidence": "Verdicts and looks, append-only, chained by hashes.",
    "searches": "Searches for hyperparameters, and their trials.",
    "overview": "What the page Models shows.",
    "alerts": "What Prometheus has found amiss.",
    "acts": "What alerts and verdicts bring about, who holds it, and what people are told.",
    "events": "News of models' data, and why runs began.",
    "feedback": "What turned out to be right of models' answers.",
    "new-model": "New models, from files of data.",
    "keys": "Who may call the gateway.",
    "usage": "Who has used how much of which language model.",
    "cost": "What a month has cost: GPU-hours and tokens, by the price table.",
    "budgets": "What keys, teams and models may use in a month, and how far that is used.",
    "audit": "Who did what to which model, key, quota, budget or alert.",
}


def most_bytes(path: str) -> int:
    """Of a request to this path."""
    if path.rstrip("/").endswith("/v1/verdicts"):
        return MOST_VERDICT_BYTES
    if path.rstrip("/").endswith("/v1/alerts"):
        return MOST_ALERT_BYTES
    if path.rstrip("/").endswith(UPLOADS):
        return most_upload_bytes()
    if path.rstrip("/").endswith("/feedback"):
        return MOST_FEEDBACK_BYTES
    return MOST_LOOK_BYTES if path.rstrip("/").endswith("/v1/looks") else MOST_BYTES


def create_app() -> FastAPI:
    """The application with all its routes, each behind its own rights."""
    app = application(
        title="Updraft lifecycle",
        description="Revisions, verdicts and canary looks.",
        routers=(
            router,
            searches,
            me,
            overview,
            summary,
            versions,
            calling,
            outcomes,
            usage,
            cost,
            budgets,
            keys,
            alerts,
            acts,
            audit,
            events,
            feedback,
            new_model,
            pages,
        ),
        tags=TAGS,
        limits=most_bytes,
    )
    install(app, ((TooSpread, 413), (TooLarge, 413)))
    return app
