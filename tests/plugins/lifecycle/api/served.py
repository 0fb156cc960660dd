"""Airflow's real API server with both plugins, as Airflow itself loads them, on an empty database.

Run as ``python -m tests.plugins.lifecycle.api.served HOME PORT DATABASE_URL``: it makes the tables, writes a token for each of ``USERS`` to
HOME/tokens.json, and serves until its standard input is closed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from hashlib import sha256
from pathlib import Path

ALERTS_TOKEN = "alertmanager-0123456789"
USERS = {"anna": "admin", "olaf": "op", "vera": "viewer", "updraft": "op"}
"""The last one is the platform's own service."""


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
        "AIRFLOW__LIFECYCLE__ALERTS_TOKEN_SHA256": sha256(ALERTS_TOKEN.encode()).hexdigest(),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_UPDRAFT_MLFLOW": json.dumps({"conn_type": "http", "host": "http://127.0.0.1:9"}),
        "UPDRAFT_HOME": str(home / "updraft"),
        "UPDRAFT_PORT_BASE": str(port),
    }
    (home / "updraft").mkdir()
    (home / "updraft" / "credentials.json").write_text(json.dumps({"api_keys": {"updraft": "k"}, "probe_secret": "s"}))
    sys.argv = ["uvicorn"]  # by which the plugins know an API server


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
    app = create_app(apps="core")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    threading.Thread(target=lambda: (sys.stdin.read(), setattr(server, "should_exit", True)), daemon=True).start()
    manager = get_auth_manager()
    tokens = {user: manager.generate_jwt(SimpleAuthManagerUser(username=user, role=role)) for user, role in USERS.items()}
    (home / "tokens.json").write_text(json.dumps(tokens))
    server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
