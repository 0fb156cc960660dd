"""One revision's server as a pod: what its backend launches, with the cluster's devices, volumes and probes around it. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from include.backends.backend import Backend, Laid, Launch, Place
from include.backends.registry import backend
from include.errors import InputError
from include.kubernetes.apply import Document
from include.kubernetes.labels import labels_of
from include.kubernetes.values import quantity
from include.pool.grants import GPU, PRIORITY_CLASS, TOLERATED, KubernetesPlace
from include.serving.kubernetes.options import HOME, ClusterOptions
from include.spec.serve import Serve
from include.targets import images

HTTP = 8000
"""The first port that a server listens on; each further one is the next."""
MODELS, CONFIG, TMP = "/models", "/etc/updraft", "/tmp"
OF_THE_IMAGE = ("PATH", "LD_LIBRARY_PATH")
START_S, READY_S, LIVE_S = 1, 2, 5
"""A server is probed this often: while it loads its model, for traffic, and whether it must be started anew."""
LEAVE_S = 5
"""A pod that is told to end goes on for so long: until every gateway knows that it is leaving."""
MOST_NAME = 52
"""Of a revision: what is made of it (a pod's name) is eleven characters longer, and has 63 at most."""


@dataclass(frozen=True)
class Workload:
    """Version ``version`` of a model, to be served on a cluster. ``laid``: what was laid out; None: as far as the spec says it."""

    model: str
    serve: Serve
    version: int
    options: ClusterOptions
    lease: KubernetesPlace | None = None
    """What its GPU lease means there; without one, devices are those that the spec asks for."""
    laid: Laid | None = None

    def __post_init__(self) -> None:
        if self.version < 1:
            raise InputError(f"{self.version} is no model version.", where="--version", remedy="Use the registry's number, from 1.")
        if self.laid is None:
            self.backend.planned(self.serve)  # refuses what can't be rendered

    @property
    def backend(self) -> Backend:
        return backend(self.serve.backend)

    @property
    def name(self) -> str:
        return name_of(self.model, self.version)

    @property
    def labels(self) -> dict[str, str]:
        """By these a revision's objects are found, and pruned."""
        return labels_of(self.model) | {"updraft.io/revision": str(self.version)}

    @property
    def least(self) -> int:
        """So many servers at least: as the spec says where it allows several, else as the connection says. A GPU lease is for one."""
        return 1 if self.lease else self.serve.replicas.min if self.serve.replicas.max > 1 else self.options.min_replicas

    @property
    def most(self) -> int:
        """And so many at most."""
        return 1 if self.lease else self.serve.replicas.max if self.serve.replicas.max > 1 else self.options.max_replicas

    @property
    def scales(self) -> bool:
        """Whether an autoscaler has their number: the queue of some servers is not told, and theirs is the least."""
        return self.most > 1 and bool(self.queue_metric)

    @property
    def image(self) -> str:
        if own := self.backend.image(self.serve):
            return own
        runtime = self.backend.runtime(self.serve)
        return self.options.image.replace("{runtime}", runtime).replace("{lock}", images.tag(runtime))

    @property
    def queue_metric(self) -> str:
        """The server's own figure of requests that wait; "" where there is none."""
        return self.launch.metrics.waiting if self.launch.metrics else ""

    @cached_property
    def launch(self) -> Launch:
        """How the server is started in its pod."""
        laid = self.backend.planned(self.serve) if self.laid is None else self.laid
        return self.backend.launch(laid, place_of(self.model, self.version, self.serve, self.options))

    def config(self) -> Document | None:
        """The launch's files, as a ConfigMap; None where there are none."""
        if not self.launch.files:
            return None
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata(), "data": dict(self.launch.files)}

    def metadata(self, name: str = "") -> Document:
        return {"name": name or self.name, "namespace": self.options.namespace, "labels": self.labels}

    def pod(self, container: str = "server") -> Document:
        """Its PodSpec."""
        resources = self.serve.resources
        labels = self.lease.node_selector if self.lease else resources.labels if resources else {}
        selector = {**self.options.node_selector, **labels}
        spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        found: Document = {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": LEAVE_S + math.ceil(self.serve.drain_s) + 30,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": self.options.user,
                "runAsGroup": self.options.user,
                "fsGroup": self.options.user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [spread | {"labelSelector": {"matchLabels": self.labels}}],
            "containers": [self.container(container)],
            "volumes": [
                self._models(),
                {"name": "tmp", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                *([{"name": "config", "configMap": {"name": self.name}}] if self.config() else ()),
            ],
        }
        if self.options.pull_secrets:
            found["imagePullSecrets"] = [{"name": name} for name in self.options.pull_secrets]
        if selector:
            found["nodeSelector"] = selector
        if self.lease:
            found["priorityClassName"] = self.lease.priority_class_name
            found["tolerations"] = list(self.lease.tolerations)
        elif resources:
            found["priorityClassName"] = f"{PRIORITY_CLASS}-{resources.priority}"
            found["tolerations"] = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in TOLERATED]
        return found

    def _models(self) -> Document:
        if self.options.host_path:
            return {"name": "models", "hostPath": {"path": self.options.host_path, "type": "Directory"}}
        return {"name": "models", "persistentVolumeClaim": {"claimName": self.options.claim, "readOnly": True}}

    def container(self, name: str) -> Document:
        devices, limits = self.devices(), self.serve.limits
        memory = quantity(limits.memory) if limits and limits.memory else self.options.memory
        processors = {"cpu": f"{limits.cpus:g}"} if limits and limits.cpus else {}
        probes = self.launch.probes
        return {
            "name": name,
            "image": self.image,
            "imagePullPolicy": self.options.pull,
            **self._started(),
            "env": [{"name": key, "value": value} for key, value in self._environment().items()],
            "ports": [{"name": kind, "containerPort": port, "protocol": "TCP"} for kind, port in self.ports().items()],
            "resources": {
                "requests": {"cpu": self.options.cpu, "memory": memory, **processors, **devices},
                "limits": {"memory": memory, **processors, **devices},
            },
            "startupProbe": _probe(probes.ready, START_S, failures=math.ceil(self.serve.start_timeout_s / START_S)),
            "readinessProbe": _probe(probes.ready, READY_S, failures=2),
            "livenessProbe": _probe(probes.live, LIVE_S, failures=6),
            "lifecycle": {"preStop": {"exec": {"command": self._leave()}}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "models", "mountPath": MODELS, "subPath": f"{self.model}/{self.version}/repository", "readOnly": True},
                {"name": "tmp", "mountPath": TMP},
                {"name": "shm", "mountPath": "/dev/shm"},
                *([{"name": "config", "mountPath": CONFIG, "readOnly": True}] if self.config() else ()),
            ],
        }

    def ports(self) -> dict[str, int]:
        return ports_of(self.backend, self.serve)

    def devices(self) -> dict[str, str]:
        """Limits of extended resources. A share of a GPU is one replica of it, as the device plugin offers them."""
        resources = self.serve.resources
        if self.lease:
            return self.lease.limits
        if resources is None:
            return {}
        kind = f"nvidia.com/mig-{re.sub('[+]', '.', resources.mig)}" if resources.mig else GPU
        return {kind: str(resources.gpus or 1)}

    def _started(self) -> Document:
        """An image that is not Updraft's own keeps what it starts, and gets arguments."""
        if not self.launch.command:
            return {}
        return {"args" if self.backend.image(self.serve) else "command": list(self.launch.command)}

    def _environment(self) -> dict[str, str]:
        found = {"HOME": TMP, "TMPDIR": TMP, "PYTHONDONTWRITEBYTECODE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        found |= {key: value for key, value in self.launch.environment.items() if key not in OF_THE_IMAGE}
        return found | (self.lease.env if self.lease else {})

    def _leave(self) -> list[str]:
        """What is done before the server is told to end, as commands: clusters before 1.30 know no sleep, nor a signal but the image's."""
        if self.launch.stop.signal == "TERM":
            return ["sleep", str(LEAVE_S)]
        wait = "while kill -0 1 2>/dev/null; do sleep 1; done"
        return ["sh", "-c", f"sleep {LEAVE_S}; kill -{self.launch.stop.signal} 1; {wait}"]


def place_of(model: str, version: int, serve: Serve, options: ClusterOptions) -> Place:
    """What surrounds a server in its pod."""
    found = backend(serve.backend)
    return Place(
        model=model,
        version=str(version),
        name=name_of(model, version),
        folder=Path(MODELS),
        host="0.0.0.0",
        ports=tuple(ports_of(found, serve).values()),
        python=images.python(found.runtime(serve)),
        code=Path(HOME),
        config=Path(CONFIG),
        scratch=Path(TMP),
        inside=True,
        root=Path(options.roots[found.name]) if found.name in options.roots else None,
        drain_s=serve.drain_s,
        scraped=True,
    )


def _probe(path: str, period_s: int, failures: int) -> Document:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": period_s, "timeoutSeconds": 3, "failureThreshold": failures}


def name_of(model: str, version: int) -> str:
    """A revision's name in the cluster. Two models' names never meet: a model's own has no dashes."""
    found = f"revision-{model.replace('_', '-')}-{version}"
    if len(found) > MOST_NAME:
        raise InputError(
            f"{found} is longer than {MOST_NAME} characters.", where="model.yaml: name", remedy="Give the model a shorter name."
        )
    return found


def ports_of(found: Backend, serve: Serve) -> dict[str, int]:
    """What a server listens on in its pod, by the port's name."""
    first = found.fixed_port(serve) or HTTP
    return {name: first + index for index, name in enumerate(found.listens(serve))}
