"""``python -m bench.log``: what the prediction log costs the gateway, with and without it in turn, in one run.

``gateway_cost_pct``: how many fewer requests a second the gateway answers at most while 500 a second are logged; ``p50_ms``: how much later
an answer comes at 500 requests a second, all of them logged; ``lost``: how many of those are not in the log.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.serving.stage import BenchPlatform, bench_platform
from include.backends.triton.spec import TritonServe
from include.bundles import golden_probe as golden
from include.bundles.table import Bundle
from include.gateway.exchanges import CLUSTER, Drawn
from include.predictions import read
from include.runtime.settings import REPO

MODEL = "digits"
RATE = 500
WAIT_S = 60.0
DROPPED = f"access_logs.open_telemetry_access_log.{CLUSTER}.logs_dropped"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6, help="measured time of each turn")
    parser.add_argument("--turns", type=int, default=4, help="turns of each kind")
    options = parser.parse_args()
    with bench_platform() as platform, served(platform) as job, keeper(platform):
        report(measure(platform, job | {"seconds": options.seconds}, options.turns))


def measure(platform: BenchPlatform, job: Mapping[str, Any], turns: int) -> dict[str, Any]:
    """Turns without and with the log, in the order that lets neither come first always."""
    steady: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    flat: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    order = [on for turn in range(turns) for on in ((False, True) if turn % 2 == 0 else (True, False))]
    before, dropped = kept(platform), platform.gateway.admin.counters(f"^{DROPPED}$").get(DROPPED, 0)
    for on in order:
        steady[on].append(turn_of(platform, {**job, "rate": RATE, "connections": 16}, 1.0 if on else 0.0))
    sent = sum(turn["sent"] for turn in steady[True])
    deadline = time.monotonic() + WAIT_S
    while kept(platform) - before < sent and time.monotonic() < deadline:
        time.sleep(0.5)
    lost = sent - (kept(platform) - before)
    highest = statistics.median(turn_of(platform, {**job, "connections": 32}, 0.0)["rps"] for _ in range(2))
    for on in order:
        flat[on].append(turn_of(platform, {**job, "connections": 32}, min(1.0, RATE / highest) if on else 0.0))
    dropped = platform.gateway.admin.counters(f"^{DROPPED}$").get(DROPPED, 0) - dropped
    return {"steady": steady, "flat": flat, "sent": sent, "lost": lost, "dropped_at_full_speed": dropped}


def turn_of(platform: BenchPlatform, job: Mapping[str, Any], share: float) -> dict[str, Any]:
    """One turn of load, with what Envoy computed meanwhile (milliseconds of a processor a request)."""
    platform.gateway.draw({MODEL: Drawn(share)} if share else {})
    pid = platform.supervisor.info("envoy")[1]
    began = processor_s(pid)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        done = subprocess.run([sys.executable, "-m", "bench.serving.load", file.name], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "envoy_ms": (processor_s(pid) - began) * 1000 / found["sent"]}


def processor_s(pid: int) -> float:
    """Return what a process has computed since its start (seconds of a processor)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kept(platform: BenchPlatform) -> int:
    """Return how many rows are in the log."""
    return len(read(platform.settings, MODEL))


@contextmanager
def served(platform: BenchPlatform) -> Iterator[dict[str, Any]]:
    """The model behind the gateway, and the load's job."""
    reference = Bundle.read(platform.bundle).golden
    platform.gateway.add_revision(platform.backend.start(platform.bundle, MODEL, "1", TritonServe()).endpoint())
    platform.gateway.set_split(MODEL, {"1": 100})
    golden.check(platform.settings.gateway_url, {"x-api-key": platform.key}, MODEL, reference)
    body = json.dumps({"inputs": [golden.rows(reference.inputs[0], 0, 1)]})
    common = {"host": platform.settings.host, "port": platform.settings.gateway_port, "path": f"/v2/models/{MODEL}/infer"}
    yield {**common, "headers": {"x-api-key": platform.key}, "body": body, "warm_s": 1}


@contextmanager
def keeper(platform: BenchPlatform) -> Iterator[None]:
    """The log's process, which takes whatever the gateway tells of."""
    settings, models = platform.settings, platform.settings.home / "models"
    shutil.copytree(REPO / "include/models" / MODEL, models / MODEL)
    with (models / MODEL / "model.yaml").open("a") as spec:
        spec.write("\nmonitor: {log: {share: 1}}\n")
    secrets = {"api_keys": dict(platform.credentials.api_keys), "probe_secret": platform.credentials.probe_secret}
    (settings.home / "credentials.json").write_text(json.dumps(secrets))
    own = {"UPDRAFT_HOME": str(settings.home), "UPDRAFT_PORT_BASE": str(settings.port_base), "UPDRAFT_MODELS": str(models)}
    process = subprocess.Popen([sys.executable, "-m", "bench.log.keeper"], env=os.environ | own)
    try:
        deadline = time.monotonic() + WAIT_S
        while not settings.prediction_socket.exists():
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit("the log's process does not listen")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def report(found: Mapping[str, Any]) -> None:
    """Print the table, and one JSON object as the last line."""
    rows = {f"{name} {'with' if on else 'without'} log": found[key][on] for name, key in NAMES.items() for on in (False, True)}
    print(f"{'':28}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'Envoy ms':>10}{'failed':>8}")
    middle = {name: {field: statistics.median(turn[field] for turn in turns) for field in FIELDS} for name, turns in rows.items()}
    for name, turns in rows.items():
        one = middle[name]
        failed = sum(turn["failed"] for turn in turns)
        print(f"{name:28}{one['rps']:12.0f}{one['p50_ms']:10.2f}{one['p99_ms']:10.2f}{one['envoy_ms']:10.3f}{failed:8}")
    flat, steady = ([middle[f"{name} {word} log"] for word in ("without", "with")] for name in NAMES)
    summary = {
        "gateway_cost_pct": round(100 * (1 - flat[1]["rps"] / flat[0]["rps"]), 1),
        "p50_ms": round(steady[1]["p50_ms"] - steady[0]["p50_ms"], 3),
        "envoy_ms_a_request": [round(one["envoy_ms"], 3) for one in steady],
        "sent": found["sent"],
        "lost": found["lost"],
        "dropped_at_full_speed": found["dropped_at_full_speed"],
    }
    print(json.dumps(summary))


NAMES = {"full speed,": "flat", f"{RATE}/s,": "steady"}
FIELDS = ("rps", "p50_ms", "p99_ms", "envoy_ms")

if __name__ == "__main__":
    main()
