"""What Airflow asks of a provider: that there is `@task.gpu`, and where. `make install` copies this file into the environment, as a
distribution of its own (include/runtime/install.py): Airflow finds providers by their distributions' entry points, and in no other way.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    return {
        "package-name": "updraft-gpu-pool",
        "name": "Updraft GPU pool",
        "description": "GPUs of the pool for a task: @task.gpu.",
        "task-decorators": [{"name": "gpu", "class-name": "gpu_pool.decorators.gpu_task"}],
    }
