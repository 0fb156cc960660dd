"""``make bench-parse``: 200 specs, written into a temporary folder, parsed by Airflow as its DAG processor does, in a fresh process."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from include.runtime.settings import REPO

PARSE = """
import json, sys, time
started = time.monotonic()
from airflow.dag_processing.dagbag import DagBag
loaded = time.monotonic()
bag = DagBag(sys.argv[1], collect_dags=False)
imported, cpu = time.monotonic(), time.process_time()
bag.process_file(sys.argv[1] + "/lifecycle.py")
parsed, cpu = time.monotonic(), time.process_time() - cpu
from airflow.serialization.serialized_objects import DagSerialization
for dag in bag.dags.values():
    DagSerialization.to_dict(dag)
print(json.dumps({"dags": len(bag.dags), "errors": bag.import_errors, "airflow_import_s": loaded - started,
                  "parse_s": parsed - imported, "parse_cpu_s": cpu, "serialize_s": time.monotonic() - parsed}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.parse", description=__doc__)
    parser.add_argument("--specs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        models = make_specs(Path(work) / "models", arguments.specs)
        rounds = [parse(models, Path(work) / "airflow") for _ in range(arguments.rounds)]
    wrong = [found for found in rounds if found["dags"] != arguments.specs or found["errors"]]
    if wrong:
        print(f"Parsing went wrong: {wrong[0]}", file=sys.stderr)
        return 1
    print(f"\n{arguments.specs} specs, {arguments.rounds} rounds, each in a fresh process (seconds)\n")
    print(f"{'round':<8}{'parse':>10}{'processor':>12}{'serialize':>12}{'(import of Airflow itself)':>30}")
    for number, found in enumerate(rounds, 1):
        print(
            f"{number:<8}{found['parse_s']:>10.2f}{found['parse_cpu_s']:>12.2f}{found['serialize_s']:>12.2f}{found['airflow_import_s']:>30.2f}"
        )
    seconds = sorted(found["parse_s"] for found in rounds)[len(rounds) // 2]
    cpu_s = min(found["parse_cpu_s"] for found in rounds)
    print(json.dumps({"specs": arguments.specs, "seconds": round(seconds, 3), "cpu_s": round(cpu_s, 3)}))
    return 0


def make_specs(models: Path, count: int) -> Path:
    """Copies of the digits model's folder under other names."""
    for number in range(count):
        folder = models / f"digits_{number:03}"
        shutil.copytree(REPO / "include" / "models" / "digits", folder, ignore=shutil.ignore_patterns("__pycache__"))
        spec = folder / "model.yaml"
        spec.write_text(spec.read_text().replace("name: digits", f"name: {folder.name}", 1))
    return models


def parse(models: Path, home: Path) -> dict[str, Any]:
    environment = os.environ | {
        "UPDRAFT_MODELS": str(models),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
        "PYTHONPATH": f"{REPO}:{REPO / 'plugins'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(REPO / "dags")], env=environment, capture_output=True, text=True, cwd=REPO, check=False
    )
    if done.returncode:
        sys.exit(f"The parsing process failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
