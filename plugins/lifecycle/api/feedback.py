"""What turned out to be right of a model's answers, told by the ids of the requests; late and corrected as it may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse
from pydantic import Field

from api_shared.auth import may_read, may_write
from api_shared.problems import Problem, Refusal, responses, text
from api_shared.teams import of_their_teams
from include.kinds.load import FILE, load
from include.kinds.registry import kind_of
from include.predictions.known import answers, why_unknown
from include.runtime.settings import Settings
from include.spec.schema import Spec
from lifecycle.api.fields import Body, Count, Line, Model, Number, Text
from lifecycle.db import feedback

router = APIRouter(prefix="/v1/models", tags=["feedback"], dependencies=[Depends(may_read), Depends(of_their_teams)])
MOST_BYTES = 4 * 1024 * 1024
MOST_LABELS = 10_000
SHOWN = 5
"""Faults in a refusal's sentence; all are in its list."""
Author = Annotated[str, Depends(may_write)]
OfModel = Annotated[Model, Path()]
Label = bool | Number | Text


class LabelBody(Body):
    """What was right for one request (of several rows: for one row, `<id>.0`). ``id``: the answer's header x-request-id."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    label: Label


class FeedbackBody(Body):
    """Labels, each of another request. ``unlogged``: whether ids that are not in the log refuse all of it, or are passed over; with
    ``check`` nothing is kept: the answer says what would be."""

    labels: Annotated[list[LabelBody], Field(min_length=1, max_length=MOST_LABELS)]
    unlogged: Literal["refuse", "skip"] = "refuse"
    check: bool = False


class FeedbackRow(Body):
    """What became of it. ``same`` were kept before; ``corrected`` replace another label, which stays in the history; ``unlogged`` were
    passed over."""

    new: Count
    corrected: Count
    same: Count
    unlogged: Count


class FaultRow(Body):
    """``line``: the label's place in the request, from 1."""

    line: Count
    id: Line
    fault: Line


class FeedbackProblem(Problem):
    """``faults`` are all that is wrong with the labels of a request that was refused: none of them is kept."""

    faults: list[FaultRow] = Field(default_factory=list)


class KeptLabelRow(Body):
    """One label as it was told. The last one of an id counts."""

    entry: Count
    id: Line
    label: Label
    time: datetime
    author: Line


@router.post("/{model}/feedback", response_model=FeedbackRow, responses=responses(404, problem=FeedbackProblem, body=True))
def post_feedback(model: OfModel, body: FeedbackBody, session: SessionDep, author: Author) -> Any:
    """Keep what turned out to be right, all of it or nothing: 422 names each label that is wrong by its line. Again is a no-op."""
    settings = Settings.load()
    spec = _spec(settings, model)
    ids = [one.id for one in body.labels]
    found = answers(settings, model, {*ids, *(f"{one}.0" for one in ids)})
    passed = {one for one in ids if one not in found} if body.unlogged == "skip" else set()
    if faults := list(_faults(spec, body.labels, found, passed)):
        first = " ".join(f"Line {fault.line}: {fault.id} {fault.fault}" for fault in faults[:SHOWN])
        detail = f"{len(faults)} of {len(ids)} labels are wrong, and none is kept. {first}"
        return JSONResponse({"detail": text(detail), "faults": [fault.model_dump() for fault in faults]}, 422)
    wanted = {one.id: one.label for one in body.labels if one.id not in passed}
    new, corrected = feedback.keep(session, model, wanted, author, datetime.now(UTC))
    if body.check:
        session.rollback()
    return FeedbackRow(new=new, corrected=corrected, same=len(wanted) - new - corrected, unlogged=len(passed))


@router.get("/{model}/feedback", response_model=list[KeptLabelRow], responses=responses())
def list_feedback(
    model: OfModel,
    session: SessionDep,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Any:
    """Labels in the order in which they came, corrections after what they correct. ``after``: the entry that was read last."""
    rows = feedback.history(session, model, after, limit)
    names = {"entry": "entry", "id": "prediction", "label": "label", "time": "at", "author": "author"}
    return [KeptLabelRow(**{name: getattr(row, column) for name, column in names.items()}) for row in rows]


def _spec(settings: Settings, model: str) -> Spec:
    path = settings.models / model / FILE
    if not path.is_file():
        raise Refusal(404, f"There is no model {model!r}.")
    return load(path)  # InputError for what is no spec


def _faults(spec: Spec, labels: list[LabelBody], found: Mapping[str, Any], passed: set[str]) -> Iterator[FaultRow]:
    kind, lines = kind_of(spec), dict[str, int]()
    for line, one in enumerate(labels, 1):
        if one.id in lines:
            fault = f"stands in line {lines[one.id]} already: one label a request."
        elif one.id in passed:
            fault = ""
        elif one.id not in found:
            fault = why_unknown(one.id, found, found)
        else:
            fault = kind.label_fault(spec, one.label, found[one.id])
        lines.setdefault(one.id, line)
        if fault:
            yield FaultRow(line=line, id=text(one.id), fault=text(fault))
