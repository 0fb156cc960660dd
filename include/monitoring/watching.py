"""One look at production, in words and figures: a verdict of kind ``drift``, from its evidence alone.

ALARM: harm, by labels or by the estimate, proven at an alpha for the version's whole life. NOTICE: what arrives has changed, or breaks the
model's own expectations; nobody is known to be harmed. NOT KNOWN: what would tell of harm is missing, which is never fine and never an
alarm. PASS: none of these. The same evidence gives the same verdict, whenever it is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.monitoring.estimate import Calibration, EstimateTest, gaps
from include.monitoring.harm import HarmTest, upper_mean
from include.verdict import Decision, Rule, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

Json = dict[str, Any]
ALPHA = 0.05
"""Chance that a version without harm ever raises an alarm, over its whole life and all tests together."""
HARM, ESTIMATE, REFERENCE = 0.4, 0.4, 0.2
"""Shares of alpha: the losses by labels, the estimate, and the chance that the held-out rows told too little of the loss."""
REFERENCE_Z = 2.33
"""Standard errors of the held-out loss that are granted: one-sided, REFERENCE * ALPHA."""
CHECK_ALPHA = 0.05
"""Chance that an estimate that holds is ever taken for refuted by labels."""
NAMED = 5
"""So many columns or expectations are named in a sentence."""
LEVEL = 0.01
"""Chance that a look without any change gives a notice of one: shared between its columns by Holm's rule."""


