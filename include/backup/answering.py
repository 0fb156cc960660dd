"""Has a restored platform's champions answer their golden inputs, through its gateway."""

from __future__ import annotations

from typing import Any

from include.backends import options
from include.backup.take import champions
from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.kinds.registry import kind_serving
from include.platform.up import down, serve_alone
from include.registry.mlflow import Mlflow
from include.release.bundle import fetch
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings
from include.runtime.waiting import until
from include.serving.host import ProcessHost
from include.serving.revisions import Revisions
from include.verdict import Decision

POLL_S = 0.1


def answer(settings: Settings) -> dict[str, dict[str, Any]]:
    """Start what serves, ask every champion, and stop it. Return by model: ``version``, ``answered`` (None: it can't be asked here) and
    ``figure``. Raises UpdraftError when it does not start."""
    wanted, backend = {}, Revisions(settings)
    try:
        credentials = serve_alone(settings, lambda line: None)
        for model, version in champions(settings).items():
            revision = backend.find(model, str(version))
            if revision is not None and (revision.target != ProcessHost.name or backend.lease(revision) is not None):
                wanted[model] = _told(version, None, "its server needs a GPU, or is none of this machine's processes")
            else:
                wanted[model] = _asked(settings, credentials, backend, model, version)
        return wanted
    finally:
        down(settings)


def _asked(settings: Settings, credentials: Credentials, backend: Revisions, model: str, version: int) -> dict[str, Any]:
    mlflow = Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password)
    try:
        bundle = fetch(mlflow, model, version, settings.home / "bundles")
        serve, _ = options.read(bundle)
        revision = backend.find(model, str(version))
        if revision is None:
            return _told(version, False, "it has no revision in the backup")
        if not until(lambda: backend.ready(revision), serve.start_timeout_s, POLL_S):
            return _told(version, False, f"its server was not ready: {backend.cause(revision)}")
        if revision.protocol == "own":
            return _told(version, None, "a server that speaks a protocol of its own has no golden inputs")
        headers = Gateway(settings).probe_headers(str(version))
        verdict = kind_serving(serve).probe(settings.gateway_url, headers, model, bundle, serve)
    except UpdraftError as error:
        return _told(version, False, str(error))
    return _told(version, verdict.decision is Decision.PASS, "; ".join(verdict.reasons))


def _told(version: int, answered: bool | None, figure: str) -> dict[str, Any]:
    return {"version": version, "answered": answered, "figure": figure}
