"""Label Studio beside the platform: whether it is wanted, how it runs, how Airflow reaches it.

Chosen by ``LABELS=1`` at `make up` and kept in ``.updraft/with-labels``; 0 ends it, and keeps what is in it. The server is PyPI's package
in a runtime of its own (`make install-labels`). It listens on loopback and asks for a login; nobody signs up without an invitation.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from include import atomic
from include.errors import InputError
from include.platform.health import Question
from include.platform.label_studio import CHOICE, NAME, USER, VARIABLE, environment, prepare
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.runtime.supervisor import Program

__all__ = ["NAME", "USER", "VARIABLE", "choose", "chosen", "connections", "environment", "program", "question"]
RUNTIME = "labels"
CONNECTION = "updraft_labels"
START_S = 900.0
"""Its first start makes a hundred tables: half a minute, and on a busy machine many (seconds)."""


def chosen(settings: Settings) -> bool:
    """Return whether this platform has it."""
    with suppress(FileNotFoundError):
        return (settings.home / CHOICE).read_text().strip() == "1"
    return False


def choose(settings: Settings) -> bool:
    """Return whether it shall have it: what ``UPDRAFT_LABELS`` says, or what was. Kept in ``settings.home``, which must exist.

    Raises InputError, and changes nothing, for an unknown word, or where the runtime is missing.
    """
    word = os.environ.get(VARIABLE) or ""
    if word not in ("", "0", "1"):
        raise InputError(f"{VARIABLE}={word!r:.50} is neither 0 nor 1.", where="environment", remedy="Write LABELS=1, or leave it away.")
    wanted = word == "1" if word else chosen(settings)
    if wanted and not settings.python(RUNTIME).exists():
        raise InputError(f"runtime {RUNTIME} is not installed.", where=VARIABLE, remedy="Run `make install-labels`.")
    if wanted is not chosen(settings):
        atomic.write(settings.home / CHOICE, f"{int(wanted)}\n")
    return wanted


def program(settings: Settings, credentials: Credentials) -> Program:
    """Return the server as supervisord runs it. Its login and its keys are in its environment, never in its command."""
    home = prepare(settings)
    return Program(
        name=NAME,
        command=(
            *(str(settings.python(RUNTIME).with_name("label-studio")), "start", "--no-browser"),
            *("--internal-host", settings.host, "--port", str(settings.labels_port)),
        ),
        directory=home,
        log=settings.logs / f"{NAME}.log",
        environment=environment(settings, credentials) | {"PATH": f"{settings.python(RUNTIME).parent}:/usr/bin:/bin"},
        start_s=5,
        stop_wait_s=10,
        priority=320,
    )


def connections(settings: Settings, credentials: Credentials) -> list[dict[str, Any]]:
    """Return Airflow's connection to it, as `airflow_settings.yaml` has such; none where it is not wanted."""
    if not chosen(settings):
        return []
    login = {"conn_login": USER, "conn_password": credentials.labels_token}
    return [{"conn_id": CONNECTION, "conn_type": "http", "conn_host": settings.labels_url, **login}]


def question(settings: Settings) -> Question:
    """Return what it must answer to be up."""
    return Question(f"{settings.labels_url}/health", settings.labels_port)
