"""What a platform's processes have used, out of /proc: processor time, and memory with what several share divided among them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from include.runtime import family

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SUPERVISORD, GUARD, SERVER = "supervisord", "guards of revisions", "servers of revisions"
MIB = 1024


@dataclass(frozen=True)
class Used:
    """By one process: its part of the platform, the processor time of it and of its children that have ended (s), its memory (MiB):
    ``pss_mib`` counts a page that n processes share as 1/n."""

    part: str
    cpu_s: float
    rss_mib: float
    pss_mib: float


@dataclass(frozen=True)
class Share:
    """Of one part, or of all: per cent of one processor, MiB."""

    cpu_pct: float
    rss_mib: float
    pss_mib: float


def used(home: Path) -> dict[int, Used]:
    """Every process of the platform at ``home``, by its number."""
    found = {}
    for process in family.family(str(home)):
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            found[process] = _used(process)
    return found


def _used(process: int) -> Used:
    place = Path(f"/proc/{process}")
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    rollup = dict(line.split(":", 1) for line in (place / "smaps_rollup").read_text().splitlines()[1:])
    rss, pss = (float(rollup[name].split()[0]) / MIB for name in ("Rss", "Pss"))
    return Used(part_of(_environment(place), (place / "cmdline").read_bytes()), sum(map(int, fields[11:15])) / TICKS_PER_S, rss, pss)


def _environment(place: Path) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in (place / "environ").read_bytes().decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs}


def part_of(environment: Mapping[str, str], command: bytes) -> str:
    """Return the part of the platform that a process belongs to. Pure."""
    program = environment.get(family.PROGRAM, SUPERVISORD)
    if not program.startswith("revision-"):
        return program
    return GUARD if b"guard.py" in command else SERVER


def shares(before: Mapping[int, Used], after: Mapping[int, Used], seconds: float) -> dict[str, Share]:
    """Return what each part used between two moments ``seconds`` apart, most processor time first. A process that has begun meanwhile
    counts as a whole. Pure."""
    parts: dict[str, Share] = {}
    for process, now in after.items():
        then = before.get(process)
        cpu_pct = 100 * max(now.cpu_s - (then.cpu_s if then else 0.0), 0.0) / seconds
        known = parts.get(now.part, Share(0.0, 0.0, 0.0))
        parts[now.part] = Share(known.cpu_pct + cpu_pct, known.rss_mib + now.rss_mib, known.pss_mib + now.pss_mib)
    return dict(sorted(parts.items(), key=lambda part: -part[1].cpu_pct))


def total(parts: Mapping[str, Share]) -> Share:
    """Return the sum of parts. Pure."""
    rows = list(parts.values())
    return Share(sum(row.cpu_pct for row in rows), sum(row.rss_mib for row in rows), sum(row.pss_mib for row in rows))
