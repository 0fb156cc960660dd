"""The Docker engine that tests take, or the reason why they are skipped."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from include.targets import images


def engine() -> Any:
    """A client of the engine that DOCKER_HOST names, or of this machine's."""
    from docker.api.client import APIClient
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    try:
        return APIClient(version="auto", timeout=120, **kwargs_from_env())
    except DockerException as error:
        pytest.skip(f"no Docker engine answers (DOCKER_HOST): {str(error)[:200]}")


def with_image(client: Any, runtime: str) -> Any:
    """The client, of an engine that has the runtime's image."""
    name = images.name(runtime)
    if not client.images(name):
        pytest.skip(f"this Docker engine has no image {name}: run `make images RUNTIMES={runtime}`")
    return client


class Door:
    """A port of loopback behind which the engine is, for tests to shut: what is in front of a remote host. Behind TLS with ``tls``."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        if not path.startswith("unix://"):
            pytest.skip("the Docker engine is not on this machine")
        self._engine, self._tls, self._open = path.removeprefix("unix://"), tls, True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def shut(self, *, to: bool = True) -> None:
        """Whoever comes is turned away from now on; ``to=False``: no more."""
        self._open = not to

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._pass, args=(self._listener.accept()[0],), daemon=True).start()

    def _pass(self, caller: socket.socket) -> None:
        with suppress(OSError), caller, socket.socket(socket.AF_UNIX) as engine:
            guest = self._tls.wrap_socket(caller, server_side=True) if self._tls else caller
            engine.connect(self._engine)
            back = threading.Thread(target=self._copy, args=(engine, guest), daemon=True)
            back.start()
            self._copy(guest, engine)
            back.join()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and self._open:
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def tls_door(home: Path) -> tuple[Door, dict[str, str]]:
    """A door that lets in who has a certificate of ``home``'s authority; and that, as the connection's extra names it."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here")
    _certify(home)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=home / "ca.pem")
    context.load_cert_chain(home / "server.pem", home / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    names = {"ca_cert": "ca.pem", "client_cert": "client.pem", "client_key": "client.key"}
    return Door(context), {name: str(home / file) for name, file in names.items()}


def _certify(home: Path) -> None:
    """ca.pem, and keys and certificates of ``server`` (127.0.0.1) and ``client``, all for a day."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True)

    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "1", "-subj", "/CN=updraft-test-ca"
    )
    (home / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for who in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN={who}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{who}.csr", "-out", f"{who}.pem", *signed)
