"""What each kind of verdict rests on, as the API takes and gives it. ``include.evidence.recompute`` decides again from exactly this.

Fields with a default of None that no caller leaves out today are absent in what earlier versions have kept.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lifecycle.api.fields import Body, Count, Line, Number, Seconds, Share, Text, Version
from lifecycle.api.looks import AskedBody, ComparedBody, PlanBody

Names = Annotated[list[Line], Field(max_length=1000)]
Sentences = Annotated[list[Text], Field(max_length=1000, default_factory=list)]


class RuleBody(Body):
    """One rule: its figure beside its bar. ``passed`` is null when it could not be decided."""

    name: Text
    passed: bool | None
    figure: Text
    bar: Text
    detail: Text = ""


class FindingBody(RuleBody):
    """A rule about the data, and whether the table fails with it."""

    must_hold: bool


class ColumnBody(Body):
    type: Line
    missing: Count
    distinct: Count
    min: Number | None = None
    mean: Number | None = None
    max: Number | None = None


class ValueBody(Body):
    """How many rows have this value."""

    value: Text | bool | int | Number | None
    rows: Count


class RangeBody(Body):
    """How many rows lie in this range."""

    from_: Annotated[Number, Field(alias="from")]
    to: Number
    rows: Count


class TargetBody(Body):
    name: Text
    distribution: Annotated[list[ValueBody | RangeBody], Field(max_length=1000)]


class ProfileBody(Body):
    """A small portrait of the table."""

    rows: Count
    missing: Count
    duplicates: Count
    column_count: Count
    columns: Annotated[dict[Text, ColumnBody], Field(max_length=1000)]
    target: TargetBody | None = None


class DataEvidence(Body):
    profile: ProfileBody
    expectations: Count
    failed: Count
    findings: Annotated[list[FindingBody], Field(max_length=5000)] | None = None
    notes: Sentences


class ScoreBody(Body):
    value: Number | None
    low: Number | None = None
    high: Number | None = None
    method: Line = ""


class ComparisonBody(Body):
    metric: Line
    rows: Count
    difference: Number | None
    low: Number | None
    high: Number | None
    p_worse: Number | None
    margin: Number
    method: Line


class SliceBody(Body):
    column: Text
    value: Text
    rows: Count
    score: ScoreBody
    champion: ScoreBody | None = None
    comparison: ComparisonBody | None = None


class DisagreementBody(Body):
    """Held-out rows that the two versions answer differently; numbers, by more than the tolerance."""

    rows: Count
    differ: Count
    tolerance: Number | None = None


class ChampionBody(Body):
    version: Line
    scores: Annotated[dict[Line, ScoreBody], Field(max_length=1000)]
    comparison: ComparisonBody | None = None
    not_comparable: Text = ""
    disagreement: DisagreementBody | None = None


class NoCharts(Body):
    """Charts are for the report: they lie with the run's artifacts."""


class EvaluationBody(Body):
    task: Line
    metric: Line
    rows: Count
    train_rows: Count
    confidence: Share
    scores: Annotated[dict[Line, ScoreBody], Field(max_length=1000)]
    slices: Annotated[list[SliceBody], Field(max_length=5000, default_factory=list)]
    champion: ChampionBody | None = None
    charts: NoCharts = NoCharts()
    metric_note: Text = ""
    api_changes: Sentences


class BarBody(Body):
    metric: Line
    min: Number | None = None
    max: Number | None = None


class GateRules(Body):
    metric: Line | None
    min_score: Number
    bars: Annotated[list[BarBody], Field(max_length=1000)]
    max_regression: Number
    confidence: Share
    slices: Annotated[list[Text], Field(max_length=1000)]
    allow_api_change: bool = False
    min_slice_rows: Count
    approval: bool
    approval_timeout_hours: Number


class AgreementBody(Body):
    scale: Names
    counts: Annotated[list[Annotated[list[Count], Field(max_length=100)]], Field(max_length=100)]
    kappa: ScoreBody


class NoExamples(Body):
    """Examples are for the report: they lie with the run's artifacts."""


class JudgementBody(Body):
    """What became of a model that judges."""

    judge: Line
    agreement: AgreementBody
    min_kappa: Number
    margin: Number
    doubt: Text
    prompts: Count
    unmarked: Count
    score: ScoreBody
    champion: Line | None = None
    champion_score: ScoreBody | None = None
    comparison: ComparisonBody | None = None
    not_comparable: Text = ""
    tasks: Annotated[list[NoExamples], Field(max_length=0, default_factory=list)]
    disagreements: NoExamples = NoExamples()
    worse: NoExamples = NoExamples()
    marks: Annotated[list[Count], Field(max_length=0, default_factory=list)]


