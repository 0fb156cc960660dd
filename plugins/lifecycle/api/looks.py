"""A look of a canary's judge, as the API takes and gives it: the JSON form of ``include.canary.observations.Look`` and its place."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from lifecycle.api.fields import Body, Count, Line, Number, Outcome, Seconds, Text

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


class LogPlace(Body):
    """Where in the gateway's log the look ended."""

    inode: Annotated[int, Field(ge=0, le=2**64)] = 0
    offset: Count = 0


class CounterPlace(Body):
    """The counters of a cluster's gateway as the look ended, by series."""

    counters: Annotated[dict[Line, Number], Field(max_length=100_000)]


class LookContent(Body):
    """``passed_s`` of the trial's time had passed; ``prompts`` are the ids of those that were asked of both arms since the look before."""

    look: SeenBody
    passed_s: Seconds
    cursor: LogPlace | CounterPlace
    mirrored: bool
    verdict: Outcome
    prompts: Annotated[list[Line], Field(max_length=10_000)] | None = None
