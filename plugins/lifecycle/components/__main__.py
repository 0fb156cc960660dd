"""``python -m lifecycle.components COMPONENT ARGUMENTS...`` is ``airflow COMPONENT ARGUMENTS...`` for those that run DAG files and
triggers.

Every task and every parsing of a DAG file is a process that its component forks. What they all import is imported here once, before the
fork: half a second of a processor less for each of them. Like all code of plugins, it is that of when the component was started.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence

OF_TASKS = ("airflow.sdk.execution_time.supervisor", "airflow.sdk.execution_time.task_runner", "lifecycle.specs")
"""What is imported in every task's process."""
OF_TRIALS = ("include.canary.trial", "numpy", "aiohttp.web", "airflow.api_fastapi.execution_api.app")
"""What a trial imports at its first look."""


def modules(component: str) -> list[str]:
    """Return the modules that a component's processes import: Airflow's, and those of all triggers or of all operators."""
    from lifecycle import operators, triggers

    rooms, more = ([triggers], OF_TRIALS) if component == "triggerer" else ([operators, triggers], OF_TASKS)
    return [*more, *(found.name for room in rooms for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."))]


def import_ahead(names: Sequence[str]) -> None:
    """Import modules, and say of each that can't be: whoever needs it says so, too."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken operator must not keep the component from starting
            print(f"{name} could not be imported ahead: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def main() -> None:
    from airflow.__main__ import main as airflow

    component = sys.argv[1]
    if component == "scheduler":
        from lifecycle.components import awake

        awake.employ()
    if component == "triggerer":
        from lifecycle.components import prompt

        prompt.employ()
    import_ahead(modules(component))
    sys.argv[0] = "airflow"
    airflow()


if __name__ == "__main__":
    main()
