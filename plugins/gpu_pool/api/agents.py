"""Routes of agents: who may report, and what they report."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, status
from fastapi.responses import JSONResponse
from sqlalchemy import delete, select

from gpu_pool.api.answer import TheDesk, responses
from gpu_pool.api.auth import Forbidden, Reporter, new_token, reporting
from gpu_pool.api.datamodels import Accepted, AgentBody, AgentRow, NewAgentRow, Removed, ReportBody
from gpu_pool.api.requests import Admin
from gpu_pool.db.store import AGENT
from gpu_pool.view import iso
from include.pool.errors import Missing

router = APIRouter(prefix="/v1", tags=["agents"])
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


@router.put("/reports/{reporter}", response_model=Accepted, responses=responses(404, 409, body=True))
async def report_nodes(reporter: Name, body: ReportBody, desk: TheDesk, who: Annotated[Reporter, Depends(reporting)]) -> Any:
    """All that this reporter sees now; the answer says which GPUs to cut anew, and which machines to boot or to end. 403 for another's
    node, 409 for a report that comes late."""
    foreign = next((node.name for node in body.nodes if not who.owns(node.name)), None)
    if foreign is not None:
        raise Forbidden(f"is not {reporter}'s to report.", where=f"node {foreign:.80}")
    _once([node.name for node in body.nodes], "node")
    for node in body.nodes:
        _once([device.uuid for device in node.devices], f"device of {node.name}")
    nodes = [node.report() for node in body.nodes]
    return await desk.change(
        lambda pool, now: pool.report(now, reporter, body.source, body.sequence, body.clock, nodes),
        lambda view, _: {"accepted": True, "cuts": view.cuts(reporter), "burst": view.wanted(reporter)},
    )


def _once(names: list[str], what: str) -> None:
    if len(set(names)) < len(names):
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"One {what} is named twice.")


@router.post("/agents/{reporter}", response_model=NewAgentRow, responses=responses(404, body=True))
def add_agent(reporter: Name, body: AgentBody, desk: TheDesk, user: Admin) -> Any:
    """A new token for an agent; the one before ends. It is shown this once. ``cluster``: it reports nodes ``<reporter>/<node>``, otherwise
    the node of its own name."""
    token, kept = new_token()
    now = time.time()
    row = {
        "reporter": reporter,
        "cluster": body.cluster,
        "token_sha256": kept,
        "created_by": user,
        "created_at": now,
        "expires_at": now + body.days * 86400,
    }
    with desk.store.engine.begin() as connection:
        desk.store.put(connection, AGENT, [row])
    return JSONResponse(_row(row) | {"token": token}, headers={"Cache-Control": "no-store"})


@router.get("/agents", response_model=list[AgentRow], responses=responses())
def list_agents(desk: TheDesk, _: Admin) -> Any:
    """Who may report, without their tokens."""
    with desk.store.reading() as connection:
        return JSONResponse([_row(dict(row)) for row in connection.execute(select(AGENT).order_by(AGENT.c.reporter)).mappings()])


@router.delete("/agents/{reporter}", response_model=Removed, responses=responses(404))
def remove_agent(reporter: Name, desk: TheDesk, _: Admin) -> Any:
    """The agent's token opens nothing any more."""
    with desk.store.engine.begin() as connection:
        if not connection.execute(delete(AGENT).where(AGENT.c.reporter == reporter)).rowcount:
            raise Missing("there is no such agent.", where=f"agent {reporter}")
    return JSONResponse({"removed": True})


def _row(row: dict[str, Any]) -> dict[str, Any]:
    plain = {name: row[name] for name in ("reporter", "cluster", "created_by")}
    return plain | {"created_at": iso(row["created_at"]), "expires_at": iso(row["expires_at"])}
