"""What happened at the gateway, out of its access log: the judge's observations, exact and request by request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include.canary.observations import Arm, Latencies, Look
from include.gateway import openai

LIVE, PROBE, MIRROR, BATCH = "live", "probe", "mirror", "batch"
_CALLER_LEFT = {"DC", "DPE"}
_ANSWER_BROKE = {"UC", "UPE", "UR", "UT"}
"""A revision that begins an answer well and doesn't end it."""


@dataclass(frozen=True)
class Cursor:
    """A place in the log that outlives rotation: the file's inode and a byte offset. JSON-able."""

    inode: int = 0
    offset: int = 0

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, int]) -> Cursor:
        return cls(inode=data["inode"], offset=data["offset"])


@dataclass(frozen=True)
class Entry:
    """One finished request. ``revision`` was chosen by the split, ``served_by`` answered (None: nobody did)."""

    time_s: float
    kind: str
    model: str | None
    revision: str | None
    served_by: str | None
    client: str | None
    path: str
    status: int
    flags: frozenset[str]
    attempts: int
    upstream_us: int | None
    first_byte_us: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None

    @classmethod
    def parse(cls, line: bytes) -> Entry | None:
        """None for a line that is no entry (cut short by a crash of Envoy)."""
        try:
            data: dict[str, Any] = json.loads(line)
            return cls(
                time_s=float(data["time"]),
                kind=data["kind"] or "",
                model=data["model"],
                revision=data["revision"],
                served_by=data["served_by"],
                client=data["client"],
                path=data["path"] or "",
                status=int(data["status"] or 0),
                flags=frozenset((data["flags"] or "-").split(",")) - {"-"},
                attempts=int(data["attempts"] or 0),
                upstream_us=data["upstream_us"],
                first_byte_us=data.get("first_byte_us"),
                prompt_tokens=_count(data.get("prompt_tokens")),
                completion_tokens=_count(data.get("completion_tokens")),
                finish_reason=data.get("finish_reason"),
            )
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def inference(self) -> bool:
        return self.chat or self.path.endswith("/infer")

    @property
    def chat(self) -> bool:
        """Asked by OpenAI's API."""
        return self.path in openai.INFERENCE_PATHS

    @property
    def latency_us(self) -> int | None:
        """What the caller waits for: the whole answer, and of a language model its first byte."""
        return self.first_byte_us if self.chat else self.upstream_us

    @property
    def callers_fault(self) -> bool:
        """Refused with 4xx or as not offered (501), or the caller went away: says nothing about the revision."""
        return 400 <= self.status < 500 or self.status == 501 or (self.status < 500 and bool(self.flags & _CALLER_LEFT))

    @property
    def error(self) -> bool:
        """The chosen revision did not answer well at the first attempt, whatever the caller got in the end."""
        failed = self.status == 0 or self.status >= 500 or bool(self.flags & _ANSWER_BROKE)
        failed = failed or self.attempts > 1 or self.served_by != self.revision
        return failed and not self.callers_fault


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)


def end_of(log: Path) -> Cursor:
    """The cursor from which only what comes later is read."""
    try:
        stat = log.stat()
    except FileNotFoundError:
        return Cursor()
    return Cursor(stat.st_ino, stat.st_size)


def read_entries(log: Path, since: Cursor) -> tuple[list[Entry], Cursor]:
    """Entries after ``since`` in the order written, and the cursor behind them. A line still being written waits for the next call.

    After rotations the older files are read first. A cursor whose file is gone starts at the oldest file kept.
    """
    # The list is taken before any file is read: once a newer file exists Envoy writes no more to the older one.
    files = [(path, path.stat().st_ino) for path in reversed(rotated(log)) if path.exists()]
    inodes = [inode for _, inode in files]
    start = inodes.index(since.inode) if since.inode in inodes else 0
    entries: list[Entry] = []
    cursor = since
    for path, inode in files[start:]:
        offset = since.offset if inode == since.inode else 0
        with path.open("rb") as handle:
            handle.seek(offset)
            text = handle.read()
        whole = text[: text.rfind(b"\n") + 1]
        entries += [entry for line in whole.splitlines() if (entry := Entry.parse(line)) is not None]
        cursor = Cursor(inode, offset + len(whole))
    return entries, cursor


def rotated(log: Path) -> list[Path]:
    """The log and its older files, newest first."""
    older = [path for path in log.parent.glob(f"{log.name}.*") if path.suffix[1:].isdigit()]
    return [log, *sorted(older, key=lambda path: int(path.suffix[1:]))]


def arm(entries: Iterable[Entry], model: str, revision: str, kind: str = LIVE) -> Arm:
    """Counts and latencies of a revision's inference requests of one kind.

    Latencies are the upstream's, from the first byte sent to the last one received; with OpenAI's API to the first one received.
    Requests at the caller's fault count neither way: a revision that refuses what the other accepts ends up without evidence.
    """
    mine = [
        entry
        for entry in entries
        if entry.model == model and entry.revision == revision and entry.kind == kind and entry.inference and not entry.callers_fault
    ]
    fine = [entry.latency_us / 1000 for entry in mine if not entry.error and entry.latency_us is not None]
    return Arm(requests=len(mine), errors=sum(entry.error for entry in mine), latencies=Latencies.of(fine))


def look(
    entries: Iterable[Entry], model: str, stable: str, canary: str, *, at_s: float, step: int, weight: int, mirrored: bool = False
) -> Look:
    """One look of the judge; with ``mirrored`` the canary's arm is that of the copies."""
    entries = list(entries)
    return Look(
        at_s=at_s,
        step=step,
        weight=weight,
        stable=arm(entries, model, stable),
        canary=arm(entries, model, canary, MIRROR if mirrored else LIVE),
    )
