"""All that a running platform listens on, and what anybody without a key or a login gets there.

A socket that no entry of :data:`DOORS` knows fails the test: whoever opens one writes down here what it answers to strangers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from include.platform.listeners import Listener
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings

Ask = tuple[str, str]
"""A method and a path."""
REFUSED = frozenset({401, 403, 404, 405})
"""404 and 405 for paths that are not there for anybody."""


@dataclass(frozen=True)
class Door:
    """One kind of socket. ``asked`` are requests that are to be refused; ``open`` those that everybody may make, and what they may say."""

    name: str
    is_it: Callable[[Settings, Listener], bool]
    asked: Callable[[Settings], Iterator[Ask]] = lambda _: iter(())
    open: dict[str, str] = field(default_factory=dict)
    """Path (a regular expression) → a regular expression of the whole answer."""
    refused: frozenset[int] = REFUSED


def of_port(name: str) -> Callable[[Settings, Listener], bool]:
    return lambda settings, found: found.kind == "tcp" and found.port == getattr(settings, name)


def of_file(name: str) -> Callable[[Settings, Listener], bool]:
    return lambda settings, found: found.kind == "unix" and bool(re.fullmatch(f"{re.escape(str(settings.home))}/{name}", found.host))


def behind_guard(settings: Settings, found: Listener) -> bool:
    """In its revision's folder; a program in a view of its own binds it by its bare name there."""
    return found.kind == "unix" and bool(re.fullmatch(rf"({re.escape(str(settings.home))}/revisions/.*/)?(llama|base)\.sock", found.host))


def gateway(settings: Settings) -> Iterator[Ask]:
    paths = ("/", "/v1/models", "/v1/chat/completions", "/v2", "/v2/models/tumours", "/v2/models/tumours/infer", "/v2/repository/index")
    for path in (*paths, "/v2/logging", "/metrics", "/config_dump", "/quitquitquit", "/drain_listeners", "/stats", "/nowhere"):
        yield from (("GET", path), ("POST", path), ("DELETE", path))


def mlflow(settings: Settings) -> Iterator[Ask]:
    """Every route that MLflow has."""
    from mlflow.server import app, artifact_router, auth, gateway_api, job_api, mcp_server_api, otel_api, server_info_api
    from mlflow.server.assistant import api as assistant_api

    yield from (("GET", path) for path in ("/", "/signup", "/metrics", "/docs", "/openapi.json"))
    yield from (("POST", f"/api/2.0/mlflow/users/{verb}") for verb in ("create", "update-password", "delete"))
    for rule in (*app.url_map.iter_rules(), *auth.app.url_map.iter_rules()):
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield method, re.sub(r"<[^>]*>", "1", rule.rule)
    for module in (artifact_router, assistant_api, gateway_api, job_api, mcp_server_api, otel_api, server_info_api):
        for router in vars(module).values():
            for route in getattr(router, "routes", ()):
                for method in getattr(route, "methods", None) or ():
                    yield method, re.sub(r"{[^}]*}", "1", route.path)


