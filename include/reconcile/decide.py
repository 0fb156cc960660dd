"""One revision: desired and actual in, the step that is due out. Pure.

A loop of this kind drives what is looked at towards what is written down, again and again, and remembers no plan: Burns et al., Borg,
Omega, and Kubernetes (2016), "reconciliation controller loops".
"""

from __future__ import annotations

from dataclasses import replace

from include.reconcile.facts import Actual, Desired, Effort, Patience, Plan, Process, ServingState, Step, Wanted

FIRST_S, LONGEST_S = 5.0, 300.0
"""The pause before the second try, doubled with each one, and its bound: Kubernetes' CrashLoopBackOff has 10 s and 300 s."""
STEADY_S = 60.0
"""A server that has been ready for so long begins with a clean slate."""


def decide(desired: Desired, actual: Actual, effort: Effort, patience: Patience, now_s: float) -> Plan:
    """Return what is due for one revision at ``now_s`` (seconds since the epoch)."""
    if actual.busy:
        state = ServingState.STARTING if desired.wanted is Wanted.RUNNING else ServingState.STOPPING
        return Plan(Step.NONE, state, "A change of it is under way.")
    if desired.wanted is Wanted.ABSENT:
        return _gone(desired, actual)
    if desired.wanted is Wanted.STOPPED:
        return _stopped(desired, actual)
    return _running(desired, actual, effort, patience, now_s)


def after(plan: Plan, desired: Desired, effort: Effort, now_s: float) -> Effort:
    """Return the effort once the plan's step has been begun: one more try, and the pause before the next."""
    if plan.step is Step.NONE:
        return effort
    done = desired.generation
    if plan.step in (Step.STOP, Step.REMOVE):
        return Effort(done=done)
    return Effort(effort.tries + 1, now_s + pause_s(effort.tries), done)


def rested(actual: Actual, effort: Effort) -> Effort:
    """Return the effort with a clean slate once the server has been steady for :data:`STEADY_S`."""
    return replace(effort, tries=0, due_s=0.0) if effort.tries and actual.steady_s >= STEADY_S else effort


def pause_s(tries: int) -> float:
    """Return the pause after so many tries before the next one (seconds)."""
    return float(min(FIRST_S * 2 ** min(tries, 16), LONGEST_S))


def _gone(desired: Desired, actual: Actual) -> Plan:
    if actual.exists:
        return Plan(Step.REMOVE, ServingState.STOPPING, f"It was deleted{_by(desired)}.")
    return Plan(Step.NONE, ServingState.STOPPED, f"It was deleted{_by(desired)}.")


def _stopped(desired: Desired, actual: Actual) -> Plan:
    why = f"It was stopped{_by(desired)}."
    if actual.exists and (not actual.halted or actual.process is not Process.ABSENT):
        return Plan(Step.STOP, ServingState.STOPPING, why)
    return Plan(Step.NONE, ServingState.STOPPED, why)


def _running(desired: Desired, actual: Actual, effort: Effort, patience: Patience, now_s: float) -> Plan:
    if not actual.exists:
        return _when_due(Step.DEPLOY, ServingState.STARTING, "It shall run, and is not there.", effort, now_s)
    if actual.halted:
        return Plan(Step.START, ServingState.STARTING, f"It shall run again{_by(desired)}.")
    if actual.waits_for_gpu:
        return Plan(Step.NONE, ServingState.PREEMPTED, "It waits for a GPU, and starts again by itself once the pool has room.")
    if desired.generation > effort.done:
        return Plan(Step.RESTART, ServingState.STARTING, f"A restart was asked for{_by(desired)}.")
    if actual.process in (Process.ABSENT, Process.DEAD):
        return _when_due(Step.START, ServingState.ERROR, "Its server has ended.", effort, now_s)
    if actual.process is Process.STOPPING:
        return Plan(Step.NONE, ServingState.STOPPING, "Its server is ending.")
    if actual.ready:
        return Plan(Step.NONE, ServingState.RUNNING, "")
    return _silent(actual, effort, patience, now_s)


def _silent(actual: Actual, effort: Effort, patience: Patience, now_s: float) -> Plan:
    """It lives, and is not ready."""
    if actual.failure:
        return _when_due(Step.RESTART, ServingState.ERROR, f"Its server could not load the model: {actual.failure}", effort, now_s)
    bound_s = patience.hang_s if actual.was_ready else patience.start_s
    if actual.silent_s < bound_s:
        words = "Its server does not answer" if actual.was_ready else "Its server is starting"
        state = ServingState.ERROR if actual.was_ready else ServingState.STARTING
        return Plan(Step.NONE, state, f"{words}; it has {bound_s:g} s.")
    words = "lives and has not answered" if actual.was_ready else "lives and has not become ready"
    return _when_due(Step.RESTART, ServingState.ERROR, f"Its server {words} for {bound_s:g} s.", effort, now_s)


def _when_due(step: Step, state: ServingState, why: str, effort: Effort, now_s: float) -> Plan:
    if now_s >= effort.due_s:
        return Plan(step, state, why)
    if not effort.tries:  # it could not be begun yet, which is no failure
        return Plan(Step.NONE, state, why, effort.due_s)
    tries = f"{effort.tries} {'try' if effort.tries == 1 else 'tries'}"
    return Plan(Step.NONE, ServingState.ERROR, f"{why} After {tries} the next is in {effort.due_s - now_s:.0f} s.", effort.due_s)


def _by(desired: Desired) -> str:
    return f" by {desired.who}" + (f": {desired.why.rstrip('.')}" if desired.why else "") if desired.who else ""
