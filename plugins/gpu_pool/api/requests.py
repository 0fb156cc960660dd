"""Routes of requests and leases: ask, wait, hold, give back."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_shared.auth import is_admin, may_read, may_rule, may_write
from gpu_pool.api.answer import Desk, Ended, TheDesk, responses
from gpu_pool.api.auth import Forbidden
from gpu_pool.api.datamodels import (
    HeartbeatBody,
    Id,
    Key,
    LeaseRow,
    ReasonBody,
    ReleaseBody,
    RequestBody,
    RequestRow,
    SizeRow,
    WhatIfRow,
)
from gpu_pool.view import View, lease_json, request_json
from include.pool.ask import AskForm
from include.pool.errors import Gone, Missing
from include.pool.pool import Pool
from include.pool.sizes import sizes
from include.pool.state import Lease, LeaseState, Request, RequestState

router = APIRouter(prefix="/v1", tags=["requests and leases"])
Viewer = Annotated[str, Depends(may_read)]
Operator = Annotated[str, Depends(may_write)]
Admin = Annotated[str, Depends(may_rule)]
Rules = Annotated[bool, Depends(is_admin)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Team = Annotated[str | None, Query(max_length=63, pattern=r"^[A-Za-z0-9_.-]*$")]
State = Literal["waiting", "granted", "ended", "live"]
MEASURED = 2000
"""So many ended leases are looked through for what work has used."""


@router.post("/requests", response_model=RequestRow, responses=responses(409, body=True))
async def submit_request(body: RequestBody, desk: TheDesk, user: Operator, admin: Rules) -> Any:
    """Ask for GPUs. The same key asked again finds the same request; with another ask it replaces it. Granted, and asked again by its
    holder, the lease comes with a new fencing token: whoever held it before is fenced off. 422 with ``nearest`` for what could never be
    placed; 403 for another's team."""
    ask = desk.asked(body, user, admin)
    return await desk.change(lambda pool, now: pool.submit(now, body.key, user, ask), lambda view, request: view.request(request, user))


@router.get("/requests", response_model=list[RequestRow], responses=responses())
async def list_requests(
    desk: TheDesk, user: Viewer, state: State = "live", team: Team = None, key: Key | None = None, limit: Limit = 200
) -> Any:
    """Requests: who waits in the queue's order, then who holds; or those that have ended, the latest first."""
    if state == "ended":
        found = await run_in_threadpool(desk.past.requests, limit, team, key)
        return JSONResponse([request_json(request, None, None) for request in found])
    return await desk.look(lambda view: [view.request(one, user) for one in _live(view, state, team, key)[:limit]])


@router.get("/requests/{request_id}", response_model=RequestRow, responses=responses(404))
async def get_request(request_id: Id, desk: TheDesk, user: Viewer) -> Any:
    """One request, also one that has ended."""
    try:
        return await desk.look(lambda view: view.request(_found(view.pool, request_id), user))
    except Missing:
        return JSONResponse(request_json(await _ended_request(desk, request_id), None, None))


@router.post("/requests/{request_id}/heartbeat", response_model=RequestRow, responses=responses(404, 410))
async def renew_request(request_id: Id, desk: TheDesk, user: Operator, admin: Rules) -> Any:
    """The asker still waits. A request that is silent for too long expires. 410 once it has ended."""

    def act(pool: Pool, now: float) -> Request:
        _own(pool, request_id, user, admin)
        return pool.touch(now, request_id)

    try:
        return await desk.change(act, lambda view, found: view.request(found, user))
    except Missing:
        ended = await _ended_request(desk, request_id)
        raise Gone(f"has ended ({ended.end}).", where=f"request {request_id}", remedy="Ask again.") from None


