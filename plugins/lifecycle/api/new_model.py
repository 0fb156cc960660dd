"""New models by operators: a file of data is sent, looked into, and becomes a model's folder. `[lifecycle] new_model` switches it off."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.configuration import conf
from airflow.models.log import Log
from fastapi import APIRouter, Depends, Query, Request, status
from pydantic import Field

from api_shared.auth import may_write
from api_shared.problems import Refusal, responses
from api_shared.teams import TheirOwn
from include.data import roots
from include.errors import InputError
from include.new_model import shown, templates, worker
from include.new_model.answers import check_name, suggestion
from include.new_model.uploads import Uploads
from include.runtime.settings import Settings
from lifecycle.api.fields import Body, Count, Line, Number, Share, Text
from lifecycle.db import audit

log = logging.getLogger(__name__)
MOST_MIB = 2048
"""Of an upload, unless `[lifecycle] new_model_upload_mib` says another."""
PATH = "/v1/new-model"
UPLOADS = f"{PATH}/uploads"
Word = Annotated[str, Field(max_length=240, pattern=r"^[^\x00]*$")]
Column = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Sign = Annotated[str, Field(max_length=1)]
TaskName = Literal["classification", "regression"]


def switched_on() -> bool:
    """Whether people may make models by the page and this API."""
    return bool(conf.getboolean("lifecycle", "new_model", fallback=True))


def most_bytes() -> int:
    """Of one file that is sent."""
    return conf.getint("lifecycle", "new_model_upload_mib", fallback=MOST_MIB) << 20


def may_make(user: Annotated[str, Depends(may_write)]) -> str:
    """The name of an operator. 404 where making models is switched off."""
    if not switched_on():
        raise Refusal(status.HTTP_404_NOT_FOUND, "Making models here is switched off ([lifecycle] new_model).")
    return user


def team_of_maker(_: Annotated[str, Depends(may_make)], own: TheirOwn) -> str:
    """Return the team whose the model will be. 403 for an operator of Airflow's who is one in no team."""
    team = own.team_of_new()
    if team is None:
        raise Refusal(status.HTTP_403_FORBIDDEN, "You may only look at what your teams have: none of them has you as an operator.")
    return team


router = APIRouter(prefix=PATH, tags=["new-model"], dependencies=[Depends(team_of_maker)])
User = Annotated[str, Depends(may_make)]
Team = Annotated[str, Depends(team_of_maker)]


class TemplateRow(Body):
    """A template of training code."""

    name: Line
    title: Line
    description: Text
    tasks: list[Line]


class OfferRow(Body):
    """``data_folders``: by name, as `<name>:<file>` names a file there."""

    templates: list[TemplateRow]
    data_folders: list[Line]
    most_mib: Count


class UploadRow(Body):
    """A file that was sent, by the id that the other calls take; it is kept for a day. ``name``: one that the model might have."""

    upload: Line
    bytes: Count
    name: Line


class DataBody(Body):
    """Which file: one that was sent, or one in a data folder (`data:customers.csv`). The others are what somebody knows of how it is
    written; empty: found out."""

    upload: Annotated[str, Field(max_length=32)] = ""
    file: Word = ""
    separator: Sign = ""
    decimal: Sign = ""
    encoding: Annotated[str, Field(max_length=32)] = ""


class LookBody(DataBody):
    """With a ``target``, what is proposed for it."""

    target: Column = ""
    task: TaskName | None = None


class ModelBody(DataBody):
    """A model to be made. ``use``: the columns that it sees; ``rules``: the proposed expectations that are kept, by their place from 0;
    null: all that is proposed. With ``preview`` nothing is made: the answer holds the files as they would be."""

    name: Annotated[str, Field(max_length=100)]
    target: Column
    template: Annotated[str, Field(max_length=100)]
    task: TaskName | None = None
    description: Annotated[str, Field(max_length=1000)] = ""
    use: Annotated[list[Column], Field(max_length=10_000)] | None = None
    rules: Annotated[list[Count], Field(max_length=1000)] | None = None
    min_score: Number | None = None
    mend_header: bool = False
    preview: bool = False


class BarRow(Body):
    value: Line
    rows: Count


class ColumnRow(Body):
    """``use``: whether nothing speaks against a model's seeing it; ``why``: what does, or what to know of it."""

    name: Text
    type: Line
    missing: Count
    distinct: Count
    low: float | None
    mean: float | None
    high: float | None
    examples: list[Line]
    distribution: list[BarRow]
    use: bool
    why: Text


