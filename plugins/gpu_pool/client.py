"""A small client of the pool's REST API, for who asks for GPUs and who holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from include.errors import ComponentError, InputError, UpdraftError
from include.pool.ask import Ask
from include.pool.grants import environment, grant_of
from include.pool.state import Grant, LeaseState, RequestState
from include.runtime import pinned
from include.runtime.airflow_api import AirflowApi, Refused
from include.runtime.settings import Settings

PATH = "/gpu-pool/v1"
CALL_S = 5.0
"""A call that takes longer is given up: a heartbeat that waits for a dead server is worth nothing."""
TTL_S = 60.0


class LeaseLost(UpdraftError):
    """The lease has ended, or (``fenced``) a later try of the same task holds it: whatever used it must stop."""

    def __init__(self, what: str, *, fenced: bool = False) -> None:
        self.fenced = fenced
        super().__init__(what)


@dataclass(frozen=True)
class Told:
    """A notice as the holder got it: ``grace_s`` is what was left when the pool said it."""

    kind: str
    reason: str
    grace_s: float


@dataclass(frozen=True)
class Held:
    """A live lease in its holder's hands. ``ttl_s``: silent for so long, it expires."""

    id: str
    request_id: str
    token: int
    grants: tuple[Grant, ...]
    ttl_s: float
    notice: Told | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Held:
        grants = tuple(
            Grant(one["node"], tuple(one["uuids"]), tuple(one["indexes"]), one["model"], one["milli"], one["memory_mib"])
            for one in row["grants"]
        )
        notice = row.get("notice")
        told = Told(notice["kind"], notice["reason"], _between(notice["at"], notice["deadline"])) if notice else None
        return cls(row["id"], row["request_id"], int(row["token"]), grants, float(row.get("ttl_s") or TTL_S), told)

    def environment(self, node: str = "") -> dict[str, str]:
        """Of a process that uses it (on ``node``, where there are several)."""
        return environment(self.id, grant_of(self.grants, node))

    def grant(self, node: str = "") -> dict[str, Any]:
        """What it holds there, as JSON."""
        return asdict(grant_of(self.grants, node))

    def to_xcom(self) -> dict[str, Any]:
        """JSON: ``lease_id``, ``token``, of its first node ``node``, ``devices``, ``memory_mib``, ``environment``; all in ``grants``."""
        first = self.grants[0]
        grants = [
            {"node": one.node, "devices": list(one.uuids), "model": one.model, "milli": one.milli, "memory_mib": one.memory_mib}
            for one in self.grants
        ]
        return {
            "lease_id": self.id,
            "token": self.token,
            "ttl_s": self.ttl_s,
            "node": first.node,
            "devices": list(first.uuids),
            "memory_mib": first.memory_mib,
            "environment": environment(self.id, first),
            "grants": grants,
        }

    def __str__(self) -> str:
        parts = [f"{', '.join(one.uuids)} of {one.node}" + (f" ({one.milli / 10:g} %)" if one.milli < 1000 else "") for one in self.grants]
        return "; ".join(parts)


@dataclass(frozen=True)
class Wanted:
    """A request as the pool sees it; ``lease`` once it is granted."""

    id: str
    state: RequestState
    reasons: tuple[str, ...] = ()
    position: int | None = None
    starts_at: str | None = None
    lease: Held | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Wanted:
        lease = row.get("lease")
        live = lease if lease and lease["state"] != LeaseState.ENDED and lease.get("token") is not None else None
        return cls(
            id=row["id"],
            state=RequestState(row["state"]),
            reasons=tuple(row.get("reasons") or ()),
            position=row.get("position"),
            starts_at=row.get("starts_at"),
            lease=Held.from_row(live) if live else None,
        )

    def why(self) -> str:
        """Why it waits, in one line for a log."""
        place = f"number {self.position} in the queue: " if self.position else ""
        return place + ("; ".join(self.reasons) or "the pool looks for a place.")


class PoolClient:
    """What a holder may do. A refusal that no repetition mends is an InputError, a server that is away a ComponentError."""

    def __init__(self, api: AirflowApi) -> None:
        self._api = api

    @classmethod
    def connect(cls) -> PoolClient:
        """The pool behind Airflow's connection ``updraft_api``."""
        from airflow.sdk import BaseHook

        connection = BaseHook.get_connection("updraft_api")
        host = pinned.insist(Settings.load(), "updraft_api", str(connection.host))
        return cls(AirflowApi(host, connection.login or "", connection.password or "", timeout_s=CALL_S))

    def submit(self, key: str, ask: Ask) -> Wanted:
        """Ask, or ask again: the same key with the same ask is the same request, and its lease comes with a new token.

        Raises InputError in the pool's own words for what can never be placed.
        """
        body = {name: value for name, value in ask.to_json().items() if value not in (None, 0, "", [], {})} | {
            "preemptible": ask.preemptible
        }
        try:
            return Wanted.from_row(self._api.post(f"{PATH}/requests", {"key": key, **body}))
        except Refused as refused:
            raise InputError(refused.detail) from None

    def touch(self, request_id: str) -> Wanted | None:
        """The heartbeat of who waits; None when the request has ended."""
        try:
            return Wanted.from_row(self._api.post(f"{PATH}/requests/{request_id}/heartbeat", {}))
        except Refused as refused:
            if refused.status in (404, 410):
                return None
            raise

    def find(self, key: str) -> Wanted | None:
        """The live request of this key."""
        rows = self._api.get(f"{PATH}/requests", params={"state": "live", "key": key})
        return Wanted.from_row(rows[0]) if rows else None

    def cancel(self, request_id: str) -> None:
        """No longer wanted; a lease that it has by now ends with it. One that has ended is fine."""
        try:
            self._api.call("DELETE", f"{PATH}/requests/{request_id}")
        except Refused as refused:
            if refused.status not in (404, 409, 410):
                raise

    def renew(self, lease_id: str, token: int, saved_s_ago: float | None = None) -> Held:
        """The heartbeat of who holds; ``saved_s_ago`` tells of a checkpoint. Raises LeaseLost."""
        body = {"token": token} | ({} if saved_s_ago is None else {"saved_s_ago": saved_s_ago})
        try:
            return Held.from_row({"token": token} | self._known(self._api.post(f"{PATH}/leases/{lease_id}/heartbeat", body)))
        except Refused as refused:
            if refused.status in (404, 409, 410):
                raise LeaseLost(refused.detail, fenced=refused.status == 409) from None
            raise

    def release(self, lease_id: str, token: int, *, requeue: bool = False) -> None:
        """Give it back; with ``requeue`` the request waits for its next turn where it stood. One that has ended is fine."""
        try:
            self._api.post(f"{PATH}/leases/{lease_id}/release", {"token": token, "requeue": requeue})
        except Refused as refused:
            if refused.status not in (404, 409, 410):
                raise

    def running(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> bool:
        """Whether Airflow runs the task, or keeps it deferred, at this moment."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        task = self._api.get(path if map_index < 0 else f"{path}/{map_index}", missing_ok=True)
        return bool(task) and task["state"] in ("running", "deferred")

    @staticmethod
    def _known(row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if value is not None}


@contextmanager
def explained() -> Iterator[None]:
    """Turns Updraft's errors into Airflow's: what a retry can't mend fails at once, anything else may be tried again."""
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    try:
        yield
    except InputError as error:
        raise AirflowFailException(str(error)) from None
    except (ComponentError, LeaseLost) as error:
        raise AirflowException(str(error)) from None


def _between(begin: str, end: str) -> float:
    return max((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds(), 0.0)
