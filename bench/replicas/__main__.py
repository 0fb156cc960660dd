"""``python -m bench.replicas``: two servers of one version under steady requests, restarted in turn, then killed one after the other.

The gateway, the servers, the reconciler and its tables (SQLite) are the platform's own; requests are sent open loop, each answer's form is
checked.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins"))

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from bench.serving.stage import CLIENT, MODEL, BenchPlatform, bench_platform
from include.backends import options
from include.backends.triton.spec import TritonServe
from include.bundles import golden_probe as golden
from include.bundles.table import Bundle
from include.reconcile.facts import Wanted
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles
from include.replicas.number import Bounds
from include.runtime import family
from include.serving.revision import Revision
from include.serving.traffic import Traffic
from lifecycle.db import replicas, serving
from lifecycle.db.models import Base
from lifecycle.deeds import Deeds
from lifecycle.fleet import Fleet
from lifecycle.reconciler import Reconciler
from lifecycle.replica_deeds import ReplicaDeeds

SERVERS, KEY = 2, (MODEL, 1)
LOOK_S, LONGEST_S, SETTLED_S = 1.0, 180.0, 3.0


@dataclass(frozen=True)
class Measured:
    """What a fault came to: ``seconds`` until all servers answered again."""

    what: str
    seconds: float
    requests: int
    failed: int
    shed: int
    p99_ms: float
    causes: tuple[str, ...]


class Site:
    """The platform's reconciler for one model, in a thread."""

    def __init__(self, platform: BenchPlatform) -> None:
        self._platform = platform
        self._engine = create_engine(f"sqlite:///{platform.settings.home / 'tables.db'}")
        Base.metadata.create_all(self._engine)
        keys = {"api_keys": {CLIENT: platform.key}, "probe_secret": platform.credentials.probe_secret}
        (platform.settings.home / "credentials.json").write_text(json.dumps(keys))

        def mlflow() -> Mlflow:
            return Mlflow("http://127.0.0.1:9")  # nothing is fetched: the bundle is kept

        settings, backend, gateway = platform.settings, platform.backend, platform.gateway
        deeds = Deeds(settings, backend, mlflow, _no_pool, lambda model: None, lambda *_: None)
        own = ReplicaDeeds(settings, backend, lambda model: gateway, mlflow, _no_pool, lambda model: None)
        fleet = Fleet(backend, own, self.sessions, lambda: {MODEL: Bounds(SERVERS, SERVERS)}, gateway.table, _quiet)
        self._reconciler = Reconciler("bench/1", backend, deeds, self.sessions, _quiet, fleet=fleet)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def sessions(self) -> Iterator[Session]:
        with Session(self._engine) as session:
            yield session
            session.commit()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()
        self._reconciler.wait()

    def restart(self) -> None:
        """Ask for a restart, as `POST /serving/v1/.../restart` does."""
        with self.sessions() as session:
            serving.want(session, KEY, Wanted.RUNNING, "bench", "A rolling restart.", datetime.now(UTC), again=True)

    def up(self) -> int:
        """How many servers the reconciler has seen answering callers."""
        with self.sessions() as session:
            return sum(row.up for row in replicas.replicas(session).values())

    def servers(self) -> dict[int, list[int]]:
        """The processes of each server, by number."""
        found = [one for one in self._platform.backend.servers() if one.model == MODEL]
        return {one.number: self.processes(one) for one in found}

    def processes(self, server: Revision) -> list[int]:
        """Every process of a server."""
        return family.family(str(self._platform.settings.home), server.program)

    def _run(self) -> None:
        while not self._ends.wait(LOOK_S):
            self._reconciler.round(datetime.now(UTC), time.monotonic())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--kills", type=int, default=4, help="kill -9 of a server, in turn")
    asked = parser.parse_args()
    with bench_platform() as platform:
        site = Site(platform)
        deploy(platform)
        site.start()
        try:
            until(lambda: site.up() == SERVERS, "two servers")
            found = [measure(platform, site, asked.rate, "rolling restart", lambda: restart(site))]
            for number in range(asked.kills):
                server = number % SERVERS + 1
                found.append(
                    measure(platform, site, asked.rate, f"kill -9 of server {server}", lambda server=server: kill(platform, site, server))
                )
        finally:
            site.stop()
    report(found, asked.rate)


