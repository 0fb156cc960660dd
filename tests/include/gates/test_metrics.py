import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from include.errors import InputError
from include.gates.metrics import default_score, metric_named, metrics_of, score_metric
from include.gates.outcomes import Answered, Checked, Labelled, Measured
from include.gates.paired import estimate
from include.spec.llm import LlmSpec
from include.spec.schema import ModelSpec, Task
from tests.include.gates.test_tagging import tagged


def spec(task: str = "classification", **gate: object) -> ModelSpec:
    return ModelSpec.model_validate({"name": "m", "task": task, "data": {"source": "a:b", "target": "y"}, "gate": gate})


def classified(seed: int, rows: int, classes: int) -> Labelled:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, rows)
    truth[:classes] = np.arange(classes)
    scores = np.round(rng.normal(0, 1, (rows, classes)) + 1.5 * np.eye(classes)[truth], 1)
    # Rounded, so that equal scores give equal probabilities to the last bit, in either class's column.
    probabilities = np.round(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), 6)
    return Labelled(tuple(range(classes)), truth, probabilities.argmax(axis=1), probabilities)


def answered(seed: int, rows: int) -> Answered:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 20, rows)
    checks = Checked(*(rng.random(rows) < share for share in (0.1, 0.4, 0.6, 0.05)))
    loss = tokens * rng.exponential(0.5, rows)
    return Answered(rng.random(rows) < 0.7, rng.random(rows) < 0.9, rng.random(rows), tokens, loss, checks)


@given(seed=st.integers(0, 10_000), rows=st.integers(8, 120), classes=st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_classification_metrics_are_scikit_learns(seed: int, rows: int, classes: int) -> None:
    o = classified(seed, rows, classes)
    found = {name: estimate(metric, o) for name, metric in metrics_of(Task.CLASSIFICATION).items()}
    auc = reference.roc_auc_score(
        o.truth, o.probabilities[:, 1] if classes == 2 else o.probabilities, **({} if classes == 2 else {"multi_class": "ovr"})
    )
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(o.truth, o.predicted))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(o.truth, o.predicted))
    assert found["f1_macro"] == pytest.approx(reference.f1_score(o.truth, o.predicted, average="macro"))
    assert found["log_loss"] == pytest.approx(reference.log_loss(o.truth, o.probabilities))
    assert found["roc_auc_ovr"] == pytest.approx(auc)
    one_hot = np.eye(classes)[o.truth]
    assert found["average_precision"] == pytest.approx(reference.average_precision_score(one_hot, o.probabilities, average="macro"))
    half = 2 if classes == 2 else 1
    assert found["brier"] == pytest.approx(((o.probabilities - one_hot) ** 2).sum(axis=1).mean() / half)
    for name, function in (("precision", reference.precision_score), ("recall", reference.recall_score), ("f1", reference.f1_score)):
        own = estimate(metric_named(Task.CLASSIFICATION, f"{name}/1"), o)
        theirs = function(o.truth, o.predicted, labels=[1], average=None, zero_division=np.nan)[0]
        assert own == pytest.approx(theirs, nan_ok=True)
    assert 0 <= found["calibration_error"] <= 1


@given(seed=st.integers(0, 10_000), rows=st.integers(2, 120))
@settings(max_examples=60, deadline=None)
def test_regression_metrics_are_scikit_learns(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(1000, 3, rows)
    o = Measured(truth, truth + rng.normal(0.5, 1, rows))
    found = {name: estimate(metric, o) for name, metric in metrics_of(Task.REGRESSION).items()}
    assert found["r2"] == pytest.approx(reference.r2_score(o.truth, o.predicted))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(o.truth, o.predicted))
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(o.truth, o.predicted))
    assert found["median_ae"] == pytest.approx(reference.median_absolute_error(o.truth, o.predicted))
    assert found["mape"] == pytest.approx(reference.mean_absolute_percentage_error(o.truth, o.predicted))
    assert found["wape"] == pytest.approx(abs(o.truth - o.predicted).sum() / abs(o.truth).sum())
    pinball = estimate(metric_named(Task.REGRESSION, "pinball/0.9"), o)
    assert pinball == pytest.approx(reference.mean_pinball_loss(o.truth, o.predicted, alpha=0.9))
    coverage = estimate(metric_named(Task.REGRESSION, "quantile_error/0.9"), o)
    assert coverage == pytest.approx(abs((o.truth <= o.predicted).mean() - 0.9))


@pytest.mark.parametrize("task", list(Task))
def test_a_weight_of_two_is_the_row_twice(task: Task) -> None:
    rng = np.random.default_rng(3)
    o = {
        Task.CLASSIFICATION: classified(5, 40, 3),
        Task.REGRESSION: Measured(rng.normal(0, 1, 40), rng.normal(0, 1, 40)),
        Task.MULTILABEL: tagged(5, 40, 3),
        Task.CHAT: answered(5, 40),
    }[task]
    weights = rng.integers(0, 4, (1, 40)).astype(float)
    repeated = o.take(np.repeat(np.arange(40), weights[0].astype(int)))
    for metric in metrics_of(task).values():
        assert metric.compute(o, weights)[0] == pytest.approx(estimate(metric, repeated)), metric.name


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.tile([0.9, 0.1], (10, 1))
    o = Labelled((0, 1), np.array([0] * 6 + [1] * 4), np.zeros(10, dtype=int), probabilities)
    assert estimate(metrics_of(Task.CLASSIFICATION)["calibration_error"], o) == pytest.approx(0.3)


