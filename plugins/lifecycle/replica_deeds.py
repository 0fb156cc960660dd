"""What is done to one server of a revision that has several: it looks at what is there, and may be repeated or killed anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable

from gpu_pool.client import PoolClient, Wanted
from include.backends import options
from include.errors import ComponentError
from include.gateway.gateway import Gateway
from include.kinds.registry import kind_serving
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles
from include.replicas.facts import Move
from include.runtime.revision_key import key_headers
from include.runtime.settings import Settings
from include.serving.quiet import wait_quiet
from include.serving.revision import Revision
from include.serving.revisions import Revisions
from include.spec.schema import Spec
from include.verdict import Decision
from lifecycle.db.replicas import At
from lifecycle.deeds import USUAL_DRAIN_S, Done
from lifecycle.leases import lease_for

WARMS_S = 5.0
"""The gateway takes a new list of servers within this: one that hangs is asked for its health first (seconds)."""


class ReplicaDeeds:
    """Effects on single servers. ``spec`` gives a model's spec, None where it has none that can be read."""

    def __init__(
        self,
        settings: Settings,
        backend: Revisions,
        gateway: Callable[[str], Gateway],
        mlflow: Callable[[], Mlflow],
        pool: Callable[[], PoolClient],
        spec: Callable[[str], Spec | None],
    ) -> None:
        self._settings, self._backend, self._gateway = settings, backend, gateway
        self._mlflow, self._pool, self._spec = mlflow, pool, spec

    def __call__(self, move: Move, at: At, server: Revision | None) -> Done:
        """Do it. UpdraftError when it fails."""
        if move is Move.ADD:
            return self._add(at)
        if server is None:
            if move is Move.REMOVE:
                self._gateway(at[0]).withdraw(at[0], str(at[1]), at[2])
            return Done()
        if move is Move.START:
            self._start(server)
        elif move is Move.RESTART:
            self._backend.restart(server)
        elif move is Move.ROLL:
            self.withdraw(server)
            self._backend.restart(server)
        elif move is Move.ADMIT:
            self._admit(server)
        elif move is Move.REMOVE:
            self.withdraw(server)
            self._backend.stop(server)
        return Done()

    def _add(self, at: At) -> Done:
        model, version, number = at
        first = self._backend.find(model, str(version))
        if first is None:
            return Done(later="Its first server is not there.")
        folder = bundles.fetch(self._mlflow(), model, version, self._settings.home / "bundles")
        serve, params = options.read(folder)
        spec = self._spec(model)
        surplus = spec is not None and number > spec.serve.replicas.min
        lease = lease_for(self._pool, self._backend, self._settings, model, version, serve, folder, first.target, number, surplus=surplus)
        if isinstance(lease, Wanted):
            return Done(later=f"It waits for a GPU: {lease.why()}")
        self._backend.start(folder, model, str(version), serve, params, lease, first.target, number)
        return Done()

    def _start(self, server: Revision) -> None:
        """One that needs a GPU is started by the keeper, once it has one."""
        lease = self._backend.lease(server)
        if lease is None or lease.held:
            self._backend.resume(server)

    def _admit(self, server: Revision) -> None:
        """At its own port, for the gateway sends it nothing yet."""
        if server.protocol != "own":
            folder = bundles.fetch(self._mlflow(), server.model, int(server.version), self._settings.home / "bundles")
            serve, _ = options.read(folder)
            headers = key_headers(self._settings, server.name)
            verdict = kind_serving(serve).probe(server.url, headers, server.model, folder, serve)
            if verdict.decision is not Decision.PASS:
                where = f"server {server.number} of version {server.version} of {server.model}"
                raise ComponentError("; ".join(verdict.reasons), where=where)
        self._gateway(server.model).admit(server.model, server.version, server.replica())

    def withdraw(self, server: Revision, at_most_s: float = math.inf) -> None:
        """Let it finish what it has begun, while the others take what comes. ComponentError when there is no other."""
        gateway = self._gateway(server.model)
        known = gateway.revisions(server.model).get(server.version)
        if known is None or server.replica() not in known.servers:
            return
        if not gateway.withdraw(server.model, server.version, server.number):
            raise ComponentError("it is the only one that takes requests.", where=f"server {server.number} of {server.name}")
        spec = self._spec(server.model)
        drain_s = spec.serve.drain_s if spec else USUAL_DRAIN_S
        wait_quiet(server.host, server.http_port, min(drain_s + WARMS_S, at_most_s), lambda: gateway.admin.warming(known.cluster))
