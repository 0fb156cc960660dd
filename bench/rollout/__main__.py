"""``python -m bench.rollout``: steady traffic through the gateway while revisions are deployed, tried, promoted and rolled back.

Every round starts a real revision beside the serving one, checks it with golden inputs, gives it 10 % and 50 % of the traffic, and then
promotes it or rolls it back in turn; the loser is drained, forgotten and stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

from bench.serving.stage import CLIENT, MODEL, BenchPlatform, bench_platform
from include.backends.triton.spec import TritonServe
from include.bundles import golden_probe as golden
from include.bundles.table import Bundle
from include.gateway.observe import Cursor, Entry, end_of, read_entries
from include.serving.drain import drain
from include.serving.revision import Revision
from include.serving.traffic import Traffic, TrafficReport
from include.verdict import Decision

STEPS = (10, 50)
STEP_S = 0.5
LOG_S = 0.5
"""Envoy's access log is complete this long after a request."""


@dataclass(frozen=True)
class Round:
    """One rollout; times in milliseconds, ``last_request_ms`` from the verdict to the start of the loser's last request (0: none came)."""

    verdict: str
    last_request_ms: float
    split_ms: float
    drain_ms: float
    drained: bool
    deploy_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="promotions and rollbacks, in turn")
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    options = parser.parse_args()
    with bench_platform() as platform:
        rounds, traffic = run(platform, options.rounds, options.rate)
    report(rounds, traffic, options)


def run(platform: BenchPlatform, count: int, rate: float) -> tuple[list[Round], TrafficReport]:
    reference = Bundle.read(platform.bundle).golden
    stable = platform.backend.start(platform.bundle, MODEL, "1", TritonServe())
    platform.gateway.add_revision(stable.endpoint())
    platform.gateway.set_split(MODEL, {"1": 100})
    images = [[golden.rows(reference.inputs[0], row, row + 1)] for row in range(reference.rows)]
    traffic = Traffic(platform.settings.gateway_url, platform.key, MODEL, images, rate)
    traffic.start()
    rounds = []
    try:
        for number in range(count):
            promote = number % 2 == 0
            stable, measured = rollout(platform, stable, str(number + 2), promote)
            rounds.append(measured)
            print(f"round {number + 1:>2}: {measured.verdict}, last request after {measured.last_request_ms:.1f} ms", flush=True)
    finally:
        final = traffic.stop()
    return rounds, final


def rollout(platform: BenchPlatform, stable: Revision, version: str, promote: bool) -> tuple[Revision, Round]:
    gateway, begun = platform.gateway, time.monotonic()
    canary = platform.backend.start(platform.bundle, MODEL, version, TritonServe())
    gateway.add_revision(canary.endpoint())
    headers = platform.credentials.probe_headers(CLIENT, version)
    verdict = golden.check(platform.settings.gateway_url, headers, MODEL, Bundle.read(platform.bundle).golden)
    if verdict.decision is not Decision.PASS:
        raise SystemExit(f"revision {version}: {verdict.reasons}")
    deploy_ms = (time.monotonic() - begun) * 1000
    for percent in STEPS:
        gateway.set_split(MODEL, {stable.version: 100 - percent, version: percent})
        time.sleep(STEP_S)
    winner, loser = (canary, stable) if promote else (stable, canary)
    cursor, decided = end_of(gateway.access_log), time.time()
    gateway.set_split(MODEL, {winner.version: 100})
    split_ms = (time.time() - decided) * 1000
    drained = drain(gateway.admin, loser.endpoint().cluster, TritonServe().drain_s)
    time.sleep(LOG_S)
    last_ms = (last_request_s(platform, cursor, loser.version, decided) - decided) * 1000
    gateway.remove_revision(MODEL, loser.version)
    platform.backend.stop(loser)
    return winner, Round("promoted" if promote else "rolled back", last_ms, split_ms, drained.waited_s * 1000, drained.idle, deploy_ms)


def last_request_s(platform: BenchPlatform, cursor: Cursor, revision: str, decided: float) -> float:
    entries: list[Entry] = read_entries(platform.gateway.access_log, cursor)[0]
    return max([decided, *(entry.time_s for entry in entries if entry.revision == revision and entry.kind == "live")])


def report(rounds: list[Round], traffic: TrafficReport, options: argparse.Namespace) -> None:
    def worst(values: list[float]) -> float:
        return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]

    answered = [latency for revision in traffic.by_revision.values() for latency in revision.latencies_ms]
    cut = traffic.by_status[0] + sum(not one.drained for one in rounds)
    table = {
        "verdict to last request on the loser": [one.last_request_ms for one in rounds],
        "verdict to the new split in force": [one.split_ms for one in rounds],
        "drain": [one.drain_ms for one in rounds],
        "deploy (start, ready, golden inputs)": [one.deploy_ms for one in rounds],
        "a request, as its caller saw it": answered,
    }
    print(f"\n{len(rounds)} rollouts under {options.rate:g} requests/s: {traffic.total} sent, {traffic.failed} failed, {cut} cut\n")
    print(f"{'milliseconds':<40}{'median':>10}{'p99':>10}")
    for name, values in table.items():
        print(f"{name:<40}{sorted(values)[len(values) // 2]:>10.1f}{worst(values):>10.1f}")
    for failure in traffic.failures:
        print(f"failed: {failure}")
    figures = {
        "failed": traffic.failed,
        "cut": cut,
        "verdict_to_last_request_ms_p99": round(worst(table["verdict to last request on the loser"]), 2),
        "requests": traffic.total,
        "shed": traffic.shed,
        "rollouts": len(rounds),
        "request_p99_ms": round(worst(answered), 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
