"""The step `llm.train`: a small model learns, its loss is the answers' alone, and a stopped or killed training goes on where it was."""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from include.errors import InputError
from include.estimate.checkpoint import folder_tensors
from include.kinds.llm.steps import train
from include.runtime.settings import REPO, Settings
from include.steps.tracking import Tracking
from tests.include.steps.conftest import Mlflow
from tests.include.steps.llm.conftest import Language
from tests.waiting import until

pytestmark = pytest.mark.integration
Make = Callable[..., Language]
FAST = {"learning_rate": 0.01, "batch_size": 8, "epochs": 1.0, "warmup_share": 0.0}


def noise(rows: int, answer: Callable[[str], str]) -> list[tuple[str, str]]:
    """Questions that nobody can foresee."""
    dice = random.Random(0)
    asked = ["".join(dice.choices("abcdefghij", k=12)) for _ in range(rows)]
    return [(question, answer(question)) for question in asked]


def trained(model: Language, **inputs: str) -> subprocess.Popen[bytes]:
    """The step as a process of its own, so that it can be killed; the same folder each time."""
    folder, request = model.request("train", **inputs)
    folder.mkdir(parents=True)
    request.save(folder)
    environment = os.environ | model.environment() | {"MLFLOW_TRACKING_URI": model.llm.url, "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / "log.txt").open("w") as log:
        command = [str(Settings.load().python("llm")), "-m", "include.steps", str(folder)]
        return subprocess.Popen(command, cwd=REPO, env=environment, stdout=log, stderr=log)


def wait_for_step(step: int, model: Language, mlflow: Mlflow, process: subprocess.Popen[bytes]) -> None:
    def log() -> str:
        return sorted((model.home / "steps").glob("*/log.txt"))[-1].read_text()

    def there() -> bool:
        assert process.poll() is None, log()
        return max((done for done, _ in mlflow.history(model.run_id, "loss")), default=0) >= step

    until(there, 240, f"step {step}", every_s=0.05, seen=log)


def test_the_loss_is_that_of_the_answers_alone_and_falls(language: Make, tiny: Path, mlflow: Mlflow) -> None:
    model = language(train={"method": "full", "params": FAST})
    model.chats(noise(200, lambda _: "yes"))
    model.params["epochs"] = 2.0
    done = model.step("train", base=str(tiny))
    assert done.result, done.log
    losses = mlflow.history(model.run_id, "loss")
    # With the questions in it, it could not fall below the ten letters' own disorder.
    assert losses[0][1] > 5 > 0.1 > losses[-1][1]
    assert mlflow.metrics(model.run_id)["train/loss"] == done.result["metrics"]["loss"] < 0.1
    assert done.result["rows"] + done.result["held_out"] == 200
    steps = 2 * -(-done.result["rows"] // 8)
    assert [step for step, _ in losses] == list(range(1, steps + 1))
    assert done.result["tokens_per_s"] > 0 and mlflow.metrics(model.run_id)["peak_memory_mib"] > 100
    rates = dict(mlflow.history(model.run_id, "learning_rate"))
    assert rates[1] == pytest.approx(0.01, rel=0.01) and rates[steps] < 0.001
    params = mlflow.params(model.run_id)
    assert (params["epochs"], params["method"], params["rows"]) == ("2.0", "full", str(done.result["rows"]))
    assert not (model.home / "checkpoints").exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_stored_is_a_whole_model_like_its_base(language: Make, tiny: Path, mlflow: Mlflow, method: str) -> None:
    model = language(train={"method": method, "params": FAST})
    model.chats(noise(100, lambda _: "yes"))
    done = model.step("train", base=str(tiny))
    losses = mlflow.history(model.run_id, "loss")
    assert losses[0][1] - losses[-1][1] > 0.5
    kept = Path(done.result["model"])
    assert {(one.name, one.shape, one.dtype) for one in folder_tensors(kept)} == {
        (one.name, one.shape, one.dtype) for one in folder_tensors(tiny)
    }
    assert (kept / "model.safetensors").read_bytes() != (tiny / "model.safetensors").read_bytes()
    assert not list(kept.glob("*adapter*")) and not list(kept.glob("*.bin"))
    again = language("two", base=str(kept))
    assert again.step("base").result["architecture"] == "Qwen2ForCausalLM"
    assert sorted(mlflow.artifacts(model.run_id, "model")) == sorted(f"model/{path.name}" for path in kept.iterdir())
    assert done.result["model_uri"].endswith(f"{model.run_id}/artifacts/model")


@pytest.mark.parametrize("method", ["full", "distill"])
def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(language: Make, tiny: Path, mlflow: Mlflow, method: str) -> None:
    pairs = noise(500, lambda question: question[::-1])
    teacher = {"teacher": str(tiny)} if method == "distill" else {}
    spec = {"train": {"method": method, "params": FAST, "checkpoint_steps": 10, **teacher}}
    calm, killed = language("calm", **spec), language("killed", **spec)
    for model in (calm, killed):
        model.chats(pairs)
        model.params["epochs"] = 2.0
    assert calm.step("train", base=str(tiny), **teacher).result
    process = trained(killed, base=str(tiny), **teacher)
    wait_for_step(15, killed, mlflow, process)
    process.kill()
    process.wait()
    before = max(step for step, _ in mlflow.history(killed.run_id, "loss"))
    latest = max((killed.home / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    cut_short = latest.with_name("checkpoint-9999")
    cut_short.mkdir()
    (cut_short / "model.safetensors").write_bytes(b"half a file")
    done = killed.step("train", base=str(tiny), **teacher)
    assert done.result, done.log
    assert "Going on from checkpoint-" in done.log and "checkpoint-9999" not in done.log
    went_on = int(done.log.partition("Going on from checkpoint-")[2].partition(" ")[0])
    assert 10 <= went_on <= before
    expected, found = dict(mlflow.history(calm.run_id, "loss")), dict(mlflow.history(killed.run_id, "loss"))
    assert found.keys() == expected.keys()
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=1e-3)


def test_a_training_told_to_stop_puts_itself_away_first(language: Make, tiny: Path, mlflow: Mlflow) -> None:
    model = language(train={"method": "lora", "params": FAST, "checkpoint_steps": 10_000})
    model.chats(noise(200, lambda question: question[::-1]))
    model.params["epochs"] = 4.0
    process = trained(model, base=str(tiny))
    wait_for_step(1, model, mlflow, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    (kept,) = (model.home / "checkpoints").glob("checkpoint-*")
    stopped_at = json.loads((kept / "trainer_state.json").read_text())["global_step"]
    done = model.step("train", base=str(tiny))
    assert f"Going on from checkpoint-{stopped_at} " in done.log
    assert done.result, done.log
    assert min(step for step, _ in mlflow.history(model.run_id, "loss")) == 1


def test_a_training_whose_model_could_not_be_written_only_writes_it_the_next_time(language: Make, tiny: Path) -> None:
    model = language(train={"method": "full", "params": FAST})
    model.chats(noise(50, lambda question: question))
    folder, request = model.request("train", base=str(tiny))
    (folder / "out").mkdir(parents=True)
    (folder / "out" / train.FOLDER).write_text("in the way")
    request.save(folder)
    assert model.llm.again(folder, **model.environment()).error["kind"] == "component"
    done = model.step("train", base=str(tiny))
    assert done.result, done.log
    steps = -(-done.result["rows"] // 8)
    assert f"Going on from checkpoint-{steps} of {steps} steps" in done.log and "step 1/" not in done.log
    assert done.result["metrics"]["loss"] > 0 and done.result["tokens_per_s"] == 0
    assert folder_tensors(Path(done.result["model"]))


def test_weights_that_are_no_numbers_are_the_base_s_fault(language: Make, tiny: Path) -> None:
    broken = language("broken")
    base = broken.home / "base"
    shutil.copytree(tiny, base)
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[:-4] + b"\x00\x00\xc0\x7f")
    broken.chats(noise(50, lambda question: question))
    done = broken.step("train", base=str(base))
    assert done.error["kind"] == "input" and done.message.startswith("base the loss is nan at step 1.")


def test_a_loss_that_becomes_no_number_is_the_learning_rate_s_fault() -> None:
    with pytest.raises(InputError, match=r"learning_rate: the loss is inf at step 7\. Lower it\."):
        train.Progress(cast(Tracking, None)).log(7, 10, {"loss": float("inf")})


def test_two_workers_learn_as_one_does(language: Make, tiny: Path, mlflow: Mlflow) -> None:
    pairs = noise(100, lambda _: "yes")
    found = []
    for workers in (1, 2):
        model = language(f"by-{workers}", train={"method": "lora", "params": FAST})
        model.chats(pairs)
        folder, request = model.request("train", base=str(tiny))
        done = model.llm.step(folder, replace(request, workers=workers), **model.environment())
        assert done.result, done.log
        found.append([loss for _, loss in mlflow.history(model.run_id, "loss")])
        assert (Path(done.result["model"]) / "model.safetensors").is_file()
    alone, together = found
    assert len(together) == len(alone)
    assert together[-1] == pytest.approx(alone[-1], rel=0.3) and together[0] - together[-1] > 0.5
