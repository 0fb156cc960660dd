"""The filter of system calls, on a process of its own: what passes by Landlock's rules is refused, and all else goes on."""

from __future__ import annotations

import errno
import json
import struct
import subprocess
import sys

import pytest

from include.runtime.sandbox import seccomp
from include.runtime.settings import REPO

CODE = """
import ctypes, json, os, socket, sys
sys.path.insert(0, sys.argv[1])
from include.runtime.sandbox import seccomp
libc = ctypes.CDLL(None, use_errno=True)

def fails(work):
    try:
        work()
    except OSError as error:
        return error.errno

def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

def send(flags):
    with socket.socket() as server, socket.socket() as one:
        server.bind(("127.0.0.1", 0))
        server.listen()
        one.sendto(b"x", flags, server.getsockname())

calls = seccomp.CALLS[os.uname().machine]
seccomp.enforce()
got = {
    "mptcp": fails(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)),
    "mptcp6": fails(lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 262)),
    "vsock": fails(lambda: socket.socket(40, socket.SOCK_STREAM)),
    "alg": fails(lambda: socket.socket(38, socket.SOCK_SEQPACKET)),
    "sendto": fails(lambda: send(0x20000000)),
    "sendto, with another flag": fails(lambda: send(0x20004000)),
    "sendmsg": fails(lambda: call(calls.sendmsg, -1, None, 0x20000000)),
    "sendmmsg": fails(lambda: call(calls.sendmmsg, -1, None, 0, 0x20000000)),
    "io_uring": fails(lambda: call(calls.io_uring_setup, 4, ctypes.create_string_buffer(120))),
    "unix": fails(lambda: [one.send(b"x") for one in socket.socketpair()]),
    "inet6": fails(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()),
    "netlink": fails(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
    "traced": fails(lambda: os.fork() or (libc.ptrace(0, 0, 0, 0) and os._exit(1)) or os._exit(0)) or os.wait()[1],
}
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
    got["tcp"] = fails(lambda: one.sendmsg([b"x"]))
print(json.dumps(got))
"""
REFUSED = {
    "mptcp": errno.EPROTONOSUPPORT,
    "mptcp6": errno.EPROTONOSUPPORT,
    "vsock": errno.EAFNOSUPPORT,
    "alg": errno.EAFNOSUPPORT,
    "sendto": errno.EPERM,
    "sendto, with another flag": errno.EPERM,
    "sendmsg": errno.EPERM,
    "sendmmsg": errno.EPERM,
    "io_uring": errno.ENOSYS,
}


@pytest.mark.skipif(not seccomp.possible(), reason="this kernel or architecture has no filter: make up says so")
def test_what_passes_by_landlock_is_refused_and_all_else_goes_on():
    done = subprocess.run([sys.executable, "-c", CODE, str(REPO)], stdout=subprocess.PIPE, check=True, text=True)
    got = json.loads(done.stdout)
    assert {name: number for name, number in got.items() if number} == REFUSED


@pytest.mark.parametrize("machine", list(seccomp.CALLS))
def test_a_filter_jumps_within_itself_and_ends_by_allowing(machine):
    steps = list(struct.iter_unpack("<HBBI", seccomp.assemble(seccomp.CALLS[machine])))
    assert steps[-1] == (seccomp.RETURN, 0, 0, seccomp.ALLOW)
    assert all(place + 1 + max(yes, no) < len(steps) for place, (_, yes, no, _) in enumerate(steps[:-1]))
