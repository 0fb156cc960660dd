"""Who used how many tokens of which model, day by day: out of the access log into a table that outlives it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from include import atomic
from include.errors import ComponentError, InputError
from include.gateway.observe import BATCH, FALLBACK, LIVE, Cursor, Entry, read_entries
from include.prices import table as prices

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Instance:
    """A machine for rent: its GPUs, and what an hour of it costs on demand (US dollars)."""

    gpus: str
    usd_per_hour: float


INSTANCES = {name: Instance(one.title, one.hour) for name, one in prices.defaults().instances.items()}
"""Machines of the project's price table."""
DEFAULT_INSTANCE = "g4dn.xlarge"


def instance(name: str) -> Instance:
    """The machine of this name; an InputError when it has no price."""
    if name not in INSTANCES:
        raise InputError(f"there is no price of {name!r}.", where="gateway: usage", remedy=f"Known: {', '.join(INSTANCES)}.")
    return INSTANCES[name]


@dataclass(frozen=True)
class Usage:
    """What one client asked of one model on one day (UTC).

    ``untold`` answers ended before they told their tokens, by the caller's hanging up or the server's failing; ``seconds`` are the
    servers', from the first byte of a request to the last of its answer, added up.
    """

    day: str
    client: str
    model: str
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    untold: int = 0
    seconds: float = 0.0

    @property
    def key(self) -> Key:
        return self.day, self.client, self.model

    def add(self, entry: Entry) -> Usage:
        """With one more answer."""
        told = entry.prompt_tokens is not None
        return Usage(
            *self.key,
            requests=self.requests + 1,
            prompt_tokens=self.prompt_tokens + (entry.prompt_tokens or 0),
            completion_tokens=self.completion_tokens + (entry.completion_tokens or 0),
            untold=self.untold + (not told),
            seconds=self.seconds + (entry.upstream_us or 0) / 1e6,
        )

    def cost_usd(self, instance: Instance) -> float:
        """Price of the servers' seconds on this instance, as though each answer had it for itself: an upper bound where they overlap."""
        return self.seconds / 3600 * instance.usd_per_hour


def total(rows: Iterable[Usage], entries: Iterable[Entry]) -> list[Usage]:
    """The rows with what these entries add, in order. Probes, copies and refused requests are nobody's usage."""
    found = {row.key: row for row in rows}
    for entry in entries:
        if (
            entry.kind not in (LIVE, BATCH, FALLBACK)
            or not entry.chat
            or entry.model is None
            or entry.served_by is None
            or entry.status >= 400
        ):
            continue
        empty = Usage(datetime.fromtimestamp(entry.time_s, UTC).date().isoformat(), entry.client or "", entry.model)
        found[empty.key] = found.get(empty.key, empty).add(entry)
    return [found[key] for key in sorted(found)]


class Meter:
    """The table in ``file``, kept up with the access log ``log``. Whatever is killed, no request is counted twice."""

    def __init__(self, log: Path, file: Path) -> None:
        self._log, self._file = log, file

    def update(self) -> list[Usage]:
        """Add what has been logged since the last time; the whole table. Often enough, that is before the log's files are dropped."""
        return self.update_to()[0]

    def update_to(self) -> tuple[list[Usage], Cursor]:
        """The same, with the place in the log up to which it counts."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._file.with_name(f"{self._file.name}.lock")):
            kept, since = self._read()
            entries, cursor = read_entries(self._log, since)
            rows = total(kept, entries)
            if cursor != since:
                data = {"cursor": cursor.to_json(), "rows": [asdict(row) for row in rows]}
                atomic.write(self._file, json.dumps(data, indent=1))
            return rows, cursor

    def _read(self) -> tuple[list[Usage], Cursor]:
        try:
            data: dict[str, Any] = json.loads(self._file.read_text())
            return [Usage(**row) for row in data["rows"]], Cursor.from_json(data["cursor"])
        except FileNotFoundError:
            return [], Cursor()
        except (ValueError, KeyError, TypeError) as error:
            raise ComponentError(
                f"is no table of usage ({type(error).__name__}).", where=str(self._file), remedy="Put it aside; counting begins anew."
            ) from error
