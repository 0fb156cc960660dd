"""Tasks of lm-evaluation-harness, asked of a model that was taught something."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from include.errors import InputError
from include.gates.evaluation import Evaluation
from include.gates.gate import gate
from include.kinds.llm import harness
from include.spec.llm import LlmGate
from include.spec.schema import Bar
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.taught import PAIRS, WORDS, Taught

Teach = Callable[..., Taught]
GENERATED = {
    "task": "spelled",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "spelled.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{asked}}",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 16, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
CHOSEN = {
    "task": "chosen",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "chosen.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{asked}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{right}}",
    "target_delimiter": "",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.fixture
def teach(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> Teach:
    def make(tasks: dict[str, dict], **given) -> Taught:
        names = [f"tasks/{name}.yaml" for name in tasks]
        model = Taught.make(tmp_path / "one", llm, mlflow, evaluate={"harness": names}, **given)
        folder = model.folder / "tasks"
        folder.mkdir()
        for name, task in tasks.items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(task))
        return model

    return make


def write(model: Taught, name: str, rows: list[dict]) -> None:
    (model.folder / "tasks" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.integration
def test_tasks_of_both_kinds_are_scored_beside_the_own_figures_and_may_be_barred(teach: Teach, mlflow: Mlflow) -> None:
    model = teach({"spelled": GENERATED, "chosen": CHOSEN})
    known = [{"asked": asked, "answer": answer} for asked, answer in PAIRS]
    # A quarter is asked for what the model was taught otherwise.
    write(model, "spelled", [row | ({"answer": "something else"} if number % 4 == 0 else {}) for number, row in enumerate(known)])
    write(
        model,
        "chosen",
        [{"asked": row["asked"], "choices": [WORDS[-1 - n % 9], row["answer"]], "right": 1} for n, row in enumerate(known[:9])],
    )
    done = model.step("evaluate", model=model.base)
    assert done.result, done.log
    scores = Evaluation.read(Path(done.result["evaluation"])).scores
    spelled, chosen = scores["spelled/exact_match"], scores["chosen/acc"]
    assert spelled.value == pytest.approx(0.75) and chosen.value == 1.0
    assert spelled.low < 0.75 < spelled.high and "harness" in spelled.method
    assert scores["exact_match"].value == 1.0
    assert mlflow.metrics(model.run_id)["test/spelled/exact_match"] == pytest.approx(0.75)
    evaluation = Evaluation.read(Path(done.result["evaluation"]))
    bars = (Bar(metric="spelled/exact_match", min=0.9), Bar(metric="chosen/acc", min=0.9))
    rules = {rule.name: rule.passed for rule in gate(evaluation, LlmGate(min_score=0.0, bars=bars)).rules}
    assert (rules["bar on spelled/exact_match"], rules["bar on chosen/acc"]) == (False, True)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset_path": "someone/elsewhere", "dataset_kwargs": {}}, "OfflineModeIsEnabled"),
        ({"generation_kwargs": {"do_sample": True, "temperature": 1.0}}, "sampled"),
        ({"doc_to_text": "{{asked * 60}}"}, "a conversation 128 at most"),
    ],
    ids=str,
)
def test_a_task_that_cannot_be_run_is_the_users_fault_and_named(teach: Teach, change: dict, said: str) -> None:
    model = teach({"spelled": GENERATED | change})
    write(model, "spelled", [{"asked": asked, "answer": answer} for asked, answer in PAIRS[:4]])
    done = model.step("evaluate", model=model.base)
    assert done.error["kind"] == "input" and done.error["where"] == "evaluate.harness: tasks/spelled.yaml", done.log
    assert said in done.message


@pytest.mark.parametrize("text", ["task: [a, list]", "task:", "dataset_path: json", "- task", "", "task: {", "\x00"])
def test_a_file_that_is_no_task_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(InputError, match=r"evaluate\.harness: t\.yaml"):
        harness.task_name(tmp_path / "t.yaml", "evaluate.harness: t.yaml")


def test_functions_in_a_task_are_left_to_the_harness(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("task: own\ndoc_to_text: !function utils.text\n")
    assert harness.task_name(tmp_path / "t.yaml", "") == "own"
