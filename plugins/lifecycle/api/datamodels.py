"""The bodies of the plugin's REST API. What they don't know they refuse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field

from include.serving.revision import RevisionState
from lifecycle.api import evidence as of
from lifecycle.api import evidence_of_production as production
from lifecycle.api.fields import Body, Count, Line, Model, Outcome, RunKey, Text, Version
from lifecycle.api.looks import LookContent

E = TypeVar("E", bound=Body)
K = TypeVar("K", bound=str)
Short = Annotated[str, Field(max_length=16, pattern=r"^[a-z0-9_-]*$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RevisionBody(Body):
    """A deployed model version and its state."""

    model: Model
    version: Version
    state: Annotated[RevisionState, Field(strict=False)]
    target: Short = "process"
    backend: Short = "triton"
    endpoint: Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    message: Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")] = ""


class RevisionRow(RevisionBody):
    updated_at: datetime


class Finding(Body, Generic[E]):
    """A decision, its reasons, its rules, its evidence: ``include.verdict.Verdict`` as JSON."""

    decision: Outcome
    reasons: Annotated[list[Text], Field(max_length=5000)]
    rules: Annotated[list[of.RuleBody], Field(max_length=5000)]
    evidence: E


class Kept(Body, Generic[K, E]):
    """A verdict of one run. ``decision`` is that of its body."""

    run_key: RunKey
    kind: K
    model: Model
    version: Version | None = None
    decision: Outcome
    body: Finding[E]


AnyVerdict = (
    Kept[Literal["data"], of.DataEvidence]
    | Kept[Literal["gate"], of.GateEvidence]
    | Kept[Literal["verify"], of.VerifyEvidence]
    | Kept[Literal["load_test"], of.LoadTestEvidence]
    | Kept[Literal["deploy"], of.DeployEvidence]
    | Kept[Literal["canary"], of.CanaryEvidence]
    | Kept[Literal["return"], of.ReturnEvidence]
    | Kept[Literal["watch"], production.WatchEvidence]
    | Kept[Literal["drift"], production.DriftEvidence]
    | Kept[Literal["labels"], of.LabelsEvidence]
    | Kept[Literal["stopped"], of.StoppedEvidence]
)
"""Told apart by ``kind``."""
AnyFinding = (
    Finding[of.DataEvidence]
    | Finding[of.GateEvidence]
    | Finding[of.VerifyEvidence]
    | Finding[of.LoadTestEvidence]
    | Finding[of.DeployEvidence]
    | Finding[of.CanaryEvidence]
    | Finding[of.ReturnEvidence]
    | Finding[production.WatchEvidence]
    | Finding[production.DriftEvidence]
    | Finding[of.LabelsEvidence]
    | Finding[of.StoppedEvidence]
)
Kind = Literal["data", "gate", "verify", "load_test", "deploy", "canary", "return", "watch", "drift", "labels", "stopped"]


class Sealed(Body):
    """An entry's place in the chain over all that is kept."""

    entry: Count
    author: Line
    at: datetime
    hash: Hash


class VerdictRow(Sealed):
    run_key: RunKey
    kind: Kind
    model: Model
    version: Version | None
    decision: Outcome
    body: AnyFinding


class SpecBody(Body):
    run_key: RunKey
    model: Model
    spec: dict[str, Any]


class SpecRow(SpecBody):
    at: datetime


class LookBody(Body):
    """One look of a canary's judge; ``number`` counts from 0 in its run."""

    run_key: RunKey
    number: Annotated[int, Field(ge=0, le=10_000_000)]
    body: LookContent


class LookRow(Sealed):
    run_key: RunKey
    number: Count
    body: LookContent


class VerdictContent(Body):
    run_key: RunKey
    kind: Kind
    model: Model
    version: Version | None
    decision: Outcome
    body: AnyFinding


class LookEntry(Body):
    run_key: RunKey
    number: Count
    body: LookContent


class SplitRow(Body):
    """Percent of the traffic by version; ``mirror`` gets copies."""

    weights: dict[Line, Count]
    mirror: Line | None


class ReplicasRow(Body):
    """How many servers a model shall have, ``before`` and ``after`` a change."""

    before: Count
    after: Count


class ActAbout(Body):
    """What a change was about, beside its model and version: a split's shares ``before`` and ``after``; ``fallback``: who stands in;
    ``replicas``: how many servers; ``server``: which one of several.

    Of a change of something else than a model: its ``kind`` and ``name``, what was changed as JSON (``detail``), a budget's ``month``, and
    the id by which the command line had ``noted`` it.
    """

    before: SplitRow | None = None
    after: SplitRow | None = None
    fallback: Line | None = None
    replicas: ReplicasRow | None = None
    server: Count | None = None
    kind: Line | None = None
    name: Line | None = None
    detail: Text | None = None
    month: Line | None = None
    noted: Line | None = None


class ActContent(Body):
    """A change of what serves (see ``/serving/v1``), or of a key, a budget, prices: those have no model."""

    model: Model | Literal[""]
    version: Version | None
    act: Line
    why: Text
    body: ActAbout


class EntryRow(Body):
    """What the hash covers: see ``include.evidence.chain``."""

    number: Count
    kind: Literal["verdict", "look", "act"]
    content: VerdictContent | LookEntry | ActContent
    author: Line
    at: Line
    previous: Hash
    hash: Hash


class HeadRow(Body):
    number: Count
    hash: Hash


class HistoryRow(Body):
    """Entries in order, and the end of the chain."""

    entries: list[EntryRow]
    head: HeadRow


class UsageLine(Body):
    """What one client asked of one model on one day (UTC)."""

    day: Line
    client: Line
    model: Line
    requests: Count
    prompt_tokens: Count
    completion_tokens: Count
    untold: Count
    seconds: float
    usd: float


class LimitRow(Body):
    requests: Count | None
    tokens: Count | None


class InstanceRow(Body):
    name: Line
    gpus: Line
    usd_per_hour: float


class UsageRow(Body):
    since: Line
    until: Line
    rows: list[UsageLine]
    limits: dict[Line, LimitRow]
    instance: InstanceRow
    instances: list[Line]
