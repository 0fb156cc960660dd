"""``python -m bench.serving``: requests a second of one model through the gateway, through an Envoy without our filters, of Triton alone,
and of `mlflow models serve`.

The first three take turns, so that what else the machine does falls on all of them, at full speed and at a fixed rate. Envoy's processor
time a request is what the kernel has counted for its process: it does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.serving import bare
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
    parser.add_argument("--seconds", type=float, default=8, help="measured time of each server in each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1000, help="requests a second at the fixed rate")
    parser.add_argument("--connections", type=int, default=32, help="kept-alive connections, one request at a time each")
    options = parser.parse_args()
    with bench_platform() as platform:
        results = measure(platform, options)
    report(results, options)


def measure(platform: BenchPlatform, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The medians over all turns, by what was asked; ``<name>_rate`` at the fixed rate."""
    settings = platform.settings
    reference = Bundle.read(platform.bundle).golden
    image = golden.rows(reference.inputs[0], 0, 1)
    kserve = json.dumps({"inputs": [image]})
    revision = platform.backend.start(platform.bundle, MODEL, "1", TritonServe())
    platform.gateway.add_revision(revision.endpoint())
    platform.gateway.set_split(MODEL, {"1": 100})
    bare_port = bare.start(platform, revision.endpoint().cluster)
    verdict = golden.check(settings.gateway_url, {"x-api-key": platform.key}, MODEL, reference)
    if verdict.decision is not Decision.PASS:
        raise SystemExit(f"the model answers wrongly: {verdict.reasons}")
    common = {"host": settings.host, "connections": options.connections, "warm_s": 1, "seconds": options.seconds}
    asked = {**common, "path": f"/v2/models/{MODEL}/infer", "body": kserve}
    jobs: dict[str, tuple[dict[str, Any], str]] = {
        "gateway": ({**asked, "port": settings.gateway_port, "headers": {"x-api-key": platform.key}}, "envoy"),
        "bare": ({**asked, "port": bare_port, "headers": {}}, bare.NAME),
        "direct": ({**asked, "port": revision.http_port, "headers": key_headers(settings, revision.name)}, ""),
    }
    turns: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.turns):
        for name, (job, program) in jobs.items():
            turns.setdefault(name, []).append(turn(platform, job, program))
            turns.setdefault(f"{name}_rate", []).append(turn(platform, {**job, "rate": options.rate}, program))
    platform.supervisor.stop_program(bare.NAME)
    platform.gateway.retire(MODEL)
    platform.backend.stop(revision)
    results = {name: {field: middle(field, rows) for field in rows[0]} for name, rows in turns.items()}
    port = start_mlflow(platform)
    body = json.dumps({"inputs": {"input": [image["data"]]}})
    results["mlflow"] = load({**common, "port": port, "path": "/invocations", "headers": {}, "body": body})
    platform.supervisor.stop_program("mlflow-serve")
    return results


def turn(platform: BenchPlatform, job: dict[str, Any], program: str) -> dict[str, Any]:
    """One load, with the processor time a request (us) of the Envoy before the server, if there is one."""
    process = platform.supervisor.info(program)[1] if program else 0
    before = cpu_s(process)
    found = load(job)
    return found | {"envoy_us": 1e6 * (cpu_s(process) - before) / max(found["sent"], 1)}


def cpu_s(process: int) -> float:
    """Processor time of a process so far (seconds); 0 for none."""
    if not process:
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def middle(field: str, rows: list[dict[str, Any]]) -> float:
    """The median of a field. Pure."""
    return float(statistics.median(row[field] for row in rows))


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
    print(f"{'server':<36}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'Envoy us/request':>18}")
    names = {"gateway": "Triton through the gateway", "bare": "through a bare Envoy", "direct": "directly", "mlflow": "mlflow models serve"}
    for name, result in results.items():
        title = names[name.removesuffix("_rate")] + (f", {options.rate:g}/s" if name.endswith("_rate") else "")
        took = f"{result['envoy_us']:>18.0f}" if result.get("envoy_us") else ""
        print(f"{title:<36}{result['rps']:>12.0f}{result['p50_ms']:>10.2f}{result['p99_ms']:>10.2f}{took}")
    figures = {f"{name}_{key}": round(result[key], 3) for name, result in results.items() for key in ("rps", "p50_ms", "p99_ms")}
    figures |= {f"{name}_envoy_us": round(results[name]["envoy_us"], 1) for name in ("gateway", "bare", "gateway_rate", "bare_rate")}
    figures["filters_cost_pct"] = round(100 * (1 - results["gateway"]["rps"] / results["bare"]["rps"]), 1)
    figures["filters_cost_p50_ms"] = round(results["gateway_rate"]["p50_ms"] - results["bare_rate"]["p50_ms"], 3)
    print(json.dumps(figures | {"connections": options.connections, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
    main()
