"""One revision's server as a pod: command, configuration, probes, devices. Pure: spec in, plain data out."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from include.errors import InputError
from include.pool.targets import GPU, PRIORITY_CLASS, TOLERATED
from include.serving.chat_bundle import FOLDER, GGUF
from include.serving.kubernetes.options import HOME, RUNTIMES, ClusterOptions
from include.serving.vllm import DRAIN_S
from include.spec.llm import AnySpec, LlmServe
from include.spec.schema import Serve

Document = dict[str, Any]
HTTP, GRPC, METRICS = 8000, 8001, 8002
MODELS, CONFIG, TMP = "/models", "/etc/updraft", "/tmp"
USER = 1000
PROBE_S = 5
LEAVE_S = 5
"""A pod that is told to end goes on for so long: until every gateway knows that it is leaving."""
MOST_NAME = 52
"""Of a revision: what is made of it (a pod's name) is eleven characters longer, and has 63 at most."""


@dataclass(frozen=True)
class Server:
    """Version ``version`` of a model, to be served on a cluster."""

    spec: AnySpec
    version: int
    options: ClusterOptions

    def __post_init__(self) -> None:
        if self.version < 1:
            raise InputError(f"{self.version} is no model version.", where="--version", remedy="Use the registry's number, from 1.")
        if isinstance(self.serve, LlmServe) and self.serve.adapters:
            remedy = "Set it to false: the adapter is merged into a model of its own."
            raise InputError("adapters on a shared server are not rendered.", where="model.yaml: serve.adapters", remedy=remedy)

    @property
    def serve(self) -> Serve | LlmServe:
        return self.spec.serve

    @property
    def name(self) -> str:
        return name_of(self.spec.name, self.version)

    @property
    def labels(self) -> dict[str, str]:
        """By these a revision's objects are found, and pruned."""
        return labels_of(self.spec.name) | {"updraft.io/revision": str(self.version)}

    @property
    def image(self) -> str:
        return self.options.image.replace("{runtime}", RUNTIMES[self.serve.backend])

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
        told: Document = {"model": f"{MODELS}/{model}", "alias": self.spec.name, "host": "0.0.0.0", "port": HTTP}
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
        selector = {**self.options.node_selector, **(resources.labels if resources else {})}
        spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        found: Document = {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": LEAVE_S + math.ceil(self.serve.drain_s) + 30,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [spread | {"labelSelector": {"matchLabels": self.labels}}],
            "containers": [self.container(container)],
            "volumes": [
                {"name": "models", "persistentVolumeClaim": {"claimName": self.options.claim, "readOnly": True}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                *([{"name": "config", "configMap": {"name": self.name}}] if self.config() else ()),
            ],
        }
        if selector:
            found["nodeSelector"] = selector
        if resources:
            found["priorityClassName"] = f"{PRIORITY_CLASS}-{resources.priority}"
            found["tolerations"] = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in TOLERATED]
        return found

    def container(self, name: str) -> Document:
        devices = self.devices()
        return {
            "name": name,
            "image": self.image,
            "command": self._command(),
            "env": [{"name": key, "value": value} for key, value in self._environment().items()],
            "ports": [{"name": kind, "containerPort": port, "protocol": "TCP"} for kind, port in self.ports().items()],
            "resources": {
                "requests": {"cpu": self.options.cpu, "memory": self.options.memory, **devices},
                "limits": {"memory": self.options.memory, **devices},
            },
            "startupProbe": self._probe(failures=math.ceil(self.serve.start_timeout_s / PROBE_S)),
            "readinessProbe": self._probe(failures=2),
            "livenessProbe": self._probe(failures=6, live=True),
            "lifecycle": {"preStop": {"sleep": {"seconds": LEAVE_S}}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "models", "mountPath": MODELS, "subPath": f"{self.spec.name}/{self.version}/repository", "readOnly": True},
                {"name": "tmp", "mountPath": TMP},
                {"name": "shm", "mountPath": "/dev/shm"},
                *([{"name": "config", "mountPath": CONFIG, "readOnly": True}] if self.config() else ()),
            ],
        }

    def ports(self) -> dict[str, int]:
        return {"http": HTTP, "grpc": GRPC, "metrics": METRICS} if self.serve.backend == "triton" else {"http": HTTP}

    def devices(self) -> dict[str, str]:
        """Limits of extended resources. A share of a GPU is one replica of it, as the device plugin offers them."""
        resources = self.serve.resources
        if resources is None:
            return {}
        kind = f"nvidia.com/mig-{re.sub('[+]', '.', resources.mig)}" if resources.mig else GPU
        return {kind: str(resources.gpus or 1)}

    def _command(self) -> list[str]:
        if self.serve.backend == "triton":
            return [
                f"{self.options.triton}/bin/tritonserver",
                f"--model-repository={MODELS}",
                f"--backend-directory={self.options.triton}/backends",
                "--model-control-mode=explicit",
                f"--load-model={self.spec.name}",
                "--disable-auto-complete-config",
                f"--exit-timeout-secs={math.ceil(self.serve.drain_s)}",
                "--metrics-config=summary_latencies=true",
            ]
        return ["python", "-P", f"{HOME}/include/serving/{self.serve.backend}_server.py", f"{CONFIG}/server.json"]

    def _environment(self) -> dict[str, str]:
        found = {"HOME": TMP, "TMPDIR": TMP, "PYTHONDONTWRITEBYTECODE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        return found | ({"VLLM_CACHE_ROOT": f"{TMP}/vllm"} if self.serve.backend == "vllm" else {})

    def _probe(self, failures: int, *, live: bool = False) -> Document:
        """Readiness is of this very version where the server knows versions."""
        ready = f"/v2/models/{self.spec.name}/versions/{self.version}/ready"
        path = ("/v2/health/live" if live else ready) if self.serve.backend == "triton" else "/health"
        return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": PROBE_S, "timeoutSeconds": 3, "failureThreshold": failures}


def name_of(model: str, version: int) -> str:
    """A revision's name in the cluster. Two models' names never meet: a model's own has no dashes."""
    found = f"revision-{model.replace('_', '-')}-{version}"
    if len(found) > MOST_NAME:
        raise InputError(
            f"{found} is longer than {MOST_NAME} characters.", where="model.yaml: name", remedy="Give the model a shorter name."
        )
    return found


def labels_of(model: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "updraft", "app.kubernetes.io/component": "revision", "app.kubernetes.io/managed-by": "updraft"} | {
        "updraft.io/model": model
    }
