"""The cluster that KUBECONFIG names, a namespace of its own on it, and a way to it that can be cut."""

import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from include.runtime.settings import REPO, Settings
from include.targets.kubernetes_options import Options
from tests.waiting import until

IMAGE = os.environ.get("UPDRAFT_TEST_IMAGE", "")
MISSING = [name for name in ("KUBECONFIG", "UPDRAFT_TEST_CLUSTER", "UPDRAFT_TEST_IMAGE") if not os.environ.get(name)]
needs_cluster = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} not set: makes pods, from an image with Python 3.11, on a cluster whose one node is this machine",
)


def connect(**options: Any) -> Any:
    """A client of the API; ``options`` are of the client's configuration."""
    from kubernetes import client, config

    found = client.Configuration()
    config.load_kube_config(os.environ["KUBECONFIG"], client_configuration=found)
    found.retries = False
    found.refresh_api_key_hook = None  # would put the file's host in place again
    for name, value in options.items():
        setattr(found, name, value)
    return client.ApiClient(found)


class Space:
    """A namespace, gone with its test module."""

    def __init__(self) -> None:
        from kubernetes import client

        self.api = connect()
        self.core = client.CoreV1Api(self.api)
        self.scheduling = client.SchedulingV1Api(self.api)
        self.name = f"updraft-{uuid.uuid4().hex[:8]}"
        self.core.create_namespace({"metadata": {"name": self.name}})
        self.until(lambda: any(one.metadata.name == "default" for one in self.core.list_namespaced_service_account(self.name).items))

    def close(self) -> None:
        self.core.delete_namespace(self.name, grace_period_seconds=0)

    def pods(self) -> dict[str, Any]:
        """By name, those that are not on their way out."""
        found = self.core.list_namespaced_pod(self.name).items
        return {pod.metadata.name: pod for pod in found if not pod.metadata.deletion_timestamp}

    def empty(self) -> bool:
        return not self.core.list_namespaced_pod(self.name).items

    def priority_class(self, name: str, value: int) -> None:
        from kubernetes.client import ApiException

        with suppress(ApiException):
            self.scheduling.create_priority_class({"metadata": {"name": name}, "value": value})

    @staticmethod
    def until(condition: Callable[[], Any], timeout_s: float = 90) -> None:
        until(condition, timeout_s, every_s=0.2)


def folder(path: Path, *, read_only: bool = True) -> dict[str, Any]:
    return {"path": str(path), "host_path": str(path), "read_only": read_only}


def options(settings: Settings, models: Path, **more: Any) -> Options:
    """Steps run in this machine's own runtimes, which the node sees because it is this machine."""
    given = {
        "image": IMAGE,
        "pull": "Never",
        "volume": {"host_path": str(settings.steps)},
        "mounts": [folder(REPO), folder(settings.runtimes), folder(Path(sys.base_prefix)), folder(models, read_only=False)],
        "python": f"{settings.runtimes}/{{runtime}}/bin/python",
        "cpu": "50m",
        "memory": "1Gi",
    }
    return Options.read({"steps": given | more})


class Way:
    """A TCP way to the API server that can be cut and mended."""

    def __init__(self, target: str) -> None:
        url = urlsplit(target)
        self._to = (url.hostname, url.port or 443)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._door.getsockname()[1]}"
        self.open = True
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        self.open = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._door.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                if not self.open:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), closing(source), closing(sink):
            while data := source.recv(65536):
                sink.sendall(data)


@contextmanager
def way() -> Iterator[tuple[Way, Any]]:
    """The way, and a client that goes by it."""
    found = Way(connect().configuration.host)
    try:
        yield found, connect(host=found.url, assert_hostname=False)
    finally:
        found.close()
