"""Whether what people have labelled may be learnt from: a verdict of the kind `labels`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from include.labels.agreement import alpha
from include.labels.choose import CONTROL
from include.labels.export import Read
from include.spec.label import Label
from include.verdict import Decision, Rule, Verdict

KIND = "labels"
MOST_UNREADABLE = 0.1
"""Share of the annotations that may be unreadable: those made while the template was another, say."""
SHOWN = 20
"""Sentences about unreadable annotations that are kept."""


def evidence(read: Read, label: Label, *, numbers: bool) -> dict[str, Any]:
    """Return what a verdict about an export is decided from. No person is named in it. ``numbers``: labels are numbers, not classes."""
    units = [[one.label for one in row.given] for row in read.rows]
    arms: dict[str, Counter[str]] = {}
    for row in read.rows:
        counts = arms.setdefault(row.arm, Counter(rows=0, judged=0, wrong=0))
        counts["rows"] += 1
        if row.answer is not None and row.label is not None:
            counts["judged"] += 1
            counts["wrong"] += str(row.answer) != str(row.label)
    return {
        "rows": len(read.rows),
        "labelled": sum(row.label is not None for row in read.rows),
        "annotations": sum(len(row.given) for row in read.rows),
        "people": len({one.who for row in read.rows for one in row.given}),
        "pairs": sum(len(labels) >= 2 for labels in units),
        "alpha": alpha(units, numbers=numbers),
        "min_agreement": label.min_agreement,
        "min_pairs": label.min_pairs,
        "unreadable": len(read.faults),
        "faults": read.faults[:SHOWN],
        "foreign": read.foreign,
        "skipped": read.skipped,
        "arms": [{"arm": arm, **counts} for arm, counts in sorted(arms.items())],
    }


def decide(found: Mapping[str, Any]) -> Verdict:
    """Return PASS or FAIL of labels by their :func:`evidence`."""
    rules = (_some(found), _agreement(found), _readable(found))
    reasons = [f"{rule.name}: {rule.figure} (bar: {rule.bar})." for rule in rules if rule.passed is False]
    failed = bool(reasons)
    if not failed:
        reasons.append(f"{found['labelled']} rows have a label that people agree on, of {found['rows']} that were looked at.")
    if disputed := found["rows"] - found["labelled"]:
        reasons.append(f"{disputed} rows are left out: as many people say one thing as another.")
    if found["foreign"]:
        reasons.append(f"{found['foreign']} tasks were added by hand in Label Studio, and are left out.")
    reasons += [_arm(arm) for arm in found["arms"] if arm["judged"]]
    return Verdict(Decision.FAIL if failed else Decision.PASS, (*reasons, *found["faults"]), rules, dict(found))


def _some(found: Mapping[str, Any]) -> Rule:
    return Rule("labelled rows", found["labelled"] >= 1, str(found["labelled"]), "1 or more")


def _agreement(found: Mapping[str, Any]) -> Rule:
    known, few = found["alpha"], found["pairs"] < found["min_pairs"]
    figure = "not known" if known is None else f"{known:.3f}"
    detail = f"{found['pairs']} rows were labelled by two people or more."
    bar = f"{found['min_agreement']:g} or more" + (f", with {found['min_pairs']} such rows" if few else "")
    passed = None if known is None or few else known >= found["min_agreement"]
    return Rule("agreement between people (Krippendorff's alpha)", passed, figure, bar, detail)


def _readable(found: Mapping[str, Any]) -> Rule:
    every = found["annotations"] + found["unreadable"]
    passed = found["unreadable"] <= MOST_UNREADABLE * every
    return Rule("unreadable annotations", passed, f"{found['unreadable']} of {every}", f"{MOST_UNREADABLE:.0%} at most")


def _arm(arm: Mapping[str, Any]) -> str:
    whose = "drawn at random" if arm["arm"] == CONTROL else f"chosen as {arm['arm']}"
    return f"Of {arm['judged']} rows that were {whose}, people contradict the model on {arm['wrong']}."
