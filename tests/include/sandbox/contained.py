"""Hostile code in a container or a pod: what of ``hostile.py`` must be refused there, too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from include.runtime.settings import REPO, Settings

SECRET = "a-secret-of-the-platform"
TRIED = (
    "credentials",
    "airflows_database",
    "write_mlflows_database",
    "supervisors_socket",
    "other_runs_folder",
    "other_models_folder",
    "data_remote",
    "plant_in_updrafts_code",
    "plant_in_the_runtime",
    "plant_beside_the_model",
    "own_environment_has_a_password",
    "secrets_on_command_lines",
    "hard_link_to_what_is_read",
)
LOADS = """
import json
import pandas as pd
def load():
    import attempts
    got = attempts.attempt(json.loads(FACTS))
    print("GOT " + json.dumps(got), flush=True)
    return pd.DataFrame({"x": range(40), "y": [0, 1] * 20})
"""


def lay_out(settings: Settings, model: Path, step: Path) -> None:
    """Put the code into a model's folder, and what it must not reach where the platform has it."""
    other, other_model = settings.steps / "another-run" / "train" / "out" / "model", model.parent / "another-model" / "model.yaml"
    home = settings.home
    for path in (home / "credentials.json", home / "airflow/airflow.db", home / "mlflow/mlflow.db", home / "dvc/x", other, other_model):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SECRET)
    facts = {"home": str(home), "other": str(other), "other_model": str(other_model), "repo": str(REPO), "secrets": [SECRET]}
    facts |= {"folder": str(step), "only": TRIED}
    shutil.copy(Path(__file__).with_name("hostile.py"), model / "attempts.py")
    (model / "data.py").write_text(f"FACTS = {json.dumps(facts)!r}\n{LOADS}")


def got(log: str) -> dict[str, str]:
    """What it got, of all that it tried."""
    line = next(line for line in log.splitlines() if "GOT {" in line)
    found: dict[str, str] = json.loads(line.partition("GOT ")[2])
    assert len(found) == len(TRIED)
    return {name: what for name, what in found.items() if not what.startswith("refused")}
