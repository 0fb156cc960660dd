"""A pod's state in a sentence: why it does not run yet, and why it ended without a result. Pure: API documents in, words out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from include.errors import ComponentError, InputError, UpdraftError
from include.kubernetes.client import CONNECTION
from include.kubernetes.labels import QUEUE

Json = dict[str, Any]
ENDED = ("Succeeded", "Failed")
WHERE = f"connection {CONNECTION}, extra: steps"
PULLING = ("ErrImagePull", "ImagePullBackOff")
NEVER_STARTS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError")
REGISTRY_AWAY = re.compile(
    r"timeout|timed out|refused|unreachable|no such host|too many requests|rate limit|qps exceeded|unavailable|bad gateway|server error|EOF"
    r"|reset",
    re.IGNORECASE,
)
WRONG_MACHINE = re.compile(r"exec format error|no match for platform", re.IGNORECASE)
FULL = re.compile(r"No space left on device|Disk quota exceeded")
MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume")
TAKEN_AWAY = ("Preempted", "Evicted", "TaintManagerEviction", "NodeShutdown", "Preempting", "EvictedByVPA")
TAIL = 600


class Limited(Protocol):
    """What a pod may take: memory, and temporary files."""

    @property
    def memory(self) -> str: ...

    @property
    def tmp(self) -> str: ...


def waiting(pod: Json, events: Sequence[Json]) -> str:
    """Why the pod does not run, in one sentence; "" when it does, or when there is nothing to say yet."""
    if pod["status"].get("phase") == "Running":
        silent = _condition(pod, "Ready").get("status") == "False" and "running" in _state(pod)
        return f"Its node {_node(pod)} does not answer; whether the step still runs there is not known." if silent else ""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        if scheduled.get("reason") == "SchedulingGated":
            return f"Waits to be admitted to {pod['metadata']['labels'].get(QUEUE, 'its queue')}."
        return f"No node has room for it: {_cut(scheduled.get('message'))}"
    problem = _state(pod).get("waiting", {})
    if problem.get("reason") in (*PULLING, *NEVER_STARTS):
        return f"Its image {_image(pod)} can't be started: {_cut(_complaint(pod, events))}"
    for event in reversed(events):
        if event["reason"] in MOUNT_EVENTS:
            return f"Its volume can't be mounted: {_cut(event.get('message'))}"
        if event["reason"] == "FailedCreatePodSandBox":
            return f"The node {_node(pod)} can't start it: {_cut(event.get('message'))}"
        if event["reason"] == "Pulling":
            return f"The node {_node(pod)} pulls the image {_image(pod)}."
    return ""


def over(pod: Json) -> bool:
    """Whether its process has ended; the pod itself may take longer to go."""
    states = [one.get("state", {}) for one in pod["status"].get("containerStatuses") or ()]
    return pod["status"].get("phase") in ENDED or (bool(states) and all("terminated" in state for state in states))


def never_began(pod: Json) -> bool:
    """Whether there is no process to end: its image can't be had, or not be started."""
    return _state(pod).get("waiting", {}).get("reason") in (*PULLING, *NEVER_STARTS)


def pending(pod: Json | None) -> bool:
    """Whether it has not begun to run."""
    return pod is not None and pod["status"].get("phase") == "Pending"


def hopeless(pod: Json, events: Sequence[Json], *, patient: bool) -> UpdraftError | None:
    """What a pod that never began waits for in vain; None while there is hope: a registry may be away for a while (``patient``)."""
    reason = _state(pod).get("waiting", {}).get("reason", "")
    complaint, image = _complaint(pod, events), _image(pod)
    if WRONG_MACHINE.search(complaint):
        return _other_machine(pod)
    if reason == "ErrImageNeverPull":
        return InputError(
            f"the image {image} is not on the node {_node(pod)}, and nobody may fetch it (`pull: Never`).",
            where=f"{WHERE}.image",
            remedy="Bring it to the nodes, or set `pull: IfNotPresent`.",
        )
    if reason in PULLING:
        if REGISTRY_AWAY.search(complaint) or complaint == reason:
            late = ComponentError(f"the image {image} can't be fetched: {_cut(complaint)}", where="registry", remedy="It is tried again.")
            return None if patient else late
        return InputError(
            f"the image {image} can't be fetched: {_cut(complaint)}",
            where=f"{WHERE}.image",
            remedy="Mend its name, push it, or name the registry's credentials in `pull_secrets`.",
        )
    if 'secret "' in complaint and "not found" in complaint:  # it is made before the pod
        return ComponentError(f"the pod's secret was deleted from outside: {_cut(complaint)}", where="Kubernetes")
    return InputError(f"the container can't be started: {_cut(complaint or reason)}", where=WHERE, remedy="See docs/scaling.md.")


