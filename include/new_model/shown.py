"""What people are shown of a look and of a plan, as plain JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from include.new_model import proposals, text
from include.new_model.plan import Plan
from include.new_model.portrait import Portrait, target_of
from include.new_model.proposals import Proposal
from include.new_model.table_file import TableFile
from include.new_model.templates import Template

MOST_COLUMNS = 2000
"""Columns that a page is told of."""


def look(file: TableFile, portrait: Portrait) -> dict[str, Any]:
    """A file of data: its rows, its columns, how it is written."""
    header = file.header
    return {
        "rows": portrait.rows,
        "all_rows": portrait.all_rows,
        "whole": portrait.whole,
        "columns": [_column(asdict(column)) for column in portrait.columns[:MOST_COLUMNS]],
        "all_columns": len(portrait.columns),
        "notes": portrait.notes,
        "written": text.flow(file.csv.model_dump(exclude_defaults=True)) if file.csv is not None else "",
        "separator": file.csv.separator if file.csv is not None else "",
        "decimal": file.csv.decimal if file.csv is not None else "",
        "encoding": file.csv.encoding if file.csv is not None else "",
        "broken_header": header.broken if header is not None else "",
        "likely_target": target_of(column.name for column in portrait.columns) or "",
    }


def _column(column: dict[str, Any]) -> dict[str, Any]:
    figures = column.pop("figures")
    bars = [
        {"value": f"{bar['from']:.4g} to {bar['to']:.4g}" if "from" in bar else str(bar["value"])[:60], "rows": bar["rows"]}
        for bar in column.pop("distribution")
    ]
    return column | {"low": figures.get("min"), "mean": figures.get("mean"), "high": figures.get("max"), "distribution": bars}


def plan(found: Plan, all_rules: list[Proposal]) -> dict[str, Any]:
    """What is proposed for a target."""
    guess = found.guess
    return {
        "target": found.target,
        "task": guess.task.value,
        "why": guess.why,
        "metric": guess.metric,
        "chance": guess.chance,
        "min_score": found.min_score,
        "template": found.template.name,
        "use": list(found.use),
        "rules": [rule(one) for one in all_rules],
    }


def rule(proposal: Proposal) -> dict[str, Any]:
    """One proposed expectation."""
    arguments = dict(proposal.arguments)
    about = [proposals.plain(glob) for glob in arguments.pop("columns", ())] or ([arguments.pop("column")] if "column" in arguments else [])
    return {
        "rule": proposal.rule,
        "columns": list(about),
        "arguments": text.flow(arguments) if arguments else "",
        "violations": proposal.violations,
        "of": proposal.of,
        "why": proposal.why,
    }


def template(found: Template) -> dict[str, Any]:
    """A template."""
    about = found.about
    return {"name": found.name, "title": about.title, "description": about.description, "tasks": [task.value for task in about.tasks]}
