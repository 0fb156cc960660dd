"""``python -m bench.artifacts``: a large model from `verify` to a revision that is laid out, beside MLflow's own two calls.

For each way: how much the memory of the worker grows, how long it takes, and how many copies of the model it leaves on this machine,
MLflow's own store included (a file with several names is one; what the MLflow server writes for a moment and removes is not counted). The
model is random bytes, so that no server is started on it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.registry.mlflow import Mlflow
from include.runtime.settings import REPO

WAYS = {"ours": ("logged", "released"), "ours, another machine": ("fetched",), "mlflow": ("peer_logged", "peer_fetched")}
PORT = int(os.environ.get("UPDRAFT_PORT_BASE", "8000")) + 77
URL = f"http://127.0.0.1:{PORT}"
PIECE = 16 << 20


def main() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the server is ended with this process
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the model (needs five times as much disk)")
    parser.add_argument("--folder", type=Path, default=None, help="where the bytes go (default: the temporary folder)")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="updraft-artifacts-", dir=options.folder))
    try:
        size = _model(home, int(options.gib * (1 << 30)))
        with _mlflow(home):
            run_id = Mlflow(URL).ensure_run("updraft/large", "large_lifecycle/bench", "bench")
            rows = {name: _measured(parts, home, run_id, size) for name, parts in WAYS.items()}
        print(f"\nA model of {size / (1 << 30):g} GiB, from verify to a revision that is laid out (its server is not started):\n")
        print(f"{'':24}{'peak_rss_mib':>14}{'seconds':>10}{'copies':>8}")
        for name, row in rows.items():
            print(f"{name:24}{row['peak_rss_mib']:14.0f}{row['seconds']:10.1f}{row['copies']:8.2f}")
        print(json.dumps(rows))
    finally:
        shutil.rmtree(home)


def _model(home: Path, size: int) -> int:
    (home / "bundle").mkdir()
    (home / "bundle" / "chat.json").write_text(json.dumps({"context": 2048, "forms": "q8_0"}))
    (home / "bundle" / "golden.json").write_text(json.dumps({"prompts": []}))
    with (home / "optimized.gguf").open("wb") as file:
        file.write(b"GGUF")
        while (left := size - file.tell()) > 0:
            file.write(os.urandom(min(PIECE, left)))
    return size


def _measured(parts: tuple[str, ...], home: Path, run_id: str, size: int) -> dict[str, float]:
    """The worker's part is the last one: the parts before it are steps, in processes of their own."""
    before, rows = _on_disk(home), []
    for part in parts:
        command = [sys.executable, "-m", "bench.artifacts.work", part, str(home), run_id]
        done = subprocess.run(command, cwd=REPO, env=_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    seconds = sum(row["seconds"] for row in rows)
    return {"peak_rss_mib": rows[-1]["peak_rss_mib"], "seconds": seconds, "copies": (_on_disk(home) - before) / size}


def _environment() -> dict[str, str]:
    more = {"PYTHONPATH": str(REPO), "MLFLOW_TRACKING_URI": URL, "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **more, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


@contextmanager
def _mlflow(home: Path) -> Iterator[None]:
    """A real MLflow server that stores artifacts on this machine."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(PORT), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")]
    environment: dict[str, Any] = {**_environment(), "TMPDIR": str(home), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with socket.socket() as probe:
        if not probe.connect_ex(("127.0.0.1", PORT)):
            raise SystemExit(f"Something listens on port {PORT} already: end it, or set UPDRAFT_PORT_BASE.")
    with (home / "mlflow.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                urllib.request.urlopen(f"{URL}/health", timeout=2).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((home / "mlflow.log").read_text()[-2000:]) from None
                time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _on_disk(home: Path) -> int:
    """Bytes of all files below a folder, each counted once however many names it has."""
    files = {(found.st_dev, found.st_ino): found.st_size for path in home.rglob("*") if path.is_file() and (found := path.stat())}
    return sum(files.values())


if __name__ == "__main__":
    main()
