"""Users of their own for steps and servers, where the platform is root's: numbers that no account has, each given once.

Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import time
from pathlib import Path

RANGES = (range(1_900_000_000, 2_000_000_000), range(30_000, 60_000))
"""Between the ranges that containers' users and systemd's take (systemd, Users, Groups, UIDs and GIDs); the second where a container maps
no more than 65,536."""
GONE_S = 5.0


def numbers() -> range:
    """Those that may be given here; empty where none may."""
    if os.geteuid() != 0:
        return range(0)
    for numbers in RANGES:
        if all(_mapped(table, numbers) for table in ("uid_map", "gid_map")):
            return numbers
    return range(0)


def _mapped(table: str, numbers: range) -> bool:
    rows = [[int(part) for part in line.split()] for line in Path(f"/proc/self/{table}").read_text().splitlines()]
    return any(first <= numbers.start and numbers.stop <= first + count for first, _, count in rows)


def give(counter: Path) -> int:
    """The next number; ``counter`` is the platform's own file. Each is given once until all have been. Several platforms on a machine count
    from different beginnings, and none takes a number whose processes run."""
    found = numbers()
    descriptor = os.open(counter, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        given = int(handle.read().strip() or int.from_bytes(os.urandom(8), "big") % len(found))
        while _processes(found[given % len(found)]):
            given += 1
        handle.seek(0)
        handle.write(str(given + 1))
        handle.truncate()
        return found[given % len(found)]


def hand_over(folder: Path, user: int) -> None:
    """The folder and all in it to ``user``. Links are not followed, and a file that has another name elsewhere stays whose it is."""
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
                os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, user, user, follow_symlinks=False)


def share(folder: Path, user: int) -> None:
    """A folder of the platform's in which ``user`` may make files, but not replace or remove the platform's; those it may read."""
    os.chown(folder, 0, user, follow_symlinks=False)
    os.chmod(folder, 0o1770)
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            os.chown(path, 0, user, follow_symlinks=False)
            path.chmod(0o640)


def open_for_reading(path: Path) -> None:
    """What is at or below ``path`` may be read by users of their own; who gets there at all is the platform's home's to say."""
    if path.is_dir():
        for _, _, files, descriptor in os.fwalk(path, follow_symlinks=False):
            _readable(".", descriptor)
            for name in files:
                _readable(name, descriptor)
    else:
        _readable(str(path), None)


def _readable(name: str, folder: int | None) -> None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return  # a link, or gone
    try:
        found = os.fstat(descriptor)
        wanted = stat.S_IMODE(found.st_mode) | (0o005 if stat.S_ISDIR(found.st_mode) else 0o004)
        if (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)) and wanted != stat.S_IMODE(found.st_mode):
            os.fchmod(descriptor, wanted)
    finally:
        os.close(descriptor)


def end_all(user: int) -> None:
    """Kill every process of a user that steps are given, and wait until they are gone (seconds at most)."""
    if not any(user in numbers for numbers in RANGES):
        return
    deadline = time.monotonic() + GONE_S
    while (left := _processes(user)) and time.monotonic() < deadline:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def _processes(user: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            lines = (folder / "status").read_text().splitlines()
        except OSError:
            continue
        known = {line.partition(":")[0]: line.split()[1:] for line in lines if line.startswith(("Uid:", "State:"))}
        if known.get("Uid", [""])[0] == str(user) and known.get("State", ["Z"])[0] != "Z":
            found.append(int(folder.name))
    return found
