"""What the story says of a machine that is slow."""

from include.demo.story import answers_per_s
from include.runtime.airflow_api import said


def test_a_trials_answers_a_second_are_those_of_both_arms() -> None:
    looks = [{"passed_s": at, "look": {"stable": {"requests": 9}, "canary": {"requests": 1}}} for at in (2.0, 4.0)]
    assert answers_per_s(looks) == 5.0
    assert answers_per_s([]) is None


def test_what_a_run_is_at_is_said_in_words() -> None:
    assert said({"": "running", "gate": "success", "train": "up_for_retry", "hold": "none"}) == "train is up for retry"
    assert said({"": "queued"}) == "the run is queued"
