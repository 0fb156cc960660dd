"""The bodies of /serving/v1. What they don't know they refuse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from include.reconcile.facts import ServingState, Step, Wanted
from lifecycle.api.datamodels import ActAbout
from lifecycle.api.fields import Body, Count, Line, Model, Text, Version

Why = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        pattern=r"^[^\x00]*[^\x00\s][^\x00]*$",
        description="Kept with the change, and shown to everybody.",
        examples=["It answers late since noon."],
    ),
]
State = Annotated[ServingState, Field(strict=False)]
Weights = Annotated[dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,9}$")], Annotated[int, Field(ge=0, le=100)]], Field(max_length=50)]


EXAMPLE_STEP: JsonDict = {
    "at": "2026-12-01T11:58:00Z",
    "requests": 240,
    "errors": 0,
    "refused": 2,
    "fallbacks": 0,
    "p50_ms": 4.1,
    "p95_ms": 9.7,
    "prompt_tokens": None,
    "completion_tokens": None,
}


class ChangeBody(Body):
    """Why something is changed; who does it is known by the token."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"why": "It answers late since noon."}]})
    why: Why


class DeployBody(Body):
    """A registered version that shall serve beside the others, without traffic until it is given a share."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 3, "why": "Tried beside the champion by hand."}]})
    version: Version
    why: Why


class SplitBody(Body):
    """Percent of the model's traffic by version, 100 in all. A version that is not named gets none. ``promote``: the one that gets all
    of it becomes the champion; else the champion stays who it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"weights": {"2": 75, "3": 25}, "why": "A quarter for the weekend."}]})
    weights: Weights
    promote: bool = False
    why: Why


class ScaleBody(Body):
    """How many servers the model shall have, within its spec's `serve.replicas`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"replicas": 2, "why": "The sale begins at noon."}]})
    replicas: Annotated[int, Field(ge=0, le=64)]
    why: Why


class RepairBody(Body):
    """What is to be tried again at once, though its pause is not over: a model's revisions, or all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "digits", "why": "The disk has room again."}]})
    model: Model | None = None
    why: Why


class ServingServer(Body):
    """One server of a revision that has several. ``up``: it answers callers."""

    number: Count
    state: State
    up: bool
    message: Text
    endpoint: Line


class ServingReplicas(Body):
    """How many servers a model shall have: ``wanted``, within ``least`` and ``most`` of its spec. ``who`` has said so, why and when; empty
    where nobody has: then it is ``least``."""

    wanted: Count
    least: Count
    most: Count
    who: Line
    why: Text
    at: datetime | None


class ServingRevision(Body):
    """A deployed version. ``wanted``: what shall be; ``state``: what was seen last, with ``message`` why; ``step``: what is being done.

    ``weight``: percent of the model's traffic; ``mirrored``: it gets copies of all of it. ``alias``: what the registry calls it.
    ``priority``: of its GPU, 1 to 10 (highest). ``ready`` of its ``replicas`` servers answer; ``servers``: each, where there may be
    several. ``tries`` to bring it up since it was last steady; no other before ``due``.
    """

    model: Model
    version: Version
    state: State
    wanted: Annotated[Wanted, Field(strict=False)]
    message: Text
    step: Annotated[Step, Field(strict=False)]
    standby: bool
    alias: Literal["champion", "challenger", "previous"] | None
    weight: Count
    mirrored: bool
    priority: Annotated[int, Field(ge=1, le=10)]
    target: Line
    backend: Line
    endpoint: Line
    ready: Count
    replicas: Count
    servers: list[ServingServer]
    tries: Count
    due: datetime | None
    updated_at: datetime


class ServingModel(Body):
    """A model and what serves it. ``live``: somebody answers its callers now. ``fallback``: who answers under its name while it can't."""

    model: Model
    state: State
    live: bool
    task: Line
    description: Text
    priority: Annotated[int, Field(ge=1, le=10)]
    aliases: dict[Line, Version]
    weights: dict[Line, Count]
    mirror: Line | None
    fallback: Line | None
    fallback_active: bool
    replicas: ServingReplicas
    revisions: list[ServingRevision]


