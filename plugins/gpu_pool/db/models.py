"""The GPU pool's own tables in Airflow's database. The rules are ``include.pool``'s; here is what must outlive a server.

Times are seconds since the epoch, as the pool counts them: what is read back is exactly what was written.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Double, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID, NAME, TEAM, KEY, USER, WORD = 64, 320, 64, 512, 255, 16
Counter = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only under the type INTEGER, which holds 64 bits there."""


class Base(DeclarativeBase):
    metadata = MetaData()


class State(Base):
    """One row, which every writer locks. ``version`` grows with every change of the pool: a server whose copy is older reads anew."""

    __tablename__ = "updraft_gpu_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)
    next_token: Mapped[int] = mapped_column(BigInteger)


class Node(Base):
    """A machine as its reporter last told it."""

    __tablename__ = "updraft_gpu_node"

    name: Mapped[str] = mapped_column(String(NAME), primary_key=True)
    reporter: Mapped[str] = mapped_column(String(NAME))
    source: Mapped[str] = mapped_column(String(WORD))
    labels: Mapped[dict[str, str]] = mapped_column(JSON)
    devices: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    reported_at: Mapped[float] = mapped_column(Double)
    sequence: Mapped[int] = mapped_column(BigInteger)
    clock_skew_s: Mapped[float] = mapped_column(Double)
    cordoned: Mapped[str] = mapped_column(Text)
    lost: Mapped[bool] = mapped_column(Boolean)
    cuts: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    burst: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class Request(Base):
    """A request, waiting, granted or ended. ``team`` stands beside ``ask`` to be searched."""

    __tablename__ = "updraft_gpu_request"

    id: Mapped[str] = mapped_column(String(ID), primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY))
    holder: Mapped[str] = mapped_column(String(USER))
    team: Mapped[str] = mapped_column(String(TEAM), index=True)
    ask: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(WORD), index=True)
    submitted_at: Mapped[float] = mapped_column(Double)
    waiting_since: Mapped[float] = mapped_column(Double)
    seen_at: Mapped[float] = mapped_column(Double)
    reasons: Mapped[list[str]] = mapped_column(JSON)
    starts_at: Mapped[float | None] = mapped_column(Double)
    lease_id: Mapped[str] = mapped_column(String(ID))
    preemptions: Mapped[int] = mapped_column(Integer)
    note: Mapped[str] = mapped_column(Text)
    end: Mapped[str] = mapped_column(String(WORD))
    ended_at: Mapped[float | None] = mapped_column(Double, index=True)


class Lease(Base):
    """A lease, live or ended."""

    __tablename__ = "updraft_gpu_lease"

    id: Mapped[str] = mapped_column(String(ID), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(ID), index=True)
    token: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(WORD), index=True)
    grants: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    granted_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)
    seen_at: Mapped[float] = mapped_column(Double)
    ends_by: Mapped[float | None] = mapped_column(Double)
    saved_at: Mapped[float | None] = mapped_column(Double)
    peak_mib: Mapped[int | None] = mapped_column(BigInteger)
    lent_by: Mapped[str] = mapped_column(String(ID), server_default="")
    notice: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    end: Mapped[str] = mapped_column(String(WORD))
    ended_at: Mapped[float | None] = mapped_column(Double, index=True)


class Use(Base):
    """What a lease took of one GPU model at one rate, as far as its price goes: kept for longer than the lease itself. ``ended_at`` is NULL
    while it lives."""

    __tablename__ = "updraft_gpu_use"

    lease_id: Mapped[str] = mapped_column(String(ID), primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String(KEY))
    holder: Mapped[str] = mapped_column(String(USER))
    team: Mapped[str] = mapped_column(String(TEAM))
    gpu: Mapped[str] = mapped_column(String(NAME))
    gpus: Mapped[float] = mapped_column(Double)
    spot: Mapped[bool] = mapped_column(Boolean)
    simulated: Mapped[bool] = mapped_column(Boolean)
    began_at: Mapped[float] = mapped_column(Double, index=True)
    ended_at: Mapped[float | None] = mapped_column(Double, index=True)


class Quota(Base):
    """A team's share, in GPUs."""

    __tablename__ = "updraft_gpu_quota"

    team: Mapped[str] = mapped_column(String(TEAM), primary_key=True)
    guaranteed: Mapped[float] = mapped_column(Double)
    limit: Mapped[float | None] = mapped_column(Double)
    weight: Mapped[float] = mapped_column(Double)


class Account(Base):
    """What a team had used up to ``at``, in GPU-seconds as they counted then."""

    __tablename__ = "updraft_gpu_account"

    team: Mapped[str] = mapped_column(String(TEAM), primary_key=True)
    gpu_s: Mapped[float] = mapped_column(Double)
    at: Mapped[float] = mapped_column(Double)


class Event(Base):
    """Something that happened."""

    __tablename__ = "updraft_gpu_event"

    id: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=True)
    at: Mapped[float] = mapped_column(Double, index=True)
    kind: Mapped[str] = mapped_column(String(32))
    text: Mapped[str] = mapped_column(Text)
    node: Mapped[str] = mapped_column(String(NAME), index=True)
    request_id: Mapped[str] = mapped_column(String(ID))
    lease_id: Mapped[str] = mapped_column(String(ID))
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


class Sample(Base):
    """A node at one moment, for its curves. ``at`` is a whole multiple of the time between samples."""

    __tablename__ = "updraft_gpu_sample"

    node: Mapped[str] = mapped_column(String(NAME), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, index=True)
    capacity_milli: Mapped[int] = mapped_column(Integer)
    leased_milli: Mapped[int] = mapped_column(Integer)
    foreign_mib: Mapped[int] = mapped_column(BigInteger)
    used_mib: Mapped[int] = mapped_column(BigInteger)
    memory_mib: Mapped[int] = mapped_column(BigInteger)
    utilisation_pct: Mapped[float | None] = mapped_column(Double)
    temperature_c: Mapped[float | None] = mapped_column(Double)
    power_w: Mapped[float | None] = mapped_column(Double)


class Agent(Base):
    """Who may report nodes. The token itself is nowhere: only its SHA-256."""

    __tablename__ = "updraft_gpu_agent"

    reporter: Mapped[str] = mapped_column(String(NAME), primary_key=True)
    cluster: Mapped[bool] = mapped_column(Boolean)
    token_sha256: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(USER))
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)
