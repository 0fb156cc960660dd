"""A trial of a table's search: what it is given, what it finds, and how it goes on after it was killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.errors import InputError
from include.kinds.requests import request_of
from include.kinds.table.steps import choose, trial
from include.kinds.table.table import split_rows
from include.runtime.settings import REPO
from include.search import outcomes
from include.spec.schema import ModelSpec
from include.steps.context import StepContext

SPEC = """\
name: grown
task: classification
data: {source: rows.csv, target: y, exclude: [place]}
train:
  params: {bar: 0.5, mischief: none}
  search: {params: {bar: {low: 0.0, high: 1.0}}, trials: 4}
"""
TRAIN = """\
import json
import os
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

SEEN = Path(__file__).parent / "seen.jsonl"


class Bar(ClassifierMixin, BaseEstimator):
    def __init__(self, bar=0.5):
        self.bar = bar

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X):
        with SEEN.open("a") as file:
            file.write(json.dumps({"judged": X["x"].tolist()}) + "\\n")
        return (X["x"].to_numpy() > self.bar).astype(int)


def train(X, y, params):
    with SEEN.open("a") as file:
        line = {"learnt": X["x"].tolist(), "checkpoints": os.environ["UPDRAFT_CHECKPOINTS"], "run": os.environ.get("MLFLOW_RUN_ID")}
        file.write(json.dumps(line) + "\\n")
    if params["mischief"] == "third" and sum("learnt" in line for line in SEEN.read_text().splitlines()) == 3:
        raise KeyboardInterrupt("killed")
    return Bar(params["bar"]).fit(X, y)
