"""A model folder such as a newcomer writes from the README alone: another bundled data set, a training function, a wrapper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SPEC = """\
name: {name}
description: Benign or malignant (Wisconsin breast cancer, bundled with scikit-learn).
task: classification

data:
  source: data:load
  target: target

train:
  timeout_minutes: {timeout_minutes}
{train}  params:
    strength: {{default: 1.0, minimum: 0.001, maximum: 1000, description: Inverse of the penalty.}}
    seconds: {{default: 0.0, minimum: 0, maximum: 600, description: The training takes at least this long.}}
    mischief: {{default: none, choices: [none, raise, nothing, nan, killed, hang], description: What goes wrong in training.}}

serve:
  wrapper: serving:Wrapper
  start_timeout_s: 120
  params:
    error_rate: {{default: 0.0, minimum: 0, maximum: 1, description: This share of requests fails.}}
    delay_ms: {{default: 0.0, minimum: 0, maximum: 1000, description: Every answer comes this much later (milliseconds).}}

# Short, and easy on latency: a test machine is busy with other things.
canary:
  steps: [20, 50]
  step_s: 4
  look_s: 1
  min_requests: 10
  alpha: 0.001
  latency_margin: 5
  latency_tolerance: 50
  error_tolerance: 0.5
"""

DATA = """\
from sklearn.datasets import load_breast_cancer


def load():
    return load_breast_cancer(as_frame=True).frame
"""

EXPECTATIONS = """\
- expect_table_row_count_to_be_between: {min_value: 300}
- expect_column_values_to_be_in_set: {column: target, value_set: [0, 1]}
- expect_column_values_to_be_between: {column: mean radius, min_value: 1, max_value: 60}
- expect_column_values_to_not_be_null: {columns: "mean *"}
"""

TRAIN = """\
import os
import signal
import time

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


class Undecided(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X) * float("nan")


def train(X, y, params):
    print(f"begun by process {os.getpid()}", flush=True)
    mischief = params["mischief"]
    if mischief == "raise":
        raise ZeroDivisionError("the newcomer's own mistake")
    if mischief == "nothing":
        return None
    if mischief == "nan":
        return Undecided(max_iter=1000).fit(X, y)
    if mischief == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mischief == "hang":
        time.sleep(3600)
    time.sleep(params["seconds"])
    return make_pipeline(StandardScaler(), LogisticRegression(C=params["strength"], max_iter=1000)).fit(X, y)
"""

SERVING = """\
import random
import time


class Wrapper:
    def __init__(self, params):
        self.error_rate, self.delay_s = params["error_rate"], params["delay_ms"] / 1000

    def before(self, inputs):
        time.sleep(self.delay_s)
        if random.random() < self.error_rate:
            raise RuntimeError("a bad version")
        return inputs

    def after(self, outputs):
        return outputs
"""


def write(models: Path, name: str, timeout_minutes: float = 10, train: str = "", serve: str = "") -> Path:
    """The model's folder under ``models``; ``train`` and ``serve`` are further lines of these parts of the spec."""
    folder = models / name
    folder.mkdir(parents=True)
    spec = SPEC.format(name=name, timeout_minutes=timeout_minutes, train=train)
    (folder / "model.yaml").write_text(spec.replace("serve:\n", f"serve:\n  {serve}\n") if serve else spec)
    for file, text in {"data.py": DATA, "expectations.yaml": EXPECTATIONS, "train.py": TRAIN, "serving.py": SERVING}.items():
        (folder / file).write_text(text)
    return folder


def requests() -> list[list[dict[str, Any]]]:
    """The inputs of one KServe v2 request for each row of the data set."""
    from sklearn.datasets import load_breast_cancer

    return [[{"name": "input", "datatype": "FP32", "shape": [1, 30], "data": row}] for row in load_breast_cancer().data.tolist()]


def wrong(answer: Any) -> str | None:
    """What is wrong with an answer: it must say 0 or 1."""
    labels = [output["data"] for output in answer["outputs"] if output["name"] == "label"]
    return None if labels in ([[0]], [[1]]) else f"the label is {labels}"
