"""What the judge promises of language models, besides what it promises of all."""

import json
from dataclasses import replace

import pytest

from include.canary import spending
from include.canary.asked import Asked, Example
from include.canary.judge import judge
from include.canary.observations import Answers, Arm, Latencies, Look
from include.canary.plan import ChatPlan, TrialPlan
from include.canary.trial import Trial
from include.errors import InputError
from include.kinds.llm.kind import LanguageModel
from include.spec.llm import LlmCanary
from include.verdict import Decision
from tests.include.canary.simulated import CHAT as PLAN
from tests.include.canary.simulated import chat_looks as looks
from tests.include.canary.simulated import run

pytestmark = pytest.mark.slow

LOST = Asked(prompts=10, known=8, lost=5, right=3, unlike=6, examples=(Example("What is 1 + 1?", "2", "2", "3"),))


def test_all_of_alpha_is_shared_and_no_more():
    assert sum(vars(spending.CHAT).values()) == pytest.approx(1)
    assert sum(vars(spending.TABLE).values()) == pytest.approx(1)


def test_a_canary_like_stable_is_promoted():
    decisions = [run(PLAN, looks(seed=seed)).verdict().decision for seed in range(15)]
    assert decisions.count(Decision.PROMOTE) >= 14


@pytest.mark.parametrize(
    ("harm", "alarm"),
    [
        ({"tpot": 1.5}, "token time"),
        ({"bad": 0.2}, "endings"),
        ({"length": 3.0}, "length"),
        ({"length": 0.3}, "length"),
        ({"tpot": 15.0}, "TPOT limit"),
        ({"ttft_ms": 1500}, "TTFT limit"),
        ({"asked": LOST}, "quality"),
    ],
    ids=["slow tokens", "cut off", "long", "short", "TPOT", "TTFT", "wrong"],
)
def test_harm_is_found_by_its_own_test(harm, alarm):
    trial = run(PLAN, looks(**harm))
    assert trial.verdict().decision is Decision.ROLLBACK
    assert alarm in trial.alarms, trial.alarms
    assert trial.alarms[alarm].startswith(f"{alarm}: ")


@pytest.mark.parametrize(
    ("margin", "harm"),
    [("finish_margin", {"bad": 0.5}), ("length_margin", {"length": 3.0}), ("quality_margin", {"asked": LOST}), ("max_ttft_ms", {})],
)
def test_a_margin_of_null_judges_nothing(margin, harm):
    plan = replace(PLAN, chat=replace(ChatPlan(), **{margin: None}))
    assert run(plan, looks(plan, **harm)).verdict().decision is Decision.PROMOTE


@pytest.mark.parametrize("margin", ["refusal_margin", "agreement_margin"])
def test_refusals_and_agreement_are_judged_when_a_margin_is_set(margin):
    differ = Asked(prompts=10, unlike=9, fell=9)
    assert run(PLAN, looks(asked=differ)).verdict().decision is Decision.PROMOTE
    plan = replace(PLAN, chat=replace(ChatPlan(), **{margin: 0.3}))
    assert set(run(plan, looks(plan, asked=differ)).alarms) == {margin.removesuffix("_margin").replace("refusal", "refusals")}


def test_wrong_answers_are_named():
    [reason] = run(PLAN, looks(asked=LOST)).verdict().reasons
    assert "the canary got" in reason and "over the margin of 5 percentage points" in reason
    assert "“What is 1 + 1?”: canary “3”, stable “2”." in reason


def test_a_model_nobody_streams_is_judged_by_the_rest():
    def still(look: Look) -> Look:
        return replace(look, **{name: replace(arm, answers=replace(arm.answers, ttft=Latencies(), tpot=Latencies()))
                                for name, arm in (("stable", look.stable), ("canary", look.canary))})  # fmt: skip

    verdict = judge((still(look) for look in looks()), PLAN)
    assert verdict.decision is Decision.PROMOTE
    assert {rule.name: rule.figure for rule in verdict.rules}["token time"] == "not measured"


def test_streams_of_one_arm_alone_are_no_comparison():
    def half(look: Look) -> Look:
        return replace(look, canary=replace(look.canary, answers=replace(look.canary.answers, tpot=Latencies())))

    assert judge((half(look) for look in looks()), PLAN).decision is Decision.INCONCLUSIVE


def test_a_trial_restored_in_the_middle_goes_on_as_if_nothing_had_happened():
    seen = list(looks(bad=0.05, asked=Asked(prompts=2, known=2, right=1, lost=1)))[:8]
    stream = [Look.from_json(json.loads(json.dumps(look.to_json()))) for look in seen]
    assert stream == seen
    broken = Trial.start(PLAN)
    for index, look in enumerate(stream):
        if index == 4:
            broken = Trial.from_json(json.loads(json.dumps(broken.to_json())))
        broken = broken.observe(look)
    assert broken.verdict() == judge(stream, PLAN)


def test_other_models_are_stored_and_judged_as_before():
    plain = replace(PLAN, chat=None)
    arm = Arm(5, 1, Latencies.of([1.0, 2.0]))
    look = Look(5, 0, 20, arm, arm)
    assert set(look.to_json()) == {"at_s", "step", "weight", "stable", "canary"}
    assert set(arm.to_json()) == {"requests", "errors", "latencies"}
    assert "chat" not in plain.to_json() and TrialPlan.from_json(plain.to_json()) == plain
    names = [rule.name for rule in judge([look], plain).rules]
    assert names == ["requests", "errors", "latency", "error limit"]


def test_a_plan_is_made_from_a_language_models_spec():
    plan = LanguageModel().trial_plan(LlmCanary(quality_margin=0.1, max_tpot_ms=None))
    assert plan.chat is not None
    assert (plan.chat.quality_margin, plan.chat.max_tpot_ms, plan.chat.max_ttft_ms) == (0.1, None, 1000)
    assert TrialPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_that_contradicts_itself_is_refused():
    with pytest.raises(InputError, match="both rolled back and promoted"):
        ChatPlan(tpot_margin=0.3)


def test_more_bad_answers_than_answers_are_refused():
    with pytest.raises(InputError, match="bad answers"):
        Trial.start(PLAN).observe(Look(5, 0, 20, Arm(), Arm(3, 0, answers=Answers(ended=1, bad=2))))