class RuleRow(Body):
    """A proposed expectation; ``violations`` is the share of the ``of`` values looked at that violate it."""

    rule: Line
    columns: list[Text]
    arguments: Text
    violations: Share
    of: Count
    why: Line


class PlanRow(Body):
    """What is proposed for a target. ``chance``: the score by ``metric`` of a model that has learnt nothing."""

    target: Text
    task: Line
    why: Text
    metric: Line
    chance: float
    min_score: float
    template: Line
    use: list[Text]
    rules: list[RuleRow]


class LookRow(Body):
    """``rows`` were looked at, of about ``all_rows``. ``broken_header``: why names must be mended before the file can be taken."""

    rows: Count
    all_rows: Count
    whole: bool
    columns: list[ColumnRow]
    all_columns: Count
    notes: list[Text]
    written: Text
    separator: Line
    decimal: Line
    encoding: Line
    broken_header: Text
    likely_target: Text
    plan: PlanRow | None = None


class FileRow(Body):
    path: Line
    text: Annotated[str, Field(max_length=worker.MOST_PREVIEW)]


class MadeRow(Body):
    """The model's name and its DAG; ``files`` of a preview."""

    name: Line
    dag_id: Line
    made: bool
    files: list[FileRow]


@router.get("", response_model=OfferRow, responses=responses(404))
def get_offer() -> Any:
    """The templates there are, the data folders, and how large a file may be sent."""
    settings = Settings.load()
    known = templates.find(settings.models / templates.OWN)
    return {
        "templates": [shown.template(found) for found in known.values()],
        "data_folders": sorted(settings.data_roots),
        "most_mib": most_bytes() >> 20,
    }


@router.post("/uploads", response_model=UploadRow, status_code=status.HTTP_201_CREATED, responses=responses(404, body=True))
async def add_upload(request: Request, user: User, name: Annotated[str, Query(max_length=240)]) -> Any:
    """Send a file of data, as the request's body; ``name`` is its name. 413 for one that is too large. It is written as it comes."""
    key, came = await _uploads().keep(name, user, request.stream())
    return UploadRow(upload=key, bytes=came, name=suggestion(name.rpartition(".")[0]))


@router.post("/look", response_model=LookRow, responses=responses(404, body=True))
def look_into(body: LookBody, user: User) -> Any:
    """What is in a file of data: its columns, how it is written; and for a target the task, expectations and more that are proposed."""
    return _apart("look", body, user, target=body.target, task=body.task)


@router.post("", response_model=MadeRow, responses=responses(404, body=True))
def make_model(body: ModelBody, user: User, team: Team, session: SessionDep) -> Any:
    """Make a model's folder, checked, whole or not at all; or show what it would be. Nothing that is there is written over. It is the
    team's in which the caller is an operator, the first of them."""
    settings = Settings.load()
    check_name(body.name, settings.models)
    answers = body.model_dump(include={"name", "target", "template", "task", "description", "use", "rules", "min_score", "mend_header"})
    found = _apart("preview" if body.preview else "make", body, user, team=team, **answers)
    if not body.preview:
        audit.record(session, user, "model made", "model", body.name, "", {"template": body.template, "team": team})
        session.add(Log("updraft_new_model", owner=user, extra=json.dumps({"model": body.name, "template": body.template})))
        log.info("%s made the model %s of the template %s.", user, body.name, body.template)
        if body.upload:
            _uploads().drop(body.upload)
    files = [{"path": path, "text": text} for path, text in found.get("files", {}).items()]
    return {"name": body.name, "dag_id": f"{body.name}_lifecycle", "made": not body.preview, "files": files}


def _uploads() -> Uploads:
    return Uploads(Settings.load().home / "uploads", most_bytes())


def _apart(act: Literal["look", "preview", "make"], body: DataBody, user: str, **more: Any) -> dict[str, Any]:
    settings = Settings.load()
    if bool(body.upload) == bool(body.file):
        raise InputError("names no file, or two.", where="upload, file", remedy="Give one of them.")
    if body.upload:
        path = _uploads().path(body.upload, user)
    else:
        named, names = roots.NAMED.match(body.file), " or ".join(settings.data_roots)
        if named is None:
            raise InputError(f"{body.file[:80]!r} names no data folder.", where="file", remedy=f"Write {names}:<file>.")
        path = roots.locate(body.file, settings.data_roots.get(named["root"], settings.models), settings.data_roots)
    csv = {name: value for name in ("separator", "decimal", "encoding") if (value := getattr(body, name))}
    return worker.apart(worker.Request(act, str(path), str(settings.models), csv=csv, **more))
