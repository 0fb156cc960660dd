"""``python -m bench.serving``: requests a second of one model through the gateway, of Triton alone, and of `mlflow models serve`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.serving.stage import MODEL, BenchPlatform, bench_platform
from include.backends.triton.spec import TritonServe
from include.bundles import golden_probe as golden
from include.bundles.table import Bundle
from include.runtime.revision_key import key_headers
from include.runtime.supervisor import Program
from include.verdict import Decision

MLFLOW_OFFSET = 60
MLFLOW_START_S = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="measured time of each server")
    parser.add_argument("--connections", type=int, default=32, help="kept-alive connections, one request at a time each")
    options = parser.parse_args()
    with bench_platform() as platform:
        results = measure(platform, options.seconds, options.connections)
    report(results, options)


def measure(platform: BenchPlatform, seconds: float, connections: int) -> dict[str, dict[str, Any]]:
    """One after the other, each alone on the machine."""
    settings = platform.settings
    reference = Bundle.read(platform.bundle).golden
    image = golden.rows(reference.inputs[0], 0, 1)
    kserve = json.dumps({"inputs": [image]})
    revision = platform.backend.start(platform.bundle, MODEL, "1", TritonServe())
    platform.gateway.add_revision(revision.endpoint())
    platform.gateway.set_split(MODEL, {"1": 100})
    verdict = golden.check(settings.gateway_url, {"x-api-key": platform.key}, MODEL, reference)
    if verdict.decision is not Decision.PASS:
        raise SystemExit(f"the model answers wrongly: {verdict.reasons}")
    common = {"host": settings.host, "connections": connections, "warm_s": 2, "seconds": seconds}
    path = f"/v2/models/{MODEL}/infer"
    key = key_headers(settings, revision.name)
    results = {
        "gateway": load({**common, "port": settings.gateway_port, "path": path, "headers": {"x-api-key": platform.key}, "body": kserve}),
        "direct": load({**common, "port": revision.http_port, "path": path, "headers": key, "body": kserve}),
    }
    platform.gateway.retire(MODEL)
    platform.backend.stop(revision)
    port = start_mlflow(platform)
    body = json.dumps({"inputs": {"input": [image["data"]]}})
    results["mlflow"] = load({**common, "port": port, "path": "/invocations", "headers": {}, "body": body})
    platform.supervisor.stop_program("mlflow-serve")
    return results


def start_mlflow(platform: BenchPlatform) -> int:
    """MLflow's own server with as many workers as there are cores; the port it listens on."""
    settings = platform.settings
    port = settings.port_base + MLFLOW_OFFSET
    python = settings.python("trainer")
    command = (str(python), "-m", "mlflow", "models", "serve", "-m", str(platform.mlflow_model), "--env-manager", "local")
    address = ("-h", settings.host, "-p", str(port), "-w", str(os.cpu_count() or 1))
    environment = {"PATH": f"{python.parent}:/usr/bin:/bin", "MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(settings.home)}
    log = settings.logs / "mlflow-serve.log"
    platform.supervisor.start_program(Program("mlflow-serve", command + address, settings.home, log, environment))
    deadline = time.monotonic() + MLFLOW_START_S
    while True:
        try:
            urllib.request.urlopen(f"http://{settings.host}:{port}/ping", timeout=2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"mlflow did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.2)
        else:
            return port


def load(job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(job))
        file.flush()
        command = [sys.executable, "-m", "bench.serving.load", file.name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    result: dict[str, Any] = json.loads(done.stdout)
    if result["failed"] or result["p50_ms"] is None:
        raise SystemExit(f"{job['path']} on port {job['port']}: {result['failed']} requests failed")
    return result


def report(results: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    print(f"digits classifier, one image a request, {options.connections} connections, {os.cpu_count()} cores (client included)\n")
    print(f"{'server':<28}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    names = {"gateway": "Triton through Envoy", "direct": "Triton directly", "mlflow": "mlflow models serve"}
    for name, result in results.items():
        print(f"{names[name]:<28}{result['rps']:>12.0f}{result['p50_ms']:>10.2f}{result['p99_ms']:>10.2f}")
    figures = {f"{name}_{key}": round(result[key], 3) for name, result in results.items() for key in ("rps", "p50_ms", "p99_ms")}
    print(json.dumps(figures | {"connections": options.connections, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