def deploy(platform: BenchPlatform) -> None:
    options.save(platform.bundle, TritonServe(), {})
    bundles.keep(platform.bundle, MODEL, KEY[1], platform.settings.home / "bundles")
    first = platform.backend.start(platform.bundle, MODEL, str(KEY[1]), TritonServe())
    platform.gateway.add_revision(first.endpoint())
    platform.gateway.set_split(MODEL, {str(KEY[1]): 100})


def restart(site: Site) -> None:
    before = site.servers()
    site.restart()

    def renewed() -> bool:
        now = site.servers()
        return now.keys() == before.keys() and all(not set(now[one]) & set(before[one]) for one in now) and site.up() == SERVERS

    until(renewed, "a rolling restart")


def kill(platform: BenchPlatform, site: Site, number: int) -> None:
    before = site.servers()[number]
    for process in before:
        os.kill(process, signal.SIGKILL)
    name = f"cluster.{MODEL}-{KEY[1]}.membership_healthy"

    def back() -> bool:
        healthy = platform.gateway.admin.counters(f"^{name}$").get(name)
        return (
            not set(site.servers()[number]) & set(before)
            and healthy == SERVERS
            and all(platform.backend.answers(one) for one in platform.backend.servers() if one.model == MODEL)
        )

    until(back, "the killed server")


def measure(platform: BenchPlatform, site: Site, rate: float, what: str, act: Callable[[], None]) -> Measured:
    reference = Bundle.read(platform.bundle).golden
    images = [[golden.rows(reference.inputs[0], row, row + 1)] for row in range(reference.rows)]
    traffic = Traffic(platform.settings.gateway_url, platform.key, MODEL, images, rate)
    traffic.start()
    time.sleep(SETTLED_S)
    begun = time.monotonic()
    act()
    seconds = time.monotonic() - begun
    time.sleep(SETTLED_S)
    done = traffic.stop()
    latencies = sorted(latency for one in done.by_revision.values() for latency in one.latencies_ms)
    p99 = latencies[int(len(latencies) * 0.99)] if latencies else float("nan")
    print(f"{what}: {seconds:.1f} s, {done.total} requests, {done.failed} failed", flush=True)
    return Measured(what, seconds, done.total, done.failed, done.shed, p99, tuple(done.failures))


def report(found: list[Measured], rate: float) -> None:
    print(f"\n{SERVERS} servers of one version, {rate:g} requests/s\n")
    print(f"{'':<24}{'seconds':>9}{'requests':>10}{'failed':>8}{'p99 ms':>9}")
    for one in found:
        print(f"{one.what:<24}{one.seconds:>9.1f}{one.requests:>10}{one.failed:>8}{one.p99_ms:>9.1f}")
        for cause in one.causes:
            print(f"  failed: {cause}")
    figures = {
        "failed": sum(one.failed for one in found),
        "requests": sum(one.requests for one in found),
        "shed": sum(one.shed for one in found),
        "rolling_restart_s": round(found[0].seconds, 1),
        "back_s_most": round(max(one.seconds for one in found[1:]), 1) if found[1:] else None,
        "p99_ms_most": round(max(one.p99_ms for one in found), 1),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))


def until(condition: Callable[[], bool], what: str) -> None:
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > LONGEST_S:
            raise SystemExit(f"{what}: not within {LONGEST_S:g} s")
        time.sleep(0.1)


def _no_pool() -> object:
    raise AssertionError("no GPU is asked for here")


def _quiet(text: str) -> None:
    return


if __name__ == "__main__":
    main()
