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
COUNTER = "users"
"""File in the platform's home that counts those that were given."""
GONE_S = 20.0
"""Until a killed process is gone: what it holds of a GPU, or of a great deal of memory, takes seconds to free."""


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
    found = numbers()[:-1]  # the last is for who ends the others
    descriptor = os.open(counter, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        number = int(handle.read().strip() or int.from_bytes(os.urandom(8), "big") % len(found))
        while _processes(found[number % len(found)]):
            number += 1
        handle.seek(0)
        handle.write(str(number + 1))
        handle.truncate()
        return found[number % len(found)]


def note(counter: Path, program: str, user: int) -> None:
    """Remember whose user it is, until :func:`end_noted`: its own folder may be gone when it is to be ended."""
    folder = _notes(counter)
    folder.mkdir(mode=0o700, exist_ok=True)
    # Not by another name first: what a kill leaves half written names no user, and nothing of it has begun.
    with os.fdopen(os.open(folder / program, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as handle:
        handle.write(str(user))


def end_noted(counter: Path, program: str | None = None) -> None:
    """Kill all that runs as a program's user, or as that of any, whatever group it is in and however it began, and forget it.

    Raises OSError for what is left after ``GONE_S`` seconds; the note stays then.
    """
    for file in [_notes(counter) / program] if program else sorted(_notes(counter).glob("*")):
        if file.exists():
            if (text := file.read_text().strip()).isdigit():
                end_all(int(text))
            file.unlink(missing_ok=True)


def _notes(counter: Path) -> Path:
    return counter.with_name(f"{counter.name}-of")


def given(user: int) -> bool:
    """Whether it is a number of those that are given here."""
    return user in numbers()


def hand_over(folder: Path, user: int) -> None:
    """The folder and all in it to ``user``. Links are not followed, and a file that has another name elsewhere stays whose it is."""
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
                os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, user, user, follow_symlinks=False)


def take_back(folder: Path, user: int) -> None:
    """What is ``user``'s of the folder and all in it becomes the platform's. Links are not followed."""
    if not os.path.lexists(folder):
        return
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid == user:
                os.chown(name, 0, 0, dir_fd=descriptor, follow_symlinks=False)
    if folder.lstat().st_uid == user:
        os.chown(folder, 0, 0, follow_symlinks=False)


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
    """Kill every process of a user that steps are given, and wait until they are gone.

    Raises OSError for what is left after ``GONE_S`` seconds (a process that the kernel does not let go of).
    """
    if not given(user):
        return
    deadline = time.monotonic() + GONE_S
    left: list[int] = []
    while not _kill(user) or (left := _processes(user)):
        if time.monotonic() > deadline:
            raise OSError(f"processes of user {user} are still there {GONE_S:.0f} s after SIGKILL: {left}")
        time.sleep(0.02)


def _kill(user: int) -> bool:
    """SIGKILL to all processes of a user at once, which no fork escapes: whoever lists them first misses those that come and go meanwhile.

    A child does it, by ``kill(-1)`` with the user's rights alone. Its real and saved number is another (the last, which nobody is given),
    so that none of the user's can signal it. False where it was ended itself, by another that does the same.
    """
    killer = numbers()[-1]
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(killer, killer, killer)
            os.setresuid(killer, user, killer)
            os.kill(-1, signal.SIGKILL)
            os._exit(0)
        except ProcessLookupError:
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


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
