"""What the pages read, as the API gives it: models in a line, a model's production, a trial, versions, how to call."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from include.canary.orders import Order
from include.release.standing import Word
from lifecycle.api import evidence as of
from lifecycle.api.datamodels import SplitRow
from lifecycle.api.fields import Body, Count, Line, Model, Outcome, RunKey, Text, Version
from lifecycle.api.looks import PlanBody


class RevisionSummary(Body):
    version: Version
    state: Line
    target: Line
    backend: Line
    message: Text
    updated_at: datetime


class VerdictSummary(Body):
    kind: Line
    version: Version | None
    decision: Outcome
    at: datetime
    reasons: list[Text]


class GpuWait(Body):
    """When a GPU is expected (seconds since the epoch); null: nobody knows."""

    starts_at: float | None


class TaskSummary(Body):
    """``gpu`` of one that waits for the GPU pool."""

    task_id: Line
    state: Line
    why: Line
    gpu: GpuWait | None
    try_number: Count
    since: datetime | None


class RunSummary(Body):
    dag_id: Line
    run_id: Line
    run_key: Line
    state: Line
    began: Text
    start_date: datetime | None
    end_date: datetime | None
    queued_at: datetime | None
    verdicts: list[VerdictSummary]
    report: Line | None
    tasks: list[TaskSummary]


class ActSummary(Body):
    act: Line
    state: Line
    name: Line
    summary: Text
    reason: Text
    run_key: Line
    at: datetime


class HoldSummary(Body):
    who: Line
    why: Text
    at: datetime


class ModelSummary(Body):
    """``acts``: the latest that alerts and verdicts have asked for; ``hold``: who stops them, null for nobody."""

    model: Model
    task: Line
    description: Text
    aliases: dict[Line, Version]
    split: SplitRow | None
    revisions: list[RevisionSummary]
    runs: list[RunSummary]
    acts: list[ActSummary]
    hold: HoldSummary | None


class SummaryRow(Body):
    """Every model's production at a glance; ``registry_problem`` is empty when MLflow answers."""

    models: list[ModelSummary]
    registry_problem: Text


class LiveRow(Body):
    """The last minute's requests: ``error_rate`` and ``p50_ms`` (milliseconds) are null where no request was there to tell them."""

    per_minute: float
    error_rate: float | None
    p50_ms: float | None


class DriftRow(Body):
    """The latest look at a model's production."""

    decision: Outcome
    at: datetime


class LastRun(Body):
    """``kind`` and ``decision`` are those of its latest verdict."""

    dag_id: Line
    run_id: Line
    state: Line
    at: datetime | None
    kind: Line | None
    decision: Outcome | None


class ModelLine(Body):
    """A model in a line. ``word`` says what it stands at, ``facts`` what the sentence for it names, ``needs`` why it needs a person.

    ``live`` is null where the gateway's log can't be read; ``split`` also where nothing serves. ``elsewhere``: it serves, and not behind
    this machine's gateway, so that neither is known.
    """

    model: Model
    description: Text
    task: Line
    word: Annotated[Word, Field(strict=False)]
    facts: dict[Line, int | str | None]
    tone: Literal["good", "bad", "warn", "open"]
    needs: list[Line]
    aliases: dict[Line, Version]
    split: SplitRow | None
    elsewhere: bool
    live: LiveRow | None
    drift: DriftRow | None
    run: LastRun | None


class OverviewRow(Body):
    """All models. ``unknown`` names what could not be read: ``registry``, ``split`` (the gateway's files), ``live`` (its log)."""

    models: list[ModelLine]
    unknown: list[Literal["registry", "split", "live"]]
    registry_problem: Text


class OrderBody(Body):
    """What a trial under way shall do, and why. ``pause``: the new version gets no requests and the clock stands still until ``resume``;
    ``promote``: it becomes champion at once; ``end``: it is taken back at once."""

    run_key: RunKey
    order: Annotated[Order, Field(strict=False)]
    why: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]


class OrderRow(OrderBody):
    who: Line
    at: datetime


