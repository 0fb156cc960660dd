"""Seccomp: system calls that reach the network past Landlock's rules are refused, to a process and all it starts.

Landlock's TCP rules hold connect() and bind() of plain TCP. Multipath TCP, TCP Fast Open (a connection made by sending) and sockets of the
virtual machine's host are not held by them, and io_uring does what no filter sees.

Standard library only. Structures and numbers are of the kernel's ``include/uapi/linux/seccomp.h``, ``bpf_common.h``, ``audit.h``; the
numbers of calls of ``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
X32 = 0x40000000
"""Set in the numbers of x86-64's calls with short pointers, which nothing here uses."""
UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
MPTCP, FASTOPEN = 262, 0x20000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Calls:
    """An architecture's audit number and the numbers of its calls."""

    audit: int
    socket: int
    sendto: int
    sendmsg: int
    sendmmsg: int
    io_uring_setup: int = 425


CALLS = {
    "x86_64": Calls(0xC000003E, socket=41, sendto=44, sendmsg=46, sendmmsg=307),
    "aarch64": Calls(0xC00000B7, socket=198, sendto=206, sendmsg=211, sendmmsg=269),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def possible() -> bool:
    """Whether this kernel has filters, and the calls of this architecture are known."""
    try:
        actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text().split()
    except OSError:
        return False
    return platform.machine() in CALLS and "errno" in actions


def enforce() -> None:
    """From now on, for this thread and all that it starts; there is no way back. Raises OSError when the kernel does not take it."""
    program = assemble(CALLS[platform.machine()])
    if _LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _LIBC.prctl(
        PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(_Program(len(program) // 8, program)), 0, 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def assemble(calls: Calls) -> bytes:
    """The filter, as the kernel's ``struct sock_filter`` one after another.

    Each rule is a block that falls through to the next where it does not concern the call. Of an argument the lower half is looked at, as
    the kernel does with what is an ``int`` there.
    """
    # Another architecture's calls (32-bit programs) would have other numbers: none is let through.
    program = [_step(LOAD, ARCHITECTURE), _step(EQUAL, calls.audit, yes=1), _refuse(errno.ENOSYS), _step(LOAD, NUMBER)]
    program += [_step(AT_LEAST, X32, no=1), _refuse(errno.ENOSYS)] if calls is CALLS["x86_64"] else []
    program += [_step(EQUAL, calls.io_uring_setup, no=1), _refuse(errno.ENOSYS)]
    program += _of(calls.socket, [_argument(0), *_unless((UNIX, INET, INET6, NETLINK), errno.EAFNOSUPPORT), *_protocol()])
    for number, place in ((calls.sendto, 3), (calls.sendmsg, 2), (calls.sendmmsg, 3)):
        program += _of(number, [_argument(place), _step(ANY_BIT, FASTOPEN, no=1), _refuse(errno.EPERM)])
    return b"".join([*program, _step(RETURN, ALLOW)])


def _of(number: int, block: list[bytes]) -> list[bytes]:
    """The block for one call, which ends by allowing it."""
    block = [*block, _step(RETURN, ALLOW)]
    return [_step(EQUAL, number, no=len(block)), *block]


def _unless(values: tuple[int, ...], number: int) -> list[bytes]:
    """An error unless it is one of these."""
    return [*(_step(EQUAL, value, yes=len(values) - place) for place, value in enumerate(values)), _refuse(number)]


def _protocol() -> list[bytes]:
    return [_argument(2), _step(EQUAL, MPTCP, no=1), _refuse(errno.EPROTONOSUPPORT)]


def _argument(place: int) -> bytes:
    return _step(LOAD, ARGUMENTS + 8 * place)


def _refuse(number: int) -> bytes:
    return _step(RETURN, ERRNO | number)


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """An instruction; ``yes`` and ``no``: how many of the next are passed over."""
    return struct.pack("<HBBI", code, yes, no, value)
