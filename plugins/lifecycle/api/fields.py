"""Types of the lifecycle API's fields, each with its bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from include.verdict import Decision
from lifecycle.db.models import RUN_KEY_LENGTH

LONG = 2**53
"""Integers over this change on their way through JavaScript."""
MOST_VERSION = 2**31 - 1
"""What an INTEGER column holds on every database."""
Model = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
RunKey = Annotated[str, Field(min_length=1, max_length=RUN_KEY_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _whole(run_key: str) -> str:
    if " " in run_key:
        raise ValueError("holds a blank, as no run's id does: a `+` in a URL means one. Send it as %2B (curl -G --data-urlencode)")
    return run_key


AskedRunKey = Annotated[RunKey, AfterValidator(_whole)]
"""A run's key in a URL's query, where nothing would be found by a damaged one."""
Version = Annotated[int, Field(ge=1, le=MOST_VERSION)]
Text = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")]
"""A sentence, or what data holds; databases take no NUL."""
Line = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Number = Annotated[int, Field(ge=-LONG, le=LONG)] | Annotated[float, Field(allow_inf_nan=False)]
"""As it comes: 5 is kept as 5, and not as 5.0."""
Seconds = Annotated[int, Field(ge=0, le=10**9)] | Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[int, Field(ge=0, le=1)] | Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=LONG)]


Outcome = Annotated[Decision, Field(strict=False)]
"""By its name: strict, an enum takes its own members alone."""


class Body(BaseModel):
    """What is taken in, and given out as it was taken: what it doesn't know it refuses."""

    model_config = ConfigDict(extra="forbid", from_attributes=True, strict=True)
