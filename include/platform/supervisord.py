"""supervisord itself: its configuration, its start, and the clean-up after one that was killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from include import atomic
from include.errors import ComponentError, InputError
from include.runtime import family
from include.runtime.sandbox import users
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from include.runtime.waiting import until

MAX_SOCKET_PATH = 100


def start(settings: Settings, inherited: Mapping[str, str] | None = None, timeout_s: float = 20) -> None:
    """Start supervisord in the background (programs in its folder start with it). It must not be running.

    ``inherited`` are further variables of its environment, which all its programs see.
    """
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
    atomic.write(configuration, _render(settings))
    command = [str(settings.python("airflow")), "-m", "include.platform.supervisord", "-c", str(configuration)]
    environment = {
        **(inherited or {}),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": os.environ.get("HOME", str(settings.home)),
        "LANG": "C.UTF-8",
        family.MARK: str(settings.home),
    }
    done = subprocess.run(command, env=environment, cwd=settings.repo, capture_output=True, text=True, check=False)
    if not until(Supervisor(settings).running, 0 if done.returncode else timeout_s):
        raise ComponentError(
            f"did not start: {(done.stderr or done.stdout).strip() or 'no answer'}",
            where="supervisord",
            remedy=f"See {settings.logs / 'supervisord.log'}.",
        )


def _render(settings: Settings) -> str:
    socket = settings.supervisor_socket
    return (
        f"[unix_http_server]\nfile={socket}\nchmod=0700\n\n"
        f"[supervisord]\nlogfile={settings.logs / 'supervisord.log'}\nlogfile_maxbytes=10MB\nlogfile_backups=3\n"
        f"pidfile={socket.parent / 'supervisord.pid'}\nchildlogdir={settings.logs}\nnodaemon=false\nminfds=4096\numask=077\n\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n"
        "[rpcinterface:ports]\nsupervisor.rpcinterface_factory = include.runtime.held_ports:interface\n"
        f"folder = {settings.supervisor_programs}\n\n"
        # Relative to this file: a pattern here ends at the first blank.
        f"[include]\nfiles = {settings.supervisor_programs.name}/*.conf\n"
    ).replace("%", "%%")


def end_orphans(settings: Settings, grace_s: float = 5) -> int:
    """End what a killed supervisord of this platform left behind; it must not be running. Asked first, killed after ``grace_s``.

    Returns how many processes there were.
    """
    ended = family.end(str(settings.home), grace_s=grace_s)
    users.end_noted(settings.home / users.COUNTER)
    return ended


def main() -> None:
    """Be supervisord, with Updraft's package to be imported from where it was started."""
    from supervisor.supervisord import main as serve

    serve()


if __name__ == "__main__":
    main()
