"""What a step and a worker do with a model's bytes, each in a process of its own: ``python -m bench.artifacts.work PART ...``.

Prints the process's peak memory beyond what its imports took (MiB) and its seconds, as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from include.backends.backend import link
from include.backends.llamacpp.backend import LlamaCpp
from include.backends.llamacpp.spec import LlamaCppServe
from include.bundles import manifest
from include.bundles.chat import GGUF
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles

MODEL = "large"


def logged(home: Path, run_id: str) -> None:
    """As the step verify: the chosen form becomes a bundle, which is logged."""
    import mlflow

    bundle = home / "bundle"
    link(home / "optimized.gguf", bundle / GGUF)
    manifest.write(bundle)
    mlflow.MlflowClient().log_artifacts(run_id, str(bundle), bundles.FOLDER)


def released(home: Path, run_id: str) -> None:
    """As the tasks register and deploy: the bundle is completed, registered, found again, and laid out for its server."""
    client, serve = Mlflow(os.environ["MLFLOW_TRACKING_URI"]), LlamaCppServe()
    bundles.complete(home / "bundle", home, serve, {})
    bundles.store(client, run_id, home / "bundle")
    source = f"{client.run(run_id)['info']['artifact_uri']}/{bundles.FOLDER}"
    version = client.ensure_version(MODEL, run_id=run_id, source=source, run_key=run_id, tags={})
    bundles.keep(home / "bundle", MODEL, version, home / "bundles")
    found = bundles.fetch(client, MODEL, version, home / "bundles")
    LlamaCpp().lay_out(found, home / "revision", MODEL, str(version), serve, {})


def fetched(home: Path, run_id: str) -> None:
    """As the tasks of another machine: the bundle comes from the registry."""
    client = Mlflow(os.environ["MLFLOW_TRACKING_URI"])
    version = client.aliases(MODEL).get("champion") or int(client.versions(MODEL)[0]["version"])
    found = bundles.fetch(client, MODEL, version, home / "elsewhere")
    LlamaCpp().lay_out(found, home / "revision-elsewhere", MODEL, str(version), LlamaCppServe(), {})


def peer_logged(home: Path, run_id: str) -> None:
    """mlflow.log_artifact of the optimised model, put into a bundle first."""
    import mlflow

    shutil.copyfile(home / "optimized.gguf", home / "peer.gguf")
    mlflow.MlflowClient().log_artifact(run_id, str(home / "peer.gguf"), "peer")


def peer_fetched(home: Path, run_id: str) -> None:
    """mlflow.artifacts.download_artifacts to where a server reads it."""
    import mlflow

    mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="peer", dst_path=str(home / "peer-revision"))


PARTS = {part.__name__: part for part in (logged, released, fetched, peer_logged, peer_fetched)}


def main(part: str, home: Path, run_id: str) -> None:
    if part in ("logged", "peer_logged", "peer_fetched"):
        import mlflow

        mlflow.artifacts  # noqa: B018  its import is no part of what is measured
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew from here
    before, began = _mib("VmRSS"), time.monotonic()
    PARTS[part](home, run_id)
    figures = {"peak_rss_mib": _mib("VmHWM") - before, "seconds": time.monotonic() - began}
    print(json.dumps(figures))


def _mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