def airflow(settings: Settings) -> Iterator[Ask]:
    """Every path of Airflow's documents and of the plugins'."""
    yield from (
        ("GET", path)
        for path in (
            *("/lifecycle/v1/verdicts", "/gpu-pool/v1/inventory", "/lifecycle/openapi.json", "/gpu-pool/openapi.json"),
            *(
                "/openapi.json",
                "/docs",
                "/redoc",
                "/execution/docs",
                "/execution/openapi.json",
                "/execution/changelog",
                "/auth/openapi.json",
            ),
        )
    )
    login = {"username": "viewer", "password": Credentials.load(settings.home).airflow_passwords["viewer"]}
    token = requests.post(settings.airflow_url + "/auth/token", json=login, timeout=60).json()["access_token"]
    for document in ("/openapi.json", "/execution/openapi.json?version=2025-04-28"):
        answer = requests.get(settings.airflow_url + document, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        answer.raise_for_status()
        for path, methods in answer.json()["paths"].items():
            place = "/execution" if document.startswith("/execution") else ""
            yield from ((method.upper(), place + re.sub(r"{[^}]*}", "1", path)) for method in methods)


def revision(settings: Settings) -> Iterator[Ask]:
    """Triton's; what its own paths say is in tests/include/serving/test_own_ports.py."""
    model = "/v2/models/tumours"
    for path in ("/v2", model, f"{model}/infer", f"{model}/config", f"{model}/stats", f"{model}/generate", "/v2/repository/index"):
        yield from (("GET", path), ("POST", path))
    for path in ("/v2/repository/models/tumours/load", "/v2/systemsharedmemory/region/x/register", "/v2/logging", "/v2/trace/setting"):
        yield "POST", path


def prometheus(settings: Settings) -> Iterator[Ask]:
    """Prometheus' and Alertmanager's."""
    for path in (
        "/",
        "/graph",
        "/metrics",
        "/api/v1/query?query=up",
        "/api/v1/status/config",
        "/federate",
        "/-/ready",
        "/-/reload",
        "/-/quit",
    ):
        yield from (("GET", path), ("POST", path))
    yield from (("GET", path) for path in ("/api/v2/alerts", "/api/v2/status", "/debug/pprof/", "/nowhere"))


def exporter(settings: Settings) -> Iterator[Ask]:
    for path in ("/platform", "/gateway", "/plugins/lifecycle", "/plugins/gpu-pool", "/servers/tumours/1", "/targets", "/", "/nowhere"):
        yield from (("GET", path), ("POST", path))


DOORS = (
    Door("gateway", of_port("gateway_port"), gateway, {r"/v2/health/(live|ready)": r'\{"(live|ready)": true\}'}, frozenset({401})),
    Door(
        "mlflow",
        of_port("mlflow_port"),
        mlflow,
        {"/health": "OK", r"/static-files/.*|/favicon.ico": r"[\s\S]*", r"/(ajax-)?api/3\.0/mlflow/server-info": r"\{[\s\S]*\}"},
        REFUSED | {400, 307, 308},
    ),
    Door("run door", of_port("mlflow_door_port"), mlflow, {"/health": "OK", "/version": r"[\d.]+"}, REFUSED | {400}),
    Door(
        "airflow",
        of_port("airflow_port"),
        airflow,
        {
            "/api/v2/version": r'\{"version":.*\}',
            "/api/v2/monitor/health": r"\{.*\}",
            r"/(execution/)?health.*": r"[\s\S]*",
            r"/auth/(?!docs|redoc|openapi).*|/login.*": r"[\s\S]*",
        },
        REFUSED | {422, 307},
    ),
    Door(
        "revision",
        lambda settings, found: found.kind == "tcp" and found.port in settings.revision_ports,
        revision,
        {r"/v2/health/(live|ready)|/v2/models/[a-z]+(/versions/\d+)?/ready": ""},
        REFUSED | {400},
    ),
    # Where there is monitoring.
    Door("prometheus", of_port("prometheus_port"), prometheus, {}, frozenset({401})),
    Door("alertmanager", of_port("alertmanager_port"), prometheus, {}, frozenset({401})),
    Door("exporter", of_port("exporter_port"), exporter, {"/health": "OK"}),
    Door("supervisord", of_file(r"supervisor/supervisor\.sock(\.\d+)?")),
    Door("PostgreSQL and Redis, scaled", of_file(r"postgres/run/\.s\.PGSQL\.\d+|redis/redis\.sock")),
    Door("s3", of_port("s3_port"), lambda _: iter((("GET", "/"), ("GET", "/mlflow"), ("PUT", "/mlflow/x"), ("POST", "/dir/assign")))),
    Door("envoy's administration", of_file(r"envoy/admin\.sock")),
    Door("the prediction log", of_file(r"prediction-log/log\.sock")),
    Door("the count of budgets", of_file(r"budgets/count\.sock")),
    Door("llama.cpp or vLLM behind its guard", behind_guard),
    Door("live prompts of a trial", of_file(r"trials/.*")),
    Door("Python's own, between processes of one program", lambda settings, found: found.kind == "unix" and "/pymp-" in found.host),
)


def door_of(settings: Settings, found: Listener) -> Door | None:
    """The entry that knows a socket."""
    return next((door for door in DOORS if door.is_it(settings, found)), None)


def answered(url: str, ask: Ask) -> Any:
    method, path = ask
    return requests.request(method, url + path, json={} if method != "GET" else None, timeout=60, allow_redirects=False)
