"""A training on several nodes as Kubeflow's objects, as plain data: a TrainJob with its own runtime, or a PyTorchJob. Pure.

The pods are those of any step (:mod:`include.targets.kubernetes_pod`), one a node; each runs torchrun for its workers. The controller says
which is the first, and where.
"""

from __future__ import annotations

from typing import Any, Literal

from include.kubernetes.labels import QUEUE
from include.targets import kubernetes_pod as pods
from include.targets.kubernetes_options import Options

Kind = Literal["trainjob", "pytorchjob"]
Document = dict[str, Any]
TRAINER, OPERATOR = "trainer.kubeflow.org", "kubeflow.org"
VERSIONS = {TRAINER: "v1alpha1", OPERATOR: "v1"}
TRAINJOBS, RUNTIMES, PYTORCHJOBS = (TRAINER, "trainjobs"), (TRAINER, "trainingruntimes"), (OPERATOR, "pytorchjobs")
"""Group and resource."""
JOBS = {"trainjob": TRAINJOBS, "pytorchjob": PYTORCHJOBS}
NAMES = {"trainjob": "TrainJob (trainer.kubeflow.org)", "pytorchjob": "PyTorchJob (kubeflow.org)"}
CONTAINERS = {"trainjob": "node", "pytorchjob": "pytorch"}
"""By this name the controllers know the container that trains."""
GANG = "updraft.io/gang"
ENDED = ("Complete", "Succeeded", "Failed")
"""Conditions of a job that is over."""


def render(pod: pods.StepPod, options: Options, nodes: int, kind: Kind) -> list[tuple[tuple[str, str], Document]]:
    """What is to be created, in that order, each with its group and resource; the job is the last."""
    template = _template(pod, options, kind)
    metadata = {
        "name": pod.name,
        "labels": pod.labels() | {GANG: pod.name} | ({QUEUE: options.queue} if options.queue else {}),
        "annotations": {"updraft.io/run": pod.run_key, pods.ATTEMPT: pod.attempt},
    }
    if kind == "trainjob":
        own = {"name": pod.name, "labels": pod.labels() | {GANG: pod.name}}
        return [(RUNTIMES, _runtime(own, template, nodes)), (TRAINJOBS, _train_job(metadata, nodes))]
    return [(PYTORCHJOBS, _pytorch_job(metadata, template, nodes))]


def condition(job: Document) -> Document:
    """The one by which it is over; empty while it is not."""
    said = (job.get("status") or {}).get("conditions") or ()
    return next((dict(one) for one in said if one["type"] in ENDED and one["status"] == "True"), {})


def suspended(job: Document) -> bool:
    """Whether it waits to be admitted."""
    said = {one["type"]: one["status"] for one in (job.get("status") or {}).get("conditions") or ()}
    return said.get("Suspended") == "True"


def _runtime(metadata: Document, template: Document, nodes: int) -> Document:
    """Of this job alone: so the pods are ours in all they have, whatever patches this version of the Trainer understands."""
    job = {
        "name": CONTAINERS["trainjob"],
        "template": {
            "metadata": {"labels": {f"{TRAINER}/trainjob-ancestor-step": "trainer"}},
            "spec": {"backoffLimit": 0, "template": template},
        },
    }
    spec = {"mlPolicy": {"numNodes": nodes, "torch": {}}, "template": {"spec": {"replicatedJobs": [job]}}}
    return {"apiVersion": f"{TRAINER}/{VERSIONS[TRAINER]}", "kind": "TrainingRuntime", "metadata": metadata, "spec": spec}


def _train_job(metadata: Document, nodes: int) -> Document:
    reference = {"apiGroup": TRAINER, "kind": "TrainingRuntime", "name": metadata["name"]}
    spec = {"runtimeRef": reference, "trainer": {"numNodes": nodes}}
    return {"apiVersion": f"{TRAINER}/{VERSIONS[TRAINER]}", "kind": "TrainJob", "metadata": metadata, "spec": spec}


def _pytorch_job(metadata: Document, template: Document, nodes: int) -> Document:
    replicas = {"Master": 1} | ({"Worker": nodes - 1} if nodes > 1 else {})
    spec = {
        # Its pods stay to be asked why they failed, and go with the job.
        "runPolicy": {"backoffLimit": 0, "cleanPodPolicy": "None", "schedulingPolicy": {"minAvailable": nodes}},
        "pytorchReplicaSpecs": {
            name: {"replicas": count, "restartPolicy": "Never", "template": template} for name, count in replicas.items()
        },
    }
    return {"apiVersion": f"{OPERATOR}/{VERSIONS[OPERATOR]}", "kind": "PyTorchJob", "metadata": metadata, "spec": spec}


def _template(pod: pods.StepPod, options: Options, kind: Kind) -> Document:
    """The step's pod without a name of its own; under a lease one on each of its nodes."""
    made = pods.render(pod, options)
    made["spec"]["containers"][0]["name"] = CONTAINERS[kind]
    labels = {name: value for name, value in made["metadata"]["labels"].items() if name != QUEUE}  # the job waits, not its pods
    if pod.place and pod.place.nodes:
        named = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(pod.place.nodes)}
        apart = {"labelSelector": {"matchLabels": {GANG: pod.name}}, "topologyKey": "kubernetes.io/hostname"}
        made["spec"]["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [named]}]}},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]},
        }
    metadata = {"labels": labels | {GANG: pod.name}, "annotations": made["metadata"]["annotations"]}
    return {"metadata": metadata, "spec": made["spec"]}