def test_what_the_rows_do_not_define_is_nan() -> None:
    one_class = Labelled((0, 1), np.zeros(5, dtype=int), np.zeros(5, dtype=int), np.tile([0.8, 0.2], (5, 1)))
    assert np.isnan(estimate(metrics_of(Task.CLASSIFICATION)["roc_auc_ovr"], one_class))
    without = Labelled((0, 1), np.array([0, 1]), np.array([0, 1]))
    assert np.isnan(estimate(metrics_of(Task.CLASSIFICATION)["log_loss"], without))
    assert np.isnan(estimate(metrics_of(Task.REGRESSION)["r2"], Measured(np.ones(4), np.zeros(4))))


def test_the_score_is_accuracy_or_r2_unless_named() -> None:
    assert score_metric(spec()).name == "accuracy"
    assert score_metric(spec("regression")).name == "r2"
    assert score_metric(spec(metric="f1_macro")).name == "f1_macro"


@pytest.mark.parametrize(
    ("gate", "field"),
    [
        ({"metric": "r2"}, "gate.metric"),
        ({"metric": "log_loss"}, "gate.metric"),
        ({"bars": [{"metric": "mse", "max": 1}]}, "gate.bars[0].metric"),
    ],
)
def test_a_metric_that_cannot_judge_is_refused_with_its_field(gate: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as error:
        score_metric(spec(**gate))
    assert error.value.where == field


def test_the_perplexity_is_that_of_a_token_and_not_of_an_answer() -> None:
    o = Answered(np.ones(2, bool), np.ones(2, bool), np.ones(2), np.array([1, 3]), np.array([4.0, 0.0]))
    assert estimate(metrics_of(Task.CHAT)["perplexity"], o) == pytest.approx(np.e)
    unknown = Answered(o.matches, o.formed, o.overlap, o.tokens)
    assert np.isnan(estimate(metrics_of(Task.CHAT)["perplexity"], unknown))


def test_answers_that_should_not_be_are_shares_of_the_rows_that_they_could_be_in() -> None:
    yes, no = np.ones(4, bool), np.zeros(4, bool)
    checks = Checked(
        refused=np.array([1, 0, 0, 0], bool), json_wanted=np.array([0, 1, 1, 0], bool), json=np.array([1, 1, 0, 1], bool), revealed=no
    )
    o = Answered(yes, yes, np.ones(4), np.ones(4, int), checks=checks)
    found = {name: estimate(metric, o) for name, metric in metrics_of(Task.CHAT).items()}
    assert (found["refusal_rate"], found["json_rate"], found["personal_data_rate"]) == (0.25, 0.5, 0.0)
    assert np.isnan(estimate(metrics_of(Task.CHAT)["json_rate"], o.take(np.array([0, 3]))))
    unchecked = Answered(yes, yes, np.ones(4), np.ones(4, int))
    assert all(np.isnan(estimate(metrics_of(Task.CHAT)[name], unchecked)) for name in ("refusal_rate", "json_rate", "personal_data_rate"))


@pytest.mark.parametrize("name", ["refusal_rate", "personal_data_rate"])
def test_a_rate_of_bad_answers_is_a_bar_and_no_score(name: str) -> None:
    with pytest.raises(InputError, match="less is better"):
        score_metric(
            LlmSpec.model_validate(
                {"name": "a", "kind": "llm", "base": "b", "data": {"source": "c.jsonl"}, "gate": {"metric": name, "min_score": 0}}
            )
        )


def test_a_harness_tasks_metric_is_a_bar_where_there_is_such_a_task_and_never_the_score() -> None:
    given = {"name": "a", "kind": "llm", "base": "b", "data": {"source": "c.jsonl"}}
    bar = {"min_score": 0, "bars": [{"metric": "spelled/acc", "min": 0.5}]}
    task = {"evaluate": {"harness": ["tasks/spelled.yaml"]}}
    assert score_metric(LlmSpec.model_validate({**given, **task, "gate": bar})).name == "exact_match"
    with pytest.raises(InputError, match="'spelled/acc' is no metric"):
        score_metric(LlmSpec.model_validate({**given, "gate": bar}))
    with pytest.raises(InputError, match="'spelled/acc' is no metric"):
        score_metric(LlmSpec.model_validate({**given, **task, "gate": {"min_score": 0, "metric": "spelled/acc"}}))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((97, 3), "balanced_accuracy"), ((80, 20), "accuracy"), ((10,) * 10, "accuracy"), ((50, 49, 1), "balanced_accuracy")],
)
def test_a_rare_class_is_not_judged_by_accuracy(counts: tuple[int, ...], expected: str) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    metric, note = default_score(spec(), labels)
    assert metric.name == expected and (("of the rows" in note) is (expected != "accuracy"))
    assert default_score(spec(metric="f1_macro"), labels)[0].name == "f1_macro"


def test_metrics_of_a_class_or_a_quantile_are_written_with_a_slash() -> None:
    assert score_metric(spec(metric="recall/1")).name == "recall/1"
    for name in ("recall/", "recall", "pinball/0.5"):
        assert metric_named(Task.CLASSIFICATION, name) is None
    for name in ("pinball/2", "pinball/x", "recall/1"):
        assert metric_named(Task.REGRESSION, name) is None
    with pytest.raises(InputError, match="less is better"):
        score_metric(spec("regression", metric="pinball/0.9"))
