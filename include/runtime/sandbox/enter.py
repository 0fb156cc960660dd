"""Gives up all that a policy does not name, then becomes the command: ``enter.py POLICY -- COMMAND...``.

Everything that the kernel offers is used, one behind the other: a user of its own (where root starts it), a view of the file system without
the platform's home, Landlock, a filter of system calls. What it does not offer is left out; `make up` says so
(:mod:`include.runtime.sandbox.offered`).

Standard library only: it runs before any environment.
"""

from __future__ import annotations

import json
import os
import resource
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[3])

from include.runtime.reuse_port import bound  # noqa: E402
from include.runtime.sandbox import landlock, seccomp, users, view  # noqa: E402
from include.runtime.sandbox.policy import Policy  # noqa: E402
from include.runtime.sandbox.ports import Ports  # noqa: E402

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/proc", "/sys")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "fuse", "dri", "kfd", "nvidia-caps", "infiniband")
SCRATCH = ("/tmp", "/dev/shm")
"""Which programs use without being asked: in a view they are the process's own."""
LINKED = ("/etc/resolv.conf", "/etc/localtime")
"""Names of the system that may lead to where nothing else may be read."""
DOORS = "UPDRAFT_DOORS"
PROCESSES = 4096
"""Of a user of its own, threads among them; more on machines with many processors."""
_DROP_BOUND, _NO_NEW_PRIVS = 24, 38


def main() -> None:
    policy, command = Policy.read(sys.argv[1]), sys.argv[sys.argv.index("--") + 1 :]
    os.nice(policy.nice)
    os.umask(0o022)  # the ways of a view are open to whoever it is for
    user = _user(policy)
    if user:
        users.end_noted(Path(policy.users), policy.name)
        users.note(Path(policy.users), policy.name, user)
        _prepare(policy, user)
        if policy.bind and not policy.guarded:
            from include.runtime.held_ports import give_own

            give_own(user)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    doors = {address: bound(*_parted(address)) for address in policy.guarded}
    seen = _view(policy, command[0], user)
    if doors:
        view.enter_network()
        for door in doors.values():
            os.set_inheritable(door.fileno(), True)
        os.environ[DOORS] = json.dumps({_parted(address)[1]: door.fileno() for address, door in doors.items()})
    rules = _rules(policy, seen, stays=not user) if landlock.abi() else None
    os.chdir(policy.folder)
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        limit = max(PROCESSES, 64 * (os.cpu_count() or 1))
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
        os.setresuid(user, user, user)
    else:
        _drop_rights()
    if rules:
        rules.enforce()
    if seccomp.possible():
        seccomp.enforce()
    os.umask(0o077)
    os.execv(command[0], command)


def _parted(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _user(policy: Policy) -> int:
    """One of its own, where it can reach the interpreter; 0: it stays who it is."""
    if not policy.users or not users.numbers() or not view.possible():
        return 0
    return users.give(Path(policy.users))


def _prepare(policy: Policy, user: int) -> None:
    """What it may read and write is its to read and write. What another start of the same has left running is ended first."""
    for path in map(Path, policy.writes):
        if path.exists():
            users.end_all(path.stat().st_uid)
            users.hand_over(path, user)
    for path in map(Path, policy.shared):
        users.share(path, user)
    home = policy.hidden[0] if policy.hidden else ""
    for path in map(Path, policy.reads):
        if home and path.is_relative_to(home) and path.exists():
            users.open_for_reading(path)


def _view(policy: Policy, python: str, user: int) -> bool:
    """Whether it has a view of its own."""
    reads = [*policy.reads, *(os.path.realpath(path) for path in LINKED)]
    covered = [
        path
        for path in (*policy.hidden, *SCRATCH, "/run", *_closed(reads if user else ()))
        if os.path.isdir(path) and not os.path.islink(path)
    ]
    if not view.possible():
        print("sandbox: no view of its own here; see docs/user-code.md", flush=True)
        return False
    view.enter(covered, reads, (*policy.writes, *policy.shared))
    return True


def _closed(reads: Iterable[str]) -> Iterator[str]:
    """The outermost folders on the way to what it reads that are not open to everybody."""
    for path in reads:
        for folder in reversed(Path(path).parents):
            if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
                yield str(folder)
                break


def _rules(policy: Policy, seen: bool, *, stays: bool) -> landlock.Ruleset:
    rules = landlock.Ruleset()
    rules.read((*SYSTEM, *_etc(stays), *policy.reads, *(os.path.realpath(path) for path in LINKED)))
    # Without a view /tmp is everybody's; a home in it would be open.
    scratch = [path for path in SCRATCH if seen or not any(home.startswith(f"{path}/") for home in policy.hidden)]
    rules.write((*policy.writes, *policy.shared, *_devices(), *scratch))
    if not stays or os.geteuid() != 0 or os.statvfs("/proc/sys").f_flag & os.ST_RDONLY:
        # Of its own processes; others' are not its to write. Root, even without its rights, could set the kernel's options.
        rules.change(("/proc",))
    Ports(policy.connect, policy.bind, closed=policy.closed).allow(rules)
    return rules


def _etc(stays: bool) -> list[str]:
    """For root, what everybody may read."""
    if not stays or os.geteuid() != 0:
        return ["/etc"]
    return [str(path) for path in Path("/etc").iterdir() if path.exists() and path.stat().st_mode & stat.S_IROTH]


def _devices() -> list[str]:
    return [f"/dev/{name}" for name in DEVICES] + [str(path) for path in Path("/dev").glob("nvidia*")]


def _drop_rights() -> None:
    """Root without any right of root's; nothing for others."""
    if os.geteuid() == 0:
        for number in range(64):
            landlock._LIBC.prctl(_DROP_BOUND, number, 0, 0, 0)
    landlock._LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
