"""What a pull request or a commit is told of a run, in Markdown: the head of its report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from include.report.data import ReportData
from include.verdict import Rule, Verdict

MOST_RULES = 12
MOST_REASONS = 8
MOST_TEXT = 300
"""Characters of a sentence or a cell."""
MARK = "<!-- updraft: {model} -->"
"""The first line, by which a later comment about the same model finds and replaces this one."""
SIGNS = {"good": "✅", "bad": "❌", "warn": "⚠️", "open": "⏳"}
TOLD = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "\\|", "[": "\\[", "`": "\\`", "*": "\\*", "@": "@\u200b"}
"""What Markdown, or a forge, would act on, and how it is written instead."""
SHOWN = ("gate", "verify", "deploy", "canary")
"""Verdicts whose rules are shown, in the order of the run; of the data's those that fail."""


def comment(data: ReportData, *, run_url: str, report_url: str, different: str = "") -> str:
    """The comment on the run of ``data``. ``different`` says what of the run is not the commit's; empty where all is."""
    result = data.result
    lines = [
        MARK.format(model=data.model),
        f"### {SIGNS.get(result.tone, '')} {plain(data.model)}: {plain(result.label)}",
        "",
        plain(result.sentence),
    ]
    if different:
        lines += ["", f"⚠️ {plain(different)}"]
    if result.reasons:
        lines += ["", *(f"- {plain(reason)}" for reason in result.reasons[:MOST_REASONS])]
    if rules := list(_rules(data.verdicts)):
        lines += ["", "| | rule | figure | bar |", "| --- | --- | --- | --- |", *rules[:MOST_RULES]]
        if len(rules) > MOST_RULES:
            lines += ["", f"And {len(rules) - MOST_RULES} more rules."]
    links = [f"[The run]({run_url})"] + ([f"[its report]({report_url})"] if report_url else [])
    return "\n".join([*lines, "", " · ".join(links), ""])


def _rules(verdicts: Mapping[str, Verdict]) -> Iterable[str]:
    data = verdicts.get("data")
    if data is not None:
        yield from (_row(rule) for rule in data.rules if rule.passed is False)
    for kind in SHOWN:
        if kind in verdicts:
            yield from (_row(rule) for rule in verdicts[kind].rules)


def _row(rule: Rule) -> str:
    sign = "❔" if rule.passed is None else "✅" if rule.passed else "❌"
    return f"| {sign} | {plain(rule.name)} | {plain(rule.figure)} | {plain(rule.bar)} |"


def plain(text: str) -> str:
    """A text of the data's or the model's in which Markdown sees nothing to act on: no HTML, no link, no mention, no table's edge."""
    short = " ".join(text.split())
    short = short if len(short) <= MOST_TEXT else short[: MOST_TEXT - 3] + "..."
    for sign, told in TOLD.items():
        short = short.replace(sign, told)
    return short
