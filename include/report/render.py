"""One HTML page about a run: self-contained, readable from disk, in the light and in the dark, on a phone and on paper."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from include.canary.wording import MARGIN_AND_TOLERANCE
from include.gates.evaluation import Evaluation
from include.report import canary_figures, figures, gantt, load, scale, search
from include.report.data import ReportData
from include.report.outcome import STOPPED
from include.verdict import Decision, Rule, Verdict

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).parent
DOCS = "data_docs/index.html"
"""Great Expectations' own pages, beside the report among the run's artifacts."""
MARKS = {True: ("✓", "passed"), False: ("✗", "failed"), None: ("?", "undecided")}
WAY = {
    "data": "data",
    "gate": "gate",
    "verify": "verification",
    "deploy": "deployment",
    "load_test": "load test",
    "canary": "canary",
    "return": "return",
    "watch": "watch",
    "drift": "look at production",
    "labels": "labels",
}
WORDS = {
    Decision.PASS: ("passed", "good"),
    Decision.FAIL: ("failed", "bad"),
    Decision.PROMOTE: ("promote", "good"),
    Decision.ROLLBACK: ("roll back", "bad"),
    Decision.INCONCLUSIVE: ("inconclusive", "warn"),
    Decision.CONTINUE: ("under way", "open"),
    Decision.ENDED_BY_HAND: ("ended by hand", "warn"),
    Decision.NOTICE: ("notice", "warn"),
    Decision.ALARM: ("alarm", "bad"),
    Decision.NOT_KNOWN: ("not known", "warn"),
}
SAID = {"worse": "Worse than the champion's", "better": "Better than the champion's", "wrong": "Wrong answers"}
TRAIN = "train/"
"""Group of the figures on training rows, on MLflow."""
MOST_COLUMNS = 30
"""Columns that the data's profile shows at once; the others unfold."""


def render(data: ReportData) -> str:
    """The page. Nothing in it comes from elsewhere: no script, no font, no picture, no style sheet."""
    page = _template().render(data=data, css=Markup((FOLDER / "report.css").read_text()), **_parts(data))
    return page.replace("  <!-- contents -->\n", _contents(page), 1)


def _contents(page: str) -> str:
    """Links to the sections that the page has, which stay in sight while it is read."""
    links = "".join(f'<a href="#{at}">{title.strip()}</a>' for at, title in re.findall(r'<h2 id="([\w-]+)">([^<]+)', page))
    return f'  <nav class="contents" aria-label="Contents">{links}</nav>\n' if links else ""


def themed(page: bytes, theme: str) -> bytes:
    """Return a rendered page in ``theme`` (light or dark) whatever the reader's system prefers; any other theme leaves it to that."""
    if theme not in ("light", "dark"):
        return page
    return page.replace(b'<html lang="en">', f'<html lang="en" data-theme="{theme}">'.encode(), 1)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(FOLDER)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": scale.number, "percent": scale.percent, "seconds": scale.seconds, "size": scale.size}
    return environment.get_template("report.html.j2")


def _parts(data: ReportData) -> dict[str, Any]:
    profile = _profile(data)
    evaluation = data.evaluation
    times = gantt.timings(data.tasks)
    train = {name.removeprefix(TRAIN): value for name, value in data.metrics.items() if name.startswith(TRAIN)}
    train_seconds = train.pop("seconds", None)
    return {
        "profile": profile,
        "target": figures.target(profile),
        "columns": list((profile.get("columns") or {}).items()),
        "most_columns": MOST_COLUMNS,
        "data_rules": _rules(data.verdicts.get("data")),
        "gate_rules": _rules(data.verdicts.get("gate")),
        "canary_rules": _rules(data.verdicts.get("canary")),
        "explained": MARGIN_AND_TOLERANCE,
        "verify_rules": _rules(data.verdicts.get("verify")),
        "deploy_rules": _rules(data.verdicts.get("deploy")),
        "load_rules": _rules(data.verdicts.get("load_test")),
        "load": load.rows(data.verdicts.get("load_test")),
        "load_figures": load.figures(data.verdicts.get("load_test")),
        "marks": MARKS,
        "metrics": figures.metrics(evaluation, _min_score(data)) if evaluation else None,
        "slices": figures.slices(evaluation) if evaluation else None,
        "answers": figures.answers(evaluation) if evaluation else [],
        "checks": (evaluation.charts.get("checks") or []) if evaluation else [],
        "said": _said(evaluation),
        "judged": data.judgement,
        "agreement": figures.agreement(data.judgement.agreement) if data.judgement else None,
        "speedups": figures.speedups(data.optimization) if data.optimization else None,
        "kept": _kept(data),
        "canary": canary_figures.figures(data.trial, data.verdicts.get("canary")) if data.trial else [],
        "asked": _asked(data.verdicts.get("canary")),
        "compared": _compared(data.verdicts.get("canary")),
        "spec": _spec(data),
        "times": times,
        "gantt": figures.times(times),
        "way": _way(data),
        "started": _started(data),
        "learning": figures.learning(data.curves),
        "search": search.told(data.search),
        "train_metrics": bool(train),
        "train_rows": _numbers(train),
        "train_seconds": train_seconds,
        "other_rows": _numbers({key: value for key, value in data.metrics.items() if _users(key)}),
        "docs": DOCS if "data" in data.verdicts else "",
    }