class Reconciler(Body):
    """Who drives actual to desired now. ``alive`` false: states are as they were seen ``at`` last, and nothing is changed."""

    holder: Line
    alive: bool
    at: datetime | None


class ServingModels(Body):
    """Every model; ``registry_problem`` is empty when MLflow answers."""

    models: list[ServingModel]
    reconciler: Reconciler
    registry_problem: Text


class Accepted(Body):
    """A change that is written down, and is carried out within seconds. ``entry``: its number in the chain of what was done; null where
    all was so already, and nothing was written."""

    entry: Count | None
    model: Model
    version: Version | None
    act: Line
    why: Text
    who: Line
    at: datetime


class ActBody(Body):
    """A change with what it was about; ``hash`` seals it in the chain that ``python -m include.evidence verify-history`` checks."""

    entry: Count
    model: Model
    version: Version | None
    act: Line
    why: Text
    who: Line
    at: datetime
    body: ActAbout
    hash: Line


class RevisionHealth(Body):
    """``ready``: the server itself said so just now, in ``ms`` milliseconds. ``at_gateway``: the gateway sends it requests (null: not
    known)."""

    version: Version
    ready: bool
    ms: float
    state: State
    at_gateway: bool | None
    cause: Text


class Health(Body):
    """Whether a model answers now: ``ok`` when a revision with traffic is ready, or its fallback stands in."""

    model: Model
    ok: bool
    fallback_active: bool
    revisions: list[RevisionHealth]


class MetricsStep(Body):
    """What callers asked in one step that begins ``at``.

    ``errors``: not answered well by the revision that was chosen, at the first attempt, whatever the caller got in the end; ``refused``: at
    the caller's fault. ``fallbacks``: answered by another model in its place, and not among ``requests``. ``p50_ms``, ``p95_ms``: of what
    was answered well, from the request's arrival at the server to the answer's end, or of a language model to its first byte; within 1 %.
    Null where nothing tells it.
    """

    at: datetime
    requests: Count
    errors: Count
    refused: Count
    fallbacks: Count
    p50_ms: float | None
    p95_ms: float | None
    prompt_tokens: Count | None
    completion_tokens: Count | None


class RevisionMetrics(Body):
    """The steps of one version, as the traffic was shared; null: of requests that no version was chosen for."""

    version: Version | None
    steps: list[MetricsStep]


class Metrics(Body):
    """What a model was asked from ``since`` on and before ``until``, of all and by revision, in steps of ``step_s`` seconds (UTC).

    A step that is absent had no request, if it begins at or after ``known_since``; before, nothing is known. ``problem``: why nothing is
    known at all, or empty.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "digits",
                    "since": "2026-12-01T09:00:00Z",
                    "until": "2026-12-01T12:00:00Z",
                    "step_s": 120,
                    "known_since": "2026-12-01T09:00:00Z",
                    "problem": "",
                    "steps": [EXAMPLE_STEP],
                    "revisions": [{"version": 2, "steps": [EXAMPLE_STEP]}],
                }
            ]
        }
    )
    model: Model
    since: datetime
    until: datetime
    step_s: Annotated[int, Field(ge=1, le=31_622_400)]
    known_since: datetime | None
    problem: Text
    steps: list[MetricsStep]
    revisions: list[RevisionMetrics]


class Logs(Body):
    """The end of a server's log. ``cursor``: give it as ``after`` to get what comes next. ``where``: why there is none here, or empty."""

    lines: list[Text]
    cursor: Line
    where: Text


class PlanRow(Body):
    """One revision's desired against its actual, and the step between them."""

    model: Model
    version: Version
    wanted: Annotated[Wanted, Field(strict=False)]
    state: State
    step: Annotated[Step, Field(strict=False)]
    reason: Text
    tries: Count
    due: datetime | None
    who: Line
    why: Text


class PlanRows(Body):
    """All of them; ``settled``: actual is what is wanted everywhere."""

    reconciler: Reconciler
    settled: bool
    rows: list[PlanRow]
