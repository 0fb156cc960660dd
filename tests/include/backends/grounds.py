"""Where the contract's tests run servers: as processes, as containers of an engine, as pods of a cluster. Each says what its host made of a
server, as seen from outside, and hurts it there."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from include.backends.registry import backend
from include.platform import listeners
from include.runtime import family
from include.runtime.supervisor import State
from include.serving.docker import DockerHost
from include.serving.lease import RevisionLease
from include.serving.revision import Revision
from include.serving.revisions import Revisions
from include.spec.serve import Serve
from include.targets import images
from include.targets.containers import EngineAccess, EnginePlace, prefix
from tests.include.serving.kubernetes import cluster
from tests.include.serving.stage import Stage, processes
from tests.include.targets.cluster import MISSING, Space
from tests.include.targets.engine import engine, with_image


class Ground(ABC):
    """One host at hand, and what the contract asks of it beside :class:`Revisions`' own answers."""

    name: ClassVar[str]
    """As in the spec's ``target``."""
    device: ClassVar[str] = "declared/here/gpu-0"
    scraped: ClassVar[bool] = False
    """Whether a collector of the host's own reads the servers' figures."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.revisions: Revisions = stage.backend
        self.lease = RevisionLease("key", {}, "lease", 1, environment={"CUDA_VISIBLE_DEVICES": self.device})

    def needs(self, serve: Serve) -> None:
        """Skip what can't run here: its image is not there."""
        return

    @abstractmethod
    def server(self, program: str) -> str:
        """What runs now by that name, unlike what ran before it; "" when nothing does."""

    @abstractmethod
    def kill(self, program: str) -> None:
        """All processes of the server, by SIGKILL."""

    @abstractmethod
    def has_the_gpu(self, revision: Revision) -> bool:
        """Whether its server was given the device of ``lease``."""

    @abstractmethod
    def left(self, model: str, version: str) -> list[str]:
        """What the host still has of a revision."""

    @abstractmethod
    def processes(self, program: str) -> list[int]:
        """Of a server, numbered as this machine does."""

    def asks_for_keys(self, serve: Serve) -> bool:
        """Whether its servers' ports answer only who shows the revision's key."""
        return True

    def offers(self, revision: Revision) -> set[tuple[str, int]]:
        """Where its server may listen, as the server's network knows it."""
        return {(revision.host, port) for port in revision.ports}

    def listens(self, revision: Revision) -> set[tuple[str, int]]:
        """Where its server does listen for TCP."""
        found = listeners.of(self.processes(revision.program))
        return {(one.host, one.port) for one in found if one.kind == "tcp"}

    def nothing_left(self, model: str, version: str = "1") -> bool:
        return self.revisions.find(model, version) is None and not self.left(model, version)

    def close(self) -> None:
        return


class OfProcesses(Ground):
    name = "process"
    device = "GPU-00000000-0000-0000-0000-000000000000"

    def server(self, program: str) -> str:
        return str(self.stage.supervisor.info(program)[1] or "")

    def kill(self, program: str) -> None:
        os.kill(int(self.server(program)), signal.SIGKILL)

    def processes(self, program: str) -> list[int]:
        return family.family(str(self.stage.settings.home), program)

    def has_the_gpu(self, revision: Revision) -> bool:
        environment = Path(f"/proc/{self.server(revision.program)}/environ").read_bytes()
        return f"CUDA_VISIBLE_DEVICES={self.device}".encode() in environment.split(b"\0")

    def left(self, model: str, version: str) -> list[str]:
        program = f"revision-{model}-{version}"
        known = [] if self.stage.supervisor.state(program) is State.ABSENT else [program]
        return known + processes(f"{self.stage.settings.revisions}/{model}/{version}/")


