"""A typed client of supervisord: programs come and go at run time, each as one file that supervisord includes."""

from __future__ import annotations

import fcntl
import os
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from include.errors import ComponentError
from include.platform.settings import Settings

LOG_BYTES = "10MB"
LOG_BACKUPS = 3
_BAD_NAME = 10
_ALREADY_STARTED = 60
_NOT_RUNNING = 70


class State(StrEnum):
    """supervisord's process states; ABSENT means that it knows no such program."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"
    ABSENT = "ABSENT"

    @property
    def alive(self) -> bool:
        return self in (State.STARTING, State.RUNNING, State.STOPPING, State.BACKOFF)


@dataclass(frozen=True)
class Program:
    """One supervised process. stdout and stderr go to ``log``, rotated. A step has ``autorestart=False``, a server True."""

    name: str
    command: tuple[str, ...]
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    autorestart: bool = True
    autostart: bool = True
    start_s: float = 1
    """A start counts as successful when the process has lived this long (seconds)."""
    start_retries: int = 3
    stop_signal: str = "TERM"
    stop_wait_s: float = 10
    priority: int = 999

    def render(self) -> str:
        """The program's section of a supervisord configuration file."""
        environment = ",".join(f'{key}="{_quote(value)}"' for key, value in sorted(self.environment.items()))
        lines = {
            "command": " ".join(_argument(part) for part in self.command),
            "directory": _escape(str(self.directory)),
            "environment": environment,
            "autostart": str(self.autostart).lower(),
            "autorestart": str(self.autorestart).lower(),
            "startsecs": f"{self.start_s:g}",
            "startretries": str(self.start_retries),
            "stopsignal": self.stop_signal,
            "stopwaitsecs": f"{self.stop_wait_s:g}",
            "stopasgroup": "true",
            "killasgroup": "true",
            "priority": str(self.priority),
            "redirect_stderr": "true",
            "stdout_logfile": _escape(str(self.log)),
            "stdout_logfile_maxbytes": LOG_BYTES,
            "stdout_logfile_backups": str(LOG_BACKUPS),
        }
        return f"[program:{self.name}]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())


def _escape(value: str) -> str:
    return value.replace("%", "%%")


def _quote(value: str) -> str:
    if "\n" in value:
        raise ComponentError("supervisord cannot pass a line break in an environment variable.", where="supervisor")
    return _escape(value).replace("\\", "\\\\").replace('"', '\\"')


def _argument(part: str) -> str:
    plain = part and all(c.isalnum() or c in "@%+=:,./-_" for c in part)
    return _escape(part) if plain else '"' + _quote(part) + '"'


class Supervisor:
    """Starts, stops and asks after programs of the supervisord that owns ``settings.supervisor_socket``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def running(self) -> bool:
        """Whether supervisord answers and is not shutting down."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (ComponentError, xmlrpc.client.Fault):
            return False

    def process_id(self) -> int | None:
        """supervisord's own process, None when it does not answer."""
        try:
            return int(self._call("getPID"))
        except (ComponentError, xmlrpc.client.Fault):
            return None

    def start_program(self, program: Program) -> None:
        """Make supervisord run exactly this program; a no-op when it already does with the same definition.

        A program of the same name with another definition is stopped and replaced. Safe to repeat after a crash at any point.
        """
        with self._lock():
            path = self._file(program.name)
            text = program.render()
            if path.exists() and path.read_text() == text and self.state(program.name).alive:
                return
            self._remove(program.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as handle:
                handle.write(text)
            temporary.rename(path)
            program.log.parent.mkdir(parents=True, exist_ok=True)
            self._call("reloadConfig")
            self._call("addProcessGroup", program.name)

    def stop_program(self, name: str) -> None:
        """Stop a program (its whole process group, killed after its stop_wait_s) and forget it. Absent is fine."""
        with self._lock():
            self._remove(name)

    def restart(self, name: str) -> None:
        """Stop and start a program that stays defined."""
        if self.state(name).alive:
            self._call("stopProcessGroup", name, True)
        self._call("startProcessGroup", name, False)

    def state(self, name: str) -> State:
        return self.info(name)[0]

    def info(self, name: str) -> tuple[State, int, int]:
        """State, process id (0 when none) and last exit status of a program."""
        try:
            info = self._call("getProcessInfo", name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _BAD_NAME:
                return State.ABSENT, 0, 0
            raise
        return State(info["statename"]), int(info["pid"]), int(info["exitstatus"])

    def programs(self) -> dict[str, State]:
        """Every program that supervisord knows."""
        return {info["name"]: State(info["statename"]) for info in self._call("getAllProcessInfo")}

    def shutdown(self, timeout_s: float = 60) -> None:
        """Stop every program and supervisord itself."""
        process = self.process_id()
        if process is None:
            return
        self._call("shutdown")
        deadline = time.monotonic() + timeout_s
        while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _remove(self, name: str) -> None:
        if self.state(name) is not State.ABSENT:
            try:
                self._call("stopProcess", name, True)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != _NOT_RUNNING:
                    raise
            self._call("removeProcessGroup", name)
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._settings.supervisor_programs / f"{name}.conf"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        path = self._settings.supervisor_programs.parent / "programs.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _call(self, method: str, *arguments: Any) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        socket = self._settings.supervisor_socket
        transport = SupervisorTransport(None, None, serverurl=f"unix://{socket}")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, xmlrpc.client.ProtocolError) as error:
            raise ComponentError(
                f"supervisord does not answer ({error}).", where=str(socket), remedy="Start the platform with `make up`."
            ) from error
        finally:
            transport.close()
