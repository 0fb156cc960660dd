"""What Label Studio's export says: who gave which row what label, and when; and what each row's label comes to. Pure."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.errors import InputError
from include.labels.tasks import META
from include.labels.template import KEY, NAME, Control
from include.spec.label import Label

RESERVED = "updraft_"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """One person's label of one row: their latest."""

    who: str
    at: datetime
    label: Any


@dataclass(frozen=True)
class Labelled:
    """A row that people have labelled. ``label`` is None where they disagree and no label has more people than any other."""

    key: str
    task: int
    row: Mapping[str, Any]
    given: tuple[Given, ...]
    label: Any
    arm: str
    answer: Any
    request: str

    @property
    def who(self) -> list[str]:
        """Those whose label it is; of a row without one, all who tried."""
        return sorted({one.who for one in self.given if self.label is None or one.label == self.label})

    @property
    def at(self) -> datetime:
        """When it was last labelled."""
        return max(one.at for one in self.given)


@dataclass
class Read:
    """An export as it was understood. ``faults`` are sentences about annotations that are left out."""

    rows: list[Labelled] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    foreign: int = 0
    """Tasks that the platform has not imported: somebody has added them by hand."""
    skipped: int = 0
    """Annotations by which people said that they can't tell."""


def read(export: Iterable[Json], label: Label, control: Control, *, model: str, project: int, people: Mapping[int, str]) -> Read:
    """Read an export of a model's ``project``. ``people``: names of Label Studio's users by their ids.

    Raises InputError, and takes nothing of it, for an export of another project or of another model's tasks.
    """
    found, by_text = Read(), {str(one): one for one in label.classes}
    for task in export:
        _insist_ours(task, model, project)
        data, meta = dict(task.get("data") or {}), (task.get("meta") or {}).get(META)
        if not isinstance(meta, Mapping) or not data.get(KEY):
            found.foreign += 1
            continue
        given = _given(task, by_text, control, people, found)
        if not given:
            continue
        row = {name: value for name, value in data.items() if not name.startswith(RESERVED) and name not in _template_fields(label)}
        shown = _agreed([one.label for one in given])
        found.rows.append(
            Labelled(
                str(data[KEY]),
                int(task["id"]),
                row,
                given,
                shown,
                str(meta.get("arm") or ""),
                meta.get("answer"),
                str(meta.get("request") or ""),
            )
        )
    found.rows.sort(key=lambda one: one.key)
    return found


def _template_fields(label: Label) -> tuple[str, ...]:
    """What the template adds to a row under a name that is no column's."""
    return ("text",) if label.show == "text" and label.config is None and label.text != "text" else ()


def _insist_ours(task: Json, model: str, project: int) -> None:
    where = f"Label Studio's export, task {task.get('id')}"
    if task.get("project") not in (None, project):
        raise InputError(f"is of project {task.get('project')}, and not of project {project}.", where=where, remedy="Export that one.")
    meta = (task.get("meta") or {}).get(META)
    theirs = meta.get("model") if isinstance(meta, Mapping) else None
    if theirs is not None and theirs != model:
        remedy = "Delete the tasks that were moved here from that model's project."
        raise InputError(f"is a task of the model {theirs!r:.60}, and not of {model!r}.", where=where, remedy=remedy)


def _given(task: Json, by_text: Mapping[str, Any], control: Control, people: Mapping[int, str], found: Read) -> tuple[Given, ...]:
    """The latest label of each person."""
    latest: dict[str, tuple[datetime, int, Given | None]] = {}
    for annotation in task.get("annotations") or ():
        by = annotation.get("completed_by")
        number = by.get("id") if isinstance(by, Mapping) else by
        who = people.get(number, f"user {number}") if isinstance(number, int) else "unknown"
        at = datetime.fromisoformat(str(annotation.get("updated_at") or annotation["created_at"]).replace("Z", "+00:00"))
        place = (at, int(annotation["id"]))
        if who in latest and latest[who][:2] >= place:
            continue
        if annotation.get("was_cancelled"):
            latest[who] = (*place, None)
            continue
        try:
            label = _label(annotation.get("result") or (), by_text, control)
        except ValueError as error:
            found.faults.append(f"Task {task['id']}, annotation {annotation['id']} by {who}: {error}.")
            continue
        latest[who] = (*place, None if label is None else Given(who, at, label))
    found.skipped += sum(one[2] is None for one in latest.values())
    return tuple(one[2] for _, one in sorted(latest.items()) if one[2] is not None)


def _label(result: Sequence[Json], by_text: Mapping[str, Any], control: Control) -> Any:
    """The label in an annotation's result; None for an empty one. Raises ValueError with what is wrong."""
    mine = [part for part in result if part.get("from_name") == NAME]
    if result and not mine:
        raise ValueError(f"was made with the control {str(result[0].get('from_name'))[:60]!r}, and the target's is {NAME!r}")
    if len(mine) > 1:
        raise ValueError("labels one row more than once")
    label = control.read(mine[0]) if mine else None
    if label is None or not by_text:
        return label
    if str(label) not in by_text:
        raise ValueError(f"{str(label)[:60]!r} is none of the classes {', '.join(by_text)[:200]}")
    return by_text[str(label)]


def _agreed(labels: Sequence[Any]) -> Any:
    """The label that most have given; None where two have as many."""
    counts = Counter(json.dumps(label) for label in labels).most_common(2)
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        return None
    return json.loads(counts[0][0])


def by_person(rows: Iterable[Labelled]) -> dict[str, int]:
    """Return how many rows each person has labelled."""
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        for one in row.given:
            counts[one.who] += 1
    return dict(sorted(counts.items()))
