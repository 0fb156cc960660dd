"""Metaflow and ZenML, each in an environment of its own that is thrown away: a chain of as many steps as a lifecycle has tasks, which do
nothing.

Metaflow runs each step in a process of its own, as Airflow does; ZenML's local orchestrator runs all of them in one process.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from include.runtime.tools import find_uv

PACKAGES = {"metaflow": "metaflow==2.19.39", "zenml": "zenml[local]==0.98.0"}
RUN_S = 600
NO_REPORTS = {"ZENML_ANALYTICS_OPT_IN": "false", "ZENML_LOGGING_VERBOSITY": "ERROR", "METAFLOW_USER": "bench", "USERNAME": "bench"}


@dataclass(frozen=True)
class Chain:
    """Seconds of the second run of a chain, its processes' start among them; ``cpu_s`` of all its processes."""

    name: str
    wall_s: float
    cpu_s: float


def metaflow(steps: int) -> str:
    """Return a flow of so many steps. Pure."""
    names = ["start", *(f"step_{number}" for number in range(2, steps)), "end"]
    lines = ["from metaflow import FlowSpec, step", "class Chain(FlowSpec):"]
    for name, after in zip(names, [*names[1:], ""], strict=True):
        lines += ["    @step", f"    def {name}(self):", f"        self.next(self.{after})" if after else "        pass"]
    return "\n".join([*lines, "if __name__ == '__main__':", "    Chain()", ""])


def zenml(steps: int) -> str:
    """Return a pipeline of so many steps, each taking what the one before has returned, uncached. Pure."""
    lines = ["from zenml import pipeline, step", "@step(enable_cache=False)", "def one(value: int) -> int:", "    return value + 1"]
    lines += ["@pipeline(enable_cache=False)", "def chain():", "    value = one(0)", *["    value = one(value)"] * (steps - 1)]
    return "\n".join([*lines, "if __name__ == '__main__':", "    chain()", ""])


def measure(steps: int) -> list[Chain]:
    """Install and run both; a chain that fails raises CalledProcessError with its last words."""
    found = []
    for name, text, arguments in (("metaflow", metaflow(steps), ("--no-pylint", "run")), ("zenml", zenml(steps), ())):
        with tempfile.TemporaryDirectory(prefix="updraft-bench-") as work:
            folder = Path(work)
            uv = str(find_uv())
            subprocess.run([uv, "venv", "-q", "--python", "3.11", str(folder / "env")], check=True)
            python = str(folder / "env" / "bin" / "python")
            subprocess.run([uv, "pip", "install", "-q", "--python", python, PACKAGES[name]], check=True)
            (folder / "chain.py").write_text(text)
            found.append([run(name, [python, "chain.py", *arguments], folder) for _ in range(2)][-1])
    return found


def run(name: str, command: list[str], folder: Path) -> Chain:
    """Run a chain once."""
    environment = os.environ | NO_REPORTS | {"HOME": str(folder), "ZENML_CONFIG_PATH": str(folder / "zenml")}
    environment = {key: value for key, value in environment.items() if key not in ("PYTHONPATH", "UPDRAFT_HOME")}
    before, begun = _children_s(), time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=RUN_S)
    return Chain(name, round(time.monotonic() - begun, 1), round(_children_s() - before, 1))


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
