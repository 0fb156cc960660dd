from __future__ import annotations

from dataclasses import fields

from include.canary.plan import TrialPlan
from include.spec.schema import Canary, OnInconclusive


def test_a_plan_has_every_field_that_the_spec_says() -> None:
    canary = Canary(steps=(5, 20), step_s=90, look_s=3, max_p99_ms=250, error_margin=0.001, on_inconclusive=OnInconclusive.HOLD)
    plan = TrialPlan.from_spec(canary)
    assert {field.name: getattr(plan, field.name) for field in fields(plan)} == canary.model_dump(exclude={"mirror_s"}) | {
        "chat": None,
        "answers": None,
    }
    assert type(plan.on_inconclusive) is str and TrialPlan.from_json(plan.to_json()) == plan
