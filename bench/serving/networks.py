"""``python -m bench.serving.networks``: a vision and a text model, the examples `signs` and `intents`, beside other servers of them.

Through the gateway by HTTP and by gRPC, in float32 and in 8 bits; beside plain FastAPI with torch and `mlflow models serve` on the same
cores; batches of 1 and of 16. All servers run all along; in each round every server has each batch once, and what is printed is the
median of the rounds.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.serving.peers import FOLDER
from bench.serving.stage import BenchPlatform, bench_platform
from include.backends.triton.spec import TritonTensorServe
from include.runtime.supervisor import Program

MODELS = ("signs", "intents")
BATCHES = (1, 16)
PORTS = {"fastapi": 61, "mlflow": 62}
START_S = 180
Json = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """``job`` gives the load's job for so many rows, ``module`` runs it, ``labels`` asks about rows and gives the classes."""

    name: str
    job: Callable[[list[str]], Json]
    module: str
    labels: Callable[[list[str]], list[Any]]


def main() -> None:
    """Measure, and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="measured time of a server and batch in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8, help="requests at once")
    parser.add_argument("--made", type=Path, help="a folder that keeps what is trained, for another run")
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    found: Json = {}
    for model in options.models:
        with bench_platform(digits=False) as platform:
            found[model] = measure(platform, model, options)
        report(model, found[model])
    print(json.dumps(found | {"connections": options.connections, "cores": os.cpu_count(), "load": os.getloadavg()}))


def measure(platform: BenchPlatform, model: str, options: argparse.Namespace) -> Json:
    """Return the figures by server: ``score``, and by batch ``rps``, ``rows_per_s``, ``p50_ms``, ``p99_ms``."""
    folder = (options.made.resolve() if options.made else platform.settings.home) / model
    if not (folder / "asked.json").exists():
        folder.mkdir(parents=True)
        maker = [str(platform.settings.python("torch")), "-m", "bench.serving.make_network", model, str(folder)]
        subprocess.run(maker, check=True, cwd=platform.settings.repo, env=os.environ | {"PYTHONPATH": str(platform.settings.repo)})
    asked = json.loads((folder / "asked.json").read_text())
    with _servers(platform, folder, asked) as servers:
        scores = {server.name: score(server, asked) for server in servers}
        results: dict[tuple[str, int], list[Json]] = {}
        for _ in range(options.rounds):
            for batch in BATCHES:
                for server in servers:
                    common = {"connections": options.connections, "warm_s": 0.7, "seconds": options.seconds}
                    got = _run(server.module, server.job(asked["rows"][:batch]) | common)
                    results.setdefault((server.name, batch), []).append(got)
    return {
        server.name: {"score": scores[server.name]}
        | {
            str(batch): {key: statistics.median(one[key] for one in results[server.name, batch]) for key in ("rps", "p50_ms", "p99_ms")}
            for batch in BATCHES
        }
        for server in servers
    }


def score(server: Server, asked: Json) -> float:
    """Return the share of held-out rows that it names rightly."""
    rows, right, hits = asked["rows"], asked["right"], 0
    for start in range(0, len(rows), 16):
        said = server.labels(rows[start : start + 16])
        hits += sum(str(one) == str(truth) for one, truth in zip(said, right[start : start + 16], strict=True))
    return hits / len(rows)


@contextmanager
def _servers(platform: BenchPlatform, folder: Path, asked: Json) -> Iterator[list[Server]]:
    name, settings = asked["name"], platform.settings
    found = []
    for form in ("original", "int8"):
        serve = TritonTensorServe(wrapper="serving:Wrapper")
        revision = platform.backend.start(folder / form, form, "1", serve, asked["params"])
        platform.gateway.add_revision(revision.endpoint())
        platform.gateway.set_split(form, {"1": 100})
        found += [_by_http(platform, form, name), _by_grpc(platform, form, name)]
    for peer, offset in PORTS.items():
        port = settings.port_base + offset
        _start(platform, peer, port, folder)
        found.append(_peer(peer, settings.host, port, name))
    yield found


def _by_http(platform: BenchPlatform, form: str, name: str) -> Server:
    settings, headers = platform.settings, {"x-api-key": platform.key}
    path = f"/v2/models/{form}/infer"

    def body(rows: list[str]) -> str:
        return json.dumps({"inputs": [{"name": name, "datatype": "BYTES", "shape": [len(rows), 1], "data": rows}]})

    def job(rows: list[str]) -> Json:
        return {"host": settings.host, "port": settings.gateway_port, "path": path, "headers": headers, "body": body(rows)}

    def labels(rows: list[str]) -> list[Any]:
        outputs = _post(f"{settings.gateway_url}{path}", body(rows), headers)["outputs"]
        found: list[Any] = next(output["data"] for output in outputs if output["name"] == "label")
        return found

    return Server(f"Updraft, {form}, HTTP", job, "bench.serving.load", labels)


def _by_grpc(platform: BenchPlatform, form: str, name: str) -> Server:
    import numpy as np
    from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2

    address = platform.settings.gateway_url.removeprefix("http://")

    def data(rows: list[str]) -> Any:
        return np.array([[row.encode()] for row in rows], dtype=object)

    def job(rows: list[str]) -> Json:
        tensor = InferInput(name, [len(rows), 1], "BYTES")
        tensor.set_data_from_numpy(data(rows))
        message = service_pb2.ModelInferRequest(model_name=form, raw_input_contents=[tensor._get_content()])
        message.inputs.add(name=name, datatype="BYTES", shape=[len(rows), 1])
        return {"address": address, "key": platform.key, "message": base64.b64encode(message.SerializeToString()).decode()}

    def labels(rows: list[str]) -> list[Any]:
        tensor = InferInput(name, [len(rows), 1], "BYTES")
        tensor.set_data_from_numpy(data(rows))
        with InferenceServerClient(address) as client:
            answer = client.infer(form, [tensor], headers={"x-api-key": platform.key})
        return [label.decode() if isinstance(label, bytes) else label for label in answer.as_numpy("label").ravel()]

    return Server(f"Updraft, {form}, gRPC", job, "bench.serving.grpc_load", labels)


def _peer(peer: str, host: str, port: int, name: str) -> Server:
    path = "/predict" if peer == "fastapi" else "/invocations"

    def body(rows: list[str]) -> str:
        whole = (
            {"name": name, "rows": rows} if peer == "fastapi" else {"dataframe_split": {"columns": [name], "data": [[row] for row in rows]}}
        )
        return json.dumps(whole)

    def labels(rows: list[str]) -> list[Any]:
        said = _post(f"http://{host}:{port}{path}", body(rows), {})
        found: list[Any] = said.get("predictions", said)["label"]
        return found

    title = {"fastapi": "FastAPI and torch", "mlflow": "mlflow models serve"}[peer]
    return Server(
        title, lambda rows: {"host": host, "port": port, "path": path, "headers": {}, "body": body(rows)}, "bench.serving.load", labels
    )


def _start(platform: BenchPlatform, peer: str, port: int, folder: Path) -> None:
    """Start a peer with as many workers as there are cores, and wait until it answers."""
    settings, workers = platform.settings, str(os.cpu_count() or 1)
    python = settings.python("torch")
    at = ("-h", settings.host, "-p", str(port))
    commands = {
        "fastapi": ("-m", "uvicorn", "--factory", "bench.serving.network_code:app", "--host", settings.host, "--port", str(port)),
        "mlflow": ("-m", "mlflow", "models", "serve", "-m", str(folder / "mlflow_model"), "--env-manager", "local", *at),
    }
    many = {"fastapi": ("--workers", workers, "--log-level", "warning"), "mlflow": ("-w", workers)}
    environment = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(settings.home), "PYTHONPATH": str(settings.repo)}
    environment |= {FOLDER: str(folder), "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    log = settings.logs / f"{peer}.log"
    command = (str(python), *commands[peer], *many[peer])
    platform.supervisor.start_program(Program(f"peer-{peer}", command, settings.home, log, environment))
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"http://{settings.host}:{port}/ping", timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"{peer} did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.5)
        else:
            return


def _post(url: str, body: str, headers: dict[str, str]) -> Json:
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: Json = json.loads(answer.read())
    return found


def _run(module: str, job: Json) -> Json:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(job))
        file.flush()
        done = subprocess.run([sys.executable, "-m", module, file.name], check=True, stdout=subprocess.PIPE, text=True)
    found: Json = json.loads(done.stdout)
    if found["failed"] or found["p50_ms"] is None:
        raise SystemExit(f"{module}: {found['failed']} requests failed, {found['sent']} were sent")
    return found


def report(model: str, found: Json) -> None:
    """Print a model's table."""
    print(f"\n{model:<26}{'score':>8}" + "".join(f"{f'batch {batch}: rows/s':>22}{'p99 ms':>10}" for batch in BATCHES))
    for name, one in found.items():
        figures = "".join(f"{one[str(batch)]['rps'] * batch:>22.0f}{one[str(batch)]['p99_ms']:>10.1f}" for batch in BATCHES)
        print(f"{name:<26}{one['score']:>8.3f}{figures}", flush=True)


if __name__ == "__main__":
    main()