class TrialRow(Body):
    """A canary as its looks show it now: ``waiting`` says why it goes on. ``passed_s`` of its ``longest_s`` seconds had passed at the
    latest look, ``age_s`` seconds ago; ``orders`` are what people had it do, ``paused`` says whether it stands still.

    ``per_s``: requests a second that the canary has had in the latest looks; null where that is not known."""

    run_key: RunKey
    plan: PlanBody
    mirrored: bool
    series: list[dict[Line, float | None]]
    decision: Outcome
    reasons: list[Text]
    rules: list[of.RuleBody]
    waiting: list[Text]
    passed_s: float
    age_s: float
    longest_s: float
    per_s: float | None
    requests: Count
    paused: bool
    orders: list[OrderRow]


class ReignRow(Body):
    """A version was champion; ``until`` is null while it is."""

    version: Version
    since: datetime
    until: datetime | None


class MoveRow(Body):
    """What moved a version: ``way`` is up, down or note."""

    at: datetime
    way: Literal["up", "down", "note"]
    kind: Line
    decision: Outcome
    why: Text
    run_key: Line


class VersionRow(Body):
    """A version with its score (of ``metric``, with its interval), its times as champion, and what moved it, the latest ``why`` apart.
    ``warm``: its server runs, so that a return to it takes seconds."""

    version: Version
    role: Line
    metric: Line
    score: float | None
    low: float | None
    high: float | None
    reigns: list[ReignRow]
    moved: list[MoveRow]
    why: Text
    warm: bool
    state: Line
    run_key: Line
    report: Line


class VersionsRow(Body):
    """``mlflow`` is the model's page there, empty where none is configured."""

    model: Model
    registry_problem: Text
    mlflow: Line
    versions: list[VersionRow]


class ScorePair(Body):
    """Each a figure with its lower and upper bound; null for a version that has none."""

    name: Text
    a: list[float | None] | None
    b: list[float | None] | None


class ValuePair(Body):
    name: Text
    a: Text | None
    b: Text | None


class DataPair(Body):
    rows: list[Count | None]
    columns: list[Count | None]
    md5: list[Line] | None


class ComparisonRow(Body):
    """Two versions side by side. ``params`` and ``md5`` are null while MLflow does not answer, ``code`` also where it was not kept;
    ``spec`` and ``code`` are unified differences, line by line."""

    model: Model
    registry_problem: Text
    a: Version
    b: Version
    metric: Line
    scores: list[ScorePair]
    slices: list[ScorePair]
    params: list[ValuePair] | None
    data: DataPair
    spec: list[Text]
    code: list[Text] | None


class CallRow(Body):
    """How a model is called: ``url`` of the gateway, the ``protocol``, and a ``body`` that works, with this model's own inputs (null: not
    known, and ``why``). ``tensors`` are the same inputs as KServe's, for tritonclient; empty for a language model."""

    model: Model
    url: Line
    path: Line
    protocol: Line
    body: dict[str, Any] | None
    tensors: list[dict[str, Any]]
    why: Text


class DecidingRow(of.RuleBody):
    """The rule that a run was stopped by, with the kind of its verdict."""

    kind: Line


class ScoresRow(Body):
    """Figure, lower and upper bound of the gate's metric, of this version and of the champion that it was held against."""

    metric: Line
    mine: list[float | None]
    champion: list[float | None] | None


class CurvesRow(Body):
    plan: PlanBody
    series: list[dict[Line, float | None]]


class OutcomeRow(Body):
    """What became of a run. ``before`` is the version that it was held against; ``report`` the MLflow run that holds its report; ``rule``
    stopped it, null where nothing did; ``markdown`` says all of it to paste."""

    run_key: RunKey
    model: Model
    state: Line
    version: Version | None
    before: Version | None
    began: Text
    label: Line
    tone: Literal["good", "bad", "warn", "open"]
    sentence: Text
    reasons: list[Text]
    rule: DecidingRow | None
    scores: ScoresRow | None
    trial: CurvesRow | None
    report: Line
    mlflow: Line
    registry_problem: Text
    has_docs: bool
    markdown: str
