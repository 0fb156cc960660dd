"""Where a run's steps run: the target that its spec names, with the connections that Airflow keeps for it."""

from __future__ import annotations

from gpu_pool.client import Held
from include.errors import InputError
from include.targets.process import ProcessTarget
from include.targets.target import Target
from lifecycle.cluster import cluster
from lifecycle.run import Run


def target_of(run: Run, lease: Held | None = None, priority: int = 5) -> Target:
    """The target of the run's spec, for steps that hold ``lease``."""
    match run.spec.target:
        case "kubernetes":
            return cluster(run.settings, lease, priority)
        case "process":
            return ProcessTarget(run.settings)
        case other:
            raise InputError(f"{other} is not there yet.", where="model.yaml: target", remedy="Use process or kubernetes.")
