"""The plugin's real application over HTTP, behind Airflow's real authentication.

Run as ``python -m tests.plugins.gpu_pool.api.served HOME PORT DATABASE_URL``: it makes the tables, writes a token for each of ``USERS`` to
HOME/tokens.json, and serves until its standard input is closed. It ends by SIGKILL as well as any server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

USERS = {"anna": "admin", "olaf": "op", "olga": "op", "tina": "op", "vera": "viewer"}
SETTINGS = {
    "lease_ttl_s": "30",
    "notice_s": "2",
    "teams": "tina = vision, text; * = *",
    "burst_budget_per_day": "100",
    "burst_after_s": "0",
    "burst_idle_s": "1",
}


def prepare(home: Path, url: str) -> None:
    """Airflow's environment, before it is imported for the first time."""
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone, and long enough to sign with it",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    os.environ |= {f"AIRFLOW__GPU_POOL__{name.upper()}": value for name, value in SETTINGS.items()}


def main(home: Path, port: int, url: str) -> None:
    prepare(home, url)
    import uvicorn
    from airflow import settings
    from airflow.api_fastapi.app import init_auth_manager, lifespan
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models import import_all_models
    from airflow.models.base import Base as AirflowBase
    from fastapi import FastAPI

    from gpu_pool.api.app import create_app
    from gpu_pool.db.models import Base

    import_all_models()
    AirflowBase.metadata.create_all(settings.engine)
    Base.metadata.create_all(settings.engine)
    app = FastAPI(lifespan=lifespan)
    manager = init_auth_manager(app)
    app.mount("/gpu-pool", create_app())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    threading.Thread(target=lambda: (sys.stdin.read(), setattr(server, "should_exit", True)), daemon=True).start()
    tokens = {user: manager.generate_jwt(SimpleAuthManagerUser(username=user, role=role)) for user, role in USERS.items()}
    (home / "tokens.json").write_text(json.dumps(tokens))
    server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
