"""Whether the platform's servers answer what their callers ask: by their own doors, with a key or login, and that it is these servers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from include.gateway.credentials import PROBE_CLIENT
from include.platform import listeners
from include.runtime import family, web
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings

ANSWER_S = 5.0
MONITOR = "/api/v2/monitor/health"


@dataclass(frozen=True)
class Question:
    """A GET that a server which is well answers with 200; ``port`` is where it listens."""

    url: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def questions(settings: Settings, credentials: Credentials) -> dict[str, Question]:
    """What must be answered for the platform to be up, by server.

    The gateway's list of models needs a key, and its listener; MLflow's experiments a login, and its database. Airflow tells everybody
    whether its components have reported.
    """
    login = base64.b64encode(f"{ADMIN}:{credentials.mlflow_password}".encode()).decode()
    experiments = f"{settings.mlflow_url}/api/2.0/mlflow/experiments/get?experiment_id=0"
    key = {"x-api-key": credentials.api_keys[PROBE_CLIENT]}
    return {
        "gateway": Question(f"{settings.gateway_url}/v1/models", settings.gateway_port, key),
        "mlflow": Question(experiments, settings.mlflow_port, {"Authorization": f"Basic {login}"}),
        "run-door": Question(f"{settings.mlflow_door_url}/health", settings.mlflow_door_port),
        "airflow": Question(f"{settings.airflow_url}{MONITOR}", settings.airflow_port),
    }


def answers(question: Question) -> bool:
    """Whether it is answered with 200; of Airflow's, whether all its components have reported too."""
    try:
        answer = web.ask("GET", question.url, headers=question.headers, timeout=ANSWER_S)
        if answer.status_code != 200:
            return False
        if not question.url.endswith(MONITOR):
            return True
        return all((part or {}).get("status") == "healthy" for part in answer.json().values())
    except (OSError, ValueError, AttributeError):
        return False


def is_ours(settings: Settings, port: int) -> bool:
    """Whether a process of this platform listens there, as the kernel tells it: no key and no login is sent to another's server."""
    return any(found.kind == "tcp" and found.port == port for found in listeners.of(family.family(str(settings.home))))
