"""Target `kubernetes` for training on several nodes: a TrainJob of Kubeflow's Trainer, or a PyTorchJob of the operator before it.

The job is known by the step's name. Its controller makes a pod a node; what they say and what comes of them is in the step's folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from include.errors import ComponentError, InputError, UpdraftError
from include.kubernetes import words
from include.kubernetes.client import CONNECTION
from include.kubernetes.labels import QUEUE
from include.pool.ask import Ask
from include.pool.grants import KubernetesPlace
from include.runtime.settings import Settings
from include.runtime.waiting import until
from include.spec.parts import Limits
from include.steps import contained, gang
from include.steps.context import StepRequest
from include.targets import kubernetes_pod as pods
from include.targets import trainjob_objects as objects
from include.targets.kubernetes import (
    AWAY_LOOK_S,
    AWAY_S,
    EVENTS_S,
    LOOK_S,
    REGISTRY_S,
)
from include.targets.kubernetes_api import PATIENCE_S, Cluster, Exists, Json, _NotFound
from include.targets.kubernetes_options import Options
from include.targets.step_pods import GONE_S, KILL_S, NODES, PACE_S, STOP_S, StepPods, name_of
from include.targets.target import Step, Target

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TAKEN_UP_S = 30.0
"""A controller that is there has made pods by then."""
Resource = tuple[str, str]


class JobCluster(Cluster):
    """With jobs, and the pods of a gang."""

    def __init__(self, api: ApiClient, namespace: str, patience_s: float = PATIENCE_S) -> None:
        from kubernetes import client

        super().__init__(api, namespace, patience_s)
        self._objects = client.CustomObjectsApi(api)

    def create(self, resource: Resource, body: Json) -> Json:
        """Raises Exists, and InputError where the cluster has no such resource."""
        group, plural = resource
        try:
            return self._insist(self._objects.create_namespaced_custom_object, group, objects.VERSIONS[group], self.namespace, plural, body)
        except _NotFound:
            raise InputError(
                f"the cluster has no {plural}.{group}.",
                where=f"connection {CONNECTION}, extra: steps.trainer",
                remedy="Install Kubeflow's Trainer (its CRDs and controller), or name the one that the cluster has.",
            ) from None

    def find(self, resource: Resource, name: str) -> Json | None:
        return self._insist_or_none(self._objects.get_namespaced_custom_object, *self._at(resource, name))

    def look(self, resource: Resource, name: str) -> Json | None:
        """The same, asked once. Raises Away."""
        try:
            return self._ask(self._objects.get_namespaced_custom_object, *self._at(resource, name))
        except _NotFound:
            return None

    def delete(self, resource: Resource, name: str) -> None:
        """With all that was made of it. Absent is fine."""
        self._insist_or_none(self._objects.delete_namespaced_custom_object, *self._at(resource, name), propagation_policy="Background")

    def look_at_pods(self, name: str) -> list[Json]:
        """The gang's, asked once. Raises Away."""
        return _sorted(self._ask(self._core.list_namespaced_pod, self.namespace, label_selector=f"{objects.GANG}={name}"))

    def find_pods(self, name: str) -> list[Json]:
        """The same, tried again while the API server is away."""
        return _sorted(self._insist(self._core.list_namespaced_pod, self.namespace, label_selector=f"{objects.GANG}={name}"))

    def _at(self, resource: Resource, name: str) -> tuple[str, str, str, str, str]:
        group, plural = resource
        return group, objects.VERSIONS[group], self.namespace, plural, name


@dataclass
class _Seen:
    """What is known of a job and its pods: as they were last there. Times are monotonic."""

    job: Json | None = None
    there: bool = False
    pods: list[Json] = field(default_factory=list)
    gone: list[Json] = field(default_factory=list)
    """Pods as they were last there."""
    events: dict[str, list[Json]] = field(default_factory=dict)
    events_at: float = float("-inf")
    began: float = field(default_factory=time.monotonic)
    looked_at: float = float("-inf")
    stuck_since: float | None = None
    away_since: float | None = None
    away: str = ""

    @property
    def runs(self) -> bool:
        return self.there and self.job is not None and not objects.condition(self.job)

    def hopeless(self) -> UpdraftError | None:
        """What one of the pods waits for in vain."""
        stuck = [pod for pod in self.pods if words.never_began(pod)] if self.runs else []
        if not stuck:
            self.stuck_since = None
            return None
        self.stuck_since = self.stuck_since or time.monotonic()
        patient = time.monotonic() - self.stuck_since < REGISTRY_S
        found = (words.hopeless(pod, self.events_of(pod), patient=patient) for pod in stuck)
        return next((error for error in found if error), None)

    def events_of(self, pod: Json) -> list[Json]:
        return self.events.get(pod["metadata"]["name"], [])


