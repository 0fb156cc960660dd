"""The GPU that a revision's server is given: asked of the pool under the revision's own name, so that it never holds two leases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gpu_pool.client import PoolClient, Wanted
from gpu_pool.operators.holding import here
from include.pool.ask import PRIORITIES, Ask
from include.runtime.settings import Settings
from include.serving.gpu_ask import gpu_ask, lease_key
from include.serving.kubernetes.host import KubernetesHost
from include.serving.lease import RevisionLease
from include.serving.revisions import Revisions
from include.spec.serve import Serve
from include.targets.step_pods import NODES


def lease_for(
    pool: Callable[[], PoolClient],
    revisions: Revisions,
    settings: Settings,
    model: str,
    version: int,
    serve: Serve,
    bundle: Path,
    target: str,
    number: int = 1,
    *,
    surplus: bool = False,
) -> RevisionLease | Wanted | None:
    """Return what a revision's server of a number holds: a lease, the request that waits for one, or None when it needs no GPU.

    ``surplus``: the model serves without it; it makes room for others before the model's other servers do.

    Raises InputError for what can never be placed.
    """
    asked = gpu_ask(serve, bundle)
    if asked is None:
        return None
    if (shared := revisions.shared_lease(bundle, serve)) is not None:
        return shared
    revisions.check_gpu(serve, target)
    ask, name = placed(asked, target, settings), lease_key(model, version, serve, bundle, number)
    if surplus:
        ask = as_surplus(ask)
    wanted = pool().submit(name, ask)
    if wanted.lease is None:
        return wanted
    held = wanted.lease
    return RevisionLease(name, ask.to_json(), held.id, held.token, wanted.id, held.environment(), held.grant())


def as_surplus(ask: Ask) -> Ask:
    """The ask of a server that a model serves without: it makes room for a model's only server of the same priority."""
    return replace(ask, preemptible=True, priority=max(ask.priority - 1, PRIORITIES.start))


def placed(ask: Ask, target: str, settings: Settings) -> Ask:
    """The ask, for GPUs that servers of that target can use."""
    if target == KubernetesHost.name:
        return ask.among(NODES)
    return here(ask, settings)
