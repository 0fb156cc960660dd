"""A view of the file system of a process's own: some folders are empty but for what is listed (mount namespaces). A network of its own.

Standard library only. By root it needs CAP_SYS_ADMIN; by others user namespaces, which some systems forbid.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

NEWNS, NEWUSER, NEWNET = 0x00020000, 0x10000000, 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, SLAVE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 19
_LIBC = ctypes.CDLL(None, use_errno=True)


def possible() -> bool:
    """Whether this user may have a view of its own here; a child tries."""
    child = os.fork()
    if child == 0:
        try:
            _own_namespace()
            _mount("tmpfs", "/dev/shm", "tmpfs", NOSUID | NODEV, "mode=1777")
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def network_possible() -> bool:
    """Whether this user may have a network of its own here; a child tries."""
    child = os.fork()
    if child == 0:
        try:
            _own_namespace()
            enter_network()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def enter_network() -> None:
    """Leave the machine's network for an empty one, which has a loopback of its own; what is open stays where it is. After :func:`enter`.

    Raises OSError when the kernel does not let it.
    """
    _checked(_LIBC.unshare(NEWNET))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))


def enter(covered: Sequence[str], reads: Iterable[str], writes: Iterable[str]) -> None:
    """Each ``covered`` folder is empty from now on, but for what of ``reads`` and ``writes`` is in it; for this process and its children.

    Raises OSError when the kernel does not let it.
    """
    covers = [path for path in covered if not any(path != other and _within(path, other) for other in covered)]
    writable = set(writes)
    _own_namespace()
    _mount(None, "/", None, REC | SLAVE, None)
    # Held from here on: a cover hides the way there. What was opened in another namespace could not be placed.
    kept = [(path, os.open(path, os.O_PATH)) for path in sorted({*reads, *writable}, key=len) if os.path.exists(path)]
    for path in covers:
        mode = stat.S_IMODE(os.stat(path).st_mode) if path in ("/tmp", "/dev/shm") else 0o755
        _mount("tmpfs", path, "tmpfs", NOSUID | NODEV, f"mode={mode:o}")
    for path, descriptor in kept:
        if any(_within(path, cover) for cover in covers):
            _place(path, descriptor, read_only=path not in writable)
        os.close(descriptor)


def _place(path: str, descriptor: int, *, read_only: bool) -> None:
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        Path(path).mkdir(mode=0o755, exist_ok=True)
    elif not os.path.exists(path):
        Path(path).touch()
    _mount(f"/proc/self/fd/{descriptor}", path, None, BIND, None)
    if read_only:
        held = os.statvfs(path).f_flag & (NOSUID | NODEV | NOEXEC)  # a user namespace must keep them
        _mount(None, path, None, REMOUNT | BIND | RDONLY | held, None)


def _own_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    _checked(_LIBC.unshare(NEWNS if user == 0 else NEWNS | NEWUSER))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None) -> None:
    def coded(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    _checked(_LIBC.mount(coded(source), coded(target), coded(kind), ctypes.c_ulong(flags), coded(data)), target)


def _checked(result: int, what: str = "") -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
