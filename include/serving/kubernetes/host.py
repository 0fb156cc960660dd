"""Servers of revisions on a cluster: a Deployment and its Service each, known by the revision's name.

What the cluster holds is the truth: a worker that dies leaves a Deployment that the next try finds, and applies again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from include import atomic
from include.backends.backend import Backend, Place
from include.backends.cause import TAIL_BYTES, last_cause
from include.errors import ComponentError, InputError, UpdraftError
from include.kubernetes.apply import Applier, explained
from include.kubernetes.client import CONNECTION, RAW
from include.kubernetes.labels import labels_of
from include.kubernetes.patience import insist
from include.pool.grants import KubernetesPlace, kubernetes
from include.pool.state import Grant
from include.runtime.settings import Settings
from include.runtime.supervisor import State
from include.serving.host import Address, Host, Instance
from include.serving.kubernetes import server as rendered
from include.serving.kubernetes import words
from include.serving.kubernetes.access import ClusterAccess
from include.serving.kubernetes.deployment import revision, service
from include.serving.kubernetes.options import ClusterOptions
from include.serving.lease import RevisionLease
from include.serving.revision import Revision
from include.spec.serve import Serve
from include.targets.kubernetes import REGISTRY_S

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LOOK_S = 0.5
"""The cluster is looked at this often at most."""
EVENTS_S = 3.0
AWAY_S = 120.0
"""The API server may be away for so long: what was last seen counts, and what must be done is tried again."""
END_S = 60.0
"""On top of its grace, a node may take so long to say that a pod has ended."""
DEPLOYMENT = ("apps/v1", "Deployment")
Json = dict[str, Any]
T = TypeVar("T")


@dataclass
class _Seen:
    """A revision's Deployment and its pods as they were last seen; times are monotonic."""

    deployment: Json | None = None
    pods: list[Json] = field(default_factory=list)
    at: float = float("-inf")
    good_at: float = float("-inf")
    events: dict[str, list[Json]] = field(default_factory=dict)
    events_at: float = float("-inf")
    stuck_since: float | None = None