@router.delete("/requests/{request_id}", response_model=RequestRow, responses=responses(404))
async def cancel_request(request_id: Id, desk: TheDesk, user: Operator, admin: Rules) -> Any:
    """No longer wanted; its lease, if it has one, ends with it. Again is fine."""

    def act(pool: Pool, now: float) -> Request:
        _own(pool, request_id, user, admin)
        return pool.cancel(now, request_id, user)

    try:
        return await desk.change(act, lambda view, found: view.request(found, user))
    except Missing:
        ended = await _ended_request(desk, request_id)
        if ended.holder != user and not admin:
            raise _theirs(ended) from None
        return JSONResponse(request_json(ended, None, None))


@router.get("/leases", response_model=list[LeaseRow], responses=responses())
async def list_leases(desk: TheDesk, user: Viewer, live: bool = True, limit: Limit = 200) -> Any:
    """Leases that live, the oldest first; or those that have ended, the latest first."""
    if live:
        return await desk.look(lambda view: [view.lease(lease, user) for lease in _oldest(view.pool)[:limit]])
    found = await run_in_threadpool(desk.past.leases, limit)
    return JSONResponse([lease_json(lease, asked, user, desk.ttl_s) for lease, asked in found])


@router.get("/sizes", response_model=list[SizeRow], responses=responses())
async def list_sizes(desk: TheDesk, _: Viewer) -> Any:
    """What each work has used of the memory that it was granted, and what to ask for instead: those that waste most first."""
    ended = await run_in_threadpool(desk.past.measured, MEASURED)

    def live(view: View) -> list[tuple[Lease, Request | None]]:
        return [(replace(lease), view.pool.requests.get(lease.request_id)) for lease in view.pool.leases.values()]

    return JSONResponse([asdict(row) for row in sizes([*await desk.ask(live), *ended])])


@router.get("/leases/{lease_id}", response_model=LeaseRow, responses=responses(404))
async def get_lease(lease_id: Id, desk: TheDesk, user: Viewer) -> Any:
    """One lease, also one that has ended. Its fencing token is shown to its holder alone."""
    try:
        return await desk.look(lambda view: view.lease(_live_lease(view.pool, lease_id), user))
    except Missing:
        ended, asked = await _ended_lease(desk, lease_id)
        return JSONResponse(lease_json(ended, asked, user, desk.ttl_s))


@router.post("/leases/{lease_id}/heartbeat", response_model=LeaseRow, responses=responses(404, 409, 410, body=True))
async def renew_lease(lease_id: Id, body: HeartbeatBody, desk: TheDesk, user: Operator) -> Any:
    """The holder still works; ``notice`` in the answer tells it to stop, and by when. 409 for an old token, 410 with the lease once it has
    ended."""

    def act(pool: Pool, now: float) -> tuple[Lease, Request]:
        asked = _held(pool, lease_id, user)
        return pool.renew(now, lease_id, body.token, body.saved_s_ago), asked

    try:
        return await desk.change(act, lambda view, found: view.lease(_still(found[0]), user, found[1]))
    except (Missing, Gone):
        ended, asked = await _ended_lease(desk, lease_id)
        raise _gone(ended, asked, user, desk) from None


@router.post("/leases/{lease_id}/release", response_model=LeaseRow, responses=responses(404, 409, 410, body=True))
async def release_lease(lease_id: Id, body: ReleaseBody, desk: TheDesk, user: Operator) -> Any:
    """The holder has done; with ``requeue`` its request waits for its next turn where it stood. Again with the same token is fine."""

    def act(pool: Pool, now: float) -> tuple[Lease, Request]:
        asked = _held(pool, lease_id, user)
        return pool.release(now, lease_id, body.token, body.requeue), asked

    try:
        return await desk.change(act, lambda view, found: view.lease(found[0], user, found[1]))
    except (Missing, Gone):
        ended, asked = await _ended_lease(desk, lease_id)
        if asked is None or asked.holder != user or ended.token != body.token or ended.end == "forced":
            raise _gone(ended, asked, user, desk) from None
        return JSONResponse(lease_json(ended, asked, user, desk.ttl_s))