@dataclass(frozen=True)
class State:
    """What a version's looks have come to. ``checks``: of the estimate against labels, from above and from below."""

    harm: HarmTest
    estimate: EstimateTest | None = None
    checks: tuple[HarmTest, ...] = ()
    form: HarmTest | None = None
    """Whether answers are of no use by their form, of models whose answers have one; in the estimate's place."""

    @classmethod
    def start(cls, loss: Floats, calibration: Calibration | None, margin: float, useless: Floats | None = None) -> State:
        """Make that of a version which nobody has looked at; ``loss``: of its held-out rows, in 0..1, ``useless`` which of their answers
        were of no use by their form. Needs at least one row."""
        import numpy as np

        accepted = upper_mean(float(loss.mean()), float(loss.std()), len(loss), REFERENCE_Z) + margin
        harm = HarmTest.start(np.array([accepted]), HARM * ALPHA)
        if useless is not None:
            most = upper_mean(float(useless.mean()), float(useless.std()), len(useless), REFERENCE_Z) + margin
            return cls(harm, form=HarmTest.start(np.array([most]), ESTIMATE * ALPHA))
        if calibration is None:
            return cls(harm)
        agreed = np.array([(1 + margin) / 2])
        estimate = EstimateTest.start(calibration, calibration.accepted(margin, REFERENCE_Z), ESTIMATE * ALPHA)
        return cls(harm, estimate, tuple(HarmTest.start(agreed, CHECK_ALPHA / 2) for _ in range(2)))

    def summary(self, confidence: Floats | None, loss: Floats, labelled_confidence: Floats | None, useless: Floats | None = None) -> Json:
        """Return what a look has seen, as small as it can be observed from: rows by block of ``confidence``, the ``loss`` of rows that
        labels have come for, with the confidence of these, and which answers are ``useless`` by their form."""
        import numpy as np

        seen: Json = {"labelled": len(loss), "loss": float(loss.mean()) if len(loss) else None, "growth": [], "blocks": [], "checks": []}
        if len(loss):
            seen["growth"] = self.harm.logs(loss[None, :]).sum(axis=1)[0].tolist()
        if self.estimate is not None and confidence is not None:
            known = self.estimate.calibration
            seen["blocks"] = known.counts(confidence)
            if len(loss) and labelled_confidence is not None:
                both = gaps(known.expected(labelled_confidence), loss)
                logs = (check.logs(np.asarray(gap)[None, :]).sum(axis=1)[0].tolist() for check, gap in zip(self.checks, both, strict=True))
                seen["checks"] = list(logs)
        if self.form is not None and useless is not None and len(useless):
            grown = self.form.logs(useless[None, :]).sum(axis=1)[0].tolist()
            seen["form"] = {"rows": len(useless), "useless": int(useless.sum()), "growth": grown}
        return seen

    def observe(self, seen: Mapping[str, Any]) -> State:
        """Return the state after what a look has seen (:meth:`summary`)."""
        import numpy as np

        rows = np.array([float(seen["labelled"])])
        harm = self.harm.observe(np.array([seen["growth"]]), rows) if seen["growth"] else self.harm
        estimate = self.estimate.observe(seen["blocks"]) if self.estimate and seen["blocks"] else self.estimate
        checks = self.checks
        if seen["checks"]:
            checks = tuple(check.observe(np.array([grown]), rows) for check, grown in zip(checks, seen["checks"], strict=True))
        form = self.form
        if form is not None and (of_form := seen.get("form")):
            form = form.observe(np.array([of_form["growth"]]), np.array([float(of_form["rows"])]))
        return State(harm, estimate, checks, form)

    @property
    def refuted(self) -> bool:
        """Whether labels have shown that the estimate does not hold."""
        return any(bool(check.proven[0]) for check in self.checks)

    def to_json(self) -> Json:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        estimate = self.estimate.to_json() if self.estimate else None
        plain: Json = {"harm": self.harm.to_json(), "estimate": estimate, "checks": [check.to_json() for check in self.checks]}
        return plain if self.form is None else plain | {"form": self.form.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> State:
        estimate = EstimateTest.from_json(data["estimate"]) if data["estimate"] else None
        form = HarmTest.from_json(data["form"]) if data.get("form") else None
        return cls(HarmTest.from_json(data["harm"]), estimate, tuple(HarmTest.from_json(check) for check in data["checks"]), form)


def evidence(
    *,
    since: str | None,
    until: str,
    rows: int,
    opening: State | None = None,
    seen: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
    change: Mapping[str, Any] | None = None,
    unknown: Sequence[str] = (),
) -> Json:
    """Return what a verdict rests on. ``opening``: the state before the look; ``unknown``: sentences on what could not be looked at."""
    parts = {"since": since, "until": until, "rows": rows, "opening": opening.to_json() if opening else None}
    return parts | {"seen": _plain(seen), "quality": _plain(quality), "change": _plain(change), "unknown": list(unknown)}


def _plain(part: Mapping[str, Any] | None) -> Json | None:
    return None if part is None else dict(part)


def closing(found: Mapping[str, Any]) -> State | None:
    """Return the state that a look's evidence leaves to the next one; None where none has begun."""
    if found["opening"] is None:
        return None
    state = State.from_json(found["opening"])
    return state if found["seen"] is None else state.observe(found["seen"])


def verdict(found: Mapping[str, Any]) -> Verdict:
    """Say what the evidence comes to: ALARM, NOTICE, NOT_KNOWN or PASS."""
    harm, unknown = _harm(found)
    notices = [*_quality(found["quality"]), *_change(found["change"])]
    alarms = [rule for rule in harm if rule.passed is False]
    failed = [rule for rule in notices if rule.passed is False]
    if alarms:
        decision = Decision.ALARM
    elif failed:
        decision = Decision.NOTICE
    else:
        decision = Decision.NOT_KNOWN if unknown else Decision.PASS
    reasons = [rule.detail for rule in (*alarms, *failed)] + unknown
    reasons = reasons or [f"{found['rows']} rows: no harm and no change.{_unsaid(found)}"]
    return Verdict(decision, tuple(reasons), (*harm, *notices), dict(found))


def _unsaid(found: Mapping[str, Any]) -> str:
    """That answers were looked at by their form alone."""
    seen = found["seen"]
    return " Whether the answers are right nobody has said." if seen and seen.get("form") and not seen["labelled"] else ""


def _harm(found: Mapping[str, Any]) -> tuple[list[Rule], list[str]]:
    """The rules on harm, and in sentences what is not known of it."""
    unknown, state, seen = list(found["unknown"]), closing(found), found["seen"]
    if state is None or seen is None:
        return [], unknown or [f"Harm is not known: {_nothing(found)}"]
    rules = [_labels(state, seen)]
    refuted = state.refuted
    if state.estimate is not None:
        rules.append(_estimate(state.estimate, seen, refuted))
    if state.form is not None:
        rules.append(_form(state.form, seen))
    estimated = (bool(seen["blocks"]) and not refuted) or bool(seen.get("form"))
    if not seen["labelled"] and not estimated:
        why = "labels have refuted the estimate, and none have come since the last look." if refuted else _nothing(found)
        unknown.append(f"Harm is not known: {why}")
    return rules, unknown


def _nothing(found: Mapping[str, Any]) -> str:
    return "no labels have come, and there is no estimate without them." if found["rows"] else "no row has come since the last look."


def _labels(state: State, seen: Mapping[str, Any]) -> Rule:
    harm, rows = state.harm, seen["labelled"]
    figure = f"{seen['loss']:.3g} in {rows} labelled rows" if rows else "no labelled row"
    bar = f"accepted: {float(harm.accepted[0]):.3g}"
    passed = not harm.proven[0] if harm.rows[0] else None
    detail = f"By labels the loss is proven to have risen: lately {figure}, {bar}, {int(harm.rows[0])} rows in all."
    return Rule("harm, by labels", passed, figure, bar, detail if passed is False else "")


def _estimate(estimate: EstimateTest, seen: Mapping[str, Any], refuted: bool) -> Rule:
    rows = sum(seen["blocks"])
    mean = sum(count * loss for count, loss in zip(seen["blocks"], estimate.calibration.loss, strict=True)) / rows if rows else 0.0
    figure = f"{mean:.3g} in {rows} rows" if rows else "no row"
    bar = f"accepted: {float(estimate.test.accepted[0]):.3g}"
    if refuted:
        return Rule("harm, estimated", None, figure, bar, "Labels have refuted the estimate: it raises no alarm.")
    passed = not estimate.proven if estimate.test.rows[0] else None
    detail = f"By the model's own confidence the loss has risen: lately {figure}, {bar}. No labels say otherwise."
    return Rule("harm, estimated", passed, figure, bar, detail if passed is False else "")


def _form(test: HarmTest, seen: Mapping[str, Any]) -> Rule:
    of_form = seen.get("form")
    figure = f"{of_form['useless']} of {of_form['rows']} answers" if of_form else "no answer"
    bar = f"accepted: {float(test.accepted[0]):.3g}"
    passed = not test.proven[0] if test.rows[0] else None
    detail = f"More answers are of no use by their form (empty, cut off, no JSON where it was asked for): lately {figure}, {bar}."
    return Rule("answers of no use", passed, figure, bar, detail if passed is False else "")


def _quality(quality: Mapping[str, Any] | None) -> list[Rule]:
    if quality is None:
        return []
    figure = f"{len(quality['failed'])} of {quality['expectations']} fail" if quality["failed"] else "all hold"
    detail = f"What arrives breaks the model's expectations: {_first(quality['failed'], '; ')}" if quality["failed"] else ""
    return [Rule("quality of what arrives", not quality["failed"], figure, f"{quality['expectations']} expectations", detail)]


def _change(change: Mapping[str, Any] | None) -> list[Rule]:
    if change is None:
        return []
    rules = []
    if change["columns"]:
        rules.append(Rule("columns", False, f"{len(change['columns'])} changed", "as held out", _first(change["columns"], " ")))
    else:
        rules.append(Rule("columns", True, "as held out", "as held out"))
    if change["p_values"]:
        drifted = holm(change["p_values"], LEVEL)
        figure = f"{len(drifted)} of {len(change['p_values'])} columns"
        detail = f"The values of {figure} have changed: {_first(drifted, ', ')}." if drifted else ""
        rules.append(Rule("change of values", not drifted, figure, f"p {LEVEL:g} in all, by Holm", detail))
    return rules


def _first(names: Sequence[str], between: str) -> str:
    """The first few, and how many more: the evidence has all of them."""
    more = f"{between}and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{between.join(names[:NAMED])}{more}"


def holm(p_values: Mapping[str, float], level: float) -> list[str]:
    """Return the names whose p-values are too small for chance at ``level`` for all of them together (Holm 1979), the smallest first."""
    found = []
    for position, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: (item[1], item[0]))):
        if p > level / (len(p_values) - position):
            break
        found.append(name)
    return found
