import pytest

from include.errors import InputError
from include.evidence.stopped import stopped
from include.report.data import TaskTime
from include.report.outcome import outcome_of
from include.verdict import Decision, Verdict

HARMED = Verdict(Decision.ROLLBACK, ("errors: the harm is at least 2 points.",), evidence={"series": [{}]})
UNSURE = Verdict(Decision.INCONCLUSIVE, ("requests: too few.",), evidence={"series": [{}]})
STOPPED = Verdict(Decision.ENDED_BY_HAND, ("Ended by hand, by ada: too slow.",), evidence={"series": [{}]})
GOOD = Verdict(Decision.PASS, ("All is well.",))
WON = Verdict(Decision.PROMOTE, ("errors: the harm is at most 0.4 points.",), evidence={"series": [{}]})


def tasks(**states: str) -> list[TaskTime]:
    return [TaskTime(name, state, started=f"2026-11-21T02:40:{at:02}+00:00", tries=1) for at, (name, state) in enumerate(states.items())]


@pytest.mark.parametrize(
    ("verdict", "states", "label", "words"),
    [
        (WON, {"canary": "success", "promote": "success"}, "PROMOTED", "held its own"),
        (UNSURE, {"canary": "success", "promote": "success"}, "PROMOTED", "the spec says to promote"),
        (UNSURE, {"canary": "success", "hold": "success", "promote": "success"}, "PROMOTED", "a person promoted it"),
        (HARMED, {"canary": "success", "rollback": "success"}, "ROLLED BACK", "it did harm"),
        (UNSURE, {"canary": "success", "rollback": "success"}, "ROLLED BACK", "too little evidence"),
        (UNSURE, {"canary": "success", "hold": "success", "rollback": "success"}, "ROLLED BACK", "a person rolled it back"),
        (UNSURE, {"canary": "success", "hold": "deferred"}, "HELD", "until a person decides"),
        (STOPPED, {"canary": "success", "rollback": "success"}, "ENDED BY HAND", "a person ended its trial"),
        (STOPPED, {"canary": "failed"}, "ENDED BY HAND", "a person ended its trial"),
        (WON, {"canary": "success", "promote": "failed"}, "FAILED AT PROMOTION", "could not be promoted"),
    ],
)
def test_the_canarys_end_in_words(verdict: Verdict, states: dict[str, str], label: str, words: str) -> None:
    found = outcome_of("Version 3 of digits", {"canary": verdict}, tasks(**states))
    assert (found.label == label and words in found.sentence and "Version 3 of digits" in found.sentence) or label.startswith("FAILED")


def test_the_first_failure_is_the_runs_and_not_the_reports_own() -> None:
    found = outcome_of("digits", {}, tasks(validate_data="success", train="failed", evaluate="upstream_failed", report="failed"))
    assert found.label == "FAILED AT TRAINING"
    assert found.reasons == ("The task train failed at its first try; its log in Airflow says why.",)


def test_a_failed_verdict_speaks_for_its_task() -> None:
    verdict = Verdict(Decision.FAIL, ("minimum accuracy failed: 0.6, bar at least 0.85.",))
    found = outcome_of("digits", {"gate": verdict}, tasks(validate_data="success", gate="failed"))
    assert found.label == "FAILED AT GATE" and found.reasons == verdict.reasons


NO_EXPORT = stopped("optimize", InputError("can't be exported.", where="train.entry", remedy="Use a tree."))


def test_a_task_that_stopped_at_an_error_says_it() -> None:
    found = outcome_of("digits", {"stopped": NO_EXPORT, "gate": GOOD}, tasks(gate="success", optimize="failed", verify="upstream_failed"))
    assert (found.label, found.reasons) == ("FAILED AT OPTIMISATION", ("train.entry: can't be exported. Use a tree.",))
    assert outcome_of("digits", {"stopped": NO_EXPORT, "gate": GOOD}, []).label == "FAILED AT OPTIMISATION"


def test_what_a_task_stopped_at_before_it_was_cleared_is_past() -> None:
    """The newest verdict of the run comes first."""
    later = {"verify": GOOD, "stopped": NO_EXPORT, "gate": GOOD}
    assert outcome_of("digits", later, tasks(optimize="success", verify="success", register="failed")).label == "FAILED AT REGISTRATION"
    assert outcome_of("digits", later, []).label == "UNDER WAY"
    refused = {"stopped": stopped("validate_data", InputError("has no column y.")), "data": Verdict(Decision.FAIL, ("empty.",))}
    found = outcome_of("digits", refused, tasks(validate_data="failed"))
    assert found.reasons == ("has no column y.",) and "could not be used" in found.sentence


def test_a_task_that_is_not_of_the_shipped_dag_is_named() -> None:
    assert outcome_of("digits", {}, tasks(my_check="failed")).label == "FAILED AT MY_CHECK"


def test_a_rejected_approval_is_called_that() -> None:
    assert outcome_of("digits", {}, tasks(gate="success", approve="failed")).label == "REJECTED"


def test_without_tasks_the_verdicts_tell() -> None:
    assert outcome_of("digits", {"data": Verdict(Decision.FAIL, ("empty.",))}, []).label == "FAILED AT DATA"
    assert outcome_of("digits", {"canary": HARMED}, []).label == "ROLLED BACK"
    assert outcome_of("digits", {}, []).label == "UNDER WAY"
