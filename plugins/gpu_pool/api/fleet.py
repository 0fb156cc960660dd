"""Routes of the fleet: nodes and their curves, quotas, events, figures for Prometheus."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, PlainTextResponse

from api_shared.problems import PROMETHEUS
from gpu_pool.api.answer import TheDesk, responses
from gpu_pool.api.datamodels import LINE, EventRow, HistoryRow, InventoryRow, MeRow, NodeRow, QuotaBody, QuotaRow, ReasonBody, Removed
from gpu_pool.api.metrics import metrics_text
from gpu_pool.api.requests import Admin, Limit, Rules, Viewer
from gpu_pool.view import iso
from include.pool.errors import Missing
from include.pool.pool import Pool
from include.pool.state import Quota

router = APIRouter(prefix="/v1", tags=["fleet"])
Node = Annotated[str, Path(max_length=320, pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$")]
Team = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
CURVE = (
    *("capacity_milli", "leased_milli", "foreign_mib", "used_mib", "memory_mib"),
    *("utilisation_pct", "temperature_c", "power_w"),
)


@router.get("/me", response_model=MeRow, responses=responses())
async def whoami(user: Viewer, admin: Rules) -> Any:
    """Who asks, and whether it has an admin's rights: the page shows what may be done, and no more."""
    return {"name": user, "admin": admin}


@router.get("/inventory", response_model=InventoryRow, responses=responses())
async def get_inventory(desk: TheDesk, _: Viewer) -> Any:
    """Every node with its devices, and who holds what of them."""
    return await desk.look(lambda view: view.inventory())


@router.get("/nodes/{name:path}/history", response_model=HistoryRow, responses=responses(404))
def get_node_history(name: Node, desk: TheDesk, _: Viewer, hours: Annotated[float, Query(gt=0, le=24 * 7)] = 24) -> Any:
    """A node's curve: a point every 30 s, kept for 7 days."""
    samples = desk.past.samples(name, time.time() - hours * 3600)
    return JSONResponse({"node": name, "points": [{"at": iso(row["at"]), **{name: row[name] for name in CURVE}} for row in samples]})


@router.post("/nodes/{name:path}/cordon", response_model=NodeRow, responses=responses(404, body=True))
async def cordon_node(name: Node, body: ReasonBody, desk: TheDesk, user: Admin) -> Any:
    """Nothing new is placed on the node; what runs there goes on."""
    return await desk.change(lambda pool, now: pool.cordon(now, name, body.reason, user), lambda view, node: view.node(node))


@router.post("/nodes/{name:path}/uncordon", response_model=NodeRow, responses=responses(404))
async def uncordon_node(name: Node, desk: TheDesk, user: Admin) -> Any:
    """The node is in service again."""
    return await desk.change(lambda pool, now: pool.uncordon(now, name, user), lambda view, node: view.node(node))


@router.delete("/nodes/{name:path}", response_model=Removed, responses=responses(404))
async def forget_node(name: Node, desk: TheDesk, user: Admin) -> Any:
    """Forget the node; its leases are lost. It comes back with its next report."""
    return await desk.change(lambda pool, now: pool.remove_node(now, name, user), lambda view, _: {"removed": True})


@router.get("/quotas", response_model=list[QuotaRow], responses=responses())
async def list_quotas(desk: TheDesk, _: Viewer) -> Any:
    """Every team with a quota, and every team that holds or wants GPUs without one."""
    return await desk.look(lambda view: view.quotas())


@router.put("/quotas/{team}", response_model=QuotaRow, responses=responses(404, body=True))
async def put_quota(team: Team, body: QuotaBody, desk: TheDesk, user: Admin) -> Any:
    """Set a team's share."""
    quota = Quota(team, body.guaranteed, body.limit, body.weight)
    return await desk.change(lambda pool, now: pool.set_quota(now, quota, user), lambda view, _: view.quota(team))


@router.delete("/quotas/{team}", response_model=Removed, responses=responses(404))
async def delete_quota(team: Team, desk: TheDesk, user: Admin) -> Any:
    """The team has no share any more."""

    def act(pool: Pool, now: float) -> None:
        if team not in pool.quotas:
            raise Missing("has no quota.", where=f"team {team}")
        pool.delete_quota(now, team, user)

    return await desk.change(act, lambda view, _: {"removed": True})


@router.get("/events", response_model=list[EventRow], responses=responses())
def list_events(
    desk: TheDesk,
    _: Viewer,
    after: Annotated[int | None, Query(ge=0, lt=2**62)] = None,
    node: Annotated[str | None, Query(max_length=320, pattern=LINE)] = None,
    limit: Limit = 200,
) -> Any:
    """What happened, the latest first; ``after`` the id of an event that is known."""
    fields = ("id", "kind", "text", "node", "request_id", "lease_id")
    found = desk.past.events(limit, after, node)
    return JSONResponse([{name: row[name] for name in fields} | {"at": iso(row["at"])} for row in found])


@router.get("/metrics", response_model=None, responses={**responses(), 200: PROMETHEUS})
async def get_pool_metrics(desk: TheDesk, _: Viewer) -> Any:
    """Figures for Prometheus, in its text format."""
    return PlainTextResponse(await desk.ask(metrics_text), media_type="text/plain; version=0.0.4; charset=utf-8")
