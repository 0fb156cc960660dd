"""What the story says of a machine that is slow."""

from include.demo.story import Told, answers_per_s, failure, rollback_seconds
from include.runtime.airflow_api import said


def test_a_trials_answers_a_second_are_those_of_both_arms() -> None:
    looks = [{"passed_s": at, "look": {"stable": {"requests": 9}, "canary": {"requests": 1}}} for at in (2.0, 4.0)]
    assert answers_per_s(looks) == 5.0
    assert answers_per_s([]) is None


def test_what_a_run_is_at_is_said_in_words() -> None:
    assert said({"": "running", "gate": "success", "train": "up_for_retry", "hold": "none"}) == "train is up for retry"
    assert said({"": "queued"}) == "the run is queued"


def test_a_story_in_which_a_stable_version_failed_is_no_success() -> None:
    assert failure({"requests_failed_stable": 0, "requests_total": 9}) == ""
    assert failure({"requests_failed_stable": 319, "requests_total": 9000}).startswith("319 of 9000 requests went to a stable version")


def test_the_way_back_takes_as_long_as_the_gateway_or_the_last_request() -> None:
    bad = Told("run", "success", "ROLLBACK", [], 1.0, 3, verdict_at=100.0, withdrawn_s=0.0421)
    assert rollback_seconds(bad, 99.9) == 0.042
    assert rollback_seconds(bad, 100.5) == 0.5
    assert rollback_seconds(Told("run", "failed", "FAIL", [], 1.0, 3), 0.0) is None
