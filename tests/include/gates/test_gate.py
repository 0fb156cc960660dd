import itertools
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.gates.evaluation import Champion, Comparison, Evaluation, Score, Slice
from include.gates.gate import gate, holm
from include.spec.schema import Bar, Gate
from include.verdict import Decision, Rule, Verdict

GOOD = Score(0.95, 0.93, 0.97, "Wilson")


def comparison(p: float | None, rows: int = 400) -> Comparison:
    return Comparison("accuracy", rows, -0.01, -0.03, 0.01, p, 0.0, "McNemar, exact")


def evaluation(score: Score = GOOD, champion: Champion | None = None, slices: tuple[Slice, ...] = (), **others: Score) -> Evaluation:
    return Evaluation("classification", "accuracy", 400, 1600, 0.95, {"accuracy": score} | others, slices, champion)


def champion(p: float | None) -> Champion:
    return Champion("3", {"accuracy": Score(0.96, 0.94, 0.98)}, comparison(p))


def part(value: str, p: float | None, rows: int = 100) -> Slice:
    return Slice("region", value, rows, GOOD, GOOD, comparison(p, rows))


def rule(verdict: Verdict, name: str) -> Rule:
    return next(found for found in verdict.rules if found.name == name)


def test_a_first_version_above_the_bar_passes() -> None:
    verdict = gate(evaluation(), Gate())
    assert verdict.decision is Decision.PASS
    wanted = Rule("minimum accuracy", True, "0.95 [0.93, 0.97]", "at least 0.85 (gate.min_score)", "400 held-out rows")
    assert rule(verdict, "minimum accuracy") == wanted
    assert rule(verdict, "not worse than champion").figure == "first version"


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_score_passes_exactly_from_the_bar_on(score: float, bar: float) -> None:
    assert (gate(evaluation(Score(score)), Gate(min_score=bar)).decision is Decision.PASS) == (score >= bar)


def test_a_first_version_below_the_bar_is_told_whose_bar_it_is() -> None:
    verdict = gate(evaluation(Score(0.6)), Gate())
    assert verdict.reasons == (
        "minimum accuracy failed: 0.6, bar at least 0.85 (gate.min_score); 400 held-out rows.",
        "What a first version must reach is yours to say, by `gate.min_score` and `gate.metric`.",
    )
    assert len(gate(evaluation(Score(0.6), champion=champion(0.5)), Gate()).reasons) == 1


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_missing_or_nan_score_never_passes(value: float | None) -> None:
    verdict = gate(evaluation(Score(value)), Gate(min_score=-1e9))
    assert verdict.decision is Decision.FAIL and rule(verdict, "minimum accuracy").passed is False


def test_a_nan_p_value_never_passes() -> None:
    assert gate(evaluation(champion=champion(math.nan)), Gate()).decision is Decision.FAIL


def test_further_bars_hold_both_ways() -> None:
    rules = Gate(bars=(Bar(metric="log_loss", max=0.3), Bar(metric="f1_macro", min=0.9)))
    assert gate(evaluation(log_loss=Score(0.3), f1_macro=Score(0.9)), rules).decision is Decision.PASS
    verdict = gate(evaluation(log_loss=Score(0.31), f1_macro=Score(0.89)), rules)
    assert [found.passed for found in verdict.rules if found.name.startswith("bar")] == [False, False]
    assert verdict.reasons[0] == "bar on log_loss failed: 0.31, bar at most 0.3 (gate.bars)."


def test_a_bar_on_a_metric_that_is_not_there_fails_and_says_what_is() -> None:
    verdict = gate(evaluation(), Gate(bars=(Bar(metric="roc_auc_ovr", min=0.1),)))
    assert verdict.decision is Decision.FAIL and "the evaluation has accuracy" in verdict.reasons[0]


@pytest.mark.parametrize(("p", "decision"), [(0.06, Decision.PASS), (0.04, Decision.FAIL), (None, Decision.FAIL)])
def test_a_challenger_fails_when_it_is_significantly_worse(p: float | None, decision: Decision) -> None:
    assert gate(evaluation(champion=champion(p)), Gate()).decision is decision


def test_the_confidence_sets_the_level() -> None:
    assert gate(evaluation(champion=champion(0.04)), Gate(confidence=0.99)).decision is Decision.PASS


def test_an_incomparable_champion_is_undecided_and_explained() -> None:
    verdict = gate(
        evaluation(champion=Champion("3", not_comparable="champion 3 needs colour"), slices=(Slice("region", "a", 99, GOOD),)), Gate()
    )
    assert verdict.decision is Decision.PASS
    assert rule(verdict, "not worse than champion").passed is None and rule(verdict, "slice region = a").passed is None
    assert any("champion 3 needs colour" in reason for reason in verdict.reasons)


def test_one_bad_slice_fails_the_gate() -> None:
    verdict = gate(evaluation(champion=champion(0.5), slices=(part("a", 0.9), part("b", 0.001))), Gate(slices=("region",)))
    assert verdict.decision is Decision.FAIL and [found.name for found in verdict.rules if found.passed is False] == ["slice region = b"]


def test_many_slices_are_corrected_for() -> None:
    slices = tuple(part(str(n), 0.02 if n == 0 else 0.8) for n in range(10))
    assert gate(evaluation(champion=champion(0.5), slices=slices), Gate()).decision is Decision.PASS
    assert gate(evaluation(champion=champion(0.5), slices=slices[:2]), Gate()).decision is Decision.FAIL


def test_small_slices_are_shown_and_neither_judged_nor_counted() -> None:
    slices = (part("small", 0.0001, rows=29), *(part(str(n), 0.02, rows=29) for n in range(30)), part("big", 0.04))
    verdict = gate(evaluation(champion=champion(0.5), slices=slices), Gate())
    assert [found.name for found in verdict.rules if found.passed is False] == ["slice region = big"]
    assert rule(verdict, "slice region = small").bar == "shown, not judged"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_keeps_order_and_is_never_above_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, a in zip(p_values, adjusted, strict=True):
        assert p <= a <= min(1.0, len(p_values) * p) + 1e-12 or a >= p
        assert a <= 1
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert all(adjusted[i] <= adjusted[j] for i, j in itertools.pairwise(order))
    assert adjusted[order[0]] == pytest.approx(min(1.0, len(p_values) * p_values[order[0]]))


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_verdict_can_be_reached_again_from_its_evidence() -> None:
    rules = Gate(slices=("region",), bars=(Bar(metric="accuracy", min=0.2),))
    verdict = gate(evaluation(champion=champion(0.5), slices=(part("a", 0.9),)), rules)
    stored = json.loads(json.dumps(verdict.to_json()))
    again = gate(Evaluation.from_json(stored["evidence"]["evaluation"]), Gate.model_validate(stored["evidence"]["rules"]))
    assert again == Verdict.from_json(stored)


def test_a_change_of_the_api_fails_unless_it_is_allowed() -> None:
    changed = replace(evaluation(champion=champion(0.5)), api_changes=("'input' was FP32 and is FP64",))
    verdict = gate(changed, Gate(min_score=0.5))
    found = rule(verdict, "same API as champion, before the export")
    assert verdict.decision is Decision.FAIL and found.passed is False
    assert "'input' was FP32 and is FP64" in found.detail and "gate.allow_api_change" in found.detail
    assert gate(changed, Gate(min_score=0.5, allow_api_change=True)).decision is Decision.PASS
    assert gate(replace(changed, api_changes=()), Gate(min_score=0.5)).decision is Decision.PASS