class KubernetesHost(Host):
    """Deployments in one namespace of a cluster; ``applier`` makes what brings objects there.

    Without ``access`` the cluster is that of the last deployment: nobody but a task can ask for a connection of Airflow's.
    """

    name = "kubernetes"
    heals = True  # by the liveness probe
    multiplies = True  # a Deployment's, behind its Service

    def __init__(
        self,
        settings: Settings,
        access: ClusterAccess | None = None,
        applier: Callable[[ApiClient, str], Applier] = Applier,
        away_s: float = AWAY_S,
    ) -> None:
        super().__init__(settings)
        self._given, self._make_applier, self._away_s = access, applier, away_s
        self._known: dict[str, _Seen] = {}

    def prepare(self, backend: Backend, serve: Serve) -> None:
        self._insist(lambda: self._applier)
        self._access.save(self._settings)

    def address(self, model: str, version: str, backend: Backend, serve: Serve, taken: Collection[int]) -> Address:
        """The Service's, which is made for it: a revision keeps its address however often its server is started."""
        options, name = self._options, rendered.name_of(model, int(version))
        ports = rendered.ports_of(backend, serve)
        if options.address == "dns":
            return Address(name + (options.address_of or f".{options.namespace}.svc.cluster.local"), *ports.values())
        made = self._insist(lambda: self._applier.put(service(model, int(version), ports, options)))
        if options.address == "cluster-ip":
            return Address(str(made["spec"]["clusterIP"]), *ports.values())
        found = {port["name"]: int(port["nodePort"]) for port in made["spec"]["ports"]}
        return Address(options.address_of, *(found[name] for name in ports))

    def place(self, instance: Instance) -> Place:
        mine = instance.revision
        return rendered.place_of(mine.model, int(mine.version), instance.serve, self._options)

    def run(self, instance: Instance) -> None:
        mine = instance.revision
        _let_in(instance.folder)
        laid = instance.backend.laid(instance.folder)
        wanted = rendered.Workload(mine.model, instance.serve, int(mine.version), self._options, _place(instance.lease), laid)
        self._insist(lambda: self._applier.apply(revision(wanted)))
        found = self._insist(lambda: self._applier.get(*DEPLOYMENT, wanted.name))
        if found is not None and (words.paused(found) or (not wanted.scales and words.number(found) != wanted.least)):
            self._scale(wanted.name, wanted.least)
        self._known.pop(mine.program, None)

    def end(self, program: str) -> None:
        if (name := _name(program)) is None:
            return
        self._insist(lambda: self._applier.delete(name))
        self._wait_gone(program, name)

    def pause(self, program: str) -> None:
        """Its Service stays, and with it its address."""
        name = _name(program)
        if name is not None and self._insist(lambda: self._applier.get(*DEPLOYMENT, name)) is not None:
            self._scale(name, 0)
            self._wait_gone(program, name)

    def state(self, program: str) -> State:
        found = self._look(program)
        if found.deployment is None or words.paused(found.deployment):
            return State.STOPPING if found.pods else State.ABSENT
        if words.rolled_out(found.deployment):
            return State.RUNNING
        if self._in_vain(found) is not None:
            return State.FATAL
        return State.BACKOFF if words.died(found.pods) else State.STARTING

    def ready(self, instance: Instance) -> bool:
        """Of this very version, and its Deployment's rollout is over."""
        if not super().ready(instance):
            return False
        try:
            found = self._look(instance.revision.program, insist=False).deployment
        except ComponentError:
            return True  # the API server is away, and its own word counts
        return found is not None and words.rolled_out(found)

    def logged(self, revision: Revision) -> int:
        return 0

    def cause(self, backend: Backend, revision: Revision, since: int) -> str:
        found = self._look(revision.program)
        if (vain := self._in_vain(found)) is not None:
            return str(vain)
        said = words.waiting(found.pods, self._events(found))
        logged = last_cause(self.log(revision), backend.causes, 0) if self._fetch_log(revision, found) else ""
        return " ".join(filter(None, (said, logged))) or "it logged nothing."

    def failure(self, backend: Backend, revision: Revision, since: int) -> UpdraftError:
        return self._in_vain(self._look(revision.program)) or super().failure(backend, revision, since)

    @cached_property
    def _applier(self) -> Applier:
        return self._make_applier(self._api, self._options.namespace)

    @cached_property
    def _access(self) -> ClusterAccess:
        found = self._given or ClusterAccess.read(self._settings)
        if found is None:
            remedy = "Deploy by the model's lifecycle or its rollback DAG."
            raise InputError("no cluster for servers is known here.", where=f"connection {CONNECTION}", remedy=remedy)
        return found

    @property
    def _options(self) -> ClusterOptions:
        return self._access.options

    @cached_property
    def _api(self) -> ApiClient:
        return self._access.client()

    @cached_property
    def _core(self) -> Any:
        from kubernetes.client import CoreV1Api

        return CoreV1Api(self._api)

    def _look(self, program: str, *, insist: bool = True) -> _Seen:
        """As it is, or as it was last seen while the API server is away. Raises its error when that takes too long, or (unless one is to
        ``insist``) when it was never seen."""
        seen = self._known.setdefault(program, _Seen())
        name, now = _name(program), time.monotonic()
        if name is None or (now - seen.at < LOOK_S and seen.good_at > float("-inf")):
            return seen
        seen.at = now

        def look() -> None:
            seen.deployment, seen.pods = self._applier.get(*DEPLOYMENT, name), self._pods(program)
            seen.good_at = time.monotonic()

        try:
            self._insist(look) if insist and seen.good_at == float("-inf") else look()
        except ComponentError:
            if now - seen.good_at > self._away_s:
                raise
        return seen

    def _in_vain(self, seen: _Seen) -> UpdraftError | None:
        if seen.deployment is None:
            return None
        seen.stuck_since = (seen.stuck_since or time.monotonic()) if words.stuck(seen.pods) else None
        patient = seen.stuck_since is None or time.monotonic() - seen.stuck_since < REGISTRY_S
        return words.in_vain(seen.deployment, seen.pods, self._events(seen), patient=patient)

    def _events(self, seen: _Seen) -> dict[str, list[Json]]:
        """Of pods that don't serve; none where nobody may list them."""
        waits = [pod["metadata"]["name"] for pod in seen.pods if not words.serves(pod)]
        if waits and time.monotonic() - seen.events_at > EVENTS_S:
            seen.events, seen.events_at = {name: self._events_of(name) for name in waits}, time.monotonic()
        return seen.events

    def _events_of(self, pod: str) -> list[Json]:
        asked = {"field_selector": f"involvedObject.name={pod}", "limit": 100}
        try:
            found = self._ask(lambda: self._core.list_namespaced_event(self._options.namespace, **asked, **RAW), "events")
        except UpdraftError:
            return []
        return sorted(found["items"], key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def _pods(self, program: str) -> list[Json]:
        """Those that are not over, the newest first."""
        model, _, version = program.removeprefix("revision-").rpartition("-")
        labels = labels_of(model) | {"updraft.io/revision": version}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        namespace = self._options.namespace
        found = self._ask(lambda: self._core.list_namespaced_pod(namespace, label_selector=selector, **RAW), "pods")
        living = [pod for pod in found["items"] if not words.over(pod)]
        return sorted(living, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)

    def _fetch_log(self, revision: Revision, seen: _Seen) -> bool:
        """What its server has logged last, into the revision's log on this machine. False when there is nothing to fetch."""
        for pod in seen.pods:
            again = words.restarts(pod) > 0 and not words.serves(pod)
            told = {"limit_bytes": TAIL_BYTES, "tail_lines": 500, "previous": again, **RAW}
            asked = partial(self._core.read_namespaced_pod_log, pod["metadata"]["name"], self._options.namespace, **told)
            try:
                text = explained(asked, "log").data
            except UpdraftError:  # not started, gone, forbidden, away: the pod's own words must do
                continue
            if text.strip():
                self.log(revision).parent.mkdir(parents=True, exist_ok=True)
                atomic.write(self.log(revision), text.decode(errors="replace"))
                return True
        return False

    def _scale(self, name: str, replicas: int) -> None:
        from kubernetes.client import AppsV1Api

        apps, body = AppsV1Api(self._api), {"spec": {"replicas": replicas}}
        namespace = self._options.namespace
        self._insist(lambda: self._ask(lambda: apps.patch_namespaced_deployment_scale(name, namespace, body, **RAW), f"Deployment {name}"))

    def _wait_gone(self, program: str, name: str) -> None:
        """ComponentError when a node does not say that a server has ended: it may still run there."""
        found = self._insist(lambda: self._pods(program))
        grace_s = max((int(pod["spec"].get("terminationGracePeriodSeconds", 30)) for pod in found), default=0)
        until = time.monotonic() + grace_s + END_S
        while found:
            if time.monotonic() > until:
                raise words.left(found, name)
            for pod in found:
                if words.stuck([pod]):  # there is no process to end, and the node would take a minute to find out
                    self._forget(pod["metadata"]["name"])
            time.sleep(LOOK_S)
            found = self._insist(lambda: self._pods(program))
        self._known.pop(program, None)

    def _forget(self, pod: str) -> None:
        with suppress(InputError, ComponentError):  # it has gone by itself; else the next look finds it
            explained(lambda: self._core.delete_namespaced_pod(pod, self._options.namespace, grace_period_seconds=0, **RAW), f"Pod {pod}")

    def _ask(self, call: Callable[[], Any], what: str) -> Json:
        return dict(json.loads(explained(call, what).data))

    def _insist(self, call: Callable[[], T]) -> T:
        """The call's answer, tried again while the API server is away."""
        return insist(call, self._away_s)


def _name(program: str) -> str | None:
    """Of its objects; None for a server that is no revision's own."""
    model, _, version = program.removeprefix("revision-").rpartition("-")
    return rendered.name_of(model, int(version)) if version.isdigit() and model else None


def _let_in(folder: Path) -> None:
    """A server has a user of its own, and workers make files that nobody else may read."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _place(lease: RevisionLease | None) -> KubernetesPlace | None:
    if lease is None or not lease.held or not lease.grant:
        return None
    grant = {**lease.grant, "uuids": tuple(lease.grant["uuids"]), "indexes": tuple(lease.grant["indexes"])}
    return kubernetes(lease.lease_id, Grant(**grant), int(lease.ask["priority"]))
