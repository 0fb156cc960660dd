"""A typed client of supervisord: programs come and go at run time, each as one file that supervisord includes."""

from __future__ import annotations

import json
import math
import re
import socket
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock

from include import atomic
from include.errors import ComponentError
from include.runtime import family, held_ports
from include.runtime.sandbox import users
from include.runtime.settings import Settings
from include.runtime.waiting import until

STARTER = (sys.executable, "-S", "-E", str(Path(family.__file__)))
"""What supervisord runs: it ends what an earlier process of the program has left, then becomes the program."""
LOG_BYTES = "10MB"
LOG_BACKUPS = 3
LEFT_S = 70.0
"""Connections that have ended keep a port for a minute from who does not share it."""
_UNKNOWN_METHOD = 1
_BAD_NAME = 10
_ALREADY_STARTED = 60
_NOT_RUNNING = 70
_STILL_RUNNING = 91
GONE_S = 600.0
"""A program is stopped and forgotten within this, whatever its ``stop_wait_s``."""


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
    listens: tuple[str, ...] = ()
    """``host:port`` of what it listens at with SO_REUSEPORT: held for it while it does not (:mod:`include.runtime.held_ports`)."""
    log_bytes: int | None = None
    """The log is rotated at this size (default: ``LOG_BYTES``); 0: never."""

    def start(self) -> str:
        """What the starter reads: command and environment. supervisord's own format cannot hold every value (quotes, line breaks)."""
        return json.dumps({"command": self.command, "environment": dict(self.environment)}, indent=1, sort_keys=True)

    def render(self, start: Path) -> str:
        """The program's section of a supervisord configuration file; ``start`` is the file that holds :meth:`start`."""
        lines = {
            "command": " ".join(_argument(part) for part in (*STARTER, str(start))),
            "directory": _escape(str(self.directory)),
            "autostart": str(self.autostart).lower(),
            "autorestart": str(self.autorestart).lower(),
            "startsecs": str(math.ceil(self.start_s)),  # it knows whole seconds only
            "startretries": str(self.start_retries),
            "stopsignal": self.stop_signal,
            "stopwaitsecs": str(math.ceil(self.stop_wait_s)),
            "stopasgroup": "true",
            "killasgroup": "true",
            "priority": str(self.priority),
            "redirect_stderr": "true",
            "stdout_logfile": _escape(_escape(str(self.log))),  # filled in twice
            "stdout_logfile_maxbytes": LOG_BYTES if self.log_bytes is None else str(self.log_bytes),
            "stdout_logfile_backups": str(LOG_BACKUPS),
        }
        return f"[program:{self.name}]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())


def _escape(value: str) -> str:
    return value.replace("%", "%%")


def _argument(part: str) -> str:
    plain = part and all(c.isalnum() or c in "@%+=:,./-_" for c in part)
    if plain:
        return _escape(part)
    quoted = _escape(part).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"(\s)([;#])", r'\1""\2', quoted) + '"'  # a blank before ; or # would begin a comment


