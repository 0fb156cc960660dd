"""`monitor.on_alert`: what an alert brings about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.kinds.load import load
from include.spec.problem import SpecError
from include.spec.schema import Act

Write = Callable[..., Path]


def test_an_alert_or_a_severity_names_an_act(write: Write) -> None:
    spec = load(write("monitor:\n  on_alert: {ErrorRateHigh: rollback, drift: retrain, QueueLong: scale, critical: notify}\n"))
    wanted = {"ErrorRateHigh": Act.ROLLBACK, "drift": Act.RETRAIN, "QueueLong": Act.SCALE, "critical": Act.NOTIFY}
    assert spec.monitor.on_alert == wanted


@pytest.mark.parametrize(("act", "words"), [("X: roll_back", "rollback"), ('"a b": notify', "form")])
def test_another_act_is_refused_by_name(write: Write, act: str, words: str) -> None:
    with pytest.raises(SpecError) as refused:
        load(write(f"monitor:\n  on_alert:\n    {act}\n"))
    assert "monitor.on_alert" in str(refused.value) and words in str(refused.value)
