"""Airflow's real API server with both plugins, as Airflow itself loads them, on an empty database.

Run as ``python -m tests.plugins.lifecycle.api.served HOME PORT DATABASE_URL``: it makes the tables, writes a token for each of ``USERS`` to
HOME/tokens.json, and serves until its standard input is closed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

ALERTS_TOKEN = "alertmanager-0123456789"
EVENTS_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FLOODED = 1000
"""Events of the model `flooded` wait."""
USERS = {"anna": "admin", "olaf": "op", "vera": "viewer", "updraft": "op", "tina": "op", "tom": "op", "ada": "op"}
"""`updraft` is the platform's own service."""
TEAMS = "tina = vision; tom = vision:viewer; ada = vision:admin, text:viewer; * = *"


def prepare(home: Path, port: int, url: str) -> None:
    """Airflow's environment, before it is imported for the first time."""
    plugins = Path(__file__).parents[4] / "plugins"
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone, and long enough to sign with it, as SHA-512 wants",
        "AIRFLOW__GPU_POOL__TEAMS": TEAMS,
        "AIRFLOW__LIFECYCLE__ALERTS_TOKEN_SHA256": sha256(ALERTS_TOKEN.encode()).hexdigest(),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_UPDRAFT_MLFLOW": json.dumps({"conn_type": "http", "host": "http://127.0.0.1:9"}),
        "AIRFLOW_CONN_UPDRAFT_EVENTS_WAREHOUSE": json.dumps({"conn_type": "generic", "password": EVENTS_SECRET}),
        "AIRFLOW_CONN_UPDRAFT_EVENTS_OTHER": json.dumps({"conn_type": "generic", "password": EVENTS_SECRET, "extra": {"models": ["deaf"]}}),
        "AIRFLOW_CONN_UPDRAFT_EVENTS_SHORT": json.dumps({"conn_type": "generic", "password": "short"}),
        "AIRFLOW__LIFECYCLE__NEW_MODEL_UPLOAD_MIB": "32",
        "UPDRAFT_MODELS": str(models(home)),
        "UPDRAFT_HOME": str(home / "updraft"),
        "UPDRAFT_PORT_BASE": str(port),
    }
    (home / "updraft").mkdir()
    (home / "updraft" / "credentials.json").write_text(json.dumps({"api_keys": {"updraft": "k"}, "probe_secret": "s"}))
    sys.argv = ["uvicorn"]  # by which the plugins know an API server


def models(home: Path) -> Path:
    """The shipped models, and copies of one that ask for events, or don't (and may have several servers)."""
    shipped, folder = Path(__file__).parents[4] / "include" / "models", home / "models"
    shutil.copytree(shipped, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("listening", "flooded", "deaf"):
        shutil.copytree(folder / "digits", folder / name)
        spec = (folder / name / "model.yaml").read_text().replace("name: digits", f"name: {name}")
        several = spec.replace("\nserve:\n", "\nserve:\n  replicas: {min: 1, max: 3}\n")
        (folder / name / "model.yaml").write_text(several if name == "deaf" else spec + "\non: {webhook: true}\n")
    for name, team in (("seeing", "vision"), ("reading", "text")):
        shutil.copytree(folder / "digits", folder / name)
        spec = (folder / name / "model.yaml").read_text().replace("name: digits", f"name: {name}\nteam: {team}")
        (folder / name / "model.yaml").write_text(spec)
    return folder


def flood(engine: Any) -> None:
    """As many events of one model wait as may."""
    from sqlalchemy import insert

    from lifecycle.db.models import Event

    same = {"model": "flooded", "kind": "webhook", "sender": "warehouse", "summary": "", "digest": "", "state": "WAITING"}
    with engine.begin() as connection:
        connection.execute(insert(Event), [same | {"id": f"{number:x}", "at": datetime.now(UTC)} for number in range(FLOODED)])


def main(home: Path, port: int, url: str) -> None:
    prepare(home, port, url)
    import uvicorn
    from airflow import settings
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models import import_all_models
    from airflow.models.base import Base as AirflowBase

    from gpu_pool.db.models import Base as PoolBase
    from lifecycle.db.models import Base

    import_all_models()
    for base in (AirflowBase, PoolBase, Base):
        base.metadata.create_all(settings.engine)
    flood(settings.engine)
    app = create_app(apps="core")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    threading.Thread(target=lambda: (sys.stdin.read(), setattr(server, "should_exit", True)), daemon=True).start()
    manager = get_auth_manager()
    tokens = {user: manager.generate_jwt(SimpleAuthManagerUser(username=user, role=role)) for user, role in USERS.items()}
    (home / "tokens.json").write_text(json.dumps(tokens))
    server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
