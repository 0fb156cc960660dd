"""A new model of a table's rows as it will be: looked at, guessed and proposed, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from include.errors import InputError
from include.new_model import portrait, proposals, table_file
from include.new_model.answers import MAX_DESCRIPTION, Answers
from include.new_model.portrait import Guess, Portrait
from include.new_model.proposals import Proposal
from include.new_model.table_file import TableFile
from include.new_model.templates import Template, chosen, proposed
from include.spec.problem import nearest
from include.spec.schema import Task

BEYOND_CHANCE = 0.1
"""Of the way from what a model reaches that has learnt nothing to a perfect one: the first version must have come so far."""


@dataclass(frozen=True)
class Plan:
    """Everything of a new model but its bytes."""

    name: str
    description: str
    template: Template
    file: TableFile
    target: str
    guess: Guess
    columns: list[portrait.Column]
    use: tuple[str, ...]
    rules: list[Proposal]
    min_score: float
    team: str = ""

    @property
    def task(self) -> Task:
        """What the model predicts: a class or a number."""
        return self.guess.task

    @property
    def exclude(self) -> tuple[str, ...]:
        """The columns that the model must not see."""
        return tuple(column.name for column in self.columns if column.name not in (*self.use, self.target))


def portrayed(file: TableFile, target: str | None = None) -> Portrait:
    """The portrait of a file of data; beside its ``target``, where one is known."""
    columns = portrait.columns(file.frame, file.csv, target=target)
    return Portrait(len(file.frame), file.all_rows, file.whole, columns, list(file.notes))


def planned(answers: Answers, templates: dict[str, Template], file: TableFile | None = None) -> Plan:
    """The plan that ``answers`` come to. Raises InputError for what doesn't fit the data or each other."""
    file = file or table_file.look(answers.data, answers.csv, mend_header=answers.mend_header)
    names = [str(name) for name in file.frame.columns]
    _check_columns(file, names)
    if answers.target not in names:
        raise _no_column(answers.target, names, "target")
    guess = portrait.guess(file.frame[answers.target], answers.task)
    template = chosen(answers.template or proposed(templates, guess.task, file.all_rows), templates, guess.task)
    columns = portrait.columns(file.frame, file.csv, target=answers.target)
    use = _used(answers, columns, names)
    # For the columns that are proposed, whatever was chosen of them: a rule keeps its place.
    likely = [column.name for column in columns if column.use and column.name != answers.target]
    rules = proposals.propose(file.frame, answers.target, guess.task, likely, rows=file.all_rows)
    return Plan(
        answers.name,
        _description(answers, file),
        template,
        file,
        answers.target,
        guess,
        columns,
        use,
        proposals.about(_kept(rules, answers.rules), (answers.target, *use)),
        floor(guess) if answers.min_score is None else answers.min_score,
        answers.team,
    )


def floor(guess: Guess) -> float:
    """The score that the first version must reach: a little more than one that has learnt nothing."""
    return math.floor((guess.chance + BEYOND_CHANCE * (1 - guess.chance)) * 100) / 100


def _check_columns(file: TableFile, names: list[str]) -> None:
    if len(names) < 2:
        what = f"has one column only, {names[0][:60]!r}." if names else "has no column."
        raise InputError(what, where=file.path.name, remedy="A model needs what it predicts and what it predicts it from; check SEPARATOR.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"the column {twice[0]!r} is there twice.", where=file.path.name, remedy="Rename one of them.")
    if file.frame.empty:
        raise InputError("has a header and no rows.", where=file.path.name, remedy="Add rows.")


def _no_column(name: str, names: list[str], where: str) -> InputError:
    near = nearest(name, names)
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    remedy = f"{f'Did you mean {near!r}? ' if near else ''}It has {listed}."
    return InputError(f"the data has no column {name[:60]!r}.", where=where, remedy=remedy)


def _used(answers: Answers, columns: Sequence[portrait.Column], names: list[str]) -> tuple[str, ...]:
    if answers.use is None:
        use = tuple(column.name for column in columns if column.use and column.name != answers.target)
        if not use:
            why = "; ".join(f"{column.name!r} {column.why}" for column in columns if column.name != answers.target)[:600]
            raise InputError("no column is left for a model to see.", where=answers.data.name, remedy=f"Why: {why}")
        return use
    for name in answers.use:
        if name not in names:
            raise _no_column(name, names, "use")
        if name == answers.target:
            raise InputError(f"{name!r} is the target.", where="use", remedy="The model must not see what it predicts: take it out.")
    if not answers.use:
        raise InputError("names no column.", where="use", remedy="Choose at least one that the model sees.")
    return tuple(name for name in names if name in answers.use)


def _kept(rules: list[Proposal], wanted: tuple[int, ...] | None) -> list[Proposal]:
    if wanted is None:
        return rules
    if strange := [place for place in wanted if not 0 <= place < len(rules)]:
        raise InputError(f"there is no proposed rule {strange[0]}.", where="rules", remedy=f"They are counted from 0 to {len(rules) - 1}.")
    if not wanted:
        raise InputError("keeps no rule.", where="rules", remedy="Keep at least one: data that nobody checks teaches a model anything.")
    return [rules[place] for place in sorted(set(wanted))]


def _description(answers: Answers, file: TableFile) -> str:
    text = " ".join((answers.description or f"Predicts {answers.target} from {Path(file.path).name}.").split())
    if len(text) > MAX_DESCRIPTION:
        raise InputError(
            f"has more than {MAX_DESCRIPTION} characters.", where="description", remedy="Say it shorter; README.md is for more."
        )
    return text
