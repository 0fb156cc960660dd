"""What verdicts about a version in production rest on: a suspicion of the watch, a look at what callers send and get.

``include.evidence.recompute`` decides again from exactly this. Fields with a default of None that no caller leaves out today are absent in
what earlier versions have kept.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lifecycle.api.evidence import Sentences
from lifecycle.api.fields import Body, Count, Line, Number, Share, Text, Version
from lifecycle.api.looks import PlanBody, SeenBody


class ShareTestBody(Body):
    """A test of a share of requests: what is accepted, and the evidence against it by size of harm."""

    accepted: Share
    evidence: Annotated[list[Number], Field(max_length=100)]


class PastBody(Body):
    """What was accepted of a champion."""

    requests: Count
    errors: Count
    refused: Count
    p95_ms: Number | None


class OpeningBody(Body):
    """What has raised a suspicion: the tests as they were, and what each look has seen since (``include.watch.life.Life``)."""

    number: Count
    past: PastBody
    tests: Annotated[dict[Line, ShareTestBody], Field(max_length=10)]
    recent: Annotated[list[Annotated[list[Number], Field(min_length=7, max_length=7)]], Field(max_length=1000)]


class WatchEvidence(Body):
    """Of a suspicion against a champion; with ``plan`` and ``looks`` where the version before (``previous``) was asked the same."""

    champion: Version
    previous: Version | None
    opening: OpeningBody
    hindrance: Text
    plan: PlanBody | None = None
    looks: Annotated[list[SeenBody], Field(max_length=1000)] | None = None


class HarmTestBody(Body):
    """A test of a mean loss over a life: what is accepted, and the evidence against it by stake."""

    accepted: Share
    evidence: Annotated[list[Number], Field(max_length=100)]
    rows: Count
    alpha: Share


class CalibrationBody(Body):
    """What the held-out rows had in each block of confidence."""

    edges: Annotated[list[Share], Field(max_length=1000)]
    loss: Annotated[list[Share], Field(max_length=1000)]
    rows: Annotated[list[Count], Field(max_length=1000)]


class EstimateTestBody(Body):
    calibration: CalibrationBody
    test: HarmTestBody
    recent: Annotated[list[Count], Field(max_length=1000)]


class DriftStateBody(Body):
    """What a version's looks have come to before this one."""

    harm: HarmTestBody
    estimate: EstimateTestBody | None
    checks: Annotated[list[HarmTestBody], Field(max_length=2)]
    form: HarmTestBody | None = None


class FormSeenBody(Body):
    """Answers whose form is known, and how many of them are of no use by it."""

    rows: Count
    useless: Count
    growth: Annotated[list[Number], Field(max_length=100)]


class DriftSeenBody(Body):
    """What a look has seen: labelled rows and their mean loss, rows by block of confidence, and what these do to each test."""

    labelled: Count
    loss: Share | None
    growth: Annotated[list[Number], Field(max_length=100)]
    blocks: Annotated[list[Count], Field(max_length=1000)]
    checks: Annotated[list[Annotated[list[Number], Field(max_length=100)]], Field(max_length=2)]
    form: FormSeenBody | None = None


class QualityBody(Body):
    """The model's expectations on the rows that arrived."""

    expectations: Count
    failed: Sentences


class ChangeBody(Body):
    """How columns differ from the held-out ones; p-values by column."""

    columns: Sentences
    p_values: Annotated[dict[Text, Share], Field(max_length=1000)]


class DriftEvidence(Body):
    """Of one look at production: since the look before (``since``) until ``until``."""

    since: Line | None
    until: Line
    rows: Count
    opening: DriftStateBody | None
    seen: DriftSeenBody | None
    quality: QualityBody | None
    change: ChangeBody | None
    unknown: Sentences