@router.post("/leases/{lease_id}/force-release", response_model=LeaseRow, responses=responses(404, 410, body=True))
async def force_release_lease(lease_id: Id, body: ReasonBody, desk: TheDesk, user: Admin) -> Any:
    """An admin ends it, now, and its request with it; the holder's next heartbeat says so."""

    def act(pool: Pool, now: float) -> tuple[Lease, Request]:
        asked = pool.requests[_live_lease(pool, lease_id).request_id]
        return pool.force_release(now, lease_id, user, body.reason or "no reason given"), asked

    try:
        return await desk.change(act, lambda view, found: view.lease(found[0], user, found[1]))
    except (Missing, Gone):
        ended, asked = await _ended_lease(desk, lease_id)
        raise _gone(ended, asked, user, desk) from None


@router.post("/what-if", response_model=WhatIfRow, responses=responses(body=True))
async def try_request(body: AskForm, desk: TheDesk, user: Viewer, admin: Rules) -> Any:
    """Could this run now, where, and who would have to stop for it? Changes nothing."""
    ask = desk.asked(body, user, admin)
    return await desk.look(lambda view: view.what_if(view.pool.what_if(view.now, ask, user), user))


def _live(view: View, state: State, team: str | None, key: str | None) -> list[Request]:
    waiting = view.line if state != "granted" else []
    granted = [one for one in view.pool.requests.values() if one.state is RequestState.GRANTED] if state != "waiting" else []
    granted.sort(key=lambda one: (one.submitted_at, one.id))
    return [one for one in (*waiting, *granted) if team in (None, one.ask.team) and key in (None, one.key)]


def _oldest(pool: Pool) -> list[Lease]:
    return sorted(pool.leases.values(), key=lambda lease: (lease.granted_at, lease.id))


def _found(pool: Pool, request_id: str) -> Request:
    if request_id not in pool.requests:
        raise Missing("there is no such live request.", where=f"request {request_id}")
    return pool.requests[request_id]


def _live_lease(pool: Pool, lease_id: str) -> Lease:
    if lease_id not in pool.leases:
        raise Missing("there is no such live lease.", where=f"lease {lease_id}")
    return pool.leases[lease_id]


def _still(lease: Lease) -> Lease:
    """What has just been renewed may have come to its end in the same moment."""
    if lease.state is LeaseState.ENDED:
        raise Gone(f"has ended ({lease.end}).", where=f"lease {lease.id}")
    return lease


def _own(pool: Pool, request_id: str, user: str, admin: bool) -> None:
    found = _found(pool, request_id)
    if found.holder != user and not admin:
        raise _theirs(found)


def _held(pool: Pool, lease_id: str, user: str) -> Request:
    """The live lease's request; its tokens are its holder's alone, an admin forces."""
    asked = pool.requests[_live_lease(pool, lease_id).request_id]
    if asked.holder != user:
        raise _theirs(asked)
    return asked


def _theirs(request: Request) -> Forbidden:
    return Forbidden(f"is {request.holder}'s.", where=f"request {request.id}")


async def _ended_request(desk: Desk, request_id: str) -> Request:
    found = await run_in_threadpool(desk.past.request, request_id)
    if found is None:
        raise Missing("there is no such request.", where=f"request {request_id}")
    return found


async def _ended_lease(desk: Desk, lease_id: str) -> tuple[Lease, Request | None]:
    found = await run_in_threadpool(desk.past.lease, lease_id)
    if found is None:
        raise Missing("there is no such lease.", where=f"lease {lease_id}")
    return found


def _gone(ended: Lease, asked: Request | None, user: str, desk: Desk) -> Exception:
    if asked is not None and asked.holder != user:
        return _theirs(asked)
    why = ended.notice.reason if ended.notice else asked.note if asked else ""
    gone = Gone(f"has ended ({ended.end}).{' ' if why else ''}{why}", where=f"lease {ended.id}", remedy="Ask again.")
    return Ended(gone, lease_json(ended, asked, user, desk.ttl_s))
