"""What a load test's figures mean: quantiles, the SLO, the highest rate within it, the verdict."""

import json
import random
from itertools import pairwise

import pytest

from include.load_test.client import arrivals
from include.load_test.figures import AtRate, LoadFigures, Sent, at_rate, judge
from include.spec.serve import Slo
from include.verdict import Decision

SLO = Slo(ttft_ms=100, tpot_ms=10, p99_ms=1000)


def sent(first_s: float = 0.05, tpot_s: float = 0.005, tokens: int = 11) -> Sent:
    return Sent(first_s, first_s + tpot_s * (tokens - 1), tokens)


def rate(number: float, *missed: str) -> AtRate:
    found = at_rate(number, [sent()], 1.0, SLO)
    return AtRate(**{**found.__dict__, "missed": missed})


def figures(*rates: AtRate, version: int = 2) -> LoadFigures:
    return LoadFigures(version, rates, SLO.model_dump(), 10, 32, 5.0)


def test_quantiles_are_of_whole_answers_and_the_99th_of_few_is_the_highest() -> None:
    found = at_rate(2, [sent(number / 1000) for number in range(1, 11)] + [Sent(problem="500: no")], 2.0, SLO)
    assert (found.requests, found.failed) == (11, 1)
    assert found.ttft_ms == {"p50": 5.0, "p95": 10.0, "p99": 10.0}
    assert found.tpot_ms["p99"] == pytest.approx(5.0)
    assert found.tokens_per_s == 55 and found.answered_per_s == 5
    assert found.problems == ("500: no (1 times)",)


def test_the_first_token_is_no_time_per_token() -> None:
    assert sent(first_s=3.0, tpot_s=0.002).tpot_s == pytest.approx(0.002)
    assert Sent(0.1, 0.1, 1).tpot_s is None
    assert at_rate(1, [Sent(0.1, 0.1, 1)], 1.0, SLO).tpot_ms["p99"] is None


@pytest.mark.parametrize(
    ("answers", "missed"),
    [
        ([sent()], ""),
        ([sent(first_s=0.2)], "first token: p99 200 ms (at most 100)"),
        ([sent(tpot_s=0.02)], "time per token: p99 20 ms (at most 10)"),
        ([sent(tokens=300)], "answer: p99 1545 ms (at most 1000)"),
        ([sent()] * 99 + [Sent(problem="x")], ""),
        ([sent()] * 98 + [Sent(problem="x")] * 2, "2.0% failed (at most 1.0%)"),
        ([Sent(problem="x")], "100.0% failed"),
    ],
)
def test_what_of_the_slo_is_missed_is_named(answers: list[Sent], missed: str) -> None:
    found = at_rate(1, answers, 1.0, SLO).missed
    assert len(found) == bool(missed)
    assert not missed or found[0].startswith(missed)


def test_the_highest_rate_is_the_last_before_the_first_that_missed() -> None:
    assert figures(rate(1), rate(2), rate(4, "slow")).best_rate == 2
    assert figures(rate(1, "slow"), rate(2)).best_rate is None


def test_without_a_rate_that_is_asked_for_any_figures_pass() -> None:
    verdict = judge(figures(rate(1, "slow")), None)
    assert verdict.decision is Decision.PASS
    assert verdict.reasons == ("Within the SLO up to none of the rates; at 1 a second: slow.",)


def test_a_rate_that_is_asked_for_and_missed_fails() -> None:
    assert judge(figures(rate(1), rate(2)), 2).decision is Decision.PASS
    verdict = judge(figures(rate(1), rate(2, "slow")), 2)
    assert verdict.decision is Decision.FAIL
    assert verdict.reasons[0] == "2 requests a second were wanted."


def test_the_champions_figures_stand_beside_and_are_kept() -> None:
    verdict = judge(figures(rate(1), rate(2)), None, figures(rate(1), version=1))
    assert "The champion (version 1) kept it up to 1, measured by other rates or limits." in verdict.reasons
    again = json.loads(json.dumps(verdict.evidence))
    assert LoadFigures.from_json(again["champion"]) == figures(rate(1), version=1)
    assert LoadFigures.from_json(again["load_test"]).best_rate == 2


def test_requests_come_as_a_poisson_process_that_a_seed_repeats() -> None:
    due = arrivals(50, 100, random.Random(1))
    assert due == arrivals(50, 100, random.Random(1)) != arrivals(50, 100, random.Random(2))
    gaps = [after - before for before, after in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert due[0] == 0 and due[-1] < 100
    assert mean == pytest.approx(0.02, rel=0.1) and spread == pytest.approx(mean, rel=0.1), "exponential: as spread as long"
