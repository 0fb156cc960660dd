"""Runs one Triton server and answers for it: the process that supervisord supervises for a revision.

Triton alone leaves gaps. A killed Python stub makes it answer 500 for ever while it calls itself ready; a stub that cannot start makes it
wait for ever and ignore SIGTERM; killed with -9 it leaves stubs, shared memory and an empty folder in /tmp behind. The guard notices a
death at once, ends what is left, and starts a whole server again. (Reloading in place is as slow, and callers would meanwhile get a 4xx
instead of a refused connection, which the gateway tries again.) A server that dies while it loads is left to supervisord and its
back-off.

The server takes its key by a command line, which everybody can read in /proc: the guard gives it one that holds a dummy, and has it look
for the true argument in its environment, which only its owner can read.

Standard library only: it runs in the `triton` runtime. Usage: ``guard.py SHM_PREFIX -- COMMAND...``, the parts of the server's API that
need the key, and the key, in UPDRAFT_KEYED_APIS.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

SCAN_S = 0.1
"""How often new stubs are looked for while a server starts; the death of a known one is noticed at once."""
CALM_S, BLIND_S = 60.0, 2.0
SETTLED_S = 15.0
"""And from ``SETTLED_S`` after its start on: to look through a server's threads ten times a second takes 3 % of a processor. Whoever
makes a stub makes shared memory for it, which the kernel tells; where it doesn't (``BLIND_S``), it is looked for."""
LOADING_S = 3.0
LAST_WORDS_S = 1.0
"""A server whose stub died in its first ``LOADING_S`` may say why, and end by itself, for this long."""
STOP_S = 3.0
"""SIGKILL this long after SIGTERM (longer than the server's own exit timeout)."""
KEYED_APIS = "UPDRAFT_KEYED_APIS"
"""The variable with what Triton's ``--http-restricted-api`` is to be; the server's own is there as the whole argument."""
TCP = "UPDRAFT_TCP"
"""The variable with the TCP ports that a server in a container may use."""
DUMMY = "--http-restricted-api=see-its-environment"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_IN_CREATE, _IN_NONBLOCK, _IN_CLOEXEC = 0x100, 0o4000, 0o2000000
_PTRACE_TRACEME, _PTRACE_POKEDATA, _PTRACE_DETACH = 0, 5, 17
_LIBC = ctypes.CDLL(None, use_errno=True)
_SHM = Path("/dev/shm")
_FOLDERS = Path("/tmp"), "python_env_??????"
"""Where the Python backend makes a folder a server, whatever TMPDIR says, for packed environments: Updraft has none, so it stays empty."""


