"""The exporter as a server: every path but ``/health`` asks for the token that Prometheus has."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from include import prometheus
from include.exporter.sources import Silent, Sources


class Exporter:
    """Answers Prometheus; ``address`` is its own host and port, as Prometheus reaches it."""

    def __init__(self, sources: Sources, token: str, address: str) -> None:
        self._sources, self._token, self._address = sources, token, address

    def platform(self, request: Request) -> Response:
        """Answer with the platform's own figures."""
        return self._told(request, self._sources.platform)

    def gateway(self, request: Request) -> Response:
        """Answer with Envoy's."""
        return self._told(request, self._sources.gateway)

    def plugin(self, request: Request) -> Response:
        """Answer with those of a plugin."""
        return self._told(request, lambda: self._sources.plugin(request.path_params["job"]))

    def server(self, request: Request) -> Response:
        """Answer with those of a revision's server."""
        path = request.path_params
        return self._told(request, lambda: self._sources.server(path["model"], str(path["version"]), path.get("number", 1)))

    def targets(self, request: Request) -> Response:
        """Answer with the servers that there are, for Prometheus' discovery."""
        return self._told(request, lambda: json.dumps(self._sources.targets(self._address)), "application/json")

    def _told(self, request: Request, figures: Callable[[], str], kind: str = prometheus.CONTENT_TYPE) -> Response:
        """Answer by what ``figures`` returns. A source that is silent is a 502, so that Prometheus counts its target as down."""
        shown = request.headers.get("authorization", "")
        if not hmac.compare_digest(shown.encode(), f"Bearer {self._token}".encode()):
            return PlainTextResponse("Unauthorized\n", 401, {"www-authenticate": "Bearer"})
        try:
            return Response(figures(), media_type=kind)
        except KeyError:
            return PlainTextResponse("There is no such source.\n", 404)
        except Silent as error:
            return PlainTextResponse(f"{error}\n", 502)


def app(sources: Sources, token: str, address: str) -> Starlette:
    """Return the application."""
    exporter = Exporter(sources, token, address)
    return Starlette(
        routes=[
            Route("/health", lambda _: PlainTextResponse("OK")),
            Route("/platform", exporter.platform),
            Route("/gateway", exporter.gateway),
            Route("/plugins/{job}", exporter.plugin),
            Route("/servers/{model}/{version:int}", exporter.server),
            Route("/servers/{model}/{version:int}/{number:int}", exporter.server),
            Route("/targets", exporter.targets),
        ]
    )
