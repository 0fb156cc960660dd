"""The plugin's own tables in Airflow's database: specs of runs, revisions, what is wanted of them, verdicts, looks and acts with the chain
over these three, alerts and what follows from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.utils.sqlalchemy import UtcDateTime
from sqlalchemy import JSON, Boolean, Float, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

RUN_KEY_LENGTH = 320
HASH_LENGTH = 64


class Base(DeclarativeBase):
    metadata = MetaData()


class Revision(Base):
    """One deployed model version and its state."""

    __tablename__ = "updraft_revision"

    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    target: Mapped[str] = mapped_column(String(16))
    backend: Mapped[str] = mapped_column(String(16))
    endpoint: Mapped[str] = mapped_column(String(255), default="")
    message: Mapped[str] = mapped_column(Text, default="")
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Verdict(Base):
    """One verdict of one run, kept with its evidence. ``kind`` says which part of the way gave it: data, gate, verify, canary, ...

    Append-only: a task that ran again and found otherwise leaves another entry, and the latest counts.
    """

    __tablename__ = "updraft_verdict"
    __table_args__ = (Index("ix_updraft_verdict_run", "run_key", "kind"),)

    entry: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    run_key: Mapped[str] = mapped_column(String(RUN_KEY_LENGTH))
    kind: Mapped[str] = mapped_column(String(32))
    model: Mapped[str] = mapped_column(String(64), index=True)
    version: Mapped[int | None] = mapped_column(Integer)
    decision: Mapped[str] = mapped_column(String(16))
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    author: Mapped[str] = mapped_column(String(255))
    previous: Mapped[str] = mapped_column(String(HASH_LENGTH))
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH))


class RunSpec(Base):
    """What one run is bound to: its model.yaml as it was when the run began, with the run's params put in."""

    __tablename__ = "updraft_run_spec"

    run_key: Mapped[str] = mapped_column(String(RUN_KEY_LENGTH), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), index=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class SearchPlan(Base):
    """What the search of one run is bound to: its space, its sampler, its seed (``include.search.plan.Plan``)."""

    __tablename__ = "updraft_search"

    run_key: Mapped[str] = mapped_column(String(RUN_KEY_LENGTH), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), index=True)
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class SearchTrial(Base):
    """One trial of a run's search (``include.search.plan.Trial``). Its parameters never change, nor how it ended."""

    __tablename__ = "updraft_trial"

    run_key: Mapped[str] = mapped_column(String(RUN_KEY_LENGTH), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    params: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    value: Mapped[float | None] = mapped_column(Float)
    steps: Mapped[list[Any]] = mapped_column(JSON)
    message: Mapped[str] = mapped_column(Text, default="")
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Look(Base):
    """One look of a canary's judge: what was seen since the look before, and where in the log that ended. Append-only."""

    __tablename__ = "updraft_look"
    __table_args__ = (Index("ix_updraft_look_run", "run_key", "number", unique=True),)

    entry: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    run_key: Mapped[str] = mapped_column(String(RUN_KEY_LENGTH))
    number: Mapped[int] = mapped_column(Integer)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str] = mapped_column(String(255))
    previous: Mapped[str] = mapped_column(String(HASH_LENGTH))
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH))


class Alert(Base):
    """One alert from its start to its end, as Alertmanager has told of it; ``model`` is empty for one of the platform itself.

    What it is known by is its fingerprint (of its labels) and its start: told again, it is the same.
    """

    __tablename__ = "updraft_alert"

    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    model: Mapped[str] = mapped_column(String(64), index=True)
    severity: Mapped[str] = mapped_column(String(16))
    summary: Mapped[str] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column(JSON)
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Act(Base):
    """What an alert or a verdict has brought about, or why it has not. ``state``: PLANNED before its run is begun, then BEGUN; REFUSED with
    the ``reason`` why; NOTIFIED where a notice was all that was asked for. ``version`` is the one that production goes back to.
    """

    __tablename__ = "updraft_act"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), index=True)
    act: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    cause: Mapped[str] = mapped_column(String(160))
    name: Mapped[str] = mapped_column(String(255))
    summary: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text, default="")
    champion: Mapped[int | None] = mapped_column(Integer)
    version: Mapped[int | None] = mapped_column(Integer)
    run_key: Mapped[str] = mapped_column(String(RUN_KEY_LENGTH), default="")
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Event(Base):
    """News of a model's data: ``digest`` is the message's, or the files'. ``state``: SEEN for files as they were found first, of which
    nobody is told; WAITING until the model's asset is updated; then TOLD; DROPPED where the spec asks for none by then.
    """

    __tablename__ = "updraft_event"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    sender: Mapped[str] = mapped_column(String(64))
    summary: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Hold(Base):
    """A person has stopped what alerts and the watch do to a model, or let it go on (``held`` false): who, why and when. Append-only."""

    __tablename__ = "updraft_hold"

    entry: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(String(64), index=True)
    held: Mapped[bool] = mapped_column(Boolean)
    who: Mapped[str] = mapped_column(String(255))
    why: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class TrialOrder(Base):
    """What a person has a trial under way do: ``order`` is pause, resume, promote or end; who, why and when. Append-only."""

    __tablename__ = "updraft_trial_order"

    entry: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    run_key: Mapped[str] = mapped_column(String(RUN_KEY_LENGTH), index=True)
    order: Mapped[str] = mapped_column("trial_order", String(16))
    who: Mapped[str] = mapped_column(String(255))
    why: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Notice(Base):
    """What is to be told by one channel, and how far that is: WAITING, SENT, or LOST after it has failed for a day. ``key`` is the same in
    every channel, and given to the receiver.
    """

    __tablename__ = "updraft_notice"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    channel: Mapped[str] = mapped_column(String(250), primary_key=True)
    what: Mapped[str] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    urgent: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(String(16), index=True)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    problem: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    due: Mapped[datetime] = mapped_column(UtcDateTime)


