"""Keeps the count of budgets (``python -m include.budgets.service``, run by supervisord): answers the gateway on a Unix socket of its
owner's alone, and settles out of the gateway's access log.

What comes at the same moment is written down together, once, before any of it is answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from include.budgets.ledger import Hold, Ledger
from include.budgets.rules import Verdict
from include.cost.month import Month
from include.errors import ComponentError, UpdraftError
from include.gateway import budgets as rules
from include.gateway import keys
from include.gateway.budgets import ASK_PATH, Budget
from include.gateway.metering import Meter
from include.gateway.observe import Cursor, read_entries
from include.runtime.settings import PRIVATE, Settings

BUSY_POLL_S, IDLE_POLL_S = 0.1, 1.0
"""How often the access log is looked at, with and without requests under way."""
LOST_EVERY_S = 60.0
MOST_HEAD_BYTES = 16 * 1024
BACKLOG = 4096


class Known:
    """Budgets and keys as their files say now; while one can't be read, as it said last."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self._seen: dict[Path, object] = {}
        self._problem = ""
        self.budgets: dict[tuple[str, str], Budget] = {}
        self.teams: dict[str, str] = {}

    def look(self) -> None:
        """Read what has changed."""
        try:
            if self._changed(self._settings.budgets):
                self.budgets = rules.read(self._settings.budgets)
            if self._changed(self._settings.keys):
                self.teams = {name: key.team for name, key in keys.read(self._settings.keys).items()}
        except UpdraftError as error:
            if str(error) != self._problem:
                self._say(str(error))
            self._problem = str(error)

    def _changed(self, path: Path) -> bool:
        try:
            stat = path.stat()
            now: object = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            now = None
        before = self._seen.get(path, "")
        self._seen[path] = now
        return now != before


class Service:
    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time, say: Callable[[str], None] = print) -> None:
        self._settings, self._clock, self._say = settings, clock, say
        self.ledger = Ledger(settings.budget_ledger)
        self.known = Known(settings, say)
        self.known.look()
        meter = Meter(settings.gateway_log, settings.usage)
        if self.ledger.cursor is None:
            rows, cursor = meter.update_to()
            self.ledger.begin_with(rows, cursor, self.known.teams)
            self.ledger.commit()
        self._asked: list[tuple[Hold, int, asyncio.Future[Verdict]]] = []
        self._lost_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until ``stop`` is set."""
        socket = self._settings.budget_socket
        socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, str(socket), limit=MOST_HEAD_BYTES, backlog=BACKLOG)
        socket.chmod(0o600)
        chore = asyncio.create_task(self._settle_forever())
        try:
            await stop.wait()
        finally:
            server.close()
            chore.cancel()
            self.ledger.close()
            socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *lines = head.split("\r\n")
                fields = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines if one)}
                length = fields.get("content-length", "0")
                if not length.isdigit() or int(length) > MOST_HEAD_BYTES:
                    break
                await reader.readexactly(int(length))
                writer.write(await self._answer(line, fields))
                await writer.drain()
        writer.close()

    async def _answer(self, line: str, fields: dict[str, str]) -> bytes:
        if not line.startswith(f"POST {ASK_PATH} "):
            return _http(404, "There is no such path.")
        try:
            now = self._clock()
            client, model, least, want = fields["x-client"], fields["x-model"], int(fields["x-least"]), int(fields["x-want"])
            hold = Hold(fields["x-id"], now, str(Month.of(now)), client, model, "", want)
            if not hold.id or not 0 <= least <= want:
                raise ValueError
        except (KeyError, ValueError):
            return _http(400, "That is no reservation.")
        try:
            verdict = await self._reserved(hold, least)
        except Exception as error:  # a full disk: nothing was promised
            self._say(f"{type(error).__name__}: {error}")
            return _http(503, "The count of budgets can't be kept.")
        if verdict.refused:
            return _http(429, json.dumps(verdict.refused)[1:-1], f"retry-after: {verdict.again_s}\r\n")
        return _http(200, "", f"x-granted: {verdict.granted}\r\n")

    def _reserved(self, hold: Hold, least: int) -> asyncio.Future[Verdict]:
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._decide)
        self._asked.append((hold, least, future))
        return future

    def _decide(self) -> None:
        """All that has come since the last turn of the loop, kept together; then it is answered."""
        asked, self._asked = self._asked, []
        self.known.look()
        try:
            found = [(self._reserve(hold, least), future) for hold, least, future in asked]
            self.ledger.commit()
        except Exception as error:
            for _, _, future in asked:
                if not future.done():
                    future.set_exception(error)
            return self._begin_anew(error)
        for verdict, future in found:
            if not future.done():
                future.set_result(verdict)

    def _reserve(self, hold: Hold, least: int) -> Verdict:
        hold = Hold(**{**vars(hold), "team": self.known.teams.get(hold.client, "")})
        budgets = [budget for of in hold.of if (budget := self.known.budgets.get(of)) is not None]
        return self.ledger.reserve(hold, least, budgets, hold.at)

    def _begin_anew(self, error: Exception) -> None:
        """What is in memory is more than what is kept: supervisord starts the count again, from what is."""
        self._say(f"The count can't be kept and begins anew: {type(error).__name__}: {error}")
        os.kill(os.getpid(), signal.SIGTERM)

    async def _settle_forever(self) -> None:
        while True:
            try:
                self.settle()
            except (UpdraftError, OSError) as error:
                self._say(str(error))
            except Exception as error:  # a database that can't be written, say; ended in silence, nothing would be given back any more
                self._begin_anew(error)
            await asyncio.sleep(BUSY_POLL_S if self.ledger.held.total() else IDLE_POLL_S)

    def settle(self) -> None:
        """Count what has ended since the last time."""
        now = self._clock()
        self.known.look()
        entries, cursor = read_entries(self._settings.gateway_log, self.ledger.cursor or Cursor())
        self.ledger.settle(entries, cursor, self.known.teams, now)
        if not 0 <= now - self._lost_at < LOST_EVERY_S:
            self._lost_at = now
            for hold in self.ledger.lose(now):
                self._say(f"Nothing was heard of a request of {hold.client} to {hold.model}: its {hold.tokens} tokens count as used.")
        self.ledger.commit()


def _http(status: int, body: str, more: str = "") -> bytes:
    text = body.encode()
    return f"HTTP/1.1 {status} x\r\ncontent-length: {len(text)}\r\n{more}\r\n".encode() + text


def main() -> None:
    os.umask(PRIVATE)
    settings = Settings.load()
    settings.budget_ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with FileLock(settings.budget_ledger.with_name("lock"), timeout=10):
            asyncio.run(_run(settings))
    except Timeout:
        raise SystemExit("Another process keeps the count of budgets already.") from None
    except ComponentError as error:
        raise SystemExit(str(error)) from None


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Service(settings, say=lambda text: print(text, flush=True)).run(stop)


if __name__ == "__main__":
    main()
