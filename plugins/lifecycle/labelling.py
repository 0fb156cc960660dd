"""How tasks and triggers reach Label Studio, and what of a spec it is told."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowNotFoundException

from include.errors import InputError
from include.labels import kept, template
from include.labels.client import CONNECTION, LabelStudio
from include.labels.project import Wanted
from include.spec.schema import Task
from lifecycle.run import Run, own_connection

if TYPE_CHECKING:
    from include.labels.template import Control
    from include.spec.label import Label


def label_studio() -> LabelStudio:
    """Return the Label Studio that the connection ``updraft_labels`` names: its host, and as password the token of one of its users."""
    try:
        connection = own_connection(CONNECTION)
    except AirflowNotFoundException:
        remedy = "Start Label Studio with `make up LABELS=1`, or make the connection: its host, and a user's token as its password."
        raise InputError("is not there.", where=f"connection {CONNECTION}", remedy=remedy) from None
    host = str(connection.host)
    return LabelStudio(host if "://" in host else f"http://{host}", connection.password or "")


@dataclass(frozen=True)
class Job:
    """One model's labelling, as its spec has it. ``control``: the control of the template that is the target's."""

    run: Run
    label: Label
    config: str
    control: Control

    @classmethod
    def of(cls, run: Run) -> Job:
        """Make it from a run's spec. Raises InputError for a configuration of the user's own that is none."""
        label, numbers = run.spec.label, run.spec.task is Task.REGRESSION
        if label is None:
            raise InputError("is not there.", where="model.yaml: label", remedy="Say what people shall label.")
        if label.config is None:
            config, where = template.template(label, numbers), "label"
        else:
            path = run.folder / label.config
            config, where = path.read_text(), str(path)
        return cls(run, label, config, template.control(config, where, label.classes))

    @property
    def numbers(self) -> bool:
        """Whether labels are numbers."""
        return bool(self.run.spec.task is Task.REGRESSION)

    @property
    def wanted(self) -> Wanted:
        """The project as the spec has it."""
        return Wanted(self.run.model, f"Updraft: {self.run.model}", self.config, self.label.annotators)

    @property
    def folder(self) -> Path:
        """Where the model's labels lie."""
        return self.run.settings.labels / self.run.model

    @property
    def rows(self) -> Path:
        """What is kept of all labels."""
        return self.folder / kept.FILE

    @property
    def gain(self) -> Path:
        """What choosing has saved, as of the last round."""
        return self.folder / "gain.json"

    def file(self, name: str) -> Path:
        """Return a file of this run's round."""
        digest = hashlib.sha256(self.run.key.encode()).hexdigest()[:16]
        return self.folder / kept.ROUNDS / digest / name


def key_of(task: dict[str, Any]) -> str:
    """Return the key of a task as Label Studio has it; empty for one that somebody has added by hand."""
    return str((task.get("data") or {}).get(template.KEY) or "")