class Feedback(Base):
    """What was right for one answer of a model, as somebody told it. Append-only: the last one of a ``prediction`` (an id) counts."""

    __tablename__ = "updraft_feedback"
    __table_args__ = (Index("ix_updraft_feedback_prediction", "model", "prediction"),)

    entry: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(String(64))
    prediction: Mapped[str] = mapped_column(String(64))
    label: Mapped[Any] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str] = mapped_column(String(255))


class Desired(Base):
    """What somebody wants of a revision (``wanted``: running, stopped, absent), and what the reconciler has done for it.

    ``generation`` counts the restarts that were asked for, ``done`` those that were carried out. ``tries`` since it was last steady; no
    other before ``due_s`` (seconds since the epoch). ``step`` and ``reason``: the reconciler's last plan.
    """

    __tablename__ = "updraft_desired"

    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    wanted: Mapped[str] = mapped_column(String(16))
    generation: Mapped[int] = mapped_column(Integer, default=0)
    who: Mapped[str] = mapped_column(String(255))
    why: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    done: Mapped[int] = mapped_column(Integer, default=0)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    due_s: Mapped[float] = mapped_column(Float, default=0.0)
    step: Mapped[str] = mapped_column(String(16), default="")
    reason: Mapped[str] = mapped_column(Text, default="")


class Scale(Base):
    """How many servers a model shall have, within what its spec allows: ``who`` has said so last, and why."""

    __tablename__ = "updraft_scale"

    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    replicas: Mapped[int] = mapped_column(Integer)
    who: Mapped[str] = mapped_column(String(255))
    why: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Replica(Base):
    """One server of a revision that has, or shall have, several: as it was seen last, and what was tried for it. ``done``: the generation
    of restarts that it was started for. ``up``: it answers callers. ``waits``: for a GPU, before it could be started at all."""

    __tablename__ = "updraft_replica"

    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16), default="")
    message: Mapped[str] = mapped_column(Text, default="")
    endpoint: Mapped[str] = mapped_column(String(255), default="")
    up: Mapped[bool] = mapped_column(Boolean, default=False)
    waits: Mapped[bool] = mapped_column(Boolean, default=False)
    note: Mapped[str] = mapped_column(Text, default="")
    tries: Mapped[int] = mapped_column(Integer, default=0)
    due_s: Mapped[float] = mapped_column(Float, default=0.0)
    done: Mapped[int] = mapped_column(Integer, default=0)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Owner(Base):
    """Who does what only one may do at a time, over all machines: its ``beat`` moves for as long as the ``holder`` lives."""

    __tablename__ = "updraft_owner"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str] = mapped_column(String(255))
    beat: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ServingAct(Base):
    """One change of what serves: ``author`` did it, because of ``why``. Append-only, in the chain of verdicts and looks."""

    __tablename__ = "updraft_serving_act"

    entry: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(String(64), index=True)
    version: Mapped[int | None] = mapped_column(Integer)
    act: Mapped[str] = mapped_column(String(16))
    why: Mapped[str] = mapped_column(Text)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    author: Mapped[str] = mapped_column(String(255))
    previous: Mapped[str] = mapped_column(String(HASH_LENGTH))
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH))


class Chain(Base):
    """The end of the chain over all verdicts, looks and acts: the number of the last entry, and its hash. One row."""

    __tablename__ = "updraft_chain"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH))
