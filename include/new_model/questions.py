"""The questions of `make new-model` in a terminal: each with what is proposed, which Enter takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.new_model import portrait, table_file
from include.new_model.answers import Answers, check_name, number, suggestion
from include.new_model.plan import Plan, planned, portrayed
from include.new_model.portrait import Portrait
from include.new_model.templates import Template
from include.new_model.templates import proposed as proposed_template
from include.spec.schema import Task

Ask = Callable[[str], str]
Say = Callable[[str], None]
SHOWN = 60
"""Columns that are listed."""
EXAMPLES = 3


def asked(given: dict[str, str], models: Path, templates: dict[str, Template], ask: Ask, say: Say) -> Plan:
    """The plan that the answers come to; those in ``given`` are not asked for. Each wrong answer is explained and asked for again; a wrong
    one of those given raises InputError."""
    file, mend = _file(given, ask, say)
    look = portrayed(file)
    say(shown(look))
    names = [column.name for column in look.columns]
    name = _until(given, "name", f"Name of the model [{suggestion(file.path.stem)}]", suggestion(file.path.stem), ask, say, _named(models))
    proposed = portrait.target_of(names) or names[-1]
    target = _until(given, "target", f"Column to predict [{proposed}]", proposed, ask, say, _one_of(names, "target"))
    task = _task(given, file.frame[target], ask, say)
    fit = {key: template for key, template in templates.items() if task in template.about.tasks}
    say("\n".join(f"  {key}: {template.about.description}" for key, template in fit.items()))
    first = proposed_template(fit, task, file.all_rows)
    template = _until(given, "template", f"Template [{first}]", first, ask, say, _one_of(list(fit), "template"))
    answers = Answers(
        name=name,
        data=file.path,
        target=target,
        template=template,
        task=task,
        description=given.get("description", ""),
        use=_listed(given.get("use")),
        min_score=number(given["min_score"], "min_score") if given.get("min_score") else None,
        mend_header=mend,
    )
    plan = planned(answers, templates, file)
    say(rules_shown(plan))
    return plan


def _file(given: dict[str, str], ask: Ask, say: Say) -> tuple[table_file.TableFile, bool]:
    settings = {key: given[key] for key in ("separator", "decimal", "encoding") if given.get(key)}
    mend = given.get("rename") == "1"
    while True:
        path = given.get("data") or ask("File of data (.csv or .parquet)").strip()
        try:
            return table_file.look(Path(path).expanduser(), settings, mend_header=mend), mend
        except InputError as error:
            if given.get("data"):
                raise
            say(str(error))
            if "RENAME=1" in error.remedy and ask("Rename these columns in the model's copy? [y/N]").strip().lower() in ("y", "yes"):
                return table_file.look(Path(path).expanduser(), settings, mend_header=True), True


def _task(given: dict[str, str], target: Any, ask: Ask, say: Say) -> Task:
    tasks = [Task.CLASSIFICATION.value, Task.REGRESSION.value]
    if given.get("task"):
        _one_of(tasks, "task")(given["task"])
        return portrait.guess(target, Task(given["task"])).task
    guess = portrait.guess(target)
    say(f"Task: {guess.task.value}: {guess.why}")
    while True:
        answer = _until(given, "task", f"Task [{guess.task.value}]", guess.task.value, ask, say, _one_of(tasks, "task"))
        try:
            return portrait.guess(target, Task(answer)).task
        except InputError as error:
            say(str(error))


def _until(given: dict[str, str], key: str, question: str, default: str, ask: Ask, say: Say, check: Callable[[str], None]) -> str:
    if given.get(key):
        check(given[key])
        return given[key]
    while True:
        answer = ask(question).strip() or default
        try:
            check(answer)
            return answer
        except InputError as error:
            say(str(error))


def _named(models: Path) -> Callable[[str], None]:
    return lambda name: check_name(name, models)


def _one_of(names: list[str], where: str) -> Callable[[str], None]:
    def check(answer: str) -> None:
        if answer not in names:
            raise InputError(f"{answer[:60]!r} is not there.", where=where, remedy=f"Choose one of {', '.join(names[:SHOWN])}.")

    return check


def _listed(text: str | None) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else None


def shown(look: Portrait) -> str:
    """The portrait as a table for a terminal."""
    about = f"{look.rows} rows" if look.whole else f"{look.rows} rows of about {look.all_rows}"
    lines = [f"{about}, {len(look.columns)} columns:"]
    wide = min(max((len(column.name) for column in look.columns), default=0), 32)
    for column in look.columns[:SHOWN]:
        values = ", ".join(column.examples[:EXAMPLES])[:48]
        missing = f", {column.missing} missing" if column.missing else ""
        lines.append(f"  {column.name[:32]:{wide}}  {column.type}, {column.distinct} different{missing}: {values}")
        if column.why:
            lines.append(f"  {'':{wide}}  -> {'left out' if not column.use else 'note'}: {column.why}")
    if len(look.columns) > SHOWN:
        lines.append(f"  ... and {len(look.columns) - SHOWN} more")
    return "\n".join([*lines, *(f"  {note}" for note in look.notes)])


def rules_shown(plan: Plan) -> str:
    """The proposed expectations, each with its share of violations."""
    lines = ["Expectations (expectations.yaml), and what violates them today:"]
    for rule in plan.rules[:SHOWN]:
        about = rule.arguments.get("column") or (f"{len(rule.arguments['columns'])} columns" if "columns" in rule.arguments else "table")
        rest = ", ".join(f"{key} {value}" for key, value in rule.arguments.items() if key not in ("column", "columns"))
        lines.append(f"  {100 * rule.violations:6.2f} %  {about}: {rule.rule} {rest}"[:160])
    if len(plan.rules) > SHOWN:
        lines.append(f"  ... and {len(plan.rules) - SHOWN} more")
    return "\n".join(lines)
