"""``make bench-idle``: what a platform costs while nobody asks it anything: processor time and memory, part by part.

    make bench-idle [MODELS=20] [SECONDS=60]

A platform of its own starts, with nothing in its models' folder, settles, and is measured; then MODELS champions are served, each of them
a real revision on a server of its own, and it is measured again. The difference, without the servers themselves, is what each revision
costs beside its server. Processor time is what the kernel has counted, so that other work on the machine lengthens nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from bench.idle.processes import SERVER, Share, shares, total, used
from bench.parse.__main__ import make_specs
from bench.serving import stage
from include.backends.triton.spec import TritonServe
from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.platform.up import down, up
from include.registry.mlflow import CHAMPION, Mlflow
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings
from include.serving.revisions import Revisions

SETTLE_S = 75.0
"""After the start, and after the last change of the models' folder: Airflow's start and the second reading of the DAG files are over."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("--models", type=int, default=int(os.environ.get("MODELS") or 20))
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SECONDS") or 60))
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="ud-"))
    settings = replace(Settings.load(), home=root / "h")
    models = root / "models"
    models.mkdir()
    os.environ |= {"UPDRAFT_HOME": str(settings.home), "UPDRAFT_MODELS": str(models), "UPDRAFT_PORT_BASE": str(settings.port_base)}
    try:
        credentials = up(settings, say)
        without = measure(settings, arguments.seconds)
        print(table("no model", without), flush=True)
        serve(settings, credentials, root, arguments.models)
        with_them = measure(settings, arguments.seconds) if arguments.models else without
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1
    finally:
        down(settings)
        if not os.environ.get("KEEP"):
            shutil.rmtree(root, ignore_errors=True)
    print(table(f"{arguments.models} models", with_them))
    print(json.dumps(summary(without, with_them, arguments.models) | {"load": round(os.getloadavg()[1], 1)}))
    return 0


def serve(settings: Settings, credentials: Credentials, root: Path, count: int) -> None:
    """``count`` models, each with a champion in the registry and a ready revision of it that has all traffic."""
    if not count:
        return
    bundle = root / "bundle"
    maker = Path(stage.__file__).with_name("make_model.py")
    subprocess.run([str(settings.python("trainer")), str(maker), str(bundle), str(root / "mlflow_model")], check=True)
    mlflow = Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password)
    backend, gateway = Revisions(settings), Gateway(settings)
    make_specs(settings.models, count)
    for number, model in enumerate(sorted(path.name for path in settings.models.iterdir()), 1):
        run = mlflow.ensure_run(f"updraft/{model}", f"{model}_lifecycle/bench", "bench")
        source = f"{mlflow.run(run)['info']['artifact_uri']}/bundle"
        version = mlflow.ensure_version(model, run_id=run, source=source, run_key=f"{model}_lifecycle/bench", tags={})
        mlflow.set_alias(model, CHAMPION, version)
        revision = backend.start(bundle, model, str(version), TritonServe())
        gateway.add_revision(revision.endpoint())
        gateway.set_split(model, {str(version): 100})
        say(f"  {number} of {count} champions answer")


def measure(settings: Settings, seconds: float) -> dict[str, Share]:
    """Let the platform settle, then have it be."""
    say(f"  settling for {SETTLE_S:.0f} s, then measuring for {seconds:.0f} s")
    time.sleep(SETTLE_S)
    begun, before = time.monotonic(), used(settings.home)
    time.sleep(seconds)
    after = used(settings.home)
    return shares(before, after, time.monotonic() - begun)


def summary(without: dict[str, Share], with_them: dict[str, Share], count: int) -> dict[str, object]:
    """The figures for the last line. Pure."""
    idle, beside = total(without), total({part: share for part, share in with_them.items() if part != SERVER})
    server = with_them.get(SERVER, Share(0.0, 0.0, 0.0))
    found: dict[str, object] = {"cpu_pct": round(idle.cpu_pct, 2), "rss_mib": round(idle.rss_mib), "pss_mib": round(idle.pss_mib)}
    if count:
        found |= {
            "models": count,
            "revision_beside_its_server_cpu_pct": round((beside.cpu_pct - idle.cpu_pct) / count, 3),
            "revision_beside_its_server_pss_mib": round((beside.pss_mib - idle.pss_mib) / count, 1),
            "server_cpu_pct": round(server.cpu_pct / count, 3),
            "server_pss_mib": round(server.pss_mib / count, 1),
        }
    return found | {"parts": {part: {name: round(value, 2) for name, value in asdict(share).items()} for part, share in without.items()}}


def table(title: str, parts: dict[str, Share]) -> str:
    """For people: a line a part. Pure."""
    lines = [f"\n{title:<26}{'% of a processor':>18}{'MiB resident':>14}{'MiB, shared once':>18}"]
    for part, share in [*parts.items(), ("all", total(parts))]:
        lines.append(f"{part:<26}{share.cpu_pct:>18.2f}{share.rss_mib:>14.0f}{share.pss_mib:>18.0f}")
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
