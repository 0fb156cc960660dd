"""A revision's Deployment and pods in a sentence: what keeps its server from serving. Pure: API documents in, words out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from include.errors import ComponentError, InputError, UpdraftError
from include.kubernetes import words as pods
from include.serving.kubernetes.options import WHERE

Json = dict[str, Any]
Events = Mapping[str, Sequence[Json]]
"""Of pods, by their names; the latest last."""


def rolled_out(deployment: Json) -> bool:
    """Whether all of it is of its newest form, and a server of it may be asked."""
    status, generation = deployment.get("status", {}), deployment["metadata"].get("generation", 0)
    if status.get("observedGeneration", -1) < generation or not status.get("availableReplicas"):
        return False
    return _condition(deployment, "Progressing").get("reason") in ("NewReplicaSetAvailable", None)


def paused(deployment: Json) -> bool:
    return number(deployment) == 0


def number(deployment: Json) -> int:
    """How many servers it shall have."""
    return int(deployment["spec"].get("replicas", 1))


def in_vain(deployment: Json, mine: Sequence[Json], events: Events, *, patient: bool) -> UpdraftError | None:
    """What no waiting will mend; None while there is hope. ``patient``: a registry that gives no answer may come back.

    A server that has ended while it loaded its model is not told here: its log says more.
    """
    refused = _condition(deployment, "ReplicaFailure")
    if refused.get("status") == "True" and not mine:
        remedy = "Wait for others to finish, ask for less, or ask whoever runs the cluster."
        return InputError(f"the cluster makes no pod for it: {refused.get('message', ''):.600}.", where=WHERE, remedy=remedy)
    for pod in mine:
        if serves(pod):
            continue
        end = _last_end(pod)
        if end.get("reason") == "OOMKilled":
            limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
            what = f"the server used more memory than its limit of {limit} and was killed (OOMKilled)."
            remedy = "Raise it (for this model: serve.limits.memory), or serve a smaller model."
            return InputError(what, where=f"{WHERE}.memory", remedy=remedy)
        if end.get("reason") in ("ContainerCannotRun", "StartError"):
            return InputError(f"the container can't be started: {end.get('message', ''):.600}", where=WHERE, remedy="Mend `image`.")
        if pods.never_began(pod) and (found := pods.hopeless(pod, events.get(pod["metadata"]["name"], ()), patient=patient)):
            return type(found)(found.what, where=found.where.replace(pods.WHERE, WHERE), remedy=found.remedy)
    return None


def died(mine: Sequence[Json]) -> bool:
    """Whether a server has ended and does not answer again yet."""
    return any(_last_end(pod) and not serves(pod) for pod in mine)


def waiting(mine: Sequence[Json], events: Events) -> str:
    """Why there is no server yet, or how the last one ended; "" when there is nothing to say."""
    for pod in mine:
        begun = pod["status"].get("phase") == "Running"  # a server that loads its model is not ready, and is no lost one
        if not begun and (said := pods.waiting(pod, events.get(pod["metadata"]["name"], ()))):
            return said
        if (end := _last_end(pod)) and not serves(pod):
            return f"The server ended with {end.get('exitCode')} ({end.get('reason')})."
        if pod["status"].get("reason"):
            return f"Its pod was ended by the cluster: {pod['status'].get('message') or pod['status']['reason']}"
    return ""


def stuck(mine: Sequence[Json]) -> bool:
    """Whether the image of one can't be had, or not be started."""
    return any(pods.never_began(pod) for pod in mine)


def over(pod: Json) -> bool:
    """Whether it has ended for good: an evicted one stays in the list without a process."""
    return pod["status"].get("phase") in pods.ENDED


def restarts(pod: Json) -> int:
    return max((int(one.get("restartCount", 0)) for one in pod["status"].get("containerStatuses") or ()), default=0)


def left(mine: Sequence[Json], name: str) -> ComponentError:
    """Of pods that don't go."""
    nodes = ", ".join(sorted({str(pod["spec"].get("nodeName")) for pod in mine}))
    return ComponentError(
        f"node {nodes} does not say that the server has ended: it may still run there.",
        where=f"Deployment {name}",
        remedy="Bring the node back, or take it out of the cluster (kubectl delete node) once it is surely off.",
    )


def _last_end(pod: Json) -> Json:
    """How its container ended last; {} when it never has."""
    for one in pod["status"].get("containerStatuses") or ():
        found = one.get("state", {}).get("terminated") or one.get("lastState", {}).get("terminated")
        if found:
            return dict(found)
    return {}


def serves(pod: Json) -> bool:
    """Whether it gets requests."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ())


def _condition(deployment: Json, kind: str) -> Json:
    return next((dict(one) for one in deployment.get("status", {}).get("conditions") or () if one["type"] == kind), {})
