"""What a spec may say of labelling by people in Label Studio: `label`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from include.spec.parts import Part, RelativeFile, as_tuple

LOG, SNAPSHOT = "log", "snapshot"
"""Rows to label that are no file: what callers sent, and what the champion was trained on."""
Class = bool | int | str


class Strategy(StrEnum):
    UNCERTAIN = "uncertain"
    DISAGREEING = "disagreeing"
    DRIFTED = "drifted"
    RANDOM = "random"


class Picture(Part):
    """Columns that are the pixels of a grey picture, line by line from its upper left corner."""

    columns: Annotated[str, Field(min_length=1, max_length=240)]
    """A glob of the columns' names, in the order of the table's columns: `pixel_*`."""
    width: Annotated[int, Field(ge=1, le=4096)]
    """Pixels of a line."""
    maximum: Annotated[float, Field(gt=0)] = 255
    """The value that is drawn black (0 is drawn white)."""
    scale: Annotated[int, Field(ge=1, le=64)] = 16
    """Each pixel is drawn as a square of so many."""


class Label(Part):
    rows: Annotated[str, Field(min_length=1, max_length=240)] = LOG
    """Where rows to label come from: `log`, what callers sent (`monitor.log`; learnt from by `data.production`); `snapshot`, what the
    champion was trained on (a person's label replaces the one that was there); or a CSV or Parquet file in the model's folder."""
    days: Annotated[float, Field(gt=0, le=3650)] = 30
    """Of the log, rows of this long (days)."""
    show: Literal["row", "text", "picture"] = "row"
    """How a task looks: the row's columns with their values, the text of the column `text`, or the picture that `picture` describes."""
    text: str | None = None
    """The column of texts (`show: text`)."""
    picture: Picture | None = None
    """The pixels (`show: picture`)."""
    classes: Annotated[tuple[Class, ...], BeforeValidator(as_tuple), Field(max_length=1000)] = ()
    """The classes that people choose from, as the data's target has them. Without any: those of the user's own
    `config`, as texts."""
    config: RelativeFile | None = None
    """Label Studio's own configuration (XML) in the model's folder, in place of the template. One control in it is the target's, named
    `label`: `Choices`, `Number`, `Rating` or `TextArea`; `$<column>` stands for a column's value."""
    choose: Annotated[tuple[Strategy, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (Strategy.UNCERTAIN,)
    """What a round's tasks are beside its control arm: rows of which the champion is least sure, rows that two versions which run answer
    differently, rows whose values are rare or new beside what the champion has learnt from (`drifted`), rows at random."""
    tasks: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Tasks of a round."""
    control: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of a round that is drawn at random from all rows: what tells whether choosing pays. People see no answer of the model on it."""
    preannotate: bool = True
    """Show the champion's answer on the other tasks, to be accepted or changed."""
    annotators: Annotated[int, Field(ge=1, le=50)] = 1
    """People who label each task."""
    min_agreement: Annotated[float, Field(ge=-1, le=1)] = 0.6
    """Krippendorff's alpha of those who labelled the same tasks must reach this, or the labels are not learnt from."""
    min_pairs: Annotated[int, Field(ge=1)] = 10
    """With fewer tasks that two people have labelled, agreement is shown and not judged."""
    enough: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A round is over when this share of its tasks is labelled ..."""
    wait_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 72
    """... or after this long, with what there is."""
    schedule: str | None = None
    """Cron expression or preset on which a round begins. Default: only when triggered."""
    reconcile: str | None = "@hourly"
    """Cron expression or preset on which all that has been labelled is exported again, whichever round it is of: what came late, or was
    corrected. `null`: only when triggered."""
    retrain: bool = True
    """Begin a run of the lifecycle when there are new labels."""
