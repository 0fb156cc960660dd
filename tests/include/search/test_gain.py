"""What a winner is worth: its interval covers the truth, where the best value alone promises too much."""

import numpy as np
import pytest

from include.errors import InputError
from include.gates.metrics import metrics_of
from include.gates.outcomes import Labelled, Measured
from include.search import outcomes
from include.search.gain import corrected, gain
from include.search.outcomes import Judged
from include.spec.schema import Task

ACCURACY = metrics_of(Task.CLASSIFICATION)["accuracy"]
MAE = metrics_of(Task.REGRESSION)["mae"]


def simulated(rng: np.random.Generator, rows: int, skill: np.ndarray) -> np.ndarray:
    """Whether each of the trials is right about each row, shape (rows, trials): ``skill`` are their true shares, and a row that is hard for
    one is hard for the others."""
    from statistics import NormalDist

    bar = np.array([NormalDist().inv_cdf(share) for share in skill])
    shared, own = rng.standard_normal((rows, 1)), rng.standard_normal((rows, len(skill)))
    return (np.sqrt(0.6) * shared + np.sqrt(0.4) * own) < bar


def covered(skill_of, rows: int, reruns: int) -> dict[str, float]:
    """Over many searches: the share of intervals that hold the winner's true value and its true gain, and the mean errors."""
    rng, found = np.random.default_rng(5), []
    for _ in range(reruns):
        skill = skill_of(rng)
        right = simulated(rng, rows, skill).astype("float64")
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=200).astype("float64")
        left = (weights == 0).astype("float64")
        drawn_scores, left_scores = weights @ right / rows, left @ right / left.sum(axis=1, keepdims=True)
        chosen, above = corrected(drawn_scores, left_scores, 0)
        winner = int(right.mean(axis=0).argmax())
        (low, high), (less, more) = np.percentile(chosen, (2.5, 97.5)), np.percentile(above, (2.5, 97.5))
        truth, gained = skill[winner], skill[winner] - skill[0]
        naive = right[:, winner].mean() - truth
        found.append((low <= truth <= high, less <= gained <= more, naive, chosen.mean() - truth))
    return dict(zip(("value", "gain", "naive", "corrected"), np.array(found, dtype="float64").mean(axis=0), strict=True))


@pytest.mark.parametrize(
    "skill_of",
    [lambda rng: np.full(40, 0.8), lambda rng: np.clip(rng.normal(0.75, 0.04, 40), 0.5, 0.95), lambda rng: np.r_[0.7, np.full(39, 0.85)]],
    ids=["all the same", "spread", "all better than the first"],
)
def test_the_interval_covers_the_truth_and_the_mean_is_less_biased_than_the_best_value(skill_of):
    found = covered(skill_of, rows=200, reruns=100)
    assert found["value"] >= 0.95 and found["gain"] >= 0.95, found
    assert found["naive"] > 0.01, "the best of forty looks better than it is"
    assert abs(found["corrected"]) < 0.5 * found["naive"], found


def folds_of(right: np.ndarray, folds: int = 4) -> list[list[Judged]]:
    parts = np.array_split(np.arange(len(right)), folds)
    truth = np.zeros(len(right), dtype="int64")
    return [
        [Judged(part, Labelled((0, 1), truth[part], (~right[part, trial]).astype("int64"))) for part in parts]
        for trial in range(right.shape[1])
    ]


def test_of_trials_that_are_all_the_same_nothing_is_gained():
    trials = dict(enumerate(folds_of(simulated(np.random.default_rng(3), 300, np.full(30, 0.8)))))
    values = {number: float(np.mean([(fold.outcome.predicted == 0).mean() for fold in folds])) for number, folds in trials.items()}
    found = gain(ACCURACY, trials, values)
    assert found.value.naive == max(values.values()) and found.value.naive > found.value.corrected
    assert found.gain.naive > 0 and found.gain.low <= 0 <= found.gain.high
    assert found.trials == 30 and found.rows == 300 and found.replicates == 1000
    assert gain(ACCURACY, trials, values) == found, "the same rows give the same figures"


def test_less_may_be_better_and_the_first_trial_may_be_missing():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=200)
    trials = {
        number: [Judged(np.arange(200), Measured(truth, truth + rng.normal(0, noise, 200)))] for number, noise in ((1, 1.0), (3, 0.1))
    }
    values = {number: float(np.abs(folds[0].outcome.predicted - truth).mean()) for number, folds in trials.items()}
    found = gain(MAE, trials, values)
    assert found.gain is None
    assert found.value.naive == values[3] and found.value.low < values[3] < found.value.high
    better = gain(MAE, trials, values, first=1)
    assert better.gain.naive == pytest.approx(values[1] - values[3]) and better.gain.low > 0.5, "a gain is a gain, whichever way is better"


def test_answers_are_kept_without_pickles_and_come_back(tmp_path):
    folds = [
        Judged(np.arange(3), Labelled(("no", "yes"), np.array([0, 1, 1]), np.array([0, 1, 0]), np.full((3, 2), 0.5))),
        Judged(np.arange(3, 5), Measured(np.array([1.0, 2.0]), np.array([1.5, 2.5]))),
    ]
    outcomes.write(tmp_path / "a.npz", folds)
    for before, after in zip(folds, outcomes.read(tmp_path / "a.npz"), strict=True):
        assert {name: value.tolist() for name, value in before.arrays().items()} == {
            name: value.tolist() for name, value in after.arrays().items()
        }
    with pytest.raises(InputError, match="no trial's answers"):
        (tmp_path / "b.npz").write_bytes(b"nothing")
        outcomes.read(tmp_path / "b.npz")


def test_of_a_large_table_some_rows_are_taken_the_same_of_every_trial(monkeypatch):
    monkeypatch.setattr("include.search.gain.MOST_ROWS", 150)
    trials = dict(enumerate(folds_of(simulated(np.random.default_rng(3), 300, np.array([0.6, 0.9])))))
    values = {number: float(np.mean([(fold.outcome.predicted == 0).mean() for fold in folds])) for number, folds in trials.items()}
    found = gain(ACCURACY, trials, values, groups=np.repeat(np.arange(100), 3))
    assert found.rows == 150 and found.value.naive == values[1] and found.gain.low > 0.1
