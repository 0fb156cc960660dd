"""Keeps the GPU leases of revisions alive, ends what has stood by, and reconciles what runs with what shall run.

`python -m lifecycle.keeper`, run by supervisord. Of several such processes, on one machine or many, one works at a time
(`lifecycle.db.owner`).

A revision that is told to stop is stopped, is PREEMPTED, and waits in the pool's queue; when there is room it starts again, on whichever
GPU it gets. Everything it knows is in the revisions' folders and in the pool: killed at any moment, it goes on.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from gpu_pool.client import Held, LeaseLost, PoolClient
from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.kinds.known import Specs
from include.pool.ask import Ask
from include.registry.mlflow import Mlflow
from include.release.production import Production
from include.replicas.load import Aim
from include.replicas.number import Bounds
from include.replicas.schedule import bounds_of
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, SERVICE, Credentials
from include.runtime.settings import Settings
from include.serving.kubernetes.gateway import gateway_of
from include.serving.lease import RevisionLease
from include.serving.revision import Revision, RevisionState
from include.serving.revisions import Revisions
from include.spec.schema import Spec
from lifecycle import hosts
from lifecycle.db import serving
from lifecycle.deeds import Deeds
from lifecycle.fleet import Fleet
from lifecycle.hosts import backend as servers
from lifecycle.loads import Loads, under_way
from lifecycle.reconciler import Reconciler
from lifecycle.replica_deeds import ReplicaDeeds
from lifecycle.standby import end_expired
from lifecycle.standing_in import StandIns

EVERY_S, RECONCILE_S = 3.0, 1.0
LETS_GO_S = 3.0
"""So long one of several servers may finish its requests before it makes room (seconds)."""
Record = Callable[[Revision, RevisionState, str], None]
Seen = Callable[[str, int, RevisionState, str], None]


class Keeper:
    """One look at every server is one :meth:`round`. ``withdraw`` lets one of several finish its requests before it stops for others."""

    def __init__(
        self,
        backend: Revisions,
        pool: PoolClient,
        record: Record,
        say: Callable[[str], None] = print,
        withdraw: Callable[[Revision, float], None] = lambda server, at_most_s: None,
    ) -> None:
        self._backend, self._pool, self._record, self._say, self._withdraw = backend, pool, record, say, withdraw
        self._known: dict[str, RevisionLease] = {}
        self._starting: set[str] = set()
        self._away = ""

    def round(self) -> None:
        """Renew, stop, wait or start, each revision by itself; what fails is tried again in the next round."""
        seen = {}
        for revision in self._backend.servers():
            lease = self._backend.lease(revision)
            if lease is None:
                continue
            seen[revision.name] = lease
            try:
                if self._backend.halted(revision):
                    self._lay_down(revision, lease)
                else:
                    self._hold(revision, lease) if lease.held else self._wait(revision, lease)
                self._away = ""
            except UpdraftError as error:
                self._tell(str(error))
        kept = {lease.key for lease in seen.values()}
        for gone in self._known.keys() - seen.keys():
            if self._known[gone].key not in kept:  # else others are on its server still
                self._give_back(self._known[gone])
            self._starting.discard(gone)
        self._known = seen

    def _hold(self, revision: Revision, lease: RevisionLease) -> None:
        try:
            held = self._pool.renew(lease.lease_id, lease.token)
        except LeaseLost as lost:
            if self._backend.lease(revision) == lease:  # else a deployment has asked anew meanwhile, and holds it
                self._stop(revision, lease, str(lost))
            return
        if held.notice is not None:
            self._let_go(revision)
            self._stop(revision, lease, f"{held.notice.kind}: {held.notice.reason}")
            self._pool.release(lease.lease_id, lease.token, requeue=True)
        elif self._backend.state(revision) is RevisionState.RUNNING and revision.name in self._starting:
            self._starting.discard(revision.name)
            self._told(revision, RevisionState.RUNNING, "")
            self._say(f"{revision.name} serves again.")

    def _stop(self, revision: Revision, lease: RevisionLease, why: str) -> None:
        """Written down only once the server is gone: a keeper that is killed in between stops it again."""
        self._backend.pause(revision)
        self._backend.keep_lease(revision, lease.without())
        for one in self._on_its_server(revision):
            self._told(one, RevisionState.PREEMPTED, why)
        self._say(f"{revision.name} was stopped ({why}) and waits for its next turn.")

    def _let_go(self, revision: Revision) -> None:
        """One of several finishes its requests first; not for long, for all other leases wait for it."""
        try:
            if revision.number > 1 or self._backend.replicas(revision):
                self._withdraw(revision, LETS_GO_S)
        except UpdraftError as error:  # alone, or the gateway is away: it stops all the same
            self._tell(str(error))

    def _told(self, revision: Revision, state: RevisionState, why: str) -> None:
        """A revision is as its first server is; of the others the reconciler tells."""
        if revision.number == 1:
            self._record(revision, state, why)

    def _wait(self, revision: Revision, lease: RevisionLease) -> None:
        wanted = self._pool.submit(lease.key, Ask.from_json(lease.ask))
        if wanted.lease is None:
            return
        for one in self._on_its_server(revision):
            self._starting.add(one.name)
            self._told(one, RevisionState.STARTING, "")
        self._backend.resume(revision, _with(lease, wanted.id, wanted.lease))
        self._say(f"{revision.name} has {wanted.lease} and starts.")

    def _lay_down(self, revision: Revision, lease: RevisionLease) -> None:
        """A person has stopped it: its GPU goes back, and it asks for none until it is started again."""
        if lease.held:
            self._pool.release(lease.lease_id, lease.token)
        elif lease.request_id:
            self._pool.cancel(lease.request_id)
        if lease.held or lease.request_id:
            self._backend.keep_lease(revision, replace(lease.without(), request_id=""))

    def _on_its_server(self, revision: Revision) -> list[Revision]:
        """The revision, and those that share its server and its lease."""
        return [one for one in self._backend.servers() if one.program == revision.program]

    def _give_back(self, lease: RevisionLease) -> None:
        """Its revision is gone."""
        try:
            if lease.held:
                self._pool.release(lease.lease_id, lease.token)
            elif lease.request_id:
                self._pool.cancel(lease.request_id)
        except UpdraftError as error:
            self._tell(f"{error} The lease ends by itself.")

    def _tell(self, text: str) -> None:
        """Once: a server that is away is no news at every round."""
        if text != self._away:
            self._say(text)
        self._away = text


def _with(lease: RevisionLease, request_id: str, held: Held) -> RevisionLease:
    return RevisionLease(lease.key, lease.ask, held.id, held.token, request_id, held.environment(), held.grant())


def main() -> None:
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")  # connections are read out of the database, as the API server does
    from airflow import settings as airflow

    settings = Settings.load()
    credentials = Credentials.load(settings.home)
    airflow.initialize()
    backend = servers(settings)

    def api() -> AirflowApi:
        return AirflowApi(settings.airflow_url, SERVICE, credentials.airflow_passwords[SERVICE])

    def mlflow() -> Mlflow:
        return Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password)

    own, registry = api(), mlflow()

    def told(model: str, version: int, state: RevisionState, message: str) -> None:
        """What the lifecycle's own part has done: what is wanted from then on follows it."""
        body = {"model": model, "version": version, "state": state.value, "message": message[:4000]}
        own.call("PUT", "/lifecycle/v1/revisions", json=body | hosts.facts(backend, model, version))

    def production(model: str) -> Production:
        return Production(model, settings, registry, partial(told, model), gateway=gateway_of(settings, model), backend=backend)

    seen = partial(_seen, backend)
    specs = Specs(settings.models)
    reconciler, replica_deeds = _reconciler(settings, backend, mlflow, lambda: PoolClient(api()), seen, specs)
    keeper = Keeper(
        backend, PoolClient(own), lambda one, state, why: seen(one.model, int(one.version), state, why), _say, replica_deeds.withdraw
    )

    def leases() -> None:
        if reconciler.owns(time.monotonic()):
            keeper.round()
            for name in end_expired(backend, production):
                _say(f"{name} has stood by for long enough.")

    threading.Thread(target=forever, args=(leases, EVERY_S, _say), name="leases", daemon=True).start()
    forever(lambda: reconciler.round(datetime.now(UTC), time.monotonic()), RECONCILE_S, _say)


