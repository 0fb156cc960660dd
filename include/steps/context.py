"""What a step is given and what it gives back: plain JSON files in the step's own folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from include.spec.schema import Spec

S = TypeVar("S", bound="Spec")


@dataclass(frozen=True)
class StepRequest:
    """``step`` is the kind of model and the name of its step: ``table.train``. ``folder`` is the model's, ``spec`` what the run is bound
    to: its model.yaml as it was when the run began, with the run's params put in. ``params`` are the run's validated parameters;
    ``run_key`` is unique to the DAG run. ``inputs`` are paths or URIs by name; ``sources`` further files and folders whose content the
    result depends on.

    ``workers``: processes that do the step together, spread evenly over ``nodes``, started by ``launcher``; ``gpus``: of each, where the
    launcher hands them out. ``reads``: absolute paths that the step may read beside its inputs and the model's folder; ``keeps``: folders
    that it writes and that outlive the run; ``network``: ``host:port`` of what it may reach beside MLflow. ``trial``:
    what a step of a search is to do; empty for others.
    """

    step: str
    run_key: str
    folder: str
    spec: dict[str, Any]
    params: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    workers: int = 1
    nodes: int = 1
    launcher: str = "torchrun"
    gpus: float = 0
    reads: list[str] = field(default_factory=list)
    keeps: list[str] = field(default_factory=list)
    network: list[str] = field(default_factory=list)
    trial: dict[str, Any] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Whether the step is done by workers that a launcher starts."""
        return self.workers > 1 or self.launcher != "torchrun"

    def save(self, folder: Path) -> None:
        (folder / "request.json").write_text(json.dumps(asdict(self), indent=1, sort_keys=True))

    @classmethod
    def read(cls, folder: Path) -> StepRequest:
        return cls(**json.loads((folder / "request.json").read_text()))


@dataclass(frozen=True)
class StepContext:
    """A step body is ``run(ctx: StepContext) -> dict``: it writes files under ``out`` and returns a small JSON-able result.

    ``folder`` is the model's folder; what the body prints is the task's log. MLflow's address and credentials are in the environment.
    Of several workers each calls it, with its ``rank``; the result is that of rank 0, and so are MLflow's entries.
    """

    request: StepRequest
    out: Path
    rank: int = 0

    @property
    def folder(self) -> Path:
        return Path(self.request.folder)

    def spec(self, form: type[S]) -> S:
        """Return the run's spec, which is of this form."""
        return form.model_validate_json(json.dumps(self.request.spec), strict=True)

    @property
    def params(self) -> dict[str, Any]:
        return self.request.params

    def input(self, name: str) -> Path:
        return Path(self.request.inputs[name])
