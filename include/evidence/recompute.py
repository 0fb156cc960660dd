"""A stored verdict again, from its stored evidence alone: the same code that decided decides once more. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import UpdraftError
from include.verdict import Verdict

Json = Mapping[str, Any]
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, UpdraftError)
"""What the deciding code raises on evidence that it can't have left."""


def again(kind: str, evidence: Json, looks: Sequence[Json] = ()) -> Verdict:
    """The verdict of this ``kind`` that the evidence leads to; ``looks`` are the stored looks of a canary's run, in order.

    Raises KeyError for a kind that is not known, and any of :data:`UNREADABLE` for evidence that is none.
    """
    if kind == "canary":
        from include.canary.verdicts import recompute

        return recompute(evidence, looks)
    return KINDS[kind](evidence)


@dataclass(frozen=True)
class Difference:
    """What of a stored verdict its evidence does not bear out, as a sentence. ``only_words``: the decision, the evidence and what each rule
    came to are as they were kept, and sentences are put otherwise, as other versions of Updraft put them."""

    said: str
    only_words: bool = False


def difference(kind: str, body: Json, looks: Sequence[Json] = ()) -> Difference | None:
    """Decide a stored verdict (``body``) again, and return how it comes out otherwise; None when it comes out equal."""
    try:
        stored = Verdict.from_json(body)
        found = again(kind, stored.evidence, looks)
    except UNREADABLE as error:
        return Difference(f"can't be computed again: {type(error).__name__} {error}"[:300])
    ours, theirs = _plain(found), _plain(stored)
    parts = [name for name in ("decision", "reasons", "rules", "evidence") if ours[name] != theirs[name]]
    if not parts:
        return None
    said = f"comes out otherwise: {', '.join(parts)} (decision {ours['decision']}, stored {theirs['decision']})"
    return Difference(said, only_words=_borne_out(ours) == _borne_out(theirs))


def _borne_out(verdict: Json) -> tuple[Any, ...]:
    """What of a verdict is no sentence."""
    return verdict["decision"], verdict["evidence"], [rule["passed"] for rule in verdict["rules"]]


def complete(kind: str, evidence: Json) -> bool:
    """Whether the evidence is of the form that can be computed from; verdicts of earlier versions of Updraft kept less."""
    if kind == "canary":
        return bool({"looks", "champion"} & set(evidence))
    return bool(MARKS.get(kind, set()) & set(evidence))


def _plain(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(verdict.to_json()))
    return found


def _gate(evidence: Json) -> Verdict:
    from include.gates.evaluation import Evaluation
    from include.gates.gate import gate
    from include.gates.judgement import Judgement
    from include.spec.schema import Gate

    judgement = Judgement.from_json(evidence["judgement"]) if evidence.get("judgement") else None
    return gate(Evaluation.from_json(evidence["evaluation"]), Gate.model_validate_json(json.dumps(evidence["rules"])), judgement)


def _data(evidence: Json) -> Verdict:
    from include.data.validate import recompute

    return recompute(evidence)


def _verify(evidence: Json) -> Verdict:
    if "backend" in evidence:
        from include.kinds.llm.steps import verify as chat

        return chat.recompute(evidence)
    from include.kinds.forms import choice as table

    return table.recompute(evidence)


def _deploy(evidence: Json) -> Verdict:
    if "protocol" in evidence:
        from include.release.unasked import unasked

        return unasked(evidence["protocol"])
    if "prompts" in evidence:
        from include.bundles import chat_golden

        return chat_golden.recompute(evidence)
    from include.bundles import golden_probe as golden

    return golden.recompute(evidence)


def _load_test(evidence: Json) -> Verdict:
    from include.load_test.figures import recompute

    return recompute(evidence)


def _return(evidence: Json) -> Verdict:
    from include.release.returned import returned

    return returned(evidence["champion"], evidence["version"], evidence["who"], evidence["why"])


def _watch(evidence: Json) -> Verdict:
    from include.watch.verdicts import verdict

    return verdict(evidence)


def _stopped(evidence: Json) -> Verdict:
    from include.evidence.stopped import recompute

    return recompute(evidence)


def _drift(evidence: Json) -> Verdict:
    from include.monitoring.watching import verdict

    return verdict(evidence)


def _labels(evidence: Json) -> Verdict:
    from include.labels.verdict import decide

    return decide(evidence)


KINDS: dict[str, Callable[[Json], Verdict]] = {
    "data": _data,
    "gate": _gate,
    "verify": _verify,
    "load_test": _load_test,
    "deploy": _deploy,
    "return": _return,
    "watch": _watch,
    "drift": _drift,
    "labels": _labels,
    "stopped": _stopped,
}
"""Every kind but the canary's, whose evidence is its looks besides."""
MARKS = {
    "data": {"findings"},
    "gate": {"rules"},
    "verify": {"bars"},
    "load_test": {"min_rate"},
    "deploy": {"problem", "protocol"},
    "return": {"who"},
    "watch": {"opening"},
    "drift": {"until"},
    "labels": {"min_agreement"},
    "stopped": {"task"},
}
"""Keys of each kind's evidence, one of which is there where it is complete."""
