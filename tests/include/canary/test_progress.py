"""The place of a trial: what its traffic is, whose look is whose, and what its verdict may be."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from include.canary.observations import Arm, Latencies, Look
from include.canary.plan import TrialPlan
from include.canary.progress import Progress, Traffic
from include.canary.trial import Trial
from include.verdict import Decision

PLAN = TrialPlan(steps=(10, 50), step_s=20, look_s=10, min_requests=10)
GOOD = Arm(400, 0, Latencies.of([5.0] * 400))
BAD = Arm(400, 200, Latencies.of([5.0] * 200))


def looked(progress: Progress, seconds: float, canary: Arm = GOOD) -> Progress:
    passed_s = progress.clock(0, seconds)
    return progress.observe(progress.look(passed_s, GOOD, canary), passed_s)


def test_the_traffic_goes_through_the_mirrored_phase_and_then_the_steps():
    progress, wanted = Progress.start(PLAN, mirror_s=15), []
    while progress.verdict().decision is Decision.CONTINUE:
        wanted.append(progress.traffic())
        progress = looked(progress, wanted[-1].pause_s)
    mirror, first, second = Traffic(0, True, 10), Traffic(10, False, 10), Traffic(50, False, 10)
    assert wanted == [mirror, replace(mirror, pause_s=5), first, first, second, second]
    assert progress.verdict().decision is Decision.PROMOTE
    assert mirror.weights("1", "2") == {"1": 100} and first.weights("1", "2") == {"1": 90, "2": 10}


def test_mirrored_traffic_never_wins_a_trial():
    progress = looked(looked(Progress.start(PLAN, mirror_s=15), 10), 5)
    assert progress.mirror is not None and progress.mirror.verdict().decision is Decision.PROMOTE
    assert progress.in_mirror and not progress.mirroring
    assert progress.verdict().decision is Decision.CONTINUE


def test_mirrored_traffic_may_lose_it():
    assert looked(Progress.start(PLAN, mirror_s=15), 10, BAD).verdict().decision is Decision.ROLLBACK


def test_a_mirrored_phase_and_the_steps_share_the_error_level():
    progress = Progress.start(PLAN, mirror_s=15)
    assert progress.mirror is not None
    assert (progress.mirror.plan.alpha, progress.trial.plan.alpha) == (PLAN.alpha / 2, PLAN.alpha / 2)
    assert Progress.start(PLAN).trial.plan == PLAN


def test_the_clock_runs_only_while_somebody_looks():
    progress = looked(Progress.start(PLAN), 10)
    assert progress.clock(100, 107) == 17
    assert progress.clock(100, 100_000) == 10 + 2 * PLAN.look_s


def test_kept_looks_lead_to_the_same_place():
    progress, bodies = Progress.start(PLAN, mirror_s=15), []
    for seconds in (10, 5, 10, 10):
        passed_s = progress.clock(0, seconds)
        look = progress.look(passed_s, GOOD, GOOD)
        progress = progress.observe(look, passed_s)
        bodies.append({"look": look.to_json(), "passed_s": passed_s})
    again = Progress.start(PLAN, mirror_s=15).take(bodies[:3]).take(bodies[3:])
    assert again.verdict() == progress.verdict() and again.seen == 4 and again.traffic() == progress.traffic()


def test_the_verdict_on_a_trial_that_a_person_ended_keeps_its_evidence():
    ended = looked(Progress.start(PLAN), 10).ended_by_hand("ada", "production was returned to version 1.")
    assert ended.decision is Decision.ENDED_BY_HAND
    assert ended.reasons[0] == "Ended by hand, by ada: production was returned to version 1."
    assert len(ended.evidence["series"]) == 1


@pytest.mark.parametrize("mirror_s", [0.0, 15.0])
def test_a_trial_before_its_first_look_goes_on(mirror_s: float):
    progress = Progress.start(PLAN, mirror_s)
    assert progress.verdict().decision is Decision.CONTINUE and progress.in_mirror is bool(mirror_s)


def test_a_look_belongs_to_the_step_in_which_it_began():
    progress = looked(looked(Progress.start(PLAN), 10), 10)
    assert progress.look(30, GOOD, GOOD) == Look(30, 1, 50, GOOD, GOOD)
    assert isinstance(progress.current, Trial)


def test_a_place_that_was_kept_goes_on_exactly_as_it_would_have(tmp_path):
    """Bit by bit, over a mirrored phase, both steps, small and large looks, with answers compared."""
    from include.canary.checkpoint import Checkpoint
    from include.canary.compared import Compared
    from include.canary.observations import Sample
    from include.canary.plan import AnswersPlan

    plan, draw = replace(PLAN, step_s=200, answers=AnswersPlan(rows=300, differ=9)), random.Random(5)

    def arm(most: int) -> Arm:
        n = draw.randrange(most)
        errors = sum(draw.random() < 0.02 for _ in range(n))
        return Arm(n, errors, Latencies.of(draw.lognormvariate(1, 0.4) for _ in range(n - errors)), refused=draw.randrange(3))

    whole, again, file = Progress.start(plan, mirror_s=60), Progress.start(plan, mirror_s=60), tmp_path / "checkpoint"
    for number in range(46):
        passed_s, most = 10.0 * number + 10, 400 if number % 7 == 0 else 12
        look = whole.look(passed_s, arm(most), arm(most), Sample(compared=Compared(draw.randrange(4), 0)))
        whole, again = whole.observe(look, passed_s), again.observe(look, passed_s)
        if number % 5 == 0:
            Checkpoint("r", "seal", again).write(file)
            found = Checkpoint.read(file, "r")
            assert found is not None
            again = found.progress
        assert again.to_json() == whole.to_json() and again.verdict() == whole.verdict()
    assert whole.passed_s == plan.duration_s + 60
