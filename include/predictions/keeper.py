"""Takes what the gateway tells of, and keeps it: journal first, Parquet every few minutes, the oldest dropped. One process's alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.errors import UpdraftError
from include.predictions.exchange import Columns, Row, rows
from include.predictions.journal import Journal, convert, journals
from include.predictions.privacy import private
from include.predictions.store import Segment, Store
from include.spec.schema import PredictionLog

CONVERT_S = 300.0
CONVERT_BYTES = 32 * 1024 * 1024
"""A journal becomes Parquet when it is so old or so long."""
LEAST_FREE_BYTES = 256 * 1024 * 1024
"""With less than this free on its disk the log keeps nothing: the disk is others' as well."""
MOST_WAITING_BYTES = 1024 * 1024 * 1024
"""Journals that no store takes are kept up to this; then nothing new is."""
GIB = 2**30


@dataclass(frozen=True)
class Plan:
    """How a model is logged; ``chat``: it speaks OpenAI's API."""

    log: PredictionLog
    chat: bool = False


@dataclass
class Counts:
    """What became of the rows since the process began: ``kept``; ``lost`` by cause; ``over``: beyond `per_minute`."""

    kept: int = 0
    over: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    def lose(self, cause: str, count: int) -> None:
        """Count rows that are lost."""
        self.lost[cause] = self.lost.get(cause, 0) + count


class Keeper:
    """``folder`` holds the journals, ``store`` the Parquet files; ``secret`` is the hashes' key. ``free`` tells the bytes that are left on
    the folder's disk, ``say`` is told what a person should know."""

    def __init__(
        self, folder: Path, store: Store, secret: bytes, *, say: Callable[[str], None] = print, free: Callable[[Path], int] | None = None
    ) -> None:
        self._folder, self._store, self._secret, self._say = folder, store, secret, say
        self._free = free or (lambda path: shutil.disk_usage(path).free)
        self._journal: Journal | None = None
        self._minutes: dict[tuple[str, str], tuple[int, int]] = {}
        self._full = ""
        self.counts = Counts()

    def take(self, told: Iterable[Mapping[str, str]], plans: Mapping[str, Plan], columns: Columns) -> None:
        """Keep what the gateway tells of. When this returns it is kept or counted as lost, whatever is killed then; it raises nothing for
        what was told."""
        kept: list[Row] = []
        for facts in told:
            try:
                kept += self._rows(facts, plans, columns)
            except (ValueError, KeyError, TypeError, RecursionError, ArithmeticError) as error:
                self.counts.lose(f"not understood ({type(error).__name__})", 1)
        if not kept:
            return
        try:
            if not self._full:
                self._open().append(kept)
        except OSError as error:
            self._stop(f"could not be written ({error.strerror or error})")
        if self._full:
            self.counts.lose(self._full, len(kept))
        else:
            self.counts.kept += len(kept)

    def _rows(self, facts: Mapping[str, str], plans: Mapping[str, Plan], columns: Columns) -> list[Row]:
        plan = plans.get(facts["model"])
        if plan is None or plan.log.share <= 0:
            return []
        found = rows(facts, columns)
        if found and not self._in_time(facts["model"], found[0], plan.log.per_minute):
            self.counts.over += len(found)
            return []
        if facts.get("cut", "-") != "-":
            self.counts.lose("bodies too long", 1)
        return [private(row, plan.log, self._secret, chat=plan.chat) for row in found]

    def _in_time(self, model: str, row: Row, most: int | None) -> bool:
        """Count an exchange among those of its minute."""
        key, minute = (model, row["kind"]), int(row["time"] // 60)
        before, count = self._minutes.get(key, (minute, 0))
        count = count + 1 if before == minute else 1
        self._minutes[key] = (minute, count)
        return most is None or count <= most

    def _open(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self._folder)
        return self._journal

    def _stop(self, why: str) -> None:
        if self._full != why:
            self._say(f"The log keeps nothing: it {why}. Traffic goes on.")
        self._full = why

    def look(self) -> None:
        """Look whether there is room again, or no longer. Often."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        waiting = sum(_size(path) for path in journals(self._folder))
        if self._free(self._folder) < LEAST_FREE_BYTES:
            self._stop(f"has less than {LEAST_FREE_BYTES // 2**20} MiB of disk left")
        elif waiting > MOST_WAITING_BYTES:
            self._stop("waits for its store, with as much as it may hold")
        elif self._full:
            self._full = ""
            self._say("The log keeps again what comes.")

    def turn(self, *, now: bool = False) -> Path | None:
        """Close the journal that is written when it is due (``now``: in any case); the next rows begin another. Returns the closed one."""
        journal = self._journal
        if journal is None or not (now or journal.bytes >= CONVERT_BYTES or time.monotonic() - journal.began_s >= CONVERT_S):
            return None
        self._journal = None
        try:
            journal.close()
        except OSError as error:
            self._say(f"{journal.path.name} may not be on the disk: {error}")
        return journal.path

    def convert(self) -> None:
        """Make Parquet of every journal that nobody writes to any more. What fails waits; it may run beside :meth:`take`."""
        mine = self._journal
        for path in journals(self._folder):
            if mine is not None and path == mine.path:
                continue
            try:
                convert(path, self._store)
            except (UpdraftError, OSError) as error:
                self._say(f"{path.name} is not Parquet yet: {error}")
                return
            except ValueError as error:
                self._say(f"{path.name} holds something else than rows and is put aside: {error}")
                path.rename(path.with_suffix(".broken"))

    def drop(self, plans: Mapping[str, Plan], now: datetime) -> None:
        """Drop the rows that are too old, or the oldest of those that are too much. Of a model that is logged no more, its default."""
        by_model: dict[str, list[Segment]] = {}
        for segment in self._store.segments():
            by_model.setdefault(segment.model, []).append(segment)
        for model, segments in by_model.items():
            log = plans[model].log if model in plans else PredictionLog()
            for segment in surplus(segments, log, now):
                self._store.remove(segment)


def surplus(segments: Sequence[Segment], log: PredictionLog, now: datetime) -> list[Segment]:
    """Return which of a model's segments (the oldest first) are to go."""
    since, room = now - timedelta(days=log.keep_days, hours=1), log.keep_gib * GIB
    found = []
    for segment in reversed(segments):
        room -= segment.bytes
        if room < 0 or segment.hour < since:
            found.append(segment)
    return found


def now() -> datetime:
    return datetime.now(UTC)


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
