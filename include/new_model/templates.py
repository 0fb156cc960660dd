"""Templates of models: a folder each, which anybody may add.

    template.yaml        title, description, kind, tasks, what data it reads, what must be installed
    any/, <task>/        files of the model's folder, copied as they are; of `model.yaml` the parts besides name, task, data and gate

In ``model.yaml`` and ``README.md``, ``$balanced`` and the like are filled in (:func:`include.new_model.folder.words`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from include.errors import InputError
from include.spec import document
from include.spec.parts import as_tuple
from include.spec.problem import nearest
from include.spec.schema import Task

HERE = Path(__file__).parent / "templates"
OWN = "_templates"
"""A folder of the models' folder whose folders are templates too."""
FILE, SPEC, README = "template.yaml", "model.yaml", "README.md"


class About(BaseModel):
    """``template.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    description: str
    kind: str
    tasks: Annotated[tuple[Task, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    data: Literal["table"]
    from_rows: int | None = None
    """Proposed from so many rows on; never where it says none."""
    install: str = ""


@dataclass(frozen=True)
class Template:
    """One template, called as its ``folder``."""

    name: str
    folder: Path
    about: About

    def files(self, task: Task) -> dict[str, Path]:
        """Path in the model's folder → file, of all tasks and of this one, which comes before."""
        found: dict[str, Path] = {}
        for part in ("any", task.value):
            root = self.folder / part
            found |= {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if _counts(path, root)}
        return found


def _counts(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(root).parts)
    return path.is_file() and not path.is_symlink() and not hidden


def find(*more: Path) -> dict[str, Template]:
    """All templates by name: those that come along, and those in the folders ``more``. InputError for one that can't be used."""
    found: dict[str, Template] = {}
    for place in (HERE, *more):
        for file in sorted(place.glob(f"*/{FILE}")):
            name = file.parent.name
            if name in found:
                raise InputError(f"the template {name!r} is there already.", where=str(file.parent), remedy="Give the folder another name.")
            found[name] = Template(name, file.parent, _about(file))
    return found


def _about(file: Path) -> About:
    doc = document.read(file)
    try:
        return About.model_validate(doc.value)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{file}: {'.'.join(map(str, first['loc']))}"
        raise InputError(f"{first['msg']}.", where=where, remedy="See `include/new_model/templates`.") from None


def proposed(known: dict[str, Template], task: Task, rows: int) -> str:
    """The template that a table of so many ``rows`` is begun with; empty where none does the ``task``."""
    fit = {name: template.about for name, template in known.items() if task in template.about.tasks}
    by_rows = sorted((about.from_rows, name) for name, about in fit.items() if about.from_rows is not None and about.from_rows <= rows)
    return by_rows[-1][1] if by_rows else next(iter(fit), "")


def chosen(name: str, known: dict[str, Template], task: Task) -> Template:
    """The template ``name``. InputError when there is none, or it has nothing for the ``task``."""
    if name not in known:
        near = nearest(name, list(known))
        raise InputError(
            f"{name[:60]!r} is no template.",
            where="template",
            remedy=f"{f'Did you mean {near!r}? ' if near else ''}There are {', '.join(known)}.",
        )
    template = known[name]
    if task not in template.about.tasks:
        fit = [other.name for other in known.values() if task in other.about.tasks]
        raise InputError(f"the template {name!r} does no {task}.", where="template", remedy=f"These do: {', '.join(fit)}.")
    return template