def _reconciler(
    settings: Settings, backend: Revisions, mlflow: Callable[[], Mlflow], pool: Callable[[], PoolClient], seen: Seen, specs: Specs
) -> tuple[Reconciler, ReplicaDeeds]:
    from airflow.utils.session import create_session

    def fallbacks() -> dict[str, str]:
        found = specs.get(time.monotonic())
        return {name: spec.serve.fallback for name, spec in found.items() if spec.serve.fallback}

    def bounds() -> dict[str, Bounds]:
        return {name: bounds_of(spec.serve.replicas, datetime.now(UTC)) for name, spec in specs.get(time.monotonic()).items()}

    def aims() -> dict[str, Aim]:
        found = {name: spec.serve.replicas for name, spec in specs.get(time.monotonic()).items()}
        return {name: Aim(one.in_flight, one.up_s, one.down_s) for name, one in found.items() if one.in_flight is not None}

    def spec_of(name: str) -> Spec | None:
        return specs.get(time.monotonic()).get(name)

    deeds = Deeds(settings, backend, mlflow, pool, spec_of, seen)
    own = ReplicaDeeds(settings, backend, lambda model: Gateway(settings), mlflow, pool, spec_of)
    loads = Loads(aims, lambda: under_way(Gateway(settings).admin), _say)
    fleet = Fleet(backend, own, create_session, bounds, lambda: Gateway(settings).table(), _say, loads)
    me = f"{socket.gethostname()}:{settings.home}/{uuid4().hex[:12]}"
    return Reconciler(me, backend, deeds, create_session, _say, StandIns(lambda: Gateway(settings), fallbacks, _say), fleet), own


def _seen(backend: Revisions, model: str, version: int, state: RevisionState, message: str) -> None:
    """Keep what was seen; what is wanted stays as it is."""
    from airflow.utils.session import create_session

    with create_session() as session:
        serving.note_state(session, (model, version), state.value, message, datetime.now(UTC), hosts.facts(backend, model, version))


def _say(text: str) -> None:
    print(text, flush=True)


def forever(round: Callable[[], None], every_s: float, say: Callable[[str], None]) -> None:
    """Do it again and again; what goes wrong is said once, and tried again."""
    before = ""
    while True:
        try:
            round()
            before = ""
        except Exception as error:  # a database that is away, say: whoever ends here keeps nothing alive
            words = f"{type(error).__name__}: {error}"
            if words != before:
                say(words)
            before = words
        time.sleep(every_s)


if __name__ == "__main__":
    main()
