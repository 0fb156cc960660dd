"""Everything a report says, as plain values: what :mod:`include.report.collect` gathers and :mod:`include.report.render` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from include.gates.evaluation import Evaluation
from include.gates.judgement import Judgement
from include.verdict import Verdict


@dataclass(frozen=True)
class TaskTime:
    """One task of the run. Times are ISO 8601 with a zone; None for what has not happened."""

    task_id: str
    state: str | None
    scheduled: str | None = None
    queued: str | None = None
    started: str | None = None
    ended: str | None = None
    tries: int = 0

    def seconds(self) -> float | None:
        """From start to end, None for a task that has not ended or never ran."""
        if self.started is None or self.ended is None or not self.tries:
            return None
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.started)).total_seconds()


@dataclass(frozen=True)
class Outcome:
    """How the run ended. ``label`` is two or three words in capitals; ``tone`` good, bad, warn or open; ``sentence`` is for everybody."""

    label: str
    tone: str
    sentence: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialCurves:
    """A canary's course: the plan it was judged by (:class:`include.canary.plan.TrialPlan` as JSON) and one point a look."""

    plan: Mapping[str, Any]
    series: tuple[Mapping[str, Any], ...]
    mirrored: bool = False


@dataclass(frozen=True)
class ReportData:
    """One run. Whatever the run did not live to do is None or empty, and the page leaves it out. ``began`` says why it began.

    ``spec`` is what the run was bound to, as JSON. ``verdicts`` by kind (data, gate, verify, deploy, canary, ...); ``versions`` name the
    software that made the run and the page.
    """

    run_key: str
    model: str
    task: str
    description: str
    result: Outcome
    version: int | None = None
    mlflow_run_id: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    judgement: Judgement | None = None
    optimization: Mapping[str, Any] | None = None
    search: Mapping[str, Any] | None = None
    trial: TrialCurves | None = None
    began: str = ""
    tasks: tuple[TaskTime, ...] = ()
    gpus: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        return self.result.label

    @property
    def reasons(self) -> tuple[str, ...]:
        return self.result.reasons

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        parts = {name: getattr(self, name) for name in _PLAIN}
        return parts | {
            "result": asdict(self.result) | {"reasons": list(self.result.reasons)},
            "verdicts": {kind: verdict.to_json() for kind, verdict in self.verdicts.items()},
            "search": self.search,
            "evaluation": self.evaluation.to_json() if self.evaluation else None,
            "judgement": self.judgement.to_json() if self.judgement else None,
            "trial": asdict(self.trial) | {"series": [dict(point) for point in self.trial.series]} if self.trial else None,
            "tasks": [asdict(task) for task in self.tasks],
            "gpus": [dict(row) for row in self.gpus],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReportData:
        result, trial = data["result"], data.get("trial")
        return cls(
            **{name: data[name] for name in _PLAIN},
            result=Outcome(result["label"], result["tone"], result["sentence"], tuple(result["reasons"])),
            verdicts={kind: Verdict.from_json(verdict) for kind, verdict in data["verdicts"].items()},
            search=data.get("search"),
            evaluation=Evaluation.from_json(data["evaluation"]) if data.get("evaluation") else None,
            judgement=Judgement.from_json(data["judgement"]) if data.get("judgement") else None,
            trial=TrialCurves(trial["plan"], tuple(trial["series"]), trial["mirrored"]) if trial else None,
            tasks=tuple(TaskTime(**task) for task in data["tasks"]),
            gpus=tuple(data["gpus"]),
        )


_PLAIN = (
    *("run_key", "model", "task", "description", "version", "mlflow_run_id", "params", "metrics", "curves", "spec", "tags", "optimization"),
    *("versions", "began"),
)
