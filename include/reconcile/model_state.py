"""The state of a whole model out of those of its revisions. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from include.reconcile.facts import ServingState

SEED = {
    "RUNNING": ServingState.RUNNING,
    "STANDBY": ServingState.RUNNING,
    "STARTING": ServingState.STARTING,
    "STOPPING": ServingState.STOPPING,
    "STOPPED": ServingState.STOPPED,
    "ERROR": ServingState.ERROR,
    "PREEMPTED": ServingState.PREEMPTED,
}
"""The seed's states by those of revisions: one that stands by runs."""
WORST = (ServingState.ERROR, ServingState.PREEMPTED, ServingState.STOPPING, ServingState.STARTING, ServingState.STOPPED)


def model_state(states: Mapping[str, ServingState], weights: Mapping[str, int]) -> ServingState:
    """Return a model's state: running when any revision with traffic is, otherwise the worst of those with traffic, or, where none has
    any, of all. ``states`` by version."""
    live = [states[version] for version, weight in weights.items() if weight and version in states] or list(states.values())
    if ServingState.RUNNING in live:
        return ServingState.RUNNING
    return next((state for state in WORST if state in live), ServingState.STOPPED)