class GateEvidence(Body):
    evaluation: EvaluationBody
    rules: GateRules
    judgement: JudgementBody | None = None


class BarsBody(Body):
    max_score_drop: Number
    min_speedup: Number


class SpeedBody(Body):
    p50_us: Annotated[dict[Line, Number], Field(max_length=100)]
    speedup: Number
    low: Number
    high: Number


class ToleranceBody(Body):
    absolute: Number
    relative: Number


class CandidateBody(Body):
    name: Line
    file: Text | None
    tolerance: ToleranceBody
    reason: Text
    lossy: bool
    plan: Text


class TableFormBody(Body):
    """A form of a table's model with what was measured of it."""

    candidate: CandidateBody
    mismatches: Annotated[list[Text], Field(max_length=1000)]
    score: ComparisonBody | None
    size_bytes: Count | None
    speed: SpeedBody | None
    on: Line


class ChatFormBody(Body):
    """A form of a language model with what was measured of it."""

    name: Line
    size_bytes: Count
    score: ComparisonBody
    same: Share
    speed: SpeedBody
    memory_bytes: Count


class VerifyEvidence(Body):
    """``portable`` of a table's model, ``backend`` of a language model."""

    chosen: Line
    portable: Line | None = None
    backend: Line | None = None
    bars: BarsBody | None = None
    forms: Annotated[list[TableFormBody | ChatFormBody], Field(max_length=100)] | None = None


class WrongBody(Body):
    number: Count
    given: Text
    wanted: Text


class DeployEvidence(Body):
    """``rows`` of a table's model, ``prompts`` of a language model, ``protocol`` alone of a server that speaks its own."""

    rows: Count | None = None
    seconds: Seconds | None = None
    protocol: Line | None = None
    tolerance: ToleranceBody | None = None
    mismatches: Annotated[list[Text], Field(max_length=1000)] | None = None
    prompts: Count | None = None
    ties: Count | None = None
    wrong: Annotated[list[WrongBody], Field(max_length=1000)] | None = None
    problem: Text | None = None


class QuantilesBody(Body):
    p50: Number | None
    p95: Number | None
    p99: Number | None


class AtRateBody(Body):
    rate: Number
    requests: Count
    failed: Count
    answered_per_s: Number
    tokens_per_s: Number
    ttft_ms: QuantilesBody
    tpot_ms: QuantilesBody
    total_ms: QuantilesBody
    problems: Annotated[list[Text], Field(max_length=100)]
    missed: Annotated[list[Text], Field(max_length=100)]


class LoadFiguresBody(Body):
    version: Version
    rates: Annotated[list[AtRateBody], Field(min_length=1, max_length=1000)]
    slo: Annotated[dict[Line, Number | None], Field(max_length=100)]
    prompts: Count
    max_tokens: Count
    seconds: Seconds
    best_rate: Number | None


class LoadTestEvidence(Body):
    load_test: LoadFiguresBody
    champion: LoadFiguresBody | None
    min_rate: Number | None = None


class ByHand(Body):
    """Who ended the trial before the judge did; ``promoted``: by having the version promoted."""

    who: Line
    why: Text
    promoted: bool = False


class CanaryEvidence(Body):
    """Of a trial (with its looks, which are kept by themselves), of a first version that had none, or of a trial that a person ended."""

    plan: PlanBody | None = None
    looks: Count | None = None
    series: Annotated[list[Annotated[dict[Line, Number | None], Field(max_length=200)]], Field(max_length=20_000)] | None = None
    alarms: Annotated[dict[Line, Text], Field(max_length=100)] | None = None
    asked: AskedBody | None = None
    compared: ComparedBody | None = None
    champion: Version | None = None
    version: Version | None = None
    by_hand: ByHand | None = None


class StoppedEvidence(Body):
    """The task that a run stopped at, and its error: what was wrong, where, and what helps."""

    task: Line
    what: Text
    where: Text
    remedy: Text


class ArmBody(Body):
    """Rows that were chosen in one way: how many, and of those that the model had answered, how many people contradict it on."""

    arm: Line
    rows: Count
    judged: Count
    wrong: Count


class LabelsEvidence(Body):
    """What people have labelled, in numbers: nobody is named. ``alpha``: Krippendorff's, null where it is not known."""

    rows: Count
    labelled: Count
    annotations: Count
    people: Count
    pairs: Count
    alpha: Number | None
    min_agreement: Number
    min_pairs: Count
    unreadable: Count
    faults: Sentences
    foreign: Count
    skipped: Count
    arms: Annotated[list[ArmBody], Field(max_length=100)]


class ReturnEvidence(Body):
    """A person took production back: from the champion to the version."""

    champion: Version | None = None
    version: Version | None = None
    who: Line | None = None
    why: Text | None = None
