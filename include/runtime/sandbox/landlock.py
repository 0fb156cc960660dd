"""Landlock: a process gives up, for itself and all it starts, every file, port and process that is not listed (Linux 5.13 and later).

Standard library only. Numbers and structures are of the kernel's ``include/uapi/linux/landlock.h``; what each ABI brings is in its
``Documentation/userspace-api/landlock.rst``.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG = 1
PATH_BENEATH, NET_PORT = 1, 2
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
ALL_OF_FIRST = (1 << 13) - 1
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1 << 0, 1 << 1
FILES, PORTS, SIGNALS = 1, 4, 6
"""The ABI from which on files, TCP ports, and signals and abstract sockets are restricted."""
READ = READ_FILE | READ_DIR | EXECUTE
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Port(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int:
    """The kernel's, 0 where it has none or does not enforce it."""
    return max(int(_LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION_FLAG))), 0)


class Ruleset:
    """What stays allowed. Nothing happens before :meth:`enforce`."""

    def __init__(self, *, files: bool = True, ports: bool = True) -> None:
        self.abi = abi()
        every = ALL_OF_FIRST | (REFER if self.abi >= 2 else 0) | (TRUNCATE if self.abi >= 3 else 0) | (IOCTL_DEV if self.abi >= 5 else 0)
        self._files = every if files else 0
        self._ports = BIND_TCP | CONNECT_TCP if ports and self.abi >= PORTS else 0
        scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if self.abi >= SIGNALS else 0
        wanted = _Ruleset(self._files, self._ports, scoped)
        self._descriptor = _checked(_LIBC.syscall(CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted)), 0))

    def read(self, paths: Iterable[str]) -> None:
        """Read and execute what is at or below each path; one that is not there is passed over."""
        self._allow(paths, READ)

    def write(self, paths: Iterable[str]) -> None:
        """Anything at or below each path."""
        self._allow(paths, self._files)

    def change(self, paths: Iterable[str]) -> None:
        """Read and write files that are there."""
        self._allow(paths, READ | WRITE_FILE | TRUNCATE)

    def bind(self, ports: Iterable[int]) -> None:
        """Listen at these TCP ports."""
        self._allow_ports(ports, BIND_TCP)

    def connect(self, ports: Iterable[int]) -> None:
        """Connect to these TCP ports, of whatever address."""
        self._allow_ports(ports, CONNECT_TCP)

    def enforce(self) -> None:
        """From now on, for this thread and all that it starts; there is no way back."""
        _checked(_LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_LIBC.syscall(RESTRICT_SELF, self._descriptor, 0))
        os.close(self._descriptor)

    def _allow(self, paths: Iterable[str], rights: int) -> None:
        for path in paths:
            try:
                parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                allowed = rights & self._files
                if not stat.S_ISDIR(os.fstat(parent).st_mode):
                    allowed &= OF_A_FILE
                rule = _Beneath(allowed, parent)
                _checked(_LIBC.syscall(ADD_RULE, self._descriptor, PATH_BENEATH, ctypes.byref(rule), 0))
            finally:
                os.close(parent)

    def _allow_ports(self, ports: Iterable[int], right: int) -> None:
        if not self._ports:
            return
        rule = _Port(right, 0)
        pointer = ctypes.byref(rule)
        for port in ports:
            rule.port = port
            _checked(_LIBC.syscall(ADD_RULE, self._descriptor, NET_PORT, pointer, 0))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result
