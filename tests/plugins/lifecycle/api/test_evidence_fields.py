"""What the API takes of each verdict is what the deciding code writes: a field of one that the other lacks ends every run."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from include.canary import observations
from include.canary.compared import Compared, Pair
from include.canary.plan import AnswersPlan, ChatPlan, TrialPlan
from include.gates import evaluation
from include.kinds.forms import candidates as optimize
from include.kinds.forms import choice as verify
from include.kinds.llm.steps import verify as chat_verify
from include.spec.schema import Gate
from lifecycle.api import evidence, looks

PAIRS = [
    (evidence.EvaluationBody, evaluation.Evaluation),
    (evidence.ScoreBody, evaluation.Score),
    (evidence.ComparisonBody, evaluation.Comparison),
    (evidence.SliceBody, evaluation.Slice),
    (evidence.ChampionBody, evaluation.Champion),
    (evidence.GateRules, Gate),
    (evidence.CandidateBody, optimize.Candidate),
    (evidence.TableFormBody, verify.Judged),
    (evidence.ChatFormBody, chat_verify.Judged),
    (evidence.DisagreementBody, evaluation.Disagreement),
    (looks.PlanBody, TrialPlan),
    (looks.ChatPlanBody, ChatPlan),
    (looks.AnswersPlanBody, AnswersPlan),
    (looks.SeenBody, observations.Look),
    (looks.ComparedBody, Compared),
    (looks.PairBody, Pair),
    (looks.ArmBody, observations.Arm),
]


def names(kind: Any) -> set[str]:
    return {one.name for one in fields(kind)} if is_dataclass(kind) else set(kind.model_fields)


@pytest.mark.parametrize(("body", "kept"), PAIRS, ids=lambda kind: kind.__name__)
def test_it_has_the_fields_of_what_is_kept(body: Any, kept: Any) -> None:
    assert names(body) == names(kept)