def _spec(data: ReportData) -> str:
    import yaml

    return str(yaml.safe_dump(dict(data.spec), sort_keys=False, allow_unicode=True)) if data.spec else ""


def _said(evaluation: Evaluation | None) -> list[tuple[str, int, list[dict[str, Any]], bool]]:
    """Lists of a language model's answers beside the right ones: title, how many there are, those shown, whether the list is open."""
    lists = (evaluation.charts.get("answers") or {}) if evaluation else {}
    return [
        (title, lists[name]["rows"], lists[name]["shown"], name == "worse")
        for name, title in SAID.items()
        if lists.get(name, {}).get("shown")
    ]


def _asked(verdict: Verdict | None) -> list[dict[str, Any]]:
    """Live prompts that both arms of a language model's trial were asked, and that stable answered better."""
    return list((verdict.evidence.get("asked") or {}).get("examples") or ()) if verdict else []


def _compared(verdict: Verdict | None) -> list[dict[str, Any]]:
    """Live rows that the arms of a table's trial answered differently."""
    return list((verdict.evidence.get("compared") or {}).get("examples") or ()) if verdict else []


def _profile(data: ReportData) -> dict[str, Any]:
    verdict = data.verdicts.get("data")
    return dict(verdict.evidence.get("profile") or {}) if verdict else {}


def _rules(verdict: Verdict | None) -> list[Rule]:
    """Failed rules first, then the undecided ones, then those that passed; in the verdict's order among themselves."""
    order = {False: 0, None: 1, True: 2}
    return sorted(verdict.rules, key=lambda rule: order[rule.passed]) if verdict else []


def _min_score(data: ReportData) -> float | None:
    gate = data.verdicts.get("gate")
    bar = (gate.evidence.get("rules") or {}).get("min_score") if gate else None
    return float(bar) if bar is not None else None


def _users(metric: str) -> bool:
    """Whether the user's own code logged it, and no step."""
    return not metric.startswith((TRAIN, "test/", "forms/"))


def _kept(data: ReportData) -> dict[str, str]:
    """Candidate → why it is served, or why not."""
    found, verdict = data.optimization or {}, data.verdicts.get("verify")
    rules = verdict.rules if verdict else ()
    return {str(one["name"]): _why(one, found.get("chosen"), rules) for one in found.get("candidates", ())}


def _why(candidate: dict[str, Any], chosen: Any, rules: tuple[Rule, ...]) -> str:
    name = candidate["name"]
    if name == chosen:
        return "served"
    if not candidate.get("available"):
        return f"not made: {candidate.get('reason', '')}"
    failed = [rule for rule in rules if rule.name.startswith(f"{name}: ") and rule.passed is False]
    if failed:
        return "; ".join(f"{rule.name.removeprefix(f'{name}: ')} {rule.figure}, bar {rule.bar}" for rule in failed)
    return "the reference" if name in ("plain", "f16", "bf16") else "slower than the one served"


def _way(data: ReportData) -> list[tuple[str, str, str]]:
    """The verdicts that the run has come by: name, word, tone."""
    found = [(name, data.verdicts[kind]) for kind, name in WAY.items() if kind in data.verdicts]
    if next(iter(data.verdicts), "") == STOPPED:  # the newest: what was cleared since is past
        found.append((data.verdicts[STOPPED].evidence["task"], data.verdicts[STOPPED]))
    return [(name, *WORDS[verdict.decision]) for name, verdict in found]


def _started(data: ReportData) -> str:
    times = [task.started for task in data.tasks if task.started]
    return datetime.fromisoformat(min(times)).strftime("%-d %B %Y, %H:%M:%S %Z") if times else ""


def _numbers(metrics: dict[str, float]) -> list[tuple[str, str]]:
    return [(key.removeprefix("train_"), scale.number(value)) for key, value in sorted(metrics.items())]
