"""The pod of a step, as plain data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.kubernetes.labels import QUEUE
from include.pool.grants import KubernetesPlace
from include.runtime import layers
from include.runtime.settings import REPO
from include.targets.images import contained
from include.targets.kubernetes_options import Mount, Options, Volume

CONTAINER = "step"
MANAGER = "app.kubernetes.io/managed-by"
LABELS = {MANAGER: "updraft", "app.kubernetes.io/name": "updraft", "app.kubernetes.io/component": "step"}
RUNTIME = "updraft.io/runtime"
ATTEMPT = "updraft.io/attempt"
TMP = "/tmp"
Document = dict[str, Any]


@dataclass(frozen=True)
class StepPod:
    """What differs between steps. ``folder`` is the step's, below ``steps``; ``user`` is also its group."""

    name: str
    run_key: str
    runtime: str
    folder: Path
    steps: Path
    environment: Mapping[str, str]
    user: int
    attempt: str
    """Unique: a pod whose creation was not answered is known by it."""
    place: KubernetesPlace | None = None
    shared: bool = False
    """Its processes speak to each other by shared memory."""
    needs: tuple[Path, ...] = ()
    """What it reads and keeps outside its folder, the model's own folder first: of a mounted folder of models a pod sees these alone."""

    def labels(self) -> dict[str, str]:
        return LABELS | {RUNTIME: layers.split(self.runtime)[0]}


def secret(pod: StepPod, values: Mapping[str, str]) -> Document:
    """What the step is told and others must not read: who may look at pods sees their environment."""
    metadata = {"name": pod.name, "labels": pod.labels()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "immutable": True, "type": "Opaque", "stringData": dict(values)}


def render(pod: StepPod, options: Options) -> Document:
    """``options`` are those of its runtime. Its secret has its name."""
    place = pod.place
    labels = pod.labels() | ({QUEUE: options.queue} if options.queue else {}) | (place.labels if place else {})
    annotations = {"updraft.io/run": pod.run_key, ATTEMPT: pod.attempt} | (place.annotations if place else {})
    tolerations = [*options.tolerations, *(place.tolerations if place else ())]
    spec: Document = {
        "restartPolicy": "Never",
        "serviceAccountName": options.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": options.grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": pod.user,
            "runAsGroup": pod.user,
            "fsGroup": pod.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(pod, options)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": options.tmp}},
            *([{"name": "shm", "emptyDir": {"medium": "Memory"}}] if pod.shared else []),
            *(_volume(name, volume) for name, volume, *_ in _mounts(pod, options)),
        ],
    }
    if selector := options.node_selector | (place.node_selector if place else {}):
        spec["nodeSelector"] = selector
    if tolerations:
        spec["tolerations"] = tolerations
    if options.spot and not place:  # a lease names its node
        spec["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_preferred(options.spot)]}}
    if place:
        spec["priorityClassName"] = place.priority_class_name
    if options.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.pull_secrets]
    metadata = {"name": pod.name, "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _container(pod: StepPod, options: Options) -> Document:
    code = options.code or str(REPO)
    environment = {
        **pod.environment,
        **(pod.place.env if pod.place else {}),
        "PYTHONPATH": code,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": TMP,
        "HOME": TMP,
    }
    devices = pod.place.limits if pod.place else {}
    return {
        "name": CONTAINER,
        "image": options.image,
        "imagePullPolicy": options.pull,
        "command": list(contained(options.python, pod.runtime, pod.folder)),
        "workingDir": code,
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        "envFrom": [{"secretRef": {"name": pod.name}}],
        "resources": {
            "requests": {"cpu": options.cpu, "memory": options.memory, **devices},
            "limits": {"memory": options.memory, **({"cpu": options.cpu_limit} if options.cpu_limit else {}), **devices},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "tmp", "mountPath": TMP},
            *([{"name": "shm", "mountPath": "/dev/shm"}] if pod.shared else []),
            *(
                {"name": name, "mountPath": path, "readOnly": read_only} | ({"subPath": volume.sub_path} if volume.sub_path else {})
                for name, volume, path, read_only in _mounts(pod, options)
            ),
        ],
    }


def _mounts(pod: StepPod, options: Options) -> list[tuple[str, Volume, str, bool]]:
    """Name, volume, path and whether it is read-only."""
    shown = [part for mount in options.mounts for part in _shown(mount, pod.needs)]
    further = [(f"mount-{number}", mount, mount.path, mount.read_only) for number, mount in enumerate(shown)]
    run = pod.folder.parent  # of the steps' volume a pod sees its run's folder alone
    within = "/".join(filter(None, (options.volume.sub_path, str(run.relative_to(pod.steps)))))
    return [("steps", options.volume.model_copy(update={"sub_path": within}), str(run), False), *further]


def _shown(mount: Mount, needs: Sequence[Path]) -> list[Mount]:
    """A mounted folder of models, as far as it is needed: other models' code and data are not to be seen. Any other mount as it is."""
    if not needs or needs[0].parent != Path(mount.path):
        return [mount]
    within = [path for path in needs if path.is_relative_to(mount.path)]
    outermost = [path for path in within if not any(path != other and path.is_relative_to(other) for other in within)]
    return [
        mount.model_copy(
            update={"path": str(path), "sub_path": "/".join(filter(None, (mount.sub_path, str(path.relative_to(mount.path)))))}
        )
        for path in dict.fromkeys(outermost)
    ]


def _volume(name: str, volume: Volume) -> Document:
    if volume.claim:
        return {"name": name, "persistentVolumeClaim": {"claimName": volume.claim}}
    return {"name": name, "hostPath": {"path": volume.host_path, "type": "Directory"}}


def _preferred(labels: Mapping[str, str]) -> Document:
    wanted = [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(labels.items())]
    return {"weight": 100, "preference": {"matchExpressions": wanted}}
