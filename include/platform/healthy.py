"""Whether a service of `docker/compose.yaml` is well: exit status 0 or 1, for Docker, which asks every half minute. It must cost little.

python -m include.platform.healthy SERVICE
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Mapping
from configparser import ConfigParser

from include.errors import InputError, UpdraftError
from include.runtime import web
from include.runtime.settings import Settings

TIMEOUT_S = 15.0
AIRFLOWS = {"airflow-scheduler": "scheduler", "airflow-triggerer": "triggerer", "airflow-dag-processor": "dag_processor"}
"""Programs that have no door: what Airflow's health page calls them."""
DOORS = {"envoy": "gateway", "mlflow": "mlflow", "run-door": "run-door"}
"""Programs that are asked what their callers ask: by which name health.py knows them."""
WORKER = "celery-worker-"
KEEPERS = ("housekeeper", "lease-keeper", "watch", "responder", "prediction-log", "budgets")


def healthy(settings: Settings, name: str) -> bool:
    """Raises InputError for a name that there isn't, OSError or UpdraftError when nobody answers."""
    if name in AIRFLOWS:
        told = json.loads(_get(f"{settings.airflow_url}/api/v2/monitor/health"))
        return (told[AIRFLOWS[name]] or {}).get("status") == "healthy"
    if name.startswith(WORKER):
        return _worker(settings, name.removeprefix("celery-"))
    if name == "supervisord":
        return _keepers(settings)
    if name == "airflow-api-server":
        _get(f"{settings.airflow_url}/api/v2/version")
        return True
    if name == "s3":
        return _refuses(f"http://{settings.host}:{settings.s3_port}/")
    if name == "exporter":
        return _get(f"http://{settings.host}:{settings.exporter_port}/health") == b"OK"
    if name not in DOORS:
        known = (*DOORS, "exporter", "airflow-api-server", "s3", *AIRFLOWS, f"{WORKER}1", "supervisord")
        raise InputError(f"{name!r:.60} is no service.", where="healthy", remedy=f"Use one of: {', '.join(sorted(known))}.")
    from include.platform.health import questions
    from include.runtime.credentials import Credentials

    question = questions(settings, Credentials.load(settings.home))[DOORS[name]]
    _get(question.url, question.headers)
    return True


def _get(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    answer = web.ask("GET", url, headers=headers, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return answer.content


def _refuses(url: str) -> bool:
    """Whether a stranger is told 403, as S3 does that is up."""
    return web.ask("GET", url, timeout=TIMEOUT_S).status_code == 403


def _worker(settings: Settings, name: str) -> bool:
    """Asked by Redis, as the scheduler would."""
    from celery import Celery

    written = ConfigParser(interpolation=None)
    written.read(settings.home / "airflow" / "airflow.cfg")
    app = Celery(broker=written["celery"]["broker_url"].replace("%%", "%"), broker_connection_retry_on_startup=False)
    try:
        host = f"{name}@{socket.gethostname()}"
        return bool(app.control.broadcast("ping", reply=True, destination=[host], limit=1, timeout=TIMEOUT_S))
    except app.connection_for_write().connection_errors:
        return False


def _keepers(settings: Settings) -> bool:
    from include.runtime.supervisor import State, Supervisor

    states = Supervisor(settings).programs()
    return all(states.get(name) is State.RUNNING for name in KEEPERS)


def main(arguments: list[str]) -> int:
    try:
        return 0 if healthy(Settings.load(), *arguments[:1]) else 1
    except (UpdraftError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"{' '.join(arguments)}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
