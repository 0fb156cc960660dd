"""The models that users copy: their data keeps their expectations, they train in seconds, and the drill drills."""

import importlib.util
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from include.canary.compared import Compared
from include.canary.judge import judge
from include.canary.observations import Arm, Latencies, Look
from include.canary.plan import AnswersPlan, TrialPlan
from include.data.validate import validate
from include.demo import digits
from include.kinds.load import find, load_as
from include.kinds.requests import request_of
from include.kinds.table.steps.extract import run
from include.kinds.table.table import split_rows
from include.runtime.settings import REPO
from include.spec.schema import ModelSpec
from include.steps.context import StepContext
from include.verdict import Decision

MODELS = REPO / "include" / "models"
WEAK = {"hidden_units": 16, "epochs": 15}


def module(model: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{model}_{name}", MODELS / model / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(params=["digits", "diabetes"])
def model(request: pytest.FixtureRequest) -> Iterator[str]:
    sys.modules.pop("data", None)
    yield request.param
    sys.modules.pop("data", None)


def extracted(model: str, out: Path) -> tuple[ModelSpec, Path]:
    path = MODELS / model / "model.yaml"
    sys.modules.pop("data", None)
    return load_as(path, ModelSpec), Path(run(StepContext(request_of(path, "extract"), out))["table"])


def fitted(model: str, spec: ModelSpec, table: Path, **params: Any) -> tuple[Pipeline, float]:
    train, test = split_rows(table, spec)
    trained = module(model, "train").train(train.x, train.y, spec.param_defaults("train") | params)
    return trained, float(trained.score(test.x, test.y))


def test_these_are_shipped() -> None:
    assert [path.parent.name for path in find(MODELS)] == ["diabetes", "digits", "intents", "signs", "tinychat"]


def test_the_data_keeps_the_expectations(model: str, tmp_path: Path) -> None:
    spec, table = extracted(model, tmp_path)
    verdict = validate(table, MODELS / model / "expectations.yaml", tmp_path / "docs", name=model, target=spec.data.target)
    assert verdict.decision is Decision.PASS, verdict.reasons


def test_it_trains_in_seconds_prints_its_progress_and_passes_its_own_gate(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec, table = extracted(model, tmp_path)
    capfd.readouterr()
    started = time.process_time()
    _, score = fitted(model, spec, table)
    assert time.process_time() - started < 30
    assert capfd.readouterr().out.strip()
    assert score >= spec.gate.min_score


def test_a_weak_and_a_strong_digits_differ_by_parameters_alone(tmp_path: Path) -> None:
    spec, table = extracted("digits", tmp_path)
    weak, strong = fitted("digits", spec, table, **WEAK)[1], fitted("digits", spec, table)[1]
    assert 0.90 <= weak <= 0.94 and strong >= 0.97


def test_training_twice_gives_the_same_model(model: str, tmp_path: Path) -> None:
    spec, table = extracted(model, tmp_path)
    _, test = split_rows(table, spec)
    first, second = (fitted(model, spec, table)[0].predict(test.x) for _ in range(2))
    assert np.array_equal(first, second)


DRILL = {"error_rate": 0.0, "delay_ms": 0.0, "scale_alone": 1.0}


def test_the_drill_of_wrong_answers_passes_every_check_of_several_rows_and_is_found_by_its_answers_alone(tmp_path: Path) -> None:
    """The chapter of `make demo`: what the gate and the golden inputs see is right, what callers of one image get is not."""
    (chapter,) = (one for one in digits.CHAPTERS if "answers:" in one.because)
    assert isinstance(chapter.conf, dict)
    spec, table = extracted("digits", tmp_path)
    _, test = split_rows(table, spec)
    champion, _ = fitted("digits", spec, table)
    challenger, _ = fitted("digits", spec, table, seed=chapter.conf["seed"])
    drill = module("digits", "serving").Wrapper(DRILL | {"scale_alone": chapter.conf["scale_alone"]})
    batch = {"input": test.x.to_numpy("float32")}
    assert drill.before(batch) is batch
    alone = np.concatenate([drill.before({"input": row[None]})["input"] for row in batch["input"]])
    served = challenger.predict(pd.DataFrame(alone, columns=test.x.columns))
    held_out = int((champion.predict(test.x) != challenger.predict(test.x)).sum())
    live = float((champion.predict(test.x) != served).mean())
    plan = TrialPlan.from_spec(spec.canary)
    plan = replace(plan, answers=AnswersPlan(rows=len(test.x), differ=held_out))
    arm = Arm(60, 0, Latencies.of(2.0 for _ in range(60)))
    looks = (Look(at * plan.look_s, 0, 25, arm, arm, compared=Compared(14, round(14 * live), ())) for at in range(1, 18))
    verdict = judge(looks, plan)
    assert verdict.decision is Decision.ROLLBACK and verdict.reasons[0].startswith(chapter.because), (live, held_out, verdict.reasons)


def test_the_drill_fails_the_share_it_is_told_and_delays(tmp_path: Path) -> None:
    wrapper = module("digits", "serving").Wrapper
    inputs = {"pixels": np.zeros((1, 64), np.float32)}

    def failures(rate: float) -> int:
        drill, failed = wrapper(DRILL | {"error_rate": rate}), 0
        for _ in range(1000):
            try:
                assert drill.before(inputs) is inputs
            except RuntimeError:
                failed += 1
        return failed

    assert failures(0.0) == 0 and failures(1.0) == 1000 and 60 <= failures(0.1) <= 140
    slow = wrapper(DRILL | {"delay_ms": 30.0})
    started = time.perf_counter()
    assert slow.after(slow.before(inputs)) is inputs
    assert time.perf_counter() - started >= 0.03


@pytest.mark.parametrize(
    ("dataset", "task"),
    [("wine", "classification"), ("breast_cancer", "classification"), ("iris", "classification"), ("linnerud", "regression")],
)
def test_a_folder_that_nobody_here_has_seen_loads_and_extracts(tmp_path: Path, dataset: str, task: str) -> None:
    folder = tmp_path / dataset
    folder.mkdir()
    target = "Weight" if dataset == "linnerud" else "target"
    (folder / "model.yaml").write_text(f"name: {dataset}\ntask: {task}\ndata:\n  source: data:load\n  target: {target}\n")
    code = f"from sklearn.datasets import load_{dataset}\ndef load():\n    return load_{dataset}(as_frame=True).frame\n"
    (folder / "data.py").write_text(code)
    (folder / "train.py").write_text("def train(X, y, params): ...\n")
    (folder / "expectations.yaml").write_text("- expect_column_values_to_not_be_null: {columns: '*'}\n")
    sys.modules.pop("data", None)
    result = run(StepContext(request_of(folder / "model.yaml", "extract"), tmp_path))
    assert pd.read_parquet(result["table"]).shape == (result["rows"], len(result["columns"]))
    verdict = validate(Path(result["table"]), folder / "expectations.yaml", tmp_path / "docs", name=dataset, target=target)
    assert verdict.decision is Decision.PASS
