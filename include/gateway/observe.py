"""What happened at the gateway, out of its access log: the judge's observations, exact and request by request."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from include.canary.observations import Answers, Arm, Latencies
from include.gateway import openai

LIVE, PROBE, MIRROR, BATCH, FALLBACK = "live", "probe", "mirror", "batch", "fallback"
_CALLER_LEFT = {"DC", "DPE"}
_ANSWER_BROKE = {"UC", "UPE", "UR", "UT"}
"""A revision that begins an answer well and doesn't end it."""
LEAST_TOKENS = 8
"""A shorter answer doesn't tell the time of a token."""
_ENDS_WELL = {"stop", "tool_calls", "function_call"}


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
    answered: bool = False
    streamed: bool = False
    hold: str = ""
    """Id of what it had reserved of a budget."""

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
                answered=data.get("answered") is not None,
                streamed=(data.get("content_type") or "").startswith("text/event-stream"),
                hold=data.get("hold") or "",
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
    def tpot_us(self) -> float | None:
        """Time of each token after the first, of a streamed answer: of a short one, the stream's end would weigh too much."""
        if not self.streamed or self.upstream_us is None or self.first_byte_us is None or (self.completion_tokens or 0) < LEAST_TOKENS:
            return None
        return (self.upstream_us - self.first_byte_us) / ((self.completion_tokens or 0) - 1)

    @property
    def ended_badly(self) -> bool:
        """The answer was cut off, or said nothing."""
        return self.finish_reason not in _ENDS_WELL or not self.answered

    @property
    def callers_fault(self) -> bool:
        """Refused with 4xx or as not offered (501), or the caller went away: says nothing about the revision."""
        return 400 <= self.status < 500 or self.status == 501 or (self.status < 500 and bool(self.flags & _CALLER_LEFT))

    @property
    def refused(self) -> bool:
        """The revision itself answered that the caller is at fault: of one revision alone, that is the revision's fault."""
        return 400 <= self.status < 500 and self.served_by == self.revision and not self.flags & _CALLER_LEFT

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
    entries: list[Entry] = []
    cursor = since
    with ExitStack() as stack:
        # All are open before any is read: once a newer file exists Envoy writes no more to the older one, and renaming moves no open file.
        files = _opened(log, stack)
        # A shorter one has only got the number of the file that is gone.
        known = (number for number, (inode, handle) in enumerate(files) if inode == since.inode and _size(handle) >= since.offset)
        start = next(known, None)
        for number, (inode, handle) in list(enumerate(files))[start or 0 :]:
            offset = since.offset if number == start else 0
            handle.seek(offset)
            text = handle.read()
            whole = text[: text.rfind(b"\n") + 1]
            entries += [entry for line in whole.splitlines() if (entry := Entry.parse(line)) is not None]
            cursor = Cursor(inode, offset + len(whole))
    return entries, cursor


def _size(handle: BinaryIO) -> int:
    return os.fstat(handle.fileno()).st_size


def _opened(log: Path, stack: ExitStack) -> list[tuple[int, BinaryIO]]:
    """The log's files by inode, oldest first, opened while no rotation moved any."""
    while True:
        files = _files(log)
        try:
            handles = [stack.enter_context(path.open("rb")) for path, _ in files]
        except FileNotFoundError:
            continue
        inodes = [os.fstat(handle.fileno()).st_ino for handle in handles]
        if inodes == [inode for _, inode in files] and files == _files(log):
            return list(zip(inodes, handles, strict=True))


def _files(log: Path) -> list[tuple[Path, int]]:
    """Each file's path and inode. The log itself is away from its renaming until Envoy has opened it again."""
    found = []
    for path in reversed(rotated(log)):
        with suppress(FileNotFoundError):
            found.append((path, path.stat().st_ino))
    return found


def rotated(log: Path) -> list[Path]:
    """The log and its older files, newest first."""
    older = [path for path in log.parent.glob(f"{log.name}.*") if path.suffix[1:].isdigit()]
    return [log, *sorted(older, key=lambda path: int(path.suffix[1:]))]


def arm(entries: Iterable[Entry], model: str, revision: str, kind: str = LIVE) -> Arm:
    """Counts and latencies of a revision's inference requests of one kind.

    Latencies are the upstream's, from the first byte sent to the last one received; with OpenAI's API to the first one received.
    Requests at the caller's fault are no failures; those that the revision refused are counted apart, for the judge to compare.
    """
    every = [entry for entry in entries if entry.model == model and entry.revision == revision and entry.kind == kind and entry.inference]
    mine = [entry for entry in every if not entry.callers_fault]
    refused = sum(entry.refused for entry in every)
    fine = [entry.latency_us / 1000 for entry in mine if not entry.error and entry.latency_us is not None]
    return Arm(
        len(mine), sum(entry.error for entry in mine), Latencies.of(fine), _answers([entry for entry in mine if not entry.error]), refused
    )


def _answers(entries: Iterable[Entry]) -> Answers:
    """What the answers of a language model were like; one that doesn't say how it ended (embeddings) is none."""
    chats = [entry for entry in entries if entry.chat and entry.finish_reason is not None]
    tpot_us = [entry.tpot_us for entry in chats]
    return Answers(
        ended=len(chats),
        bad=sum(entry.ended_badly for entry in chats),
        ttft=Latencies.of(entry.first_byte_us / 1000 for entry in chats if entry.streamed and entry.first_byte_us is not None),
        tpot=Latencies.of(value / 1000 for value in tpot_us if value is not None),
        lengths=Latencies.of(entry.completion_tokens for entry in chats if entry.completion_tokens),
    )


class Source(Protocol):
    """Where the figures of a trial's two arms come from. A mark is JSON: it is kept with each look."""

    def mark(self) -> dict[str, Any]:
        """From here on what comes counts."""

    def since(self, mark: Mapping[str, Any], *, mirrored: bool = False) -> tuple[Arm, Arm, dict[str, Any]]:
        """What stable and the canary have had since ``mark``, and the mark behind it; with ``mirrored`` the canary's arm is that of the
        copies. ComponentError when nobody can tell at the moment."""


class AccessLog:
    """The figures of Updraft's own gateway."""

    def __init__(self, log: Path, model: str, stable: str, canary: str) -> None:
        self._log, self._model, self._stable, self._canary = log, model, stable, canary

    def mark(self) -> dict[str, Any]:
        return end_of(self._log).to_json()

    def since(self, mark: Mapping[str, Any], *, mirrored: bool = False) -> tuple[Arm, Arm, dict[str, Any]]:
        entries, cursor = read_entries(self._log, Cursor.from_json(mark))
        stable = arm(entries, self._model, self._stable)
        return stable, arm(entries, self._model, self._canary, MIRROR if mirrored else LIVE), cursor.to_json()
