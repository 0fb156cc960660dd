"""Hostile code in a container or a pod: what of ``hostile.py`` must be refused there, too, and how it gets there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from include.backends.triton.spec import TritonServe
from include.kinds.requests import request_of
from include.runtime.sandbox import landlock
from include.runtime.settings import Settings
from include.serving.revisions import Revisions
from include.steps.context import StepRequest
from include.targets.target import StepState, Target, step_of
from tests.include.sandbox.skeleton import SECRET, Platform
from tests.include.targets.asked import MODEL
from tests.waiting import until

HOSTILE = Path(__file__).with_name("hostile.py")
LOADS = """
import json, os
import pandas as pd
def load():
    import attempts
    got = attempts.attempt(json.loads(FACTS))
    open(os.environ["UPDRAFT_CHECKPOINTS"] + "/got.json", "w").write(json.dumps(got))
    return pd.DataFrame({"x": range(40), "y": [0, 1] * 20})
"""
WRAPPER = """
import json
import attempts

class Wrapper:
    def __init__(self, params):
        got = attempts.attempt(json.loads(FACTS))
        print("GOT " + json.dumps(got), flush=True)

    def before(self, inputs):
        return inputs

    def after(self, outputs):
        return outputs
"""
OF_STEPS = ("allowed", "another_runs_record", "replace_the_log", "replace_the_request", "more_processes_than_allowed")
"""What a server has no occasion for."""
INSIDE = ("the_users_home", "replace_the_log", "replace_the_request")
"""What it gets inside is the image's, or its own run's."""
BY_TCP = ("connect_to_airflow", "connect_to_mlflow_itself", "clouds_metadata", "clusters_api", "listen_where_the_platform_does")
"""Refused by Landlock, not because nobody is there."""


def request(folder: Path, code: str) -> StepRequest:
    """A step whose data come from ``code``, in a model's folder that is made for it."""
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL.format(name=folder.name))
    for name, text in {"data.py": code, "train.py": "def train(X, y, params): ...\n", "expectations.yaml": "[]\n"}.items():
        (folder / name).write_text(text)
    return request_of(folder / "model.yaml", "extract", f"{folder.name}_lifecycle/{folder.parent.name}")


def got_by_a_step(platform: Platform, target: Target, folder: Path, environment: Mapping[str, str], **facts: Any) -> dict[str, str]:
    """What hostile data code in ``folder`` says of each of its attempts."""
    asked = request(folder, "def load(): ...\n")
    step = step_of(platform.settings, asked.run_key, asked.step)
    known = platform.facts(folder) | {"folder": str(step.folder)} | facts
    shutil.copy(HOSTILE, folder / "attempts.py")
    (folder / "data.py").write_text(f"FACTS = {json.dumps(known)!r}\n{LOADS}")
    for path in (folder, *folder.iterdir()):  # the user of a pod reads it
        path.chmod(0o755)
    target.submit(asked, "trainer", environment)
    until(lambda: target.state(step) is not StepState.RUNNING, 240)
    log, _ = target.log(step, 0, ended=True)
    assert target.state(step) is StepState.SUCCEEDED, log
    assert SECRET not in log  # it has put a link in the place of its log
    assert target.result(step)["rows"] == 40
    got: dict[str, str] = json.loads(next(step.folder.parent.glob("checkpoints/*/got.json")).read_text())
    return got


def lay_out_wrapper(settings: Settings, bundles: Path, facts: Mapping[str, Any]) -> Path:
    """A bundle whose wrapper is hostile."""
    maker = Path(__file__).parents[1] / "serving" / "make_bundles.py"
    subprocess.run([str(settings.python("trainer")), str(maker), str(bundles)], check=True)
    code = bundles / "good" / "code"
    shutil.copy(HOSTILE, code / "attempts.py")
    (code / "serving.py").write_text(f"FACTS = {json.dumps(facts)!r}\n{WRAPPER}")
    return bundles / "good"


def got_by_a_wrapper(
    platform: Platform, revisions: Revisions, target: str, folder: Path, log: Callable[[], str] | None = None, **facts: Any
) -> dict[str, str]:
    """What a hostile serving wrapper says of each of its attempts, of a server that serves all the same. ``log``: what it has logged, where
    that is not on this machine."""
    settings = platform.settings
    other = settings.revisions / "another" / "1" / "model" / "serving.py"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text(SECRET)
    known = platform.facts(folder / "served") | {"other": str(other), "folder": str(settings.steps), "processes": 0} | facts
    bundle = lay_out_wrapper(settings, folder / "bundles", known)
    serve = TritonServe(wrapper="serving:Wrapper", batch_delay_us=0, start_timeout_s=240)
    revision = revisions.start(bundle, "hostile", "1", serve, {}, target=target)
    try:
        assert revisions.ready(revision)
        lines = (log() if log else (settings.logs / f"{revision.program}.log").read_text()).splitlines()
        got: dict[str, str] = json.loads(next(line for line in lines if "GOT {" in line).partition("GOT ")[2])
        return got
    finally:
        revisions.stop(revision)


def not_refused(got: Mapping[str, str], leave_out: Collection[str] = ()) -> dict[str, str]:
    """The attempts that got something, those left out aside; one at a port must be refused by the kernel."""
    assert len(got) > 25
    by_tcp = BY_TCP if landlock.abi() >= landlock.PORTS else ()
    return {
        name: what
        for name, what in got.items()
        if name not in leave_out and not what.startswith("refused: PermissionError" if name in by_tcp else "refused")
    }
