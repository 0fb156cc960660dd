"""The prediction log's process (`python -m include.predictions.service`, run by supervisord): the gateway sends to its socket."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from include import atomic
from include.errors import ComponentError, UpdraftError
from include.gateway.exchanges import BUFFER_BYTES, CLUSTER, PATH, Drawn
from include.gateway.gateway import Gateway
from include.kinds.load import find, load
from include.predictions.exchange import Columns
from include.predictions.keeper import Keeper, Plan, now
from include.predictions.store import store
from include.runtime.settings import PRIVATE, Settings
from include.spec.problem import SpecError

if TYPE_CHECKING:
    from aiohttp import web

SPECS_S = 10.0
DROP_S = 60.0
LOOK_S = 1.0
DROPPED = f"access_logs.open_telemetry_access_log.{CLUSTER}.logs_dropped"
"""What Envoy counts of the records that it could not send."""


class Specs:
    """The models that are logged, read again when their files change. One whose file is broken is logged as it was when it was whole."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[Path, tuple[float, Plan | None]] = {}

    def plans(self) -> dict[str, Plan]:
        """Return how each model is logged that is."""
        self._known = {path: self._one(path) for path in find(self._settings.models)}
        return {path.parent.name: plan for path, (_, plan) in self._known.items() if plan is not None and plan.log.share > 0}

    def _one(self, path: Path) -> tuple[float, Plan | None]:
        changed, (before_s, known) = path.stat().st_mtime, self._known.get(path, (0.0, None))
        if changed == before_s:
            return changed, known
        try:
            spec = load(path)
            return changed, Plan(spec.monitor.log)
        except SpecError:
            return changed, known


def told(body: bytes) -> list[dict[str, str]]:
    """Return the exchanges of one message of Envoy's, each by its attributes. Raises ValueError for what is none."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    try:
        message = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError("is no message of OpenTelemetry's") from error
    records = (record for resource in message.resource_logs for scope in resource.scope_logs for record in scope.log_records)
    return [{pair.key: pair.value.string_value for pair in record.attributes} for record in records]


class Service:
    """The socket, and what is done from time to time."""

    def __init__(self, settings: Settings, gateway: Gateway) -> None:
        self._settings, self._gateway = settings, gateway
        self.keeper = Keeper(settings.prediction_log, store(settings.predictions), secret(settings.prediction_log / "hash.key"), say=say)
        self._specs = Specs(settings)
        self._plans: dict[str, Plan] = {}
        self._columns: Columns = lambda model, version: ()
        self._dropped: int | None = None
        self._said: object = None

    async def run(self, stop: asyncio.Event) -> None:
        """Take what comes until ``stop`` is set; then what was taken becomes Parquet."""
        from aiohttp import web

        await self._tried(self._read_specs)
        socket = self._settings.prediction_socket
        socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        socket.unlink(missing_ok=True)
        application = web.Application(client_max_size=64 * BUFFER_BYTES)
        application.router.add_post(PATH, self._take)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        socket.chmod(0o600)
        every = ((self._look, LOOK_S), (self._read_specs, SPECS_S), (self._drop, DROP_S))
        chores = [asyncio.create_task(self._chore(work, seconds)) for work, seconds in every]
        try:
            await stop.wait()
        finally:
            await runner.cleanup()
            for chore in chores:
                chore.cancel()
            self.keeper.turn(now=True)
            self._count()
        await asyncio.to_thread(self.keeper.convert)

    async def _take(self, request: web.Request) -> web.Response:
        from aiohttp import web

        try:
            self.keeper.take(told(await request.read()), self._plans, self._columns)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response(content_type="application/x-protobuf")

    async def _chore(self, work: Callable[[], None], every_s: float) -> None:
        while True:
            await self._tried(work)
            await asyncio.sleep(every_s)

    async def _tried(self, work: Callable[[], None]) -> None:
        try:
            self.keeper.turn()  # on this thread, like what is taken
            await asyncio.to_thread(work)
        except (UpdraftError, OSError) as error:
            say(str(error))

    def _look(self) -> None:
        self.keeper.look()
        self.keeper.convert()
        self._count()

    def _drop(self) -> None:
        self.keeper.drop(self._plans, now())

    def _read_specs(self) -> None:
        """Have the gateway tell of what the specs say, and learn the columns of the tables that it serves."""
        plans = self._specs.plans()
        chats = {model for model in plans if any(found.protocol == "openai" for found in self._gateway.revisions(model).values())}
        self._plans = {model: Plan(plan.log, model in chats) for model, plan in plans.items()}
        self._columns = lru_cache(1024)(self._columns_of)
        with suppress(ComponentError):  # Envoy is away: it reads its files when it starts
            self._gateway.draw({model: Drawn(plan.log.share, plan.log.per_minute) for model, plan in plans.items()})

    def _columns_of(self, model: str, version: int) -> tuple[str, ...]:
        known = self._gateway.revisions(model).get(str(version))
        about = json.loads(known.about) if known is not None and known.about else {}
        return next((tuple(tensor["columns"]) for tensor in about.get("inputs", ()) if "columns" in tensor), ())

    def _count(self) -> None:
        """Write down what was lost, and say it when it has grown."""
        with suppress(ComponentError):
            dropped = sum(self._gateway.admin.counters(f"^{DROPPED}$").values())
            before, self._dropped = self._dropped, dropped
            if before is not None and dropped > before:
                self.keeper.counts.lose("dropped by the gateway", dropped - before)
        lost = dict(self.keeper.counts.lost)
        if lost != self._said:
            if lost:
                say(f"Lost since the start: {', '.join(f'{count} ({cause})' for cause, count in lost.items())}.")
            self._said = lost
            atomic.write(self._settings.prediction_log / "counts.json", json.dumps({"at": time.time(), **asdict(self.keeper.counts)}))


def secret(path: Path) -> bytes:
    """Return the key of the hashes; made once, its owner's alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write(path, secrets.token_hex(32))
    return path.read_bytes()


def say(text: str) -> None:
    print(text, flush=True)


async def _main(service: Service) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await service.run(stop)


def main() -> None:
    os.umask(PRIVATE)
    settings = Settings.load()
    asyncio.run(_main(Service(settings, Gateway(settings))))


if __name__ == "__main__":
    main()
