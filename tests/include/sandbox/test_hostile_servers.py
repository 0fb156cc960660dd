"""A hostile ``serving.py`` in Triton's Python backend on target `process`: it serves, and reaches nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.backends.triton.spec import TritonServe
from include.runtime.sandbox.offered import Offered
from include.runtime.supervisor import Supervisor
from include.serving.revisions import Revisions
from tests.include.sandbox.skeleton import SECRET, Platform

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Offered.here().view or Offered.here().abi < 6, reason="this kernel offers less: make up says what"),
]
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


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    found = Platform()
    yield found
    found.close()


def test_all_that_a_hostile_wrapper_tries_is_refused_and_it_serves(platform, tmp_path):
    settings = platform.settings
    bundles = tmp_path / "bundles"
    maker = Path(__file__).parents[1] / "serving" / "make_bundles.py"
    subprocess.run([str(settings.python("trainer")), str(maker), str(bundles)], check=True)
    other = settings.revisions / "another" / "1" / "model" / "serving.py"
    other.parent.mkdir(parents=True)
    other.write_text(SECRET)
    facts = platform.facts(tmp_path / "served") | {"other": str(other), "folder": str(settings.steps), "processes": 0}
    code = bundles / "good" / "code"
    shutil.copy(Path(__file__).with_name("hostile.py"), code / "attempts.py")
    (code / "serving.py").write_text(f"FACTS = {json.dumps(facts)!r}\n{WRAPPER}")
    revisions = Revisions(settings, Supervisor(settings))
    serve = TritonServe(wrapper="serving:Wrapper", batch_delay_us=0, start_timeout_s=200)
    revision = revisions.start(bundles / "good", "hostile", "1", serve, {})
    try:
        log = (settings.logs / f"{revision.program}.log").read_text()
        got = json.loads(next(line for line in log.splitlines() if line.startswith("GOT ")).removeprefix("GOT "))
        assert len(got) > 25
        assert {name: what for name, what in got.items() if name not in OF_STEPS and not what.startswith("refused")} == {}
        assert revisions.ready(revision)
    finally:
        revisions.stop(revision)
