"""How a run ended, in words: from its verdicts and its tasks' states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from include.report.data import Outcome, TaskTime
from include.verdict import Decision, Verdict

KIND_OF = {"validate_data": "data", "gate": "gate", "verify": "verify", "deploy": "deploy", "load_test": "load_test", "canary": "canary"}
"""The verdict that a task leaves behind."""
STOPPED = "stopped"
"""The verdict of a task that ended at an error that no retry mends; its evidence names the task."""
STOPPED_AT = {
    "validate_data": ("FAILED AT DATA", "Its data could not be used, so nothing was trained."),
    "snapshot_data": ("FAILED AT SNAPSHOT", "Its data could not be kept, so nothing was trained."),
    "search_plan": ("FAILED AT SEARCH", "The search for hyperparameters could not begin, so nothing was trained."),
    "search": ("FAILED AT SEARCH", "The search for hyperparameters found nothing, so nothing was trained."),
    "train": ("FAILED AT TRAINING", "Training did not come to an end."),
    "evaluate": ("FAILED AT EVALUATION", "The trained model could not be evaluated."),
    "gate": ("FAILED AT GATE", "The trained model did not pass the gate, so it was not deployed."),
    "approve": ("REJECTED", "The model was not approved, so it was not deployed."),
    "optimize": ("FAILED AT OPTIMISATION", "The model could not be brought into the form in which it is served."),
    "verify": ("FAILED AT VERIFICATION", "The version did not pass its verification, so it was not deployed."),
    "register": ("FAILED AT REGISTRATION", "The model could not be registered as a version."),
    "deploy": ("FAILED AT DEPLOYMENT", "The new version did not become ready, and got no traffic."),
    "load_test": ("FAILED AT LOAD TEST", "The new version did not stand the rate that is asked of it, and got no traffic."),
    "canary": ("FAILED AT CANARY", "The trial on real traffic was broken off."),
    "promote": ("FAILED AT PROMOTION", "The new version won its trial, and could not be promoted."),
    "rollback": ("FAILED AT ROLLBACK", "The new version lost its trial, and could not be taken back."),
    "hold": ("FAILED AT HOLD", "Nobody decided about the inconclusive trial in time."),
}
BROKEN = "Its data broke its expectations, so nothing was trained."
"""Where rules were tried on the data; it can as well have been refused before any."""
AFTERWARDS = ("settle", "report")
WAITING = ("deferred", "running", "queued", "scheduled", "up_for_retry", "awaiting_input")


def outcome_of(name: str, verdicts: Mapping[str, Verdict], tasks: Iterable[TaskTime]) -> Outcome:
    """``name`` is how the sentence calls the version: `Version 3 of digits`, or the run's model when it never got a version. ``verdicts``
    are the latest of each kind, the newest first."""
    known = list(tasks)
    states = {task.task_id: task.state for task in known}
    canary = verdicts.get("canary")
    if canary is not None and canary.decision is Decision.ENDED_BY_HAND:
        return Outcome("ENDED BY HAND", "warn", f"{name}: a person ended its trial before the judge had decided.", canary.reasons)
    if states.get("promote") == "success":
        return _promoted(name, verdicts.get("canary"), by_hand=states.get("hold") == "success")
    if states.get("rollback") == "success":
        return _rolled_back(name, verdicts.get("canary"), by_hand=states.get("hold") == "success")
    failed = [task for task in known if task.state == "failed" and task.task_id not in AFTERWARDS]
    if failed:
        return _failed(min(failed, key=lambda task: task.started or task.queued or "~"), verdicts)
    if states.get("hold") in WAITING:
        reasons = verdicts["canary"].reasons if "canary" in verdicts else ()
        return Outcome("HELD", "warn", f"{name} keeps its share of traffic until a person decides: its trial was inconclusive.", reasons)
    return _by_verdicts(name, verdicts)


def _promoted(name: str, canary: Verdict | None, *, by_hand: bool) -> Outcome:
    reasons = canary.reasons if canary else ()
    if by_hand:
        return Outcome("PROMOTED", "good", f"{name} serves production: a person promoted it after an inconclusive trial.", reasons)
    if canary is not None and canary.evidence.get("by_hand"):
        who = canary.evidence["by_hand"]["who"]
        return Outcome("PROMOTED", "good", f"{name} serves production: {who} promoted it before its trial was decided.", reasons)
    if canary is not None and not canary.evidence.get("series"):
        return Outcome("PROMOTED", "good", f"{name} serves production, as the model's first version.", reasons)
    if canary is not None and canary.decision is Decision.INCONCLUSIVE:
        sentence = f"{name} serves production: its trial was inconclusive, and the spec says to promote then."
        return Outcome("PROMOTED", "good", sentence, reasons)
    return Outcome("PROMOTED", "good", f"{name} serves production: it held its own in the trial with real traffic.", reasons)


def _rolled_back(name: str, canary: Verdict | None, *, by_hand: bool) -> Outcome:
    reasons = canary.reasons if canary else ()
    why = "it did harm in the trial with real traffic"
    if by_hand:
        why = "a person rolled it back after an inconclusive trial"
    elif canary is not None and canary.decision is Decision.INCONCLUSIVE:
        why = "its trial gave too little evidence in its favour"
    return Outcome("ROLLED BACK", "bad", f"{name} is out of production, and the champion serves on: {why}.", reasons)


def _failed(task: TaskTime, verdicts: Mapping[str, Verdict]) -> Outcome:
    label, sentence = STOPPED_AT.get(task.task_id, (f"FAILED AT {task.task_id.upper()}", f"The run stopped at task {task.task_id}."))
    verdict = next((one for kind, one in verdicts.items() if _is_of(task.task_id, kind, one)), None)
    if verdict is not None and verdict.decision in (Decision.FAIL, Decision.ROLLBACK):
        if verdict is verdicts.get("data"):
            sentence = BROKEN
        return Outcome(label, "bad", sentence, verdict.reasons)
    tries = f"after {task.tries} tries" if task.tries > 1 else "at its first try"
    return Outcome(label, "bad", sentence, (f"The task {task.task_id} failed {tries}; its log in Airflow says why.",))


def _is_of(task_id: str, kind: str, verdict: Verdict) -> bool:
    return verdict.evidence.get("task") == task_id if kind == STOPPED else kind == KIND_OF.get(task_id)


def _by_verdicts(name: str, verdicts: Mapping[str, Verdict]) -> Outcome:
    """Without tasks' states (or with none that tells): the first verdict that stopped the run."""
    newest = next(iter(verdicts), "")
    if newest == STOPPED and (task_id := verdicts[STOPPED].evidence["task"]) in STOPPED_AT:
        return Outcome(STOPPED_AT[task_id][0], "bad", STOPPED_AT[task_id][1], verdicts[STOPPED].reasons)
    for task_id, kind in KIND_OF.items():
        verdict = verdicts.get(kind)
        if verdict is not None and verdict.decision is Decision.FAIL:
            return Outcome(*_failed_words(task_id), verdict.reasons)
    canary = verdicts.get("canary")
    if canary is not None and canary.decision is Decision.ROLLBACK:
        return _rolled_back(name, canary, by_hand=False)
    return Outcome("UNDER WAY", "open", f"{name}: the run has not come to its end.", canary.reasons if canary else ())


def _failed_words(task_id: str) -> tuple[str, str, str]:
    label, sentence = STOPPED_AT[task_id]
    return label, "bad", BROKEN if task_id == "validate_data" else sentence
