"""Agreement is what published figures and other libraries say, and a judge is trusted only on enough of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from include.gates import judgement
from include.gates.evaluation import Evaluation, Score
from include.gates.gate import gate
from include.gates.judgement import Agreement, Judgement
from include.spec.schema import Gate
from include.verdict import Decision, Rule

TWO, FIVE = ("bad", "good"), ("1", "2", "3", "4", "5")
PASSED = Evaluation("chat", "exact_match", 100, 900, 0.95, {"exact_match": Score(0.95)})


def agreement(table: list[list[int]], scale: tuple[str, ...] = TWO) -> Agreement:
    labels = [label for label, row in enumerate(table) for count in row for _ in range(count)]
    marks = [mark for row in table for mark, count in enumerate(row) for _ in range(count)]
    return judgement.agreement(scale, labels, marks, 0.95)


def test_a_textbook_table() -> None:
    # 50 grant proposals: 20 both say yes, 15 both no, 10 and 5 apart: (0.7 - 0.5) / (1 - 0.5).
    found = agreement([[15, 10], [5, 20]])
    assert found.kappa.value == pytest.approx(0.4)
    assert found.counts == ((15, 10, 0), (5, 20, 0)) and found.labels == 50


@pytest.mark.parametrize("seed", range(3))
def test_marks_from_one_to_five_are_weighted_as_scikit_learn_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 80)
    marks = np.clip(labels + rng.integers(-2, 3, 80), 0, 4)
    found = judgement.agreement(FIVE, labels.tolist(), marks.tolist(), 0.95)
    assert found.kappa.value == pytest.approx(cohen_kappa_score(labels, marks, weights="quadratic", labels=range(5)))


def test_a_mark_that_nobody_gives_changes_nothing() -> None:
    found = agreement([[0] * 5, [0, 20, 4, 0, 0], [0, 3, 20, 0, 0], [0] * 5, [0] * 5], FIVE)
    labels, marks = [1] * 24 + [2] * 23, [1] * 20 + [2] * 4 + [1] * 3 + [2] * 20
    assert found.kappa.value == pytest.approx(cohen_kappa_score(labels, marks))


@pytest.mark.parametrize("table", [[[300, 40], [60, 600]], [[90, 110], [60, 740]]])
def test_with_many_labels_the_interval_is_the_asymptotic_one(table: list[list[int]]) -> None:
    found, known = agreement(table).kappa, cohens_kappa(table)
    assert (found.low, found.high) == pytest.approx((known.kappa_low, known.kappa_upp), abs=0.01)


@pytest.mark.slow
def test_a_judge_at_the_bar_is_seldom_trusted() -> None:
    rng, share = np.random.default_rng(0), np.array([[0.4, 0.1], [0.1, 0.4]])  # its true kappa is 0.6
    tables = [rng.multinomial(40, share.ravel()).reshape(2, 2).tolist() for _ in range(60)]
    assert sum(not agreement(table).doubt(0.6) for table in tables) <= 4, "2.5 % of 60 are 1.5"


def test_full_agreement_on_few_labels_is_no_certainty() -> None:
    few, many = agreement([[10, 0], [0, 10]]), agreement([[100, 0], [0, 100]])
    assert few.kappa.value == many.kappa.value == 1.0
    assert few.kappa.low == pytest.approx(0.68, abs=0.01) and few.doubt(0.8) and not few.doubt(0.6)
    assert many.kappa.low > 0.95


def test_a_judge_that_calls_everything_good_agrees_with_nobody() -> None:
    found = agreement([[0, 10], [0, 90]])
    assert found.kappa.value == pytest.approx(0.0) and found.doubt(0.1)


def test_doubt_is_told_with_the_figures() -> None:
    found = agreement([[12, 13], [6, 19]])
    low, high = found.kappa.low, found.kappa.high
    assert found.doubt(0.6) == f"kappa {found.kappa.value:.2f} [{low:.2f}, {high:.2f}], wanted 0.6"


def test_labels_without_a_mark_are_counted_and_too_many_are_a_doubt() -> None:
    labels = [0, 1] * 20
    marks: list[int | None] = list(labels)
    marks[:4] = [None] * 4
    found = judgement.agreement(TWO, labels, marks, 0.95)
    assert found.unmarked == 4 and not found.doubt(0.6), "a tenth may be missing"
    marks[4] = None
    assert judgement.agreement(TWO, labels, marks, 0.95).doubt(0.6) == "5 of 40 labelled answers got no mark, wanted 10% at most"
    none = judgement.agreement(TWO, labels, [None] * 40, 0.95)
    assert none.kappa.value is None and none.doubt(0.6)


def opinion(ours: list[int | None], theirs: list[int | None] | None, *, doubt: str = "", margin: float = 0.0, **more: Any) -> Judgement:
    """Of two marks; ``theirs`` None for a first version."""
    comparison = judgement.beside(TWO, ours, theirs, margin, 0.95) if theirs else None
    parts: dict[str, Any] = {
        "agreement": agreement([[48, 2], [3, 47]]),
        "score": judgement.mean_mark(TWO, ours, 0.95),
        "champion": "3" if theirs else None,
        "champion_score": judgement.mean_mark(TWO, theirs, 0.95) if theirs else None,
    }
    known = {"judge": "m", "min_kappa": 0.6, "margin": margin, "doubt": doubt, "prompts": len(ours), "unmarked": ours.count(None)}
    return Judgement(**known, comparison=comparison, **parts | more)


def ruled(found: Judgement) -> tuple[Decision, Rule]:
    verdict = gate(PASSED, Gate(), found)
    assert verdict.evidence["judgement"] == found.figures().to_json()
    return verdict.decision, verdict.rules[-1]


WORSE: list[int | None] = [1] * 60 + [0] * 20
BEST: list[int | None] = [1] * 80


def test_a_version_that_the_judge_finds_worse_fails() -> None:
    decision, rule = ruled(opinion(WORSE, BEST))
    assert decision is Decision.FAIL and rule.name == "judge: not worse than champion"
    assert rule.figure.startswith("-0.25 [") and "McNemar, exact: 0 rows gained, 20 lost" in rule.detail and "kappa 0.90 [" in rule.detail


def test_a_margin_is_tolerated() -> None:
    nearly: list[int | None] = [1] * 77 + [0] * 3
    assert ruled(opinion(nearly, BEST, margin=0.1))[0] is Decision.PASS
    assert ruled(opinion(WORSE, BEST, margin=0.1))[0] is Decision.FAIL


def test_a_judge_that_is_not_trusted_counts_for_nothing() -> None:
    decision, rule = ruled(opinion(WORSE, BEST, doubt="kappa 0.31 [0.12, 0.50], wanted 0.6"))
    assert decision is Decision.PASS
    bar = "kappa surely at least 0.6 (evaluate.judge.min_kappa)"
    assert rule == Rule("judge", None, "not trusted", bar, "kappa 0.31 [0.12, 0.50], wanted 0.6; its marks count for nothing")


def test_a_first_version_and_one_that_cannot_be_compared() -> None:
    assert ruled(opinion(WORSE, None))[1].figure == "first version"
    decision, rule = ruled(opinion(WORSE, BEST, not_comparable="champion 3 does not take today's chats"))
    assert (decision, rule.passed, rule.figure) == (Decision.PASS, None, "not comparable")


def test_answers_that_can_hardly_be_marked_fail() -> None:
    decision, rule = ruled(opinion([None] * 20 + [1] * 60, BEST))
    assert (decision, rule.figure) == (Decision.FAIL, "no figure") and rule.detail.startswith("20 of 80 prompts lack a mark")


def test_five_marks_are_compared_by_the_paired_bootstrap() -> None:
    found = judgement.beside(FIVE, [2] * 50, [3] * 40 + [4] * 10, 0.0, 0.95)
    assert found is not None and found.difference == pytest.approx(-0.3) and found.p_worse < 0.01 and "paired bootstrap" in found.method


def test_a_judgement_survives_json() -> None:
    found = opinion(WORSE, BEST, tasks=[{"task": "all", "prompts": 80, "mark": 0.75, "champion": 1.0}])
    assert Judgement.from_json(found.to_json()).to_json() == found.to_json()
    assert Judgement.from_json(found.to_json()).agreement == found.agreement
