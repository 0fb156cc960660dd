"""A model's project in Label Studio: made, found again, and kept as its spec has it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import InputError
from include.labels.client import LabelStudio
from include.labels.tasks import missing

MARK = "Kept by Updraft for the model {}. Its template is written anew whenever the model's spec is."
"""Of the project's description: by it the project is found again, whatever its title is changed to."""
_MARKED = re.compile(r"Kept by Updraft for the model ([a-z][a-z0-9_]*)\.")


@dataclass(frozen=True)
class Wanted:
    """A project as it shall be."""

    model: str
    title: str
    config: str
    annotators: int

    def settings(self) -> dict[str, Any]:
        """Return the fields of the project that the platform writes. ``show_collab_predictions``: people see what comes with a task."""
        return {"label_config": self.config, "maximum_annotations": self.annotators, "show_collab_predictions": True}


def find(studio: LabelStudio, model: str) -> dict[str, Any] | None:
    """Return a model's project; None where there is none. Of several, the oldest."""
    mine = [one for one in studio.projects() if (mark := _MARKED.search(str(one.get("description") or ""))) and mark[1] == model]
    return min(mine, key=lambda one: int(one["id"]), default=None)


def ensure(studio: LabelStudio, wanted: Wanted) -> tuple[int, list[str]]:
    """Return the project's id, and what was done about it in sentences. It is made where it is missing; what people have changed of its
    template is set back. Raises InputError where that would make labels that are there unreadable."""
    found = find(studio, wanted.model)
    if found is None:
        body = {"title": wanted.title[:50], "description": MARK.format(wanted.model), **wanted.settings()}
        made = studio.call("POST", "/api/projects/", json=body)
        return int(made["id"]), [f"Project {made['id']}, {wanted.title!r}, is made."]
    project = int(found["id"])
    changed = {name: value for name, value in wanted.settings().items() if _differs(found.get(name), value)}
    if not changed:
        return project, []
    try:
        studio.call("PATCH", f"/api/projects/{project}/", json=changed)
    except InputError as error:
        raise InputError(
            f"{error.what} The project's template is another than the spec's, and labels were made with it.",
            where=f"Label Studio, project {project}",
            remedy="Set the template back by hand, or delete the project: the next import makes it anew.",
        ) from None
    return project, [f"Project {project} was changed by hand or by a new spec ({', '.join(changed)}): it is as the spec has it again."]


def fill(studio: LabelStudio, project: int, wanted: Sequence[Mapping[str, Any]], version: str) -> tuple[int, int]:
    """Import those of the ``wanted`` tasks that are not there, and take away what an import that was killed has left twice. Returns how
    many are new, and how many were taken away. ``version``: whose answers people are shown; "" for nobody's."""
    new, _ = missing(wanted, studio.tasks(project))
    studio.add(project, new)
    _, twice = missing(wanted, studio.tasks(project)) if new else ([], _)
    for one in twice:
        studio.call("DELETE", f"/api/tasks/{one}/")
    if version:
        studio.call("PATCH", f"/api/projects/{project}/", json={"model_version": version})
    return len(new), len(twice)


def _differs(there: Any, wanted: Any) -> bool:
    """Whether a setting is another; templates, whatever blanks stand between their tags."""
    if isinstance(wanted, str):
        return re.sub(r">\s+<", "><", str(there or "")).strip() != re.sub(r">\s+<", "><", wanted).strip()
    return bool(there != wanted)
