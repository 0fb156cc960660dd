"""The first answer about a run: what became of it, and the one rule that decided; also as Markdown to paste. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.report.data import Outcome
from include.verdict import Decision, Rule, Verdict

DECIDING = ("data", "gate", "verify", "deploy", "load_test", "canary", "return")
"""Kinds of verdicts in the order of a run's way: the last one that failed decided."""
FAILED = (Decision.FAIL, Decision.ROLLBACK, Decision.INCONCLUSIVE)


@dataclass(frozen=True)
class DecidingRule:
    """The rule that a run was stopped by, with the kind of its verdict."""

    kind: str
    rule: Rule


def deciding(verdicts: Mapping[str, Verdict]) -> DecidingRule | None:
    """Return the rule that stopped the run: the first that failed, else the first that was left open, of the last verdict that was no pass;
    None for a run that nothing stopped. ``verdicts`` are the latest of each kind."""
    for kind in reversed(DECIDING):
        verdict = verdicts.get(kind)
        if verdict is None or verdict.decision not in FAILED:
            continue
        for passed in (False, None):
            found = next((rule for rule in verdict.rules if rule.passed is passed), None)
            if found is not None:
                return DecidingRule(kind, found)
    return None


def markdown(
    *, title: str, outcome: Outcome, deciding: DecidingRule | None, verdicts: Mapping[str, Verdict], facts: Sequence[tuple[str, str]]
) -> str:
    """Return the run in Markdown: outcome, reasons, deciding rule, what each part of the way said, and ``facts`` (name and value; a URL
    becomes a link)."""
    lines = [f"## {_plain(title)}: {outcome.label}", "", _plain(outcome.sentence), ""]
    lines += [f"- {_plain(reason)}" for reason in outcome.reasons]
    if deciding is not None:
        rule = deciding.rule
        lines += ["", f"**{deciding.kind}, {_plain(rule.name)}**: {_plain(rule.figure)}; wanted: {_plain(rule.bar)}. {_plain(rule.detail)}"]
    way = [(kind, verdict) for kind, verdict in verdicts.items() if kind in DECIDING]
    if way:
        lines += ["", "| part | decision | why |", "| --- | --- | --- |"]
        ordered = sorted(way, key=lambda one: DECIDING.index(one[0]))
        lines += [f"| {kind} | {verdict.decision.value} | {_plain(' '.join(verdict.reasons[:1]))} |" for kind, verdict in ordered]
    if facts:
        lines += ["", *(f"- {name}: {f'<{value}>' if value.startswith('http') else f'`{value}`'}" for name, value in facts)]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """One line in which nothing is Markdown: data can't become a link, a picture or a row of its own."""
    line = " ".join(text.split())
    return "".join(f"\\{mark}" if mark in "\\`*_[]<>|#!" else mark for mark in line)
