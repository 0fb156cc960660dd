import subprocess
import sys
from dataclasses import replace

import httpx
import pytest

from include.backends.triton.spec import TritonServe
from include.bundles import golden_probe as golden
from include.bundles.table import Bundle
from include.errors import ComponentError, InputError
from include.runtime.supervisor import State
from include.serving.revision import RevisionState
from include.serving.revisions import Revisions
from include.verdict import Decision
from tests.include.serving.stage import processes

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def revision(stage):
    revision = stage.serve("plain", "1")
    yield revision
    stage.backend.stop(revision)


def nothing_left(stage, model, version):
    return (
        stage.backend.find(model, version) is None
        and stage.supervisor.state(f"revision-{model}-{version}") is State.ABSENT
        and not processes(f"{stage.settings.revisions}/{model}/{version}/")
    )


def test_a_started_revision_is_running_and_listed(stage, revision):
    assert stage.backend.state(revision) is RevisionState.RUNNING
    assert revision in stage.backend.list("plain")


def test_golden_inputs_are_answered_as_the_reference_says(stage, revision):
    reference = Bundle.read(stage.bundles / "good").golden
    verdict = golden.check(revision.url, stage.key(revision), "plain", reference, max_batch_size=3)
    assert verdict.decision is Decision.PASS, verdict.reasons


def test_text_goes_in_and_comes_out(stage):
    revision = stage.serve("text", "1", "text")
    verdict = golden.check(revision.url, stage.key(revision), "text", Bundle.read(stage.bundles / "text").golden)
    stage.backend.stop(revision)
    assert verdict.decision is Decision.PASS, verdict.reasons


def test_a_ready_server_with_wrong_answers_fails_the_golden_check(stage):
    """What numpy 2 in Triton's environment does: READY, and zeros."""
    revision = stage.serve("zeros", "1", "zeros")
    verdict = golden.check(revision.url, stage.key(revision), "zeros", Bundle.read(stage.bundles / "zeros").golden)
    stage.backend.stop(revision)
    assert verdict.decision is Decision.FAIL
    assert "probabilities" in " ".join(verdict.reasons)


def test_the_golden_check_gives_up_after_its_time(stage):
    reference = Bundle.read(stage.bundles / "good").golden
    verdict = golden.check("http://127.0.0.1:9", {}, "plain", reference, timeout_s=0.5)
    assert verdict.decision is Decision.FAIL
    assert "no answer" in verdict.reasons[0]


def test_a_corrupt_model_is_reported_with_its_cause_and_leaves_nothing(stage):
    with pytest.raises(ComponentError, match=r"model\.onnx"):
        stage.serve("corrupt", "1", "corrupt")
    assert nothing_left(stage, "corrupt", "1")


def test_a_model_that_never_loads_is_ended_in_time_and_leaves_nothing(stage):
    options = TritonServe(wrapper="serving:Wrapper", start_timeout_s=1)
    with pytest.raises(ComponentError, match="not ready within 1 s"):
        stage.backend.start(stage.bundles / "good", "slowpoke", "1", options, {"load_s": 600})
    assert nothing_left(stage, "slowpoke", "1")


def test_a_stub_that_dies_while_loading_does_not_hang_the_start(stage):
    """Triton alone would wait for it for ever, and ignore SIGTERM."""
    with pytest.raises(ComponentError, match="ended while it loaded"):  # by the server's own word, not by its start_timeout_s
        stage.serve("dying", "1", die=True)
    assert nothing_left(stage, "dying", "1")


def test_a_missing_libpython_is_named_with_its_remedy(stage, monkeypatch, tmp_path):
    from include.backends.triton import runtime

    place = tmp_path / "triton" / "lib" / "python3.11" / "site-packages" / "pytriton"
    place.mkdir(parents=True)
    settings = replace(stage.settings, runtimes=tmp_path)
    with pytest.raises(ComponentError, match="triton runtime is not installed"):
        runtime.find_runtime(settings.python("triton"))


@pytest.mark.parametrize("version", ["0", "v1", "../1", ""])
def test_a_version_that_triton_cannot_serve_is_refused(stage, version):
    with pytest.raises(InputError, match="no model version"):
        stage.serve("plain", version)


def test_a_half_started_revision_is_cleaned_and_started(stage):
    """The process that started it died between writing the repository and telling supervisord."""
    revision = stage.serve("halfway", "1")
    stage.supervisor.stop_program(revision.program)
    (stage.settings.revisions / "halfway" / "1" / "repository" / "halfway" / "1" / "model.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"model\.onnx"):
        stage.serve("halfway", "1")
    again = stage.serve("halfway", "1")
    assert stage.backend.state(again) is RevisionState.RUNNING
    stage.backend.stop(again)


def test_a_spoilt_configuration_is_reported_with_its_cause(stage):
    """Over HTTP Triton says only that polling failed."""
    revision = stage.serve("spoilt", "1")
    stage.supervisor.stop_program(revision.program)
    (stage.settings.revisions / "spoilt" / "1" / "repository" / "spoilt" / "config.pbtxt").write_text("max_batch_size: many")
    with pytest.raises(ComponentError, match="Expected integer, got: many"):
        stage.serve("spoilt", "1")
    assert nothing_left(stage, "spoilt", "1")


def test_a_full_disk_is_named_and_leaves_nothing(stage):
    code = f"""
import resource, signal
from dataclasses import replace
from pathlib import Path
from include.runtime.settings import Settings
from include.serving.revisions import Revisions
from include.backends.triton.spec import TritonServe

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
settings = replace(Settings.load(), home=Path("{stage.settings.home}"), port_base={stage.settings.port_base})
try:
    Revisions(settings).start(Path("{stage.bundles / "good"}"), "crowded", "1", TritonServe())
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=stage.settings.repo)
    assert "ComponentError" in done.stdout, done.stderr
    assert "Is the disk full?" in done.stdout
    assert nothing_left(stage, "crowded", "1")


def test_another_process_sees_the_same_revisions(stage, revision):
    assert Revisions(stage.settings).find("plain", "1") == revision


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ([{"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}], "unexpected shape"),
        ([{"name": "input", "datatype": "INT64", "shape": [1, 8], "data": [1] * 8}], "data-type"),
        ([{"name": "other", "datatype": "FP32", "shape": [1, 8], "data": [1] * 8}], "other"),
        ([], "input"),
    ],
)
def test_a_malformed_request_is_answered_with_400_and_a_sentence(stage, revision, inputs, sentence):
    answer = httpx.post(f"{revision.url}/v2/models/plain/infer", json={"inputs": inputs}, headers=stage.key(revision))
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]