def _listened_at(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


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
            path, start = self._file(program.name), self._file(program.name, "json")
            wanted = {start: program.start(), path: program.render(start)}
            same = all(_read(file) == text for file, text in wanted.items()) and self.state(program.name).alive
            if not same:
                self._remove(program.name, keep_ports=True)
            self._hold(program.name, program.listens)
            if same:
                return
            for file, text in wanted.items():
                atomic.write(file, text)
            program.log.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._call("reloadConfig")
                self._call("addProcessGroup", program.name)
            except xmlrpc.client.Fault as fault:
                path.unlink()  # one bad file would keep every other program from being read
                raise ComponentError(f"supervisord does not take the program: {fault.faultString}", where=program.name) from None

    def stop_program(self, name: str, *, keep_ports: bool = False) -> None:
        """Stop a program (its whole process group, killed after its stop_wait_s) and forget it. Absent is fine.

        ``keep_ports``: it will be started again, and nobody else is to listen there meanwhile.
        """
        with self._lock():
            self._remove(name, keep_ports=keep_ports)

    def hold(self, name: str, addresses: Sequence[str]) -> None:
        """Keep everybody else from listening at these (``host:port``) under ``name``, until :meth:`release`.

        Raises ComponentError when somebody has one.
        """
        with self._lock():
            self._hold(name, addresses)

    def release(self, name: str) -> None:
        """Hold nothing more under ``name``. Absent is fine."""
        with self._lock():
            self._hold(name, ())

    def signal(self, name: str, signal: str) -> None:
        """Send a signal (``TERM``, ``KILL``) to a program's first process. One that does not run is fine."""
        try:
            self._call("signalProcess", name, signal)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in (_BAD_NAME, _NOT_RUNNING):
                raise

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
        return {name: state for name, (state, _) in self.processes().items()}

    def processes(self) -> dict[str, tuple[State, int]]:
        """State and process id (0 when none) of every program that supervisord knows, for one question."""
        return {info["name"]: (State(info["statename"]), int(info["pid"])) for info in self._call("getAllProcessInfo")}

    def shutdown(self, timeout_s: float = 60) -> None:
        """Stop every program and supervisord itself."""
        process = self.process_id()
        if process is None:
            return
        self._call("shutdown")
        until(lambda: not Path(f"/proc/{process}").exists(), timeout_s)

    def _hold(self, name: str, addresses: Sequence[str]) -> None:
        """What has just ended may have left connections that keep a port for a minute: waited for, unless somebody listens there."""
        file = self._file(name, held_ports.FILE)
        if addresses:
            atomic.write(file, json.dumps(list(addresses)))
        elif file.exists():
            file.unlink()
        else:
            return
        deadline = time.monotonic() + LEFT_S
        while faults := [fault for fault in self._refresh() if fault.startswith(tuple(f"{address} " for address in addresses))]:
            if time.monotonic() > deadline or any(map(_listened_at, addresses)):
                file.unlink()
                self._refresh()
                raise ComponentError("; ".join(faults) + ".", where=name, remedy="End the process that has it (`ss -ltnp`).")
            time.sleep(0.5)

    def _refresh(self) -> list[str]:
        try:
            return [str(fault) for fault in self._call("refresh", namespace="ports")]
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _UNKNOWN_METHOD:  # a supervisord of before there was this: it is replaced by the next `make up`
                return []
            raise

    def _remove(self, name: str, *, keep_ports: bool = False) -> None:
        if self.state(name) is not State.ABSENT:
            if not until(lambda: self._forgotten(name), GONE_S):
                raise ComponentError(f"supervisord has not stopped it within {GONE_S:.0f} s.", where=name)
            family.end(str(self._settings.home), name)
        # Nothing of it stays, though it has left its group and emptied its environment, and though supervisord knows it no more.
        try:
            users.end_noted(self._settings.home / users.COUNTER, name)
        except OSError as error:
            raise ComponentError(f"what it has started does not end: {error}.", where=name) from error
        if not keep_ports:
            self._hold(name, ())
        for kind in ("conf", "json"):
            self._file(name, kind).unlink(missing_ok=True)

    def _forgotten(self, name: str) -> bool:
        """Stop a program and make supervisord forget it. False when it runs all the same: another's stop is under way, or supervisord has
        started what had just ended by itself."""
        try:
            self._call("stopProcess", name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise
        try:
            self._call("removeProcessGroup", name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _STILL_RUNNING:
                raise
            return False
        return True

    def _file(self, name: str, kind: str = "conf") -> Path:
        return self._settings.supervisor_programs / f"{name}.{kind}"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        path = self._settings.supervisor_programs.parent / "programs.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            yield

    def _call(self, method: str, *arguments: Any, namespace: str = "supervisor") -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        socket = self._settings.supervisor_socket
        transport = SupervisorTransport(None, None, serverurl=f"unix://{socket}")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(getattr(proxy, namespace), method)(*arguments)
        except (OSError, xmlrpc.client.ProtocolError) as error:
            raise ComponentError(
                f"supervisord does not answer ({error}).", where=str(socket), remedy="Start the platform with `make up`."
            ) from error
        finally:
            transport.close()
