"""The FastAPI application that Airflow mounts at /lifecycle."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI

from lifecycle.api.auth import may_read
from lifecycle.api.pages import pages
from lifecycle.api.routes import router
from lifecycle.api.summary import router as summary
from lifecycle.api.usage import router as usage


def create_app() -> FastAPI:
    """Airflow does not authenticate plugin routes: each router brings its own dependency, and the API's description too."""
    app = FastAPI(title="Updraft lifecycle", description="Revisions, verdicts and canary looks.", version="1", openapi_url=None)
    app.include_router(router)
    app.include_router(summary)
    app.include_router(usage)
    app.include_router(pages)

    @app.get("/openapi.json", dependencies=[Depends(may_read)], include_in_schema=False)
    def description() -> dict[str, Any]:
        return app.openapi()

    return app