class Guard:
    """One server after another, until asked to stop or one dies while loading."""

    def __init__(self, prefix: str, command: list[str]) -> None:
        self._prefix, self._command = prefix, command
        self._stop_at: float | None = None
        self._server_id = 0
        self._created = watched(_SHM)
        # Stubs of a dead server become the guard's own children, for it to end and to bury.
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Signal handler: the server is asked to end, once."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + STOP_S
            if self._server_id:
                os.kill(self._server_id, signal.SIGTERM)

    def run(self) -> int:
        """0 when asked to stop, 1 when a server died that had hardly started."""
        while True:
            started = time.monotonic()
            self._start()
            self._watch(started)
            self._end_all()
            if self._stop_at is not None:
                return 0
            if time.monotonic() - started < LOADING_S:
                return 1
            say("the server is started again")

    def _start(self) -> None:
        clean_shared_memory(self._prefix)
        self._stubs: dict[int, int] = {}
        self._ended: set[int] = set()
        self._before, self._made = folders(), set[Path]()
        guard = os.getpid()

        def die_with_guard() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os.kill(os.getpid(), signal.SIGKILL)

        self._server = start(self._command, die_with_guard)
        self._server_id = self._server.pid
        self._server_fd = os.pidfd_open(self._server.pid)

    def _watch(self, started: float) -> None:
        """Until the server is of no more use."""
        while True:
            self._scan()
            settled = self._stubs and time.monotonic() - started > SETTLED_S and self._stop_at is None
            ended = self._wait_for_an_end(self._calm_s if settled else SCAN_S)
            if self._server.poll() is not None:
                say(f"the server ended with status {self._server.returncode}")
                return
            if self._stop_at is not None:
                if time.monotonic() > self._stop_at:
                    say(f"the server did not stop within {STOP_S:g} s and is killed")
                    return
            elif ended:
                say(f"stub {', '.join(str(self._stubs[descriptor]) for descriptor in ended)} died")
                if time.monotonic() - started < LOADING_S:
                    self._last_words()
                return

    @property
    def _calm_s(self) -> float:
        return BLIND_S if self._created is None else CALM_S

    def _wait_for_an_end(self, seconds: float) -> set[int]:
        """Descriptors of the stubs that have ended, after ``seconds`` at the latest, and at once when somebody has made shared memory."""
        poller = select.poll()
        others = {self._server_fd} | ({self._created} if self._created is not None else set())
        for descriptor in (*others, *self._stubs):
            poller.register(descriptor, select.POLLIN)
        found = {descriptor for descriptor, _ in poller.poll(seconds * 1000)}
        if self._created is not None and self._created in found:
            with contextlib.suppress(OSError):
                os.read(self._created, 64 * 1024)  # which file it was doesn't matter
        return found - others

    def _scan(self) -> None:
        """Watch the stubs that were born since.

        The server first runs a stub without a model, to see whether it can, and buries it at once: a child that has ended by the time it is
        first seen is one of its stubs only if it lies there still at the next look.
        """
        known, ended = set(self._stubs.values()), set[int]()
        for process in children(self._server.pid):
            if process in known:
                continue
            command = command_of(process)
            if not command:
                ended.add(process)
            if is_stub(command) or process in self._ended:
                with contextlib.suppress(ProcessLookupError):
                    self._stubs[os.pidfd_open(process)] = process
        self._ended = ended
        close_shared_memory(self._prefix)
        if not known:  # looked for after the first stub was seen, before which it is made
            self._made = folders() - self._before

    def _last_words(self) -> None:
        """The stub may have died of an error that the server is about to log before it ends by itself."""
        try:
            self._server.wait(LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            return

    def _end_all(self) -> None:
        """Kill the server and every process it left, and wait until they are gone."""
        self._server.kill()
        self._server_id = 0
        self._server.wait()
        for descriptor in (self._server_fd, *self._stubs):
            os.close(descriptor)
        while orphaned := children(os.getpid()):
            for process in orphaned:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
        clean_shared_memory(self._prefix)
        for folder in self._made:
            with contextlib.suppress(OSError):  # it is not empty, or gone
                folder.rmdir()


def start(command: list[str], first: Callable[[], None]) -> subprocess.Popen[bytes]:
    """The server, its key known to it and to nobody who looks at command lines. ``first`` is done in its process before it begins."""
    apis = os.environ.get(KEYED_APIS)
    if apis is None:
        return subprocess.Popen(command, preexec_fn=first)
    argument = f"--http-restricted-api={apis}"

    def traced() -> None:
        first()
        if _LIBC.ptrace(_PTRACE_TRACEME, 0, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")

    try:
        process = subprocess.Popen([*command, DUMMY], preexec_fn=traced, env=os.environ | {KEYED_APIS: argument})
    except subprocess.SubprocessError:
        say("this kernel lets no process look into its child: the server's key is on its command line, where this machine's users see it")
        return subprocess.Popen([*command, argument], preexec_fn=first)
    os.waitpid(process.pid, 0)  # it stops before its first instruction
    try:
        point(process.pid, DUMMY, KEYED_APIS)
    except BaseException:
        process.kill()
        raise
    _LIBC.ptrace(_PTRACE_DETACH, process.pid, None, None)
    return process


def point(process: int, argument: str, variable: str) -> None:
    """Have a stopped process that has just been started find the value of ``variable`` where its command line holds ``argument``.

    Its stack begins with pointers to both, by the kernel's and the C library's contract: one is set anew. What /proc shows is the text of
    the command line itself, and stays.
    """
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    arguments, arguments_end, environment, environment_end = map(int, fields[45:49])
    memory = os.open(f"/proc/{process}/mem", os.O_RDONLY)
    try:
        text = os.pread(memory, arguments_end - arguments, arguments)
        old = arguments + text.index(b"\0" + argument.encode() + b"\0") + 1
        text = b"\0" + os.pread(memory, environment_end - environment, environment)
        new = environment + text.index(b"\0" + variable.encode() + b"=") + len(variable) + 1
        stack = int(next(line for line in Path(f"/proc/{process}/maps").read_text().splitlines() if "[stack]" in line).split("-")[0], 16)
        pointers = os.pread(memory, arguments - stack, stack)
        place = stack + pointers.index(struct.pack("P", old))
    finally:
        os.close(memory)
    # Not by that file: what holds the server from writing to files elsewhere (include/runtime/sandbox) holds the guard, too.
    if _LIBC.ptrace(_PTRACE_POKEDATA, process, ctypes.c_void_p(place), ctypes.c_void_p(new)):
        raise OSError(ctypes.get_errno(), "ptrace")


def watched(folder: Path) -> int | None:
    """A descriptor that becomes readable when somebody makes a file in a folder; None where the kernel gives none."""
    descriptor = int(_LIBC.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC))
    if descriptor < 0:
        return None
    if _LIBC.inotify_add_watch(descriptor, str(folder).encode(), _IN_CREATE) < 0:
        os.close(descriptor)
        return None
    return descriptor


def folders() -> set[Path]:
    """This user's folders of Python backends, of whatever server."""
    place, pattern = _FOLDERS
    found = set()
    for path in place.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_uid == os.getuid():
                found.add(path)
    return found


def command_of(process: int) -> list[str]:
    """Its command line; empty when it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def is_stub(command: list[str]) -> bool:
    """Whether it is a stub with its model, or the shell that becomes one."""
    return command[1:2] != [] and Path(command[0]).name in ("triton_python_backend_stub", "bash")


def children(process: int) -> list[int]:
    """The processes that this one started, in any of its threads."""
    found: list[int] = []
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(child) for child in tasks.read_text().split()]
        except OSError:
            continue  # the thread has ended
    return found


def close_shared_memory(prefix: str) -> None:
    """Let nobody else read the requests of a server of this prefix: its Python backend lets everybody, whatever the umask."""
    for path in _SHM.glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def clean_shared_memory(prefix: str) -> None:
    """Remove what a server of this prefix left in shared memory; it must have ended."""
    for path in _SHM.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)


def say(sentence: str) -> None:
    print(f"guard: {sentence}", flush=True)


def hold_ports() -> None:
    """Give up all TCP ports that a server in a container has no need of; a process of this machine is held from outside."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from include.runtime.sandbox import ports

    ports.hold(os.environ)


def main() -> int:
    prefix, separator, *command = sys.argv[1:]
    if separator != "--" or not command or not prefix:
        say("usage: guard.py SHM_PREFIX -- COMMAND...")
        return 2
    if TCP in os.environ:
        hold_ports()
    guard = Guard(prefix, command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, guard.stop)
    return guard.run()


if __name__ == "__main__":
    sys.exit(main())
