"""Who a process on a GPU is: its name, and the lease that it says it belongs to."""

from __future__ import annotations

from pathlib import Path

from include.pool.state import Process

LEASE = b"UPDRAFT_GPU_LEASE="
LONGEST = 64


def process(pid: int, memory_mib: int | None, proc: Path = Path("/proc")) -> Process:
    """From /proc: the kernel's short name (never the command line: that may hold a secret), and ``UPDRAFT_GPU_LEASE`` of its environment.
    What can't be read (another user's process, one that has ended) is ""."""
    return Process(pid, _name(proc / str(pid)), memory_mib, _lease(proc / str(pid)))


def _name(folder: Path) -> str:
    try:
        return _clean((folder / "comm").read_text(errors="replace").strip())
    except OSError:
        return ""


def _lease(folder: Path) -> str:
    try:
        entries = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    said = next((entry.removeprefix(LEASE) for entry in entries if entry.startswith(LEASE)), b"")
    return _clean(said.decode(errors="replace")) if len(said) <= LONGEST else ""


def _clean(text: str) -> str:
    """A process names itself: with a control character in it the pool would refuse the whole node's report."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
