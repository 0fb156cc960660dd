"""Target `kubernetes`: a step is a pod, known by the step's name, so it outlives the Airflow task that asked for it.

The pod and the worker talk through the step's folder, which lies on a volume that both have at the same path; the API server is asked
only whether the pod is there. While it gives no answer, what was last seen counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.errors import UpdraftError
from include.kubernetes import words
from include.pool.ask import Ask
from include.pool.grants import KubernetesPlace
from include.runtime.settings import Settings
from include.spec.parts import Limits
from include.steps import contained
from include.steps.context import StepRequest
from include.targets import kubernetes_pod as pods
from include.targets.kubernetes_api import PATIENCE_S
from include.targets.kubernetes_options import Options
from include.targets.step_pods import KILL_S, NODES, STOP_S, StepPods, name_of
from include.targets.target import Step, Target

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LOOK_S = 1.0
"""A pod is looked at this often at most."""
AWAY_LOOK_S = 5.0
EVENTS_S = 3.0
AWAY_S = 300.0
"""While a step is followed, the API server may be away for so long."""
REGISTRY_S = 120.0
"""A registry that gives no answer is tried for so long."""


@dataclass
class _Seen:
    """What is known of a pod: as it was last there, and whether it is still. ``since``: its image can't be had, or the API server gives no
    answer, since then (monotonic)."""

    pod: dict[str, Any] | None = None
    there: bool = False
    looked_at: float = float("-inf")
    events: list[dict[str, Any]] = field(default_factory=list)
    events_at: float = float("-inf")
    stuck_since: float | None = None
    away_since: float | None = None
    away: str = ""

    @property
    def runs(self) -> bool:
        """Whether it is starting, running or stopping."""
        return self.there and self.pod is not None and not words.over(self.pod)

    def hopeless(self) -> UpdraftError | None:
        """What it waits for in vain."""
        if not self.runs or self.pod is None or not words.never_began(self.pod):
            self.stuck_since = None
            return None
        self.stuck_since = self.stuck_since or time.monotonic()
        return words.hopeless(self.pod, self.events, patient=time.monotonic() - self.stuck_since < REGISTRY_S)


class KubernetesTarget(Target):
    """Runs steps in one namespace of a cluster; ``api`` is a client of it, ``place`` what a lease means there.

    One Updraft a namespace: names would meet otherwise.
    """

    local = False
    node_labels = NODES

    def __init__(
        self,
        settings: Settings,
        api: ApiClient,
        namespace: str,
        options: Options,
        place: KubernetesPlace | None = None,
        limits: Limits | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        super().__init__(settings)
        self._pods = StepPods(settings, api, namespace, options, place, limits, patience_s)
        self._known: dict[str, _Seen] = {}

    def narrow(self, ask: Ask) -> Ask:
        return self._pods.narrow(ask)

    def identity(self, runtime: str) -> str:
        options = self._pods.options(runtime)
        return f"{options.image} {options.python}"

    def start(self, step: Step, request: StepRequest, runtime: str, environment: Mapping[str, str]) -> None:
        pod, options = self._pods.prepare(step, request, runtime, environment, self.environment(step))
        try:
            self._known[step.name] = _Seen(self._pods.make_pod(pods.render(pod, options), pod.attempt), True)
        except UpdraftError:
            self._pods.cluster.delete_secret(pod.name)
            raise

    def alive(self, step: Step) -> bool:
        seen = self._look(step)
        if seen.runs:
            return seen.hopeless() is None
        with suppress(OSError):
            os.listdir(step.folder)  # makes a network volume's client see what the pod has written last
        return False

    def says(self, step: Step) -> str:
        seen = self._known.get(step.name, _Seen())
        if seen.away_since is not None:
            return f"{seen.away} What was last seen of the step counts."
        return words.waiting(seen.pod, seen.events) if seen.pod and seen.runs else ""

    def ask_to_stop(self, step: Step) -> None:
        contained.ask_to_stop(step.folder)

    def stop(self, step: Step) -> None:
        self._pods.remove(name_of(step), STOP_S)
        self._known.pop(step.name, None)

    def kill(self, step: Step) -> None:
        self._pods.remove(name_of(step), KILL_S)
        self._known.pop(step.name, None)

    def failure(self, step: Step) -> UpdraftError:
        seen = self._look(step)
        seen.events = self._pods.cluster.events(name_of(step))
        runtime = seen.pod["metadata"]["labels"].get(pods.RUNTIME, "") if seen.pod else ""
        return seen.hopeless() or words.ended(seen.pod, seen.events, self._pods.options(runtime), str(step.folder))

    def _look(self, step: Step) -> _Seen:
        """The pod as it is, or as it was last seen while the API server is away. Raises its error when that takes too long."""
        seen = self._known.get(step.name)
        if seen is None:
            pod = self._pods.cluster.find_pod(name_of(step))
            seen = self._known[step.name] = _Seen(pod, pod is not None, time.monotonic())
        elif time.monotonic() - seen.looked_at > (LOOK_S if seen.away_since is None else AWAY_LOOK_S):
            try:
                pod = self._pods.cluster.look_at_pod(name_of(step))
                seen.pod, seen.there, seen.away_since = pod or seen.pod, pod is not None, None
            except UpdraftError as error:
                seen.away, seen.away_since = str(error), seen.away_since or time.monotonic()
                if time.monotonic() - seen.away_since > AWAY_S:
                    raise
            seen.looked_at = time.monotonic()
        if seen.runs and words.pending(seen.pod) and time.monotonic() - seen.events_at > EVENTS_S:
            seen.events, seen.events_at = self._pods.cluster.events(name_of(step)), time.monotonic()
        return seen