class GangTarget(Target):
    """Runs a step's workers on several nodes of a cluster, one pod a node."""

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
        if options.trainer is None:
            raise InputError(
                "names nothing that starts training on several nodes.",
                where=f"connection {CONNECTION}, extra: steps.trainer",
                remedy="Set it to `trainjob` (Kubeflow's Trainer) or `pytorchjob` (the operator before it), or train on one node.",
            )
        self._jobs = JobCluster(api, namespace, patience_s)
        self._kind = options.trainer
        self._resource = objects.JOBS[options.trainer]
        self._gangs: dict[str, _Seen] = {}
        self._offsets: dict[str, dict[Path, int]] = {}

    def narrow(self, ask: Ask) -> Ask:
        return self._pods.narrow(ask)

    def identity(self, runtime: str) -> str:
        options = self._pods.options(runtime)
        return f"{options.image} {options.python}"

    def start(self, step: Step, request: StepRequest, runtime: str, environment: Mapping[str, str]) -> None:
        for rank in range(request.nodes):
            gang.node_folder(step.folder, rank)
        pod, options = self._pods.prepare(step, request, runtime, environment, self.environment(step))
        job: Json = {}
        try:
            for resource, body in objects.render(pod, options, request.nodes, self._kind):
                job = self._make(resource, body)
        except UpdraftError:
            self._end(pod.name, STOP_S)  # the secret, too
            raise
        self._gangs[step.name] = _Seen(job, True)

    def alive(self, step: Step) -> bool:
        seen = self._view(step)
        if seen.runs:
            return seen.hopeless() is None
        for folder in _node_folders(step):
            with suppress(OSError):
                os.listdir(folder)  # makes a network volume's client see what the pods have written last
        return False

    def says(self, step: Step) -> str:
        seen = self._gangs.get(step.name, _Seen())
        if seen.away_since is not None:
            return f"{seen.away} What was last seen of the step counts."
        if not seen.runs or seen.job is None:
            return ""
        if objects.suspended(seen.job):
            return f"Waits to be admitted to {seen.job['metadata']['labels'].get(QUEUE, 'its queue')}."
        if not seen.pods and time.monotonic() - seen.began > TAKEN_UP_S:
            return f"Nobody has made a pod of the {objects.NAMES[self._kind]}: does its controller run?"
        found = ((pod, words.waiting(pod, seen.events_of(pod))) for pod in seen.pods)
        return next((f"{pod['metadata']['name']}: {said}" for pod, said in found if said), "")

    def log(self, step: Step, offset: int, *, ended: bool = False) -> tuple[str, int]:
        """Of all nodes, as it comes; ``offset`` counts the bytes of all of them, and 0 begins anew."""
        at = self._offsets.setdefault(step.name, {})
        if offset == 0:
            at.clear()
        for folder in _node_folders(step):
            text, at[folder] = super().log(Step(step.name, folder), at.get(folder, 0), ended=ended)
            if text:
                return text, sum(at.values())
        return "", offset

    def ask_to_stop(self, step: Step) -> None:
        for folder in _node_folders(step):
            contained.ask_to_stop(folder)

    def stop(self, step: Step) -> None:
        self._end(name_of(step), STOP_S)
        self._gangs.pop(step.name, None)

    def kill(self, step: Step) -> None:
        self._end(name_of(step), KILL_S)
        self._gangs.pop(step.name, None)

    def failure(self, step: Step) -> UpdraftError:
        """In the words of a pod that ended by what somebody must mend, else of one that the cluster took away, else of the one that went
        first: the others went with it."""
        seen = self._view(step)
        if error := seen.hopeless():
            return error
        runtime = seen.job["metadata"]["labels"].get(pods.RUNTIME, "") if seen.job else ""
        options = self._pods.options(runtime)
        events = {pod["metadata"]["uid"]: self._jobs.events(pod["metadata"]["name"]) for pod in [*seen.pods, *seen.gone]}
        gone = [*seen.gone, *(pod for pod in seen.pods if "deletionTimestamp" in pod["metadata"] and not _failed(pod))]
        taken = [pod for pod in gone if any(one["reason"] in words.TAKEN_AWAY for one in events[pod["metadata"]["uid"]])]
        went = sorted((pod for pod in seen.pods if _failed(pod)), key=_ended_at)
        errors = [words.ended(pod, events[pod["metadata"]["uid"]], options, str(step.folder)) for pod in [*taken, *went, *gone]]
        if errors:
            return next((error for error in errors if isinstance(error, InputError)), errors[0])
        said = objects.condition(seen.job) if seen.job else {}
        if said and said["type"] != "Failed" and seen.pods:
            return words.ended(seen.pods[0], [], options, str(step.folder))
        told = str(said.get("message") or said.get("reason") or "deleted from outside").rstrip(".")
        return ComponentError(
            f"the {objects.NAMES[self._kind]} ended without a result: {told}.", where=f"job {name_of(step)}", remedy="It is tried again."
        )

    def _view(self, step: Step) -> _Seen:
        """The job and its pods as they are, or as they were last seen while the API server is away. Raises its error when that takes too
        long."""
        name = name_of(step)
        seen = self._gangs.get(step.name)
        if seen is None:
            job = self._jobs.find(self._resource, name)
            seen = self._gangs[step.name] = _Seen(job, job is not None)
        if time.monotonic() - seen.looked_at > (LOOK_S if seen.away_since is None else AWAY_LOOK_S):
            try:
                job = self._jobs.look(self._resource, name)
                seen.job, seen.there = job or seen.job, job is not None
                self._note(seen, self._jobs.look_at_pods(name))
                seen.away_since = None
            except UpdraftError as error:
                if isinstance(error, InputError):
                    raise
                seen.away, seen.away_since = str(error), seen.away_since or time.monotonic()
                if time.monotonic() - seen.away_since > AWAY_S:
                    raise
            seen.looked_at = time.monotonic()
        if seen.runs and any(map(words.pending, seen.pods)) and time.monotonic() - seen.events_at > EVENTS_S:
            waiting = [pod["metadata"]["name"] for pod in seen.pods if words.pending(pod)]
            seen.events, seen.events_at = {pod: self._jobs.events(pod) for pod in waiting}, time.monotonic()
        return seen

    @staticmethod
    def _note(seen: _Seen, found: list[Json]) -> None:
        there = {pod["metadata"]["uid"] for pod in found}
        seen.gone += [pod for pod in seen.pods if pod["metadata"]["uid"] not in there]
        seen.pods = found

    def _make(self, resource: Resource, body: Json) -> Json:
        try:
            return self._jobs.create(resource, body)
        except Exists:
            name = body["metadata"]["name"]
            found = self._jobs.find(resource, name)
            mine = body["metadata"].get("annotations", {}).get(pods.ATTEMPT)
            if found and mine and found["metadata"].get("annotations", {}).get(pods.ATTEMPT) == mine:
                return found  # the call that made it was not answered
            self._delete(resource, name)
            return self._jobs.create(resource, body)

    def _delete(self, resource: Resource, name: str) -> None:
        self._jobs.delete(resource, name)
        if not until(lambda: not self._jobs.find(resource, name), GONE_S, PACE_S):
            raise ComponentError("is not deleted: something holds it.", where=f"{resource[1]} {name}", remedy="Look at its finalizers.")

    def _end(self, name: str, grace_s: int) -> None:
        """End the job and see its pods gone. ComponentError when a node does not say so: one may still run there."""
        self._delete(self._resource, name)
        deadline = time.monotonic() + grace_s + GONE_S
        told: set[str] = set()
        while left := self._jobs.find_pods(name):
            for pod in left:
                over = words.over(pod) or words.never_began(pod)
                if over or pod["metadata"]["uid"] not in told:
                    self._jobs.delete_pod(pod["metadata"]["name"], 0 if over else grace_s)
                    told.add(pod["metadata"]["uid"])
            if time.monotonic() > deadline:
                raise ComponentError(
                    f"node {left[0]['spec'].get('nodeName')} does not say that the pod has ended: it may still run there.",
                    where=f"pod {left[0]['metadata']['name']}",
                    remedy="Bring the node back, or take it out of the cluster (kubectl delete node) once it is surely off.",
                )
            time.sleep(PACE_S)
        if self._kind == "trainjob":
            self._jobs.delete(objects.RUNTIMES, name)
        self._pods.remove(name, grace_s)  # a pod of that name, of the time when the step needed one node, and the secret


def _sorted(answer: Json) -> list[Json]:
    return sorted(answer["items"], key=lambda pod: str(pod["metadata"]["name"]))


def _node_folders(step: Step) -> list[Path]:
    further = sorted((step.folder / gang.NODES).glob("*"), key=lambda path: int(path.name))
    return [step.folder, *further]


def _failed(pod: Json) -> bool:
    return cast(str, pod["status"].get("phase")) == "Failed"


def _ended_at(pod: Json) -> str:
    states: list[dict[str, Any]] = [one.get("state", {}) for one in pod["status"].get("containerStatuses") or ()]
    return min((str(state["terminated"].get("finishedAt")) for state in states if "terminated" in state), default="")