class OfContainers(Ground):
    """On the engine of DOCKER_HOST, with the network of the machine."""

    name = "docker"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._client, access = engine(), EngineAccess.of({}, os.environ)
        reach = lambda: (access, EnginePlace(), access.client())  # noqa: E731
        self.revisions = Revisions(
            stage.settings, stage.supervisor, {self.name: lambda: DockerHost(stage.settings, stage.supervisor, reach)}
        )

    def needs(self, serve: Serve) -> None:
        with_image(self._client, backend(serve.backend).runtime(serve))

    def server(self, program: str) -> str:
        return next((found["Id"] for found in self._containers(program) if found["State"] == "running"), "")

    def kill(self, program: str) -> None:
        self._client.kill(self.server(program), "SIGKILL")

    def processes(self, program: str) -> list[int]:
        return of_container(self.server(program))

    def offers(self, revision: Revision) -> set[tuple[str, int]]:
        """In a network of its own the server listens for its guard alone, and the guard where the engine leads callers from the revision's
        address."""
        host = self._client.inspect_container(self.server(revision.program))["HostConfig"]
        if host["NetworkMode"] == "host":
            return super().offers(revision)
        led = {(place["HostIp"], int(place["HostPort"])) for places in host["PortBindings"].values() for place in places}
        assert led == super().offers(revision)
        inside = {int(name.partition("/")[0]) for name in host["PortBindings"]}
        return {("127.0.0.1", port) for port in revision.ports} | {("0.0.0.0", port) for port in inside}

    def listens(self, revision: Revision) -> set[tuple[str, int]]:
        processes = self.processes(revision.program)
        own = set().union(*map(listeners.inodes, processes))
        seen = listeners.listeners(Path(f"/proc/{processes[0]}/net"))
        return {(found.host, found.port) for found in seen if found.kind == "tcp" and found.inode in own}

    def has_the_gpu(self, revision: Revision) -> bool:
        environment = self._client.inspect_container(self.server(revision.program))["Config"]["Env"]
        return f"CUDA_VISIBLE_DEVICES={self.device}" in environment

    def left(self, model: str, version: str) -> list[str]:
        program, home = f"revision-{model}-{version}", self.stage.settings.home
        known = [] if self.stage.supervisor.state(program) is State.ABSENT else [program]
        orders = [path.name for path in (home / "containers").glob(f"{program}*")]
        return known + orders + [found["Id"] for found in self._containers(program)]

    def _containers(self, program: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.containers(all=True, filters={"name": f"^/?{prefix(self.stage.settings)}-{program}$"})
        return found


class OfPods(Ground):
    """On the cluster of KUBECONFIG, whose one node is this machine, in a namespace of its own."""

    name = "kubernetes"
    scraped = True

    def __init__(self, stage: Stage) -> None:
        if MISSING or not cluster.IMAGE:
            pytest.skip(f"{', '.join(MISSING) or 'UPDRAFT_TEST_TRITON'} not set: makes pods on a cluster whose one node is this machine")
        super().__init__(stage)
        self._space = Space()
        self._space.priority_class("updraft-7", 7)
        (node,) = self._space.core.list_node().items
        grant = {"node": node.metadata.name, "uuids": ["GPU-0"], "indexes": [0], "model": "SIMULATED", "milli": 1000, "memory_mib": 81920}
        self.lease = RevisionLease("key", {"priority": 7}, "lease", 1, grant=grant)
        image = cluster.IMAGE.replace("updraft/triton", "updraft/{runtime}").replace(images.tag("triton"), "{lock}")
        made = lambda: cluster.host(stage.settings, self._space, image=image)  # noqa: E731
        self.revisions = Revisions(stage.settings, stage.supervisor, {self.name: made})

    def server(self, program: str) -> str:
        found = [status for pod in self._pods(program) for status in pod.status.container_statuses or () if status.state.running]
        return str(found[0].container_id) if found else ""

    def kill(self, program: str) -> None:
        """By the machine, whose processes the node's are."""
        for process in self.processes(program):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def processes(self, program: str) -> list[int]:
        return of_container(self.server(program).rpartition("/")[2])

    def asks_for_keys(self, serve: Serve) -> bool:
        """A cluster's network policies say who comes to a port."""
        return False

    def offers(self, revision: Revision) -> set[tuple[str, int]]:
        (pod,) = self._pods(revision.program)
        return {("0.0.0.0", port.container_port) for port in pod.spec.containers[0].ports}

    def listens(self, revision: Revision) -> set[tuple[str, int]]:
        (process, *_) = self.processes(revision.program)
        return {(found.host, found.port) for found in listeners.listeners(Path(f"/proc/{process}/net")) if found.kind == "tcp"}

    def has_the_gpu(self, revision: Revision) -> bool:
        (pod,) = self._pods(revision.program)
        return pod.spec.containers[0].resources.limits["nvidia.com/gpu"] == "1" and pod.metadata.labels["updraft.io/lease"] == "lease"

    def left(self, model: str, version: str) -> list[str]:
        from kubernetes.client import AppsV1Api

        chosen = {"label_selector": f"updraft.io/model={model},updraft.io/revision={version}"}
        services = self._space.core.list_namespaced_service(self._space.name, **chosen).items
        deployments = AppsV1Api(self._space.api).list_namespaced_deployment(self._space.name, **chosen).items
        named = [found.metadata.name for found in (*services, *deployments)]
        return named + [pod.metadata.name for pod in self._pods(f"revision-{model}-{version}")]

    def close(self) -> None:
        self._space.close()

    def _pods(self, program: str) -> list[Any]:
        model, _, version = program.removeprefix("revision-").rpartition("-")
        chosen = {"label_selector": f"updraft.io/model={model},updraft.io/revision={version}"}
        return list(self._space.core.list_namespaced_pod(self._space.name, **chosen).items)


def of_container(identity: str) -> list[int]:
    """The processes of a container, by its control group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if identity and identity in (folder / "cgroup").read_text():
                found.append(int(folder.name))
    return found


GROUNDS: dict[str, type[Ground]] = {found.name: found for found in (OfProcesses, OfContainers, OfPods)}
