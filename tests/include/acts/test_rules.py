"""Which act a cause asks for, and what stops it."""

from __future__ import annotations

import pytest

from include.acts import rules
from include.acts.rules import Cause, Production
from include.spec.schema import Act, Monitor

NOW_S = 1_000_000.0
CAUSE = Cause("alert/ab/2026", "digits", "ErrorRateHigh", "critical", "digits fails.")
SOUND = Production(champion=2, previous=1)
MONITOR = Monitor(cool_down_s=600, max_a_day=2)


def test_an_alerts_name_goes_before_its_severity():
    assert rules.asked({"ErrorRateHigh": Act.ROLLBACK, "critical": Act.NOTIFY}, CAUSE) is Act.ROLLBACK
    assert rules.asked({"critical": Act.NOTIFY}, CAUSE) is Act.NOTIFY
    assert rules.asked({"warning": Act.NOTIFY}, CAUSE) is None


def test_an_act_has_one_name_however_often_it_is_asked_for_and_another_for_each_cause():
    other = Cause("alert/ab/2027", "digits", "ErrorRateHigh", "critical", "")
    again = Cause(CAUSE.key, CAUSE.model, "renamed", "", "other words")
    names = [rules.act_id(CAUSE, Act.ROLLBACK), rules.act_id(other, Act.ROLLBACK), rules.act_id(CAUSE, Act.RETRAIN)]
    assert len(set(names)) == 3 and rules.act_id(again, Act.ROLLBACK) == names[0]


@pytest.mark.parametrize("act", [Act.ROLLBACK, Act.RETRAIN, Act.NOTIFY])
def test_nothing_stops_an_act_on_a_sound_production(act: Act):
    assert rules.hindrance(act, MONITOR, SOUND, NOW_S) == ""


@pytest.mark.parametrize(
    ("known", "acts", "words"),
    [
        (Production(2, 1, held="anna, today: a fair"), (Act.ROLLBACK, Act.RETRAIN), "anna"),
        (Production(2, 1, running=("digits_rollback/x",)), (Act.ROLLBACK, Act.RETRAIN), "digits_rollback/x"),
        (Production(2, 1, on_trial=True), (Act.ROLLBACK, Act.RETRAIN), "trial"),
        (Production(2, 1, paused=frozenset({"digits_rollback"})), (Act.ROLLBACK,), "paused"),
        (Production(2, 1, paused=frozenset({"digits_lifecycle"})), (Act.RETRAIN,), "paused"),
        (Production(None, None), (Act.ROLLBACK,), "in production"),
        (Production(2, None), (Act.ROLLBACK,), "before"),
        (Production(2, 3, condemned=frozenset({3})), (Act.ROLLBACK,), "Version 3"),
        (Production(2, 1, returns_s=(NOW_S - 599,)), (Act.ROLLBACK,), "cool_down_s"),
        (Production(2, 1, retrains_s=(NOW_S - 599,)), (Act.RETRAIN,), "cool_down_s"),
        (Production(2, 1, returns_s=(NOW_S - 80_000, NOW_S - 700)), (Act.ROLLBACK,), "max_a_day"),
        (Production(2, 1, returns_s=(NOW_S - 90_000, NOW_S - 700)), (), ""),
    ],
)
def test_what_stops_an_act_is_said(known: Production, acts: tuple[Act, ...], words: str):
    for act in (Act.ROLLBACK, Act.RETRAIN, Act.NOTIFY):
        found = rules.hindrance(act, MONITOR, known, NOW_S)
        assert (words in found and found != "") if act in acts else found == "", (act, found)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (Production(2, 1, held="anna, today: a fair", most=3), "anna"),
        (Production(2, 1, servers=3, most=3), "3 of at most 3 servers"),
        (Production(2, 1, most=3, scales_s=(NOW_S - 599,)), "scaled by an alert 599 s ago"),
        (Production(2, 1, most=3, scales_s=(NOW_S - 80_000, NOW_S - 700)), "max_a_day"),
    ],
)
def test_what_stops_one_more_server_is_said(known: Production, words: str):
    assert words in rules.hindrance(Act.SCALE, MONITOR, known, NOW_S)


def test_one_more_server_comes_while_a_run_or_a_trial_is_under_way():
    busy = Production(2, 1, on_trial=True, running=("digits_lifecycle/x",), returns_s=(NOW_S - 1,), servers=2, most=3)
    assert rules.hindrance(Act.SCALE, MONITOR, busy, NOW_S) == ""


def test_a_cool_down_longer_than_a_day_holds():
    known = Production(2, 1, returns_s=(NOW_S - 100_000,))
    assert "cool_down_s" in rules.hindrance(Act.ROLLBACK, Monitor(cool_down_s=200_000), known, NOW_S)


def test_nothing_goes_back_to_a_version_that_was_taken_out_unless_it_was_put_back():
    assert rules.condemned([]) == frozenset()
    assert rules.condemned([(3, 2)]) == {3}
    assert rules.condemned([(3, 2), (2, 3)]) == {2}
