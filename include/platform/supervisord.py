"""supervisord itself: its configuration, its start, and the clean-up after one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from include.errors import ComponentError, InputError
from include.platform.credentials import write_private
from include.platform.settings import Settings
from include.platform.supervisor import Supervisor

MARK = "UPDRAFT_SUPERVISED"
"""Every supervised process carries this variable; orphans of a killed supervisord are found by it."""
MAX_SOCKET_PATH = 100


def start(settings: Settings, timeout_s: float = 20) -> None:
    """Start supervisord in the background (programs in its folder start with it). It must not be running."""
    socket = settings.supervisor_socket
    if len(str(socket)) > MAX_SOCKET_PATH:
        raise InputError(
            f"the path is {len(str(socket))} characters long; a socket's may have {MAX_SOCKET_PATH}.",
            where=str(socket),
            remedy="Set UPDRAFT_HOME to a shorter path.",
        )
    folder = socket.parent
    (settings.supervisor_programs).mkdir(parents=True, exist_ok=True)
    settings.logs.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    configuration = folder / "supervisord.conf"
    write_private(configuration, _render(settings))
    command = [str(settings.python("airflow").parent / "supervisord"), "-c", str(configuration)]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": os.environ.get("HOME", str(settings.home)),
        "LANG": "C.UTF-8",
        MARK: str(settings.home),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    deadline = time.monotonic() + timeout_s
    while not Supervisor(settings).running():
        if done.returncode or time.monotonic() > deadline:
            raise ComponentError(
                f"did not start: {(done.stderr or done.stdout).strip() or 'no answer'}",
                where="supervisord",
                remedy=f"See {settings.logs / 'supervisord.log'}.",
            )
        time.sleep(0.1)


def _render(settings: Settings) -> str:
    socket = settings.supervisor_socket
    return (
        f"[unix_http_server]\nfile={socket}\nchmod=0700\n\n"
        f"[supervisord]\nlogfile={settings.logs / 'supervisord.log'}\nlogfile_maxbytes=10MB\nlogfile_backups=3\n"
        f"pidfile={socket.parent / 'supervisord.pid'}\nchildlogdir={settings.logs}\nnodaemon=false\nminfds=4096\numask=077\n\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n"
        f"[include]\nfiles = {settings.supervisor_programs}/*.conf\n"
    ).replace("%", "%%")


def orphans(settings: Settings) -> list[int]:
    """Processes that a killed supervisord of this platform left behind. Only meaningful while supervisord is not running."""
    mark = f"{MARK}={settings.home}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


def end_orphans(settings: Settings, grace_s: float = 5) -> int:
    """End them: asked first, killed after ``grace_s``. Returns how many there were."""
    first = orphans(settings)
    for process in first:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while orphans(settings) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in orphans(settings):
        _signal(process, signal.SIGKILL)
    return len(first)


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return
