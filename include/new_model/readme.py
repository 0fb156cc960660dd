"""The README of a new model: what it is, what was decided for it and why, and how it goes on. Pure."""

from __future__ import annotations

from include.new_model.plan import Plan
from include.new_model.proposals import Proposal

MOST = 100
"""Lines of a table."""


def written(plan: Plan) -> str:
    """The README's text, in Markdown."""
    file = plan.file
    looked = "all of them" if file.whole else f"{len(file.frame)} of them were looked at"
    parts = [
        f"# {plan.name}\n\n{_plain(plan.description)}\n",
        f"Made with the template `{plan.template.name}` ({plan.template.about.title}) from `{_plain(file.path.name)}`:"
        f" about {file.all_rows} rows ({looked}), {len(plan.columns)} columns.\n",
        f"**Target**: `{_plain(plan.target)}`. **Task**: {plan.task.value}: {_plain(plan.guess.why)}\n",
        f"**Gate**: the first version must reach {plan.min_score:g} ({plan.guess.metric}); one that has learnt nothing reaches "
        f"{plan.guess.chance:.2f}. Later versions must be no worse than the champion.\n",
        _columns(plan),
        _rules(plan.rules),
    ]
    if file.notes:
        parts.append("## How the file was read\n\n" + "\n".join(f"- {_plain(note)}" for note in file.notes[:MOST]) + "\n")
    parts.append(_next(plan))
    return "\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """A text of the data's in which Markdown sees nothing to act on."""
    return "".join(letter for letter in text if letter.isprintable()).replace("`", "'").replace("|", "\\|").replace("<", "&lt;")


def _columns(plan: Plan) -> str:
    rows = [
        f"| `{_plain(column.name)}` | {'target' if column.name == plan.target else 'yes' if column.name in plan.use else 'no'} "
        f"| {column.type} | {column.missing} | {_plain(column.why)} |"
        for column in plan.columns[:MOST]
    ]
    more = f"\n\nAnd {len(plan.columns) - MOST} more." if len(plan.columns) > MOST else ""
    return (
        "## Columns\n\n| column | seen by the model | type | missing | |\n| --- | --- | --- | --- | --- |\n" + "\n".join(rows) + more + "\n"
    )


def _rules(rules: list[Proposal]) -> str:
    rows = [f"| {_of(rule)} | {_bar(rule)} | {100 * rule.violations:.2g} % of {rule.of} | {rule.why} |" for rule in rules[:MOST]]
    return (
        "## Expectations\n\nWhat every file of data must keep (`expectations.yaml`), as it was when they were proposed:\n\n"
        "| about | rule | violated by | |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def _of(rule: Proposal) -> str:
    columns = rule.arguments.get("columns")
    name = f"{len(columns)} columns" if columns else rule.arguments.get("column", "table")
    return f"`{_plain(str(name))}`"


def _bar(rule: Proposal) -> str:
    short = rule.rule.removeprefix("expect_").replace("_", " ")
    rest = ", ".join(f"{key} {value}" for key, value in rule.arguments.items() if key not in ("column", "columns"))
    return _plain(f"{short}: {rest}" if rest else short)[:300]


def _with_header(plan: Plan) -> str:
    return ", with the header of the one that is there" if plan.file.mended else ""


def _next(plan: Plan) -> str:
    return f"""## How it goes on

1. Look through `model.yaml`, `expectations.yaml` and `train.py`: they are yours now. `python -m include.spec check` checks them.
2. The DAG `{plan.name}_lifecycle` is in Airflow within a minute. Trigger it there, or by REST:
   `POST /api/v2/dags/{plan.name}_lifecycle/dagRuns` with `{{"logical_date": null, "conf": {{}}}}`.
3. Once a version is promoted, callers ask `POST /v1/models/{plan.name}:predict` at the gateway;
   `GET /v2/models/{plan.name}` shows a request that works.
4. New data: put the new file in the place of `{plan.file.name}`{_with_header(plan)}.
   `on: {{file: true}}` in `model.yaml` has a run begin by itself then.
"""
