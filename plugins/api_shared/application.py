"""An application of the plugins: refuses what is too long, seals every answer, describes itself to whoever may read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from api_shared.auth import may_read
from api_shared.body_limit import BodyLimit, BodyLimits, everywhere
from api_shared.problems import Problem
from api_shared.security_headers import SecurityHeaders


def application(
    *, title: str, description: str, routers: Sequence[APIRouter], tags: dict[str, str], limits: BodyLimits = everywhere, **more: Any
) -> FastAPI:
    """A FastAPI application with these routers; ``tags`` (name to sentence) group its operations, each named by its function.

    Airflow does not authenticate plugin routes: each router brings its own dependency, and the API's description too. How errors read is
    the caller's to say (``api_shared.problems.install``).
    """
    app = FastAPI(
        title=title,
        description=description,
        version="1",
        openapi_url=None,
        separate_input_output_schemas=False,
        generate_unique_id_function=_operation_id,
        openapi_tags=[{"name": name, "description": sentence} for name, sentence in tags.items()],
        responses={422: {"model": Problem}},
        **more,
    )
    # The one that is added last is the outermost.
    app.add_middleware(BodyLimit, limits=limits)
    app.add_middleware(SecurityHeaders)
    for router in routers:
        app.include_router(router)

    @app.get("/openapi.json", dependencies=[Depends(may_read)], include_in_schema=False)
    def openapi_document() -> dict[str, Any]:
        return app.openapi()

    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
