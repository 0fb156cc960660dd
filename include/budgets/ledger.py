"""The count of budgets: what each month's requests have used of each key, team and model, and what those under way have reserved.

In memory, and in SQLite before anything is promised: killed at any moment, it goes on where it stood, and what was reserved stays so until
the access log tells what became of it. One process alone writes it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from include.budgets.rules import Of, Verdict, decide
from include.cost.month import Month
from include.errors import ComponentError
from include.gateway.budgets import KEY, MODEL, TEAM, Budget
from include.gateway.metering import Usage
from include.gateway.observe import BATCH, FALLBACK, LIVE, Cursor, Entry

LOST_S = 4200.0
"""A reservation of whose request nothing is heard for so long (the longest answer may take an hour) is taken to be used up whole: Envoy was
killed before it could tell."""
FORGOTTEN_S = 86400.0
BUSY_S = 10.0
_TABLES = """
CREATE TABLE IF NOT EXISTS spent (month TEXT, scope TEXT, name TEXT, tokens INTEGER NOT NULL, PRIMARY KEY (month, scope, name));
CREATE TABLE IF NOT EXISTS hold (
    id TEXT PRIMARY KEY, at REAL NOT NULL, month TEXT NOT NULL, client TEXT NOT NULL, model TEXT NOT NULL, team TEXT NOT NULL,
    tokens INTEGER NOT NULL, lost INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), inode INTEGER NOT NULL, offset INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Hold:
    """What one request has reserved. ``lost``: counted as used, because nothing was heard of it."""

    id: str
    at: float
    month: str
    client: str
    model: str
    team: str
    tokens: int
    lost: bool = False

    @property
    def of(self) -> tuple[Of, ...]:
        return scopes(self.client, self.model, self.team)


def scopes(client: str, model: str, team: str) -> tuple[Of, ...]:
    """Return whose budgets a request counts in."""
    return tuple(of for of in ((KEY, client), (MODEL, model), (TEAM, team)) if of[1])


