"""One revision's server as a pod: command, configuration, probes, devices. Pure: spec in, plain data out."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from include.backends.backend import AnyServe
from include.backends.vllm.backend import DRAIN_S
from include.bundles.chat import FOLDER, GGUF
from include.errors import InputError
from include.pool.targets import GPU, PRIORITY_CLASS, TOLERATED, KubernetesPlace
from include.serving.kubernetes.options import HOME, RUNTIMES, TRITON, ClusterOptions
from include.spec.llm import LlmServe
from include.targets import images
from include.targets.kubernetes_options import quantity

Document = dict[str, Any]
HTTP, GRPC, METRICS = 8000, 8001, 8002
MODELS, CONFIG, TMP = "/models", "/etc/updraft", "/tmp"
SHM = "updraft_"
"""What Triton calls its shared memory: a container has its own."""
START_S, READY_S, LIVE_S = 1, 2, 5
"""A server is probed this often: while it loads its model, for traffic, and whether it must be started anew."""
LEAVE_S = 5
"""A pod that is told to end goes on for so long: until every gateway knows that it is leaving."""
MOST_NAME = 52
"""Of a revision: what is made of it (a pod's name) is eleven characters longer, and has 63 at most."""


@dataclass(frozen=True)
class Server:
    """Version ``version`` of a model, to be served on a cluster."""

    model: str
    serve: AnyServe
    version: int
    options: ClusterOptions
    place: KubernetesPlace | None = None
    """What its GPU lease means there; without one, devices are those that the spec asks for."""

    def __post_init__(self) -> None:
        if self.version < 1:
            raise InputError(f"{self.version} is no model version.", where="--version", remedy="Use the registry's number, from 1.")
        if isinstance(self.serve, LlmServe) and self.serve.adapters:
            remedy = "Set it to false: the adapter is merged into a model of its own."
            raise InputError("adapters on a shared server are not rendered.", where="model.yaml: serve.adapters", remedy=remedy)

    @property
    def name(self) -> str:
        return name_of(self.model, self.version)

    @property
    def labels(self) -> dict[str, str]:
        """By these a revision's objects are found, and pruned."""
        return labels_of(self.model) | {"updraft.io/revision": str(self.version)}

    @property
    def scales(self) -> bool:
        """Whether there may be more than one: a GPU lease is for one."""
        return self.options.scales and self.place is None

    @property
    def image(self) -> str:
        runtime = RUNTIMES[self.serve.backend]
        return self.options.image.replace("{runtime}", runtime).replace("{lock}", images.tag(runtime))

    @property
    def queue_metric(self) -> str:
        """The server's own figure of requests that wait."""
        names = {
            "triton": "nv_inference_pending_request_count",
            "vllm": "vllm:num_requests_waiting",
            "llamacpp": "llamacpp:requests_deferred",
        }
        return names[self.serve.backend]

    def config(self) -> Document | None:
        """What vLLM and llama.cpp are told, as a ConfigMap; Triton's configuration lies beside its model."""
        if not isinstance(self.serve, LlmServe):
            return None
        model = FOLDER if self.serve.backend == "vllm" else GGUF
        told: Document = {"model": f"{MODELS}/{model}", "alias": self.model, "host": "0.0.0.0", "port": HTTP}
        told |= {"context": self.serve.context, "parallel": self.serve.parallel, "threads": self.serve.threads}
        if self.serve.backend == "vllm":
            told |= {"arguments": dict(self.serve.arguments), "drain_s": DRAIN_S}
        data = {"server.json": json.dumps(told, indent=1)}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata(), "data": data}

    def metadata(self, name: str = "") -> Document:
        return {"name": name or self.name, "namespace": self.options.namespace, "labels": self.labels}

    def pod(self, container: str = "server") -> Document:
        """Its PodSpec."""
        resources = self.serve.resources
        labels = self.place.node_selector if self.place else resources.labels if resources else {}
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
        if self.place:
            found["priorityClassName"] = self.place.priority_class_name
            found["tolerations"] = list(self.place.tolerations)
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
        return {
            "name": name,
            "image": self.image,
            "imagePullPolicy": self.options.pull,
            "command": self._command(),
            "env": [{"name": key, "value": value} for key, value in self._environment().items()],
            "ports": [{"name": kind, "containerPort": port, "protocol": "TCP"} for kind, port in self.ports().items()],
            "resources": {
                "requests": {"cpu": self.options.cpu, "memory": memory, **processors, **devices},
                "limits": {"memory": memory, **processors, **devices},
            },
            "startupProbe": self._probe(START_S, failures=math.ceil(self.serve.start_timeout_s / START_S)),
            "readinessProbe": self._probe(READY_S, failures=2),
            "livenessProbe": self._probe(LIVE_S, failures=6, live=True),
            # Not `sleep`, which clusters before 1.30 don't know.
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVE_S)]}}},
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
        return ports_of(self.serve.backend)

    def devices(self) -> dict[str, str]:
        """Limits of extended resources. A share of a GPU is one replica of it, as the device plugin offers them."""
        resources = self.serve.resources
        if self.place:
            return self.place.limits
        if resources is None:
            return {}
        kind = f"nvidia.com/mig-{re.sub('[+]', '.', resources.mig)}" if resources.mig else GPU
        return {kind: str(resources.gpus or 1)}

    def _command(self) -> list[str]:
        if self.serve.backend == "triton":
            # Our own image has the guard, which ends a server that its model's process has left.
            guard = ["python", "-P", f"{HOME}/include/backends/triton/guard.py", SHM, "--"] if self.options.triton == TRITON else []
            return [
                *guard,
                f"{self.options.triton}/bin/tritonserver",
                f"--model-repository={MODELS}",
                f"--backend-directory={self.options.triton}/backends",
                "--model-control-mode=explicit",
                f"--load-model={self.model}",
                "--disable-auto-complete-config",
                f"--exit-timeout-secs={math.ceil(self.serve.drain_s)}",
                "--metrics-config=summary_latencies=true",
                f"--backend-config=python,shm-region-prefix-name={SHM}",
            ]
        return ["python", "-P", f"{HOME}/include/serving/{self.serve.backend}_server.py", f"{CONFIG}/server.json"]

    def _environment(self) -> dict[str, str]:
        found = {"HOME": TMP, "TMPDIR": TMP, "PYTHONDONTWRITEBYTECODE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        found |= self.place.env if self.place else {}
        return found | ({"VLLM_CACHE_ROOT": f"{TMP}/vllm"} if self.serve.backend == "vllm" else {})

    def _probe(self, period_s: int, failures: int, *, live: bool = False) -> Document:
        """Readiness is of this very version where the server knows versions."""
        ready = f"/v2/models/{self.model}/versions/{self.version}/ready"
        path = ("/v2/health/live" if live else ready) if self.serve.backend == "triton" else "/health"
        return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": period_s, "timeoutSeconds": 3, "failureThreshold": failures}


def name_of(model: str, version: int) -> str:
    """A revision's name in the cluster. Two models' names never meet: a model's own has no dashes."""
    found = f"revision-{model.replace('_', '-')}-{version}"
    if len(found) > MOST_NAME:
        raise InputError(
            f"{found} is longer than {MOST_NAME} characters.", where="model.yaml: name", remedy="Give the model a shorter name."
        )
    return found


def ports_of(backend: str) -> dict[str, int]:
    """What a server listens on, by the port's name."""
    return {"http": HTTP, "grpc": GRPC, "metrics": METRICS} if backend == "triton" else {"http": HTTP}


def labels_of(model: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "updraft", "app.kubernetes.io/component": "revision", "app.kubernetes.io/managed-by": "updraft"} | {
        "updraft.io/model": model
    }
