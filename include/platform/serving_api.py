"""Whether this process is Airflow's API server: only there do the plugins build their applications (their imports are not free)."""

from __future__ import annotations

import sys


def serving_api() -> bool:
    """By the command line, which is all that a plugin can know while it is loaded."""
    return "api-server" in sys.argv or any("uvicorn" in argument or "gunicorn" in argument for argument in sys.argv[:1])
