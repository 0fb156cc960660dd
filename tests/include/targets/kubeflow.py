"""What Kubeflow's controllers do, as far as a step can tell: custom resources of their names on a real API server, and a job's pods.

No such controller runs here. This makes the pods of a job from its own template, with the environment that the real ones give them, and
writes the conditions that the real ones write; it makes no Service, because the cluster may have no DNS: the first pod's address stands for
its name.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

from include.targets import trainjob_objects as objects

KINDS = {"trainjobs": "TrainJob", "trainingruntimes": "TrainingRuntime", "pytorchjobs": "PyTorchJob"}
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PORT = "29400"


def install(api: Any) -> None:
    """The resources, if they are not there: open in their spec, with conditions in a status of their own."""
    from kubernetes import client

    definitions = client.ApiextensionsV1Api(api)
    for group, plural in (objects.TRAINJOBS, objects.RUNTIMES, objects.PYTORCHJOBS):
        kind, version = KINDS[plural], objects.VERSIONS[group]
        names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
        schema = {"type": "object", "properties": {"spec": OPEN, "status": OPEN}}
        served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [served]},
        }
        with suppress(client.ApiException):  # another test's, or the real one
            definitions.create_custom_resource_definition(body)


class Controller:
    """Of one job. ``kind``: trainjob or pytorchjob."""

    def __init__(self, space: Any, kind: str, name: str) -> None:
        from kubernetes import client

        self._space, self._kind, self._name = space, kind, name
        self._objects = client.CustomObjectsApi(space.api)
        group, plural = objects.JOBS[kind]
        self._at = (group, objects.VERSIONS[group], space.name, plural, name)
        self.pods: list[str] = []

    def job(self) -> dict[str, Any]:
        return self._objects.get_namespaced_custom_object(*self._at)

    def make_pods(self) -> None:
        """The first node's, then the others', which are told where it is."""
        job = self.job()
        template, nodes = self._template(job)
        owner = {"apiVersion": job["apiVersion"], "kind": job["kind"], "name": self._name, "uid": job["metadata"]["uid"]}
        master = ""
        for rank in range(nodes):
            body = copy.deepcopy(template)
            body |= {"apiVersion": "v1", "kind": "Pod"}
            body["metadata"] |= {"name": f"{self._name}-{rank}", "ownerReferences": [owner | {"controller": True}]}
            address = {"value": master} if master else {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
            body["spec"]["containers"][0]["env"] += self._environment(rank, nodes, address)
            self._space.core.create_namespaced_pod(self._space.name, body)
            self.pods.append(body["metadata"]["name"])
            if not master:
                self._space.until(lambda: self._space.core.read_namespaced_pod(self.pods[0], self._space.name).status.pod_ip)
                master = self._space.core.read_namespaced_pod(self.pods[0], self._space.name).status.pod_ip

    def say(self, condition: str, message: str = "") -> None:
        """A condition in the job's status."""
        said = {"type": condition, "status": "True", "reason": condition, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        self._objects.patch_namespaced_custom_object_status(*self._at, {"status": {"conditions": [said]}})

    def follow(self) -> None:
        """Until all pods have ended, or one has failed; then say so."""

        def phases() -> list[str]:
            found = self._space.pods()
            return [found[name].status.phase if name in found else "Failed" for name in self.pods]

        self._space.until(lambda: "Failed" in phases() or set(phases()) == {"Succeeded"}, 300)
        done = "Complete" if self._kind == "trainjob" else "Succeeded"
        self.say("Failed" if "Failed" in phases() else done, "jobset failed" if "Failed" in phases() else "")

    def _template(self, job: dict[str, Any]) -> tuple[dict[str, Any], int]:
        if self._kind == "pytorchjob":
            replicas = job["spec"]["pytorchReplicaSpecs"].values()
            return next(iter(replicas))["template"], sum(one["replicas"] for one in replicas)
        reference = job["spec"]["runtimeRef"]
        runtime = self._objects.get_namespaced_custom_object(*self._at[:3], "trainingruntimes", reference["name"])
        replicated = runtime["spec"]["template"]["spec"]["replicatedJobs"][0]
        return replicated["template"]["spec"]["template"], job["spec"]["trainer"]["numNodes"]

    def _environment(self, rank: int, nodes: int, address: dict[str, Any]) -> list[dict[str, Any]]:
        if self._kind == "pytorchjob":
            told: dict[str, str] = {"MASTER_PORT": PORT, "WORLD_SIZE": str(nodes), "RANK": str(rank)}
            return [{"name": "MASTER_ADDR", **address}, *({"name": name, "value": value} for name, value in told.items())]
        told = {"PET_MASTER_PORT": PORT, "PET_NNODES": str(nodes), "PET_NODE_RANK": str(rank), "PET_NPROC_PER_NODE": "1"}
        return [{"name": "PET_MASTER_ADDR", **address}, *({"name": name, "value": value} for name, value in told.items())]