def ended(pod: Json | None, events: Sequence[Json], options: Limited, folder: str) -> UpdraftError:
    """Why a step ended without a result. ``pod``: as last seen; it is gone unless it is over. None: nobody has seen it."""
    again = "It is tried again; look at the log above for its last lines."
    if pod is None or not over(pod) or "deletionTimestamp" in pod["metadata"]:
        return ComponentError(_taken_away(pod, events), where="Kubernetes", remedy=again)
    status, end = pod["status"], _state(pod).get("terminated", {})
    if end.get("reason") == "OOMKilled" or status.get("reason") == "OOMKilled":
        return InputError(
            f"used more memory than its limit of {options.memory} and was killed (OOMKilled).",
            where=f"model.yaml: limits.memory, else {WHERE}.memory",
            remedy="Raise it, or use less data or a smaller model.",
        )
    if status.get("reason") == "Evicted" and 'EmptyDir volume "tmp"' in status.get("message", ""):
        return InputError(
            f"wrote more temporary files than its limit of {options.tmp} and was ended.", where=f"{WHERE}.tmp", remedy="Raise it."
        )
    disruption = _condition(pod, "DisruptionTarget")
    if status.get("reason") or disruption:
        said = _cut(disruption.get("message") or status.get("message") or status.get("reason"))
        return ComponentError(f"the cluster ended its pod on node {_node(pod)}: {said}", where="Kubernetes", remedy=again)
    complaint = str(end.get("message", ""))
    if WRONG_MACHINE.search(complaint):
        return _other_machine(pod)
    if end.get("reason") in ("ContainerCannotRun", "StartError"):
        return InputError(f"the container can't be started: {_cut(complaint)}", where=WHERE, remedy="Mend `python` or `image`.")
    code = end.get("exitCode")
    if code == 0:
        return InputError(
            f"its process ended well, and there is no result in {folder}: its volume is not the one that the worker sees there.",
            where=f"{WHERE}.volume",
            remedy="Both must be the same folder.",
        )
    if "No such file or directory" in complaint and folder in complaint:
        return InputError(
            f"does not see its folder {folder}: {_cut(complaint)}",
            where=f"{WHERE}.volume",
            remedy="Name the volume that the worker has there.",
        )
    if FULL.search(complaint):
        return ComponentError(f"the volume of {folder} is full.", where=f"{WHERE}.volume", remedy="Make room, then clear the task.")
    last = f"; its last words: {_cut(complaint)}" if complaint.strip() else ""
    return ComponentError(f"its process ended with {code} before it had a result{last}.", where="Kubernetes", remedy=again)


def _taken_away(pod: Json | None, events: Sequence[Json]) -> str:
    """Of a pod that is gone."""
    where = f" on node {_node(pod)}" if pod else ""
    told = _condition(pod, "DisruptionTarget").get("message") if pod else ""
    mine = [event for event in events if pod is None or event["involvedObject"].get("uid") == pod["metadata"]["uid"]]
    said = told or next((str(event.get("message")) for event in reversed(mine) if event["reason"] in TAKEN_AWAY), "")
    return f"its pod{where} was taken away: {_cut(said) or 'deleted from outside (a drain, or by hand)'}."


def _other_machine(pod: Json) -> InputError:
    what = f"the image {_image(pod)} is for another kind of processor than that of node {_node(pod)}."
    return InputError(
        what, where=f"{WHERE}.image", remedy="Build it for both, or choose nodes with `node_selector: {kubernetes.io/arch: ...}`."
    )


def _complaint(pod: Json, events: Sequence[Json]) -> str:
    """What the container waits for: the kubelet's back-off says less than the event before it."""
    problem = _state(pod).get("waiting", {})
    said = [str(event.get("message", "")) for event in events if event["reason"] == "Failed" and _of(pod, event)]
    told = next((text for text in reversed(said) if "Back-off" not in text and not text.startswith("Error: ")), "")
    return told or str(problem.get("message") or problem.get("reason", ""))


def _of(pod: Json, event: Json) -> bool:
    return bool(event["involvedObject"].get("uid") == pod["metadata"]["uid"])


def _state(pod: Json) -> Json:
    """Of its container: one of waiting, running, terminated."""
    found = pod["status"].get("containerStatuses") or [{}]
    return dict(found[0].get("state", {}))


def _condition(pod: Json, kind: str) -> Json:
    return next((dict(one) for one in pod["status"].get("conditions") or () if one["type"] == kind), {})


def _node(pod: Json) -> str:
    return str(pod["spec"].get("nodeName", "?"))


def _image(pod: Json) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def _cut(text: object) -> str:
    """In one line; the end of a long one, which is where the cause stands."""
    line = " ".join(str(text or "").split()).rstrip(".")
    return line if len(line) <= TAIL else f"...{line[-TAIL:]}"