"""


@pytest.fixture
def model(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "grown"
    folder.mkdir()
    x = np.random.default_rng(0).random(200).astype("float32").astype("float64")
    pd.DataFrame({"x": x, "place": range(200), "y": (x > 0.6).astype(int)}).to_csv(folder / "rows.csv", index=False)
    (folder / "model.yaml").write_text(SPEC)
    (folder / "train.py").write_text(TRAIN)
    (folder / "expectations.yaml").write_text("- expect_table_row_count_to_be_between: {min_value: 1}\n")
    monkeypatch.setenv("UPDRAFT_CHECKPOINTS", "")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.delitem(sys.modules, "train", raising=False)  # another test's, of the same name
    return folder


def context(model: Path, step: str = "trial.0", *, out: str = "out", inputs=None, params=None, **asked) -> StepContext:
    given = {"table": str(model / "rows.csv"), **(inputs or {})}
    request = request_of(model / "model.yaml", step, params=params or {}, **given)
    request.trial.update({"folds": 4, "seed": 0, "metric": "", "bars": [], **asked})
    (model.parent / out / "checkpoints").mkdir(parents=True, exist_ok=True)
    os.environ["UPDRAFT_CHECKPOINTS"] = str(model.parent / out / "checkpoints")
    return StepContext(request, model.parent / out)


def seen(model: Path) -> list[dict]:
    return [json.loads(line) for line in (model / "seen.jsonl").read_text().splitlines()]


def test_the_held_out_side_is_never_searched_on(model):
    train, test = split_rows(model / "rows.csv", context(model).spec(ModelSpec))
    result = trial.run(context(model))
    used = {value for line in seen(model) for value in line.get("learnt", line.get("judged"))}
    assert used == set(train.x["x"]) and not used & set(test.x["x"]) and len(test) > 20
    judged = np.concatenate([fold.rows for fold in outcomes.read(Path(result["outcomes"]))])
    assert sorted(judged.tolist()) == list(range(len(train))), "and each training row is judged once"


def test_a_fold_is_judged_by_rows_that_it_has_not_learnt_from_and_has_checkpoints_of_its_own(model):
    trial.run(context(model))
    lines = seen(model)
    learnt, judged = lines[::2], lines[1::2]
    for ours, theirs in zip(learnt, judged, strict=True):
        assert not set(ours["learnt"]) & set(theirs["judged"])
    assert len({line["checkpoints"] for line in learnt}) == 4


def test_the_value_is_the_mean_of_the_folds(model):
    perfect = trial.run(context(model, params={"bar": 0.6}))
    poor = trial.run(context(model, params={"bar": 0.1}, out="poor"))
    assert perfect["value"] == 1.0 and perfect["metric"] == "accuracy" and perfect["maximize"] and not perfect["pruned"]
    assert 0 < poor["value"] < 1 and [step for step, _ in poor["steps"]] == [1, 2, 3, 4] and poor["steps"][-1][1] == poor["value"]


def test_a_trial_that_was_killed_goes_on_with_the_fold_that_it_was_at(model):
    with pytest.raises(BaseException, match="killed"):
        trial.run(context(model, params={"bar": 0.4, "mischief": "third"}))
    before = len(seen(model))
    again = trial.run(context(model, params={"bar": 0.4, "mischief": "third"}))
    assert sum("learnt" in line for line in seen(model)[before:]) == 2, "the third fold and the fourth"
    assert trial.run(context(model, params={"bar": 0.4}, out="calm"))["value"] == again["value"]


def test_a_kept_fold_that_is_damaged_is_done_again(model):
    whole = trial.run(context(model))
    (model.parent / "out" / "checkpoints" / "fold-2.npz").write_bytes(b"\x80\x04damaged")
    assert trial.run(context(model))["value"] == whole["value"]


def test_a_trial_that_does_not_reach_the_bar_is_given_up(model):
    result = trial.run(context(model, params={"bar": 0.1}, bars=[[1, 0.99]]))
    assert result["pruned"] and result["value"] is None and len(result["steps"]) == 1
    assert len(outcomes.read(Path(result["outcomes"]))) == 1


def test_what_the_training_logs_itself_goes_to_the_trials_own_run(model):
    trial.run(context(model, inputs={"mlflow_run_id": "a" * 32}))
    assert {line["run"] for line in seen(model) if "learnt" in line} == {"a" * 32}


def test_too_few_rows_for_the_folds_is_said(model):
    with pytest.raises(InputError, match=r"fold .* has no row"):
        trial.run(context(model, folds=20 * 20))


def test_what_the_winner_is_worth_is_reckoned_from_what_the_trials_answered(model):
    values, inputs = [], {}
    for number, bar in enumerate((0.3, 0.6, 0.58)):
        found = trial.run(context(model, f"trial.{number}", params={"bar": bar}, out=f"trial{number}"))
        values.append([number, found["value"]])
        inputs[f"trial.{number}"] = found["outcomes"]
    result = choose.run(context(model, "choose", inputs=inputs, values=values, metric="accuracy"))
    gain = json.loads(Path(result["gain"]).read_text())
    assert gain["value"]["naive"] == 1.0 and gain["gain"]["low"] > 0.2 and gain["trials"] == 3


def test_a_step_whose_process_is_killed_comes_to_the_same_as_one_that_is_not(model):
    """A real process, a real kill -9, at a moment between two folds."""
    slow = TRAIN.replace("def train(X, y, params):\n", "def train(X, y, params):\n    import time\n\n    time.sleep(0.4)\n")
    (model / "train.py").write_text(slow)
    calm = trial.run(context(model, params={"bar": 0.45}, out="calm"))
    kept, folder = model.parent / "kept", model.parent / "step"
    kept.mkdir()

    def process(*, kill: bool) -> str:
        folder.mkdir(exist_ok=True)
        context(model, "trial.3", params={"bar": 0.45}).request.save(folder)
        environment = os.environ | {"UPDRAFT_CHECKPOINTS": str(kept), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(REPO)}
        command = [sys.executable, "-m", "include.steps", str(folder)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPO) as going:
            said = ""
            for line in going.stdout:
                said += line
                if kill and line.startswith("Fold 2"):
                    going.kill()
        return said

    assert "Fold 4" not in process(kill=True) and not (folder / "result.json").exists()
    learnt = sum("learnt" in line for line in seen(model))
    process(kill=False)
    assert sum("learnt" in line for line in seen(model)) - learnt <= 3, "the folds that it had are not learnt again"
    result = json.loads((folder / "result.json").read_text())
    assert (result["value"], result["steps"]) == (calm["value"], [list(pair) for pair in calm["steps"]])
