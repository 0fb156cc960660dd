"""Where a run's steps run: the target that its spec names, with the connections that Airflow keeps for it."""

from __future__ import annotations

from include.targets.process import ProcessTarget
from include.targets.target import Target
from lifecycle.run import Run


def target_of(run: Run) -> Target:
    """The target of the run's spec."""
    return ProcessTarget(run.settings)
