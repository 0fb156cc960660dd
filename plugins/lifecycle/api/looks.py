"""A look of a canary's judge, as the API takes and gives it: the JSON form of ``include.canary.observations.Look`` and its place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle.api.fields import Body, Count, Line, Number, Outcome, Seconds, Share, Text

Bin = Annotated[str, Field(pattern=r"^(0|-?[1-9][0-9]{0,3})$")]
"""Number of a latency's bin: see ``include.canary.observations.BIN_RATIO``."""
Histogram = Annotated[dict[Bin, Count], Field(max_length=5000)]


class ExampleBody(Body):
    prompt: Text
    reference: Text
    stable: Text
    canary: Text


class AskedBody(Body):
    """Live prompts that both arms were asked."""

    prompts: Count
    known: Count
    right: Count
    lost: Count
    gained: Count
    unlike: Count
    fell: Count
    rose: Count
    examples: Annotated[list[ExampleBody], Field(max_length=100)]

    @model_validator(mode="after")
    def _adds_up(self) -> AskedBody:
        if self.right + self.lost + self.gained > self.known or max(self.known, self.unlike, self.fell + self.rose) > self.prompts:
            raise ValueError("more outcomes than prompts")
        return self


class PairBody(Body):
    row: Text
    stable: Text
    canary: Text


class ComparedBody(Body):
    """Rows of a table's live requests that both arms have answered."""

    rows: Count
    differ: Count
    examples: Annotated[list[PairBody], Field(max_length=100)]

    @model_validator(mode="after")
    def _adds_up(self) -> ComparedBody:
        if self.differ > self.rows:
            raise ValueError(f"{self.differ} differing rows of {self.rows}")
        return self


class AnswersBody(Body):
    """A language model's answers in one arm."""

    ended: Count
    bad: Count
    ttft: Histogram
    tpot: Histogram
    lengths: Histogram

    @model_validator(mode="after")
    def _adds_up(self) -> AnswersBody:
        if self.bad > self.ended:
            raise ValueError(f"{self.bad} bad answers of {self.ended}")
        return self


class ArmBody(Body):
    """One arm during one look."""

    requests: Count
    errors: Count
    latencies: Histogram
    answers: AnswersBody | None = None
    refused: Count = 0

    @model_validator(mode="after")
    def _adds_up(self) -> ArmBody:
        if self.errors > self.requests:
            raise ValueError(f"{self.errors} failures in {self.requests} requests")
        return self


class SeenBody(Body):
    """What came since the look before."""

    at_s: Seconds
    step: Annotated[int, Field(ge=0, le=98)]
    weight: Annotated[int, Field(ge=0, le=100)]
    stable: ArmBody
    canary: ArmBody
    asked: AskedBody | None = None
    compared: ComparedBody | None = None


class ChatPlanBody(Body):
    tpot_margin: Number
    tpot_tolerance: Number
    finish_margin: Number | None
    finish_tolerance: Number
    length_margin: Number | None
    max_ttft_ms: Number | None
    max_tpot_ms: Number | None
    quality_margin: Number | None
    refusal_margin: Number | None
    agreement_margin: Number | None


class AnswersPlanBody(Body):
    """What a table's live answers are held against: the held-out rows that the two versions have answered differently."""

    requests: Count
    share: Share
    margin: Share
    rows: Count
    differ: Count
    tolerance: Number | None
    unknown: Text


class PlanBody(Body):
    """What the trial was to decide by, fixed before its first request."""

    steps: Annotated[list[Annotated[int, Field(ge=1, le=99)]], Field(min_length=1, max_length=99)]
    step_s: Seconds
    look_s: Seconds
    alpha: Share
    error_margin: Number
    latency_margin: Number
    error_tolerance: Number
    latency_tolerance: Number
    min_requests: Count
    max_error_rate: Number
    max_p99_ms: Number | None
    on_inconclusive: Literal["rollback", "hold", "promote"]
    chat: ChatPlanBody | None = None
    answers: AnswersPlanBody | None = None


class LogPlace(Body):
    """Where in the gateway's log the look ended."""

    inode: Annotated[int, Field(ge=0, le=2**64)] = 0
    offset: Count = 0


class CounterPlace(Body):
    """The counters of a cluster's gateway as the look ended, by series."""

    counters: Annotated[dict[Line, Number], Field(max_length=100_000)]


class LookContent(Body):
    """``passed_s`` of the trial's time had passed; ``prompts`` are the ids of those that were asked of both arms since the look before,
    or of a table's rows. The first look's holds the trial's ``plan``."""

    look: SeenBody
    passed_s: Seconds
    cursor: LogPlace | CounterPlace
    mirrored: bool
    verdict: Outcome
    prompts: Annotated[list[Line], Field(max_length=10_000)] | None = None
    plan: PlanBody | None = None
