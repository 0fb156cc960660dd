"""The answers' part of the verdict on a table's model: what :mod:`include.canary.answers_test` comes to, in figures and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.canary.wording import percent
from include.verdict import Rule

if TYPE_CHECKING:
    from include.canary.answers_test import AnswersTest
    from include.canary.compared import Pair
    from include.canary.figures import Figures
    from include.canary.plan import AnswersPlan

NAME = "answers"
SHOWN = 120
"""Characters of a row or an answer in a sentence."""
NAMED = 3
"""Rows that a sentence shows, both answers side by side."""


def alarms(trial: Figures) -> dict[str, str]:
    """Return the test's sentence where it crosses its boundary at this look."""
    test, plan = trial.answers, trial.plan.answers
    if test is None or plan is None or not test.limit.crossed()[0]:
        return {}
    pairs = " ".join(_pair(pair) for pair in test.compared.examples[:NAMED])
    harm = (
        f"{NAME}: {_live(test)}, certainly more than the {percent(test.limit.share)} that may: {_held_out(plan)}. A skew between training "
        "and serving, or a wrapper that breaks its inputs or outputs, looks like this."
    )
    return {NAME: f"{harm} {pairs}".strip()}


def rules(trial: Figures) -> tuple[Rule, ...]:
    """Return the test's rule; none where there is no test, or nothing to judge by: that is no pass (:func:`unknown` says it)."""
    test, plan = trial.answers, trial.plan.answers
    if test is None or plan is None or not test.compared.rows:
        return ()
    detail = trial.alarms.get(NAME) or f"{_live(test)}; {_held_out(plan)}."
    bar = f"rollback above {percent(test.limit.share)}"
    return (Rule(NAME, NAME not in trial.alarms, f"{_share(test)} of live rows differ", bar, detail),)


def unknown(trial: Figures) -> list[str]:
    """Return a sentence where a table's trial says nothing of the answers themselves, with the reason."""
    test, plan = trial.answers, trial.plan.answers
    if plan is None or not plan.requests:
        return []
    if test is None:
        return [f"{NAME}: not known whether they are right: {plan.unknown}"]
    if test.compared.rows:
        return []
    return [f"{NAME}: not known whether they are right: no live request was answered by both arms as a table's row."]


def point(trial: Figures) -> dict[str, Any]:
    """Return the figures of one look, cumulative."""
    test = trial.answers
    if test is None:
        return {}
    seen = test.compared
    return {"compared": seen.rows, "differ": seen.differ / seen.rows if seen.rows else None, "differ_allowed": test.limit.share}


def _live(test: AnswersTest) -> str:
    return f"the arms answered {test.compared.differ} of {test.compared.rows} live rows differently ({_share(test)})"


def _share(test: AnswersTest) -> str:
    return percent(test.compared.differ / test.compared.rows)


def _held_out(plan: AnswersPlan) -> str:
    how = "" if plan.tolerance is None else f" by more than {plan.tolerance:.3g}"
    return f"on held-out rows they differ{how} in {plan.differ} of {plan.rows}, and {percent(plan.margin)} more are tolerated"


def _pair(pair: Pair) -> str:
    row, stable, canary = (_cut(text) for text in (pair.row, pair.stable, pair.canary))
    return f"{row}: canary {canary}, stable {stable}."


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