class Ledger:
    """Open it once, in one process. :meth:`commit` before anything that it has said is passed on."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_TABLES)
            self.holds = {row[0]: replace(Hold(*row[:7]), lost=bool(row[7])) for row in self._database.execute("SELECT * FROM hold")}
            rows = self._database.execute("SELECT month, scope, name, tokens FROM spent")
            self._spent: dict[str, Counter[Of]] = {}
            for month, scope, name, tokens in rows:
                self._spent.setdefault(month, Counter())[scope, name] = tokens
            place = self._database.execute("SELECT inode, offset FROM place").fetchone()
        except sqlite3.Error as error:
            raise ComponentError(
                f"is no count of budgets ({error}).", where=str(path), remedy="Put it aside; the month is counted anew."
            ) from error
        self.cursor: Cursor | None = Cursor(*place) if place else None
        self._held: Counter[Of] = Counter()
        for hold in self.holds.values():
            if not hold.lost:
                self._count_held(hold, 1)
        self._early: dict[str, float] = {}
        self._begun = False

    def spent(self, month: str) -> Counter[Of]:
        """What the month has used up so far."""
        return self._spent.setdefault(month, Counter())

    @property
    def held(self) -> Counter[Of]:
        """What requests under way have reserved."""
        return self._held

    def begin_with(self, usage: Iterable[Usage], cursor: Cursor, team_of: dict[str, str]) -> None:
        """Take over what was metered up to a place in the access log, if this count has none yet."""
        if self.cursor is not None:
            return
        for row in usage:
            self._use(row.day[:7], scopes(row.client, row.model, team_of.get(row.client, "")), row.prompt_tokens + row.completion_tokens)
        self._go_on(cursor)

    def reserve(self, hold: Hold, least: int, budgets: Iterable[Budget], now: float) -> Verdict:
        """Reserve ``hold.tokens``, or as many as are left. Asked again by the same id it says the same."""
        if hold.id in self._early:
            return Verdict(refused="The request has ended already.", again_s=1)
        if (known := self.holds.get(hold.id)) is not None:
            return Verdict(granted=known.tokens)
        verdict = decide(budgets, self.spent(hold.month), self._held, least, hold.tokens, Month.parse(hold.month), now)
        if not verdict.refused:
            kept = replace(hold, tokens=verdict.granted)
            self.holds[hold.id] = kept
            self._count_held(kept, 1)
            self._do("INSERT INTO hold VALUES (?, ?, ?, ?, ?, ?, ?, 0)", (kept.id, kept.at, kept.month, *_whose(kept), kept.tokens))
        return verdict

    def settle(self, entries: Iterable[Entry], cursor: Cursor, team_of: dict[str, str], now: float) -> None:
        """Count what finished requests have used, up to ``cursor``; what they had reserved is free again."""
        if cursor == self.cursor:
            return
        for entry in entries:
            self._settle(entry, team_of, now)
        self._go_on(cursor)

    def lose(self, now: float) -> list[Hold]:
        """Count as used what nothing was heard of for long, and return it. What was lost long ago is forgotten."""
        lost = [hold for hold in self.holds.values() if not hold.lost and now - hold.at > LOST_S]
        for hold in lost:
            self._count_held(hold, -1)
            self.holds[hold.id] = replace(hold, lost=True)
            self._use(hold.month, hold.of, hold.tokens)
            self._do("UPDATE hold SET lost = 1 WHERE id = ?", (hold.id,))
        for hold in [hold for hold in self.holds.values() if hold.lost and now - hold.at > FORGOTTEN_S]:
            self._drop(hold)
        self._early = {id: at for id, at in self._early.items() if 0 <= now - at < LOST_S}
        return lost

    def commit(self) -> None:
        """Keep what was done since the last time."""
        if self._begun:
            self._database.execute("COMMIT")
            self._begun = False

    def close(self) -> None:
        """Let go of the file; what wasn't committed was promised to nobody."""
        self._database.close()

    def _settle(self, entry: Entry, team_of: dict[str, str], now: float) -> None:
        hold = self.holds.get(entry.hold) if entry.hold else None
        if hold is None:
            if entry.hold:
                self._early[entry.hold] = now
            if entry.kind in (LIVE, BATCH, FALLBACK) and entry.chat and entry.model and entry.served_by is not None and entry.status < 400:
                month, client = str(Month.of(entry.time_s)), entry.client or ""
                self._use(month, scopes(client, entry.model, team_of.get(client, "")), _told(entry) or 0)
            return
        self._drop(hold)
        if hold.lost:
            return  # it is counted already
        self._count_held(hold, -1)
        if entry.served_by is not None and entry.status < 400:
            told = _told(entry)
            self._use(hold.month, hold.of, hold.tokens if told is None else told)

    def _use(self, month: str, of: Iterable[Of], tokens: int) -> None:
        if not tokens:
            return
        for one in of:
            self.spent(month)[one] += tokens
            text = "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET tokens = excluded.tokens"
            self._do(text, (month, *one, self.spent(month)[one]))

    def _count_held(self, hold: Hold, sign: int) -> None:
        for of in hold.of:
            self._held[of] += sign * hold.tokens

    def _drop(self, hold: Hold) -> None:
        del self.holds[hold.id]
        self._do("DELETE FROM hold WHERE id = ?", (hold.id,))

    def _go_on(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._do(
            "INSERT INTO place VALUES (1, ?, ?) ON CONFLICT DO UPDATE SET inode = excluded.inode, offset = excluded.offset",
            tuple(vars(cursor).values()),
        )

    def _do(self, text: str, values: tuple[object, ...]) -> None:
        if not self._begun:
            self._database.execute("BEGIN IMMEDIATE")
            self._begun = True
        self._database.execute(text, values)


def _told(entry: Entry) -> int | None:
    if entry.prompt_tokens is None and entry.completion_tokens is None:
        return None
    return (entry.prompt_tokens or 0) + (entry.completion_tokens or 0)


def _whose(hold: Hold) -> tuple[str, str, str]:
    return hold.client, hold.model, hold.team


def begin_log(path: Path) -> None:
    """Have the count at ``path``, which nobody has open, go on at the beginning of its access log: that of another home, with other places.
    One that has counted nothing yet begins as it would have."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'place'").fetchone():
                database.execute("UPDATE place SET inode = ?, offset = ?", tuple(vars(Cursor()).values()))
                database.commit()
    except sqlite3.Error as error:
        raise ComponentError(f"is no count of budgets ({error}).", where=str(path), remedy="Restore another backup.") from error


def used(path: Path, month: str) -> tuple[Counter[Of], Counter[Of]]:
    """Return what the month has used up, and what is reserved now, as another process reads it. Raises ComponentError."""
    spent: Counter[Of] = Counter()
    held: Counter[Of] = Counter()
    if not path.exists():
        return spent, held
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_S)
        try:
            for scope, name, tokens in database.execute("SELECT scope, name, tokens FROM spent WHERE month = ?", (month,)):
                spent[scope, name] = tokens
            for client, model, team, tokens in database.execute("SELECT client, model, team, tokens FROM hold WHERE lost = 0"):
                held.update(dict.fromkeys(scopes(client, model, team), tokens))
        finally:
            database.close()
    except sqlite3.Error as error:
        raise ComponentError(f"can't be read ({error}).", where=str(path), remedy="Is the program `budgets` running?") from error
    return spent, held
