"""Distillation: the loss is the one in the paper, the student comes to think as its teacher, and both must cut texts the same."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from include.runtime.settings import REPO, Settings
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.conftest import made
from tests.include.steps.llm.taught import PAIRS, Taught

pytestmark = pytest.mark.timeout(900)
LOSS = """
import json
import torch
from include.kinds.llm.distill import loss

torch.manual_seed(0)
ours, theirs = torch.randn(2, 5, 7), torch.randn(2, 5, 9)  # the teacher's vocabulary is padded
labels = torch.tensor([[-100, -100, 3, 6, 0], [-100, 1, 2, -100, -100]])
found = {f"{weight} {heat}": float(loss(ours, theirs, labels, weight, heat)) for weight, heat in ((0.0, 2.0), (1.0, 2.0), (0.5, 2.0))}
want_cost = want_apart = 0.0
for chat, at in ((0, 2), (0, 3), (0, 4), (1, 1), (1, 2)):
    mine, elder = ours[chat, at - 1], theirs[chat, at - 1, :7]
    want_cost -= float(torch.log_softmax(mine, -1)[labels[chat, at]]) / 5
    p, q = torch.softmax(elder / 2, -1), torch.softmax(mine / 2, -1)
    want_apart += 4 * float((p * (p / q).log()).sum()) / 5
same = float(loss(ours, ours, labels, 1.0, 1.0))
halved = float(loss(ours, theirs, labels, 1.0, 2.0, tokens=10))
print(json.dumps({"found": found, "cost": want_cost, "apart": want_apart, "same": same, "halved": halved}))
"""


@pytest.mark.integration
def test_the_loss_is_the_teachers_opinion_beside_the_answers(llm: Trainer) -> None:
    command = [str(Settings.load().python("llm")), "-c", LOSS]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(REPO)})
    said = json.loads(done.stdout)
    cost, apart, found = said["cost"], said["apart"], said["found"]
    assert found == pytest.approx({"0.0 2.0": cost, "1.0 2.0": apart, "0.5 2.0": (cost + apart) / 2}, rel=1e-4)
    assert said["same"] == pytest.approx(0.0, abs=1e-6) and said["halved"] == pytest.approx(apart / 2, rel=1e-4)


@pytest.mark.integration
def test_a_student_comes_to_think_as_its_teacher(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    teacher = Taught.make(tmp_path / "teacher", llm, mlflow)
    params = {"epochs": 60.0, "learning_rate": 0.01, "distill_weight": 1.0, "distill_temperature": 1.0}
    student = made(tmp_path / "student", llm, mlflow.new_run(), train={"method": "distill", "teacher": teacher.base, "params": params})
    student.chats(PAIRS, 0.1)
    found = student.step("base")
    assert found.result["teacher"] == teacher.base != found.result["model"], found.log
    done = student.step("train", base=found.result["model"], teacher=found.result["teacher"])
    assert done.result, done.log
    losses = [value for _, value in mlflow.history(student.run_id, "loss")]
    # The labels have no part in it: only the teacher's own opinion brings the distance to nothing.
    assert losses[0] > 2.0 and done.result["metrics"]["loss"] < 0.2
    judged = student.step("evaluate", model=done.result["model"])
    assert judged.result["score"] > 0.2, judged.log
    assert mlflow.params(student.run_id)["method"] == "distill"


@pytest.mark.integration
def test_a_teacher_with_other_tokens_is_refused(tmp_path: Path, llm: Trainer, mlflow: Mlflow, tiny: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    path = other / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"][0]["content"] = "<|over|>"
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["<|over|>"] = vocabulary.pop("<|endoftext|>")
    path.write_text(json.dumps(tokenizer))
    done = made(tmp_path / "one", llm, mlflow.new_run(), train={"method": "distill", "teacher": str(other)}).step("base")
    assert done.error["kind"] == "input" and done.error["where"] == "model.yaml: train.teacher", done.log
    assert "2 tokens are in one of them only, such as '<|endoftext|>' (0), '<|over|>' (0)" in done.message
