"""The folder of a new model: written beside the others under a hidden name, checked as the platform checks, and put in place whole.

Nothing that is there is ever written over. What a killed attempt leaves is hidden, and removed by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from string import Template as Text

from include.errors import InputError
from include.kinds.check import check
from include.kinds.load import FILE
from include.kinds.registry import TABLE
from include.new_model import readme, text
from include.new_model.answers import check_name
from include.new_model.plan import Plan
from include.new_model.table_file import put
from include.new_model.templates import README, SPEC
from include.spec.problem import Problem, SpecError

EXPECTATIONS = "expectations.yaml"
STAGED = ".new-"
LOCK = "lock"
SHOWN_REASONS = 160
"""Characters of a reason that stand behind an excluded column."""


def make(plan: Plan, models: Path) -> Path:
    """Write the model of ``plan`` into ``models``, and return its folder. Raises InputError; nothing is left then."""
    check_name(plan.name, models)
    if not models.is_dir():
        raise InputError("is no folder of models.", where=str(models), remedy="Create it, or set UPDRAFT_MODELS.")
    with _staged(models) as place:
        folder = place / plan.name
        folder.mkdir()
        for name, content in contents(plan, models).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        put(plan.file, folder / plan.file.name)
        _readable(folder, stat.S_IMODE(models.stat().st_mode))
        try:
            check(folder / FILE)
        except SpecError as error:
            raise SpecError(_at_home(problem, place) for problem in error.problems) from None
        _into_place(folder, models / plan.name)
    return models / plan.name


def contents(plan: Plan, models: Path) -> dict[str, bytes]:
    """Every file of the model's folder but its data, by its path there."""
    found = {name: file.read_bytes() for name, file in plan.template.files(plan.task).items()}
    own = {name: Text(found.pop(name, b"").decode()).safe_substitute(words(plan)) for name in (SPEC, README)}
    found[SPEC] = (head(plan, with_schema=(models / "schema.json").is_file()) + "\n" + own[SPEC]).encode()
    found[EXPECTATIONS] = expectations(plan).encode()
    found[README] = (readme.written(plan) + own[README]).encode()
    return found


def words(plan: Plan) -> dict[str, str]:
    """What templates may name as ``$word``."""
    return {
        "name": plan.name,
        "target": plan.target,
        "balanced": text.scalar(plan.guess.metric == "balanced_accuracy"),
        "rows": str(plan.file.all_rows),
        "classes": str(plan.guess.classes),
    }


def head(plan: Plan, *, with_schema: bool) -> str:
    """The beginning of ``model.yaml``: what the model is, its data, and the score that its first version must reach."""
    lines = ["# yaml-language-server: $schema=../schema.json"] if with_schema else []
    lines += [text.entry("name", plan.name), text.entry("description", plan.description)]
    if plan.team:
        lines.append(text.entry("team", plan.team))
    if plan.template.about.kind != TABLE.name:
        lines.append(text.entry("kind", plan.template.about.kind))
    lines += [text.entry("task", plan.task.value), "", "data:", text.entry("source", plan.file.name, "  ")]
    lines.append(text.entry("target", plan.target, "  "))
    if plan.exclude:
        reasons = {column.name: column.why for column in plan.columns}
        lines.append("  exclude:")
        lines += [f"    - {text.scalar(name)}{_comment(reasons[name])}" for name in plan.exclude]
    if plan.file.csv is not None and (csv := plan.file.csv.model_dump(exclude_defaults=True)):
        lines.append("  csv:")
        lines += [text.entry(field, value, "    ") for field, value in csv.items()]
    learnt = f"one that has learnt nothing reaches {plan.guess.chance:.2f}"
    lines += ["", "gate:", f"  min_score: {plan.min_score:g} # {plan.guess.metric}; {learnt}. Raise it once you know what is good.", ""]
    return "\n".join(lines)


def _comment(why: str) -> str:
    short = " ".join(why.split())
    short = short if len(short) <= SHOWN_REASONS else short[: SHOWN_REASONS - 3] + "..."
    return f" # {''.join(letter if letter.isprintable() else '?' for letter in short)}" if short else ""


def expectations(plan: Plan) -> str:
    """The rules as ``expectations.yaml``."""
    lines = ["# What every file of data must keep. Proposed from the first one: correct what you know better.", ""]
    for rule in plan.rules:
        note = f" # {100 * rule.violations:.2g} % violate it today" if rule.violations else ""
        lines.append(f"- {rule.rule}: {text.flow(rule.arguments)}{note}")
    return "\n".join(lines) + "\n"


@contextmanager
def _staged(models: Path) -> Iterator[Path]:
    """A hidden folder in ``models`` that is gone afterwards; those of attempts that were killed go now."""
    for left in models.glob(f"{STAGED}*"):
        with suppress(OSError), (left / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    place = models / f"{STAGED}{uuid.uuid4().hex}"
    try:
        place.mkdir(mode=0o700)
    except OSError as error:
        raise InputError(f"can't be written to: {error.strerror}.", where=str(models), remedy="Give yourself the right to.") from None
    try:
        with (place / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield place
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}.", where=str(models), remedy="Make room, or correct the rights.") from None
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _readable(folder: Path, mode: int) -> None:
    """Whoever may read the models may read the new one, whatever the umask."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(mode & 0o777 if path.is_dir() else mode & 0o666)


def _at_home(problem: Problem, place: Path) -> Problem:
    from dataclasses import replace

    return replace(problem, path=problem.path.relative_to(place) if problem.path.is_relative_to(place) else problem.path)


def _into_place(folder: Path, target: Path) -> None:
    """One rename. It fails where something is, but for an empty folder, which holds nothing."""
    try:
        os.rename(folder, target)
    except OSError as error:
        if not os.path.lexists(target):
            raise
        what = f"there is {target} already ({error.strerror}), which stays as it is."
        raise InputError(what, where="name", remedy="Give the new model another name.") from None
    descriptor = os.open(target.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
