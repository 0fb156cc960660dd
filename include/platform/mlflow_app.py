"""MLflow's server, which no page of another origin may ask: ``python -m include.platform.mlflow_app server ...``, as ``mlflow server ...``.

MLflow 3 lets in every origin of this machine, with the login that a browser keeps, and has no option against it: whoever serves a page on
some port here could read and change all of MLflow as the person who opens it. Here the origins of MLFLOW_SERVER_CORS_ALLOWED_ORIGINS are
all that there are.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FACTORY = "include.platform.mlflow_app:create_app"
ORIGINS = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
SECURITY = "mlflow.server.security_utils"


def create_app() -> Any:
    """Make the application that uvicorn serves: MLflow's with basic authentication."""
    forget_localhost()
    from mlflow.server import auth

    return auth.create_app()


def forget_localhost() -> None:
    """Take this machine's origins off MLflow's list, before its server is imported: that builds its applications at once."""
    import mlflow

    place = Path(mlflow.__file__).parent / "server" / "security_utils.py"
    spec = importlib.util.spec_from_file_location(SECURITY, place)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CORS_LOCALHOST_HOSTS.clear()
    module.LOCALHOST_ORIGIN_PATTERNS.clear()
    sys.modules[SECURITY] = module


def main() -> None:
    """Run ``mlflow`` with this application in place of its own."""
    from mlflow import server
    from mlflow.cli import cli

    build: Callable[..., list[str]] = server._build_uvicorn_command

    def ours(*arguments: Any, **options: Any) -> list[str]:
        python, _, uvicorn, *command, _ = build(*arguments, **options)
        return [python, "-m", "include.runtime.reuse_port", uvicorn, *command, FACTORY]

    server._build_uvicorn_command = ours
    cli()


if __name__ == "__main__":
    main()
