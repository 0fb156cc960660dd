"""How large a platform is: all in SQLite files and one process pool, or PostgreSQL, Redis and Celery workers.

It is chosen at the first `make up` (``UPDRAFT_SCALE``) and kept in ``.updraft/scale``, so that every later command knows what runs.
Runs and versions live in the databases: a platform that has some can't change its scale.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from include import atomic
from include.errors import InputError
from include.platform import postgres
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings

VARIABLE = "UPDRAFT_SCALE"
OWNERS = {"airflow": "airflow", "mlflow": "mlflow", "mlflow_auth": "mlflow"}
"""PostgreSQL's databases and the roles that own them."""
WORKERS = 2
SLOTS = 4
"""Tasks that one Celery worker runs at once."""


class Scale(StrEnum):
    """``EMBEDDED``: SQLite and LocalExecutor. ``SCALED``: PostgreSQL, and CeleryExecutor with Redis and two workers."""

    EMBEDDED = "embedded"
    SCALED = "scaled"


@dataclass(frozen=True)
class Databases:
    """SQLAlchemy URLs; those of PostgreSQL hold passwords."""

    airflow: str
    mlflow: str
    mlflow_auth: str


def chosen(settings: Settings) -> Scale:
    """What the platform in ``settings.home`` is. Raises InputError when the file that says it is damaged."""
    path = _file(settings)
    try:
        return Scale(path.read_text().strip())
    except FileNotFoundError:
        return Scale.EMBEDDED
    except ValueError:
        raise InputError("says neither embedded nor scaled.", where=str(path), remedy="Write the one that it was into it.") from None


def choose(settings: Settings) -> Scale:
    """What it shall be: ``UPDRAFT_SCALE``, or what it was. Kept in ``settings.home``, which must exist.

    Raises InputError, and changes nothing, for an unknown word, a platform that is of the other scale, or missing servers.
    """
    word = os.environ.get(VARIABLE)
    if word is not None and word not in list(Scale):
        raise InputError(f"{VARIABLE}={word!r} is no scale.", where="environment", remedy=f"Use one of: {', '.join(Scale)}.")
    now = chosen(settings)
    wanted = Scale(word) if word else now
    if wanted is not now and _has_state(settings):
        raise InputError(
            f"this platform is {now}; its runs and versions stand in databases that a platform that is {wanted} does not have.",
            where=str(settings.home),
            remedy=f"Leave {VARIABLE} away, set UPDRAFT_HOME to another folder, or throw its state away: `make clean`.",
        )
    if wanted is Scale.SCALED:
        postgres.binaries(postgres_data(settings))
        redis_server()
        postgres.check_reach(settings.home)
    if wanted is not now:
        atomic.write(_file(settings), f"{wanted}\n")
    return wanted


def databases(settings: Settings, credentials: Credentials) -> Databases:
    """Where Airflow and MLflow keep their tables."""
    if chosen(settings) is Scale.EMBEDDED:
        return Databases(**{name: f"sqlite:///{path}" for name, path in sqlite_files(settings).items()})

    host, port = postgres_host(settings), settings.postgres_port
    place = ("", f"?host={quote(host)}&port={port}") if host.startswith("/") else (f"{host}:{port}", "")

    def url(role: str, database: str) -> str:
        password = credentials.database_passwords[role]
        return f"postgresql+psycopg2://{role}:{password}@{place[0]}/{database}{place[1]}"

    return Databases(airflow=url("airflow", "airflow"), mlflow=url("mlflow", "mlflow"), mlflow_auth=url("mlflow", "mlflow_auth"))


def sqlite_files(settings: Settings) -> dict[str, Path]:
    """The databases of an embedded platform, by name."""
    return {
        "airflow": settings.home / "airflow" / "airflow.db",
        "mlflow": settings.home / "mlflow" / "mlflow.db",
        "mlflow_auth": settings.home / "mlflow" / "auth.db",
    }


def broker(settings: Settings, credentials: Credentials) -> str:
    """Redis, by which Celery's workers are given their tasks."""
    if socket := redis_socket(settings):
        return f"redis+socket://:{credentials.redis_password}@{quote(str(socket))}"
    return f"redis://:{credentials.redis_password}@{settings.host}:{settings.redis_port}/0"


def postgres_host(settings: Settings) -> str:
    """Where PostgreSQL is asked: its socket's folder, which nobody else can put one into; its address among containers of one network."""
    return settings.host if settings.among_containers else str(settings.home / "postgres" / "run")


def redis_socket(settings: Settings) -> Path | None:
    """The same of Redis; None where it has a port."""
    return None if settings.among_containers else settings.home / "redis" / "redis.sock"


def redis_configuration(settings: Settings, credentials: Credentials, data: Path, socket: Path | None = None) -> str:
    """What redis-server reads, the password among it; ``data`` is its folder. It listens at ``socket``, or at its port."""
    at = f"port 0\nunixsocket {json.dumps(str(socket))}\nunixsocketperm 700\n" if socket else f"port {settings.redis_port}\n"
    return (
        f"bind {settings.host}\n"
        f"{at}"
        f"requirepass {credentials.redis_password}\n"
        f"dir {json.dumps(str(data))}\n"
        # What was sent and not done survives kill -9.
        "appendonly yes\n"
        'save ""\n'
        # A title over its environment would hide whose process it is (see family.py).
        "set-proc-title no\n"
    )


def redis_server() -> Path:
    """Debian's. Raises InputError when there is none."""
    if found := shutil.which("redis-server"):
        return Path(found)
    raise InputError("there is no Redis on this machine.", where="redis-server", remedy="Run `make install-scaled`, or: " + postgres.APT)


def postgres_data(settings: Settings) -> Path:
    return settings.home / "postgres" / "data"


def _file(settings: Settings) -> Path:
    return settings.home / "scale"


def _has_state(settings: Settings) -> bool:
    return (settings.home / "airflow" / "airflow.db").exists() or postgres_data(settings).exists()
