"""What the reconciler does to revisions: each deed looks at what is there, and may be repeated or killed anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gpu_pool.client import PoolClient, Wanted
from include.backends import options
from include.errors import ComponentError
from include.reconcile.facts import Step
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles
from include.release.production import Production
from include.runtime.settings import Settings
from include.serving.kubernetes.gateway import gateway_of
from include.serving.revision import Revision, RevisionState
from include.serving.revisions import Revisions
from include.spec.schema import Spec
from include.verdict import Decision
from lifecycle.hosts import host_of
from lifecycle.leases import lease_for

Key = tuple[str, int]
Record = Callable[[str, int, RevisionState, str], None]
USUAL_DRAIN_S = 5.0


@dataclass(frozen=True)
class Done:
    """``later``: why it is tried again soon, and is no failure (no GPU yet, production is being changed); empty once it is done.
    ``weights``: the model's split from then on, where the deed has changed it."""

    later: str = ""
    weights: dict[str, int] | None = None


class DeedsOf(Protocol):
    """Carries out one step for one revision."""

    def __call__(self, step: Step, key: Key, still: Callable[[], bool]) -> Done: ...


class Deeds:
    """Effects of a reconciler on this machine. ``spec`` gives a model's spec, None where it has none that can be read."""

    def __init__(
        self,
        settings: Settings,
        backend: Revisions,
        mlflow: Callable[[], Mlflow],
        pool: Callable[[], PoolClient],
        spec: Callable[[str], Spec | None],
        record: Record,
    ) -> None:
        self._settings, self._backend, self._mlflow, self._pool = settings, backend, mlflow, pool
        self._spec, self._record = spec, record

    def __call__(self, step: Step, key: Key, still: Callable[[], bool]) -> Done:
        """Do the step. ``still`` says whether it is wanted by the time that it can be begun. UpdraftError when it fails."""
        if step is Step.DEPLOY:
            return self._deploy(key, still)
        if step is Step.REMOVE:
            self._production(key[0]).remove(key[1], self._drain_s(key))
            return Done()
        revision = self._backend.find(key[0], str(key[1]))
        if revision is None:
            return Done()
        if step is Step.STOP:
            return Done(weights=self._production(key[0]).halt(key[1], self._drain_s(key)))
        if step is Step.RESTART:
            self._backend.restart(revision)
        if step is Step.START:
            self._start(revision)
        return Done()

    def _start(self, revision: Revision) -> None:
        """One that needs a GPU is started by the keeper, once it has one."""
        self._backend.unhalt(revision)
        lease = self._backend.lease(revision)
        if lease is None or lease.held:
            self._backend.resume(revision)

    def _deploy(self, key: Key, still: Callable[[], bool]) -> Done:
        model, version = key
        folder = bundles.fetch(self._mlflow(), model, version, self._settings.home / "bundles")
        serve, params = options.read(folder)
        spec = self._spec(model)
        target = host_of(spec.target if spec else None, self._settings)
        lease = lease_for(self._pool, self._backend, self._settings, model, version, serve, folder, target)
        if isinstance(lease, Wanted):
            return Done(later=f"It waits for a GPU: {lease.why()}")
        verdict = self._production(model, target).deploy_again(version, folder, serve, params, lease, target, still)
        if verdict is None:
            return Done(later="Production is being changed now.")
        if verdict.decision is not Decision.PASS:
            raise ComponentError("; ".join(verdict.reasons), where=f"version {version} of {model}")
        return Done()

    def _drain_s(self, key: Key) -> float:
        spec = self._spec(key[0])
        return spec.serve.drain_s if spec else USUAL_DRAIN_S

    def _production(self, model: str, target: str = "") -> Production:
        def record(version: int, state: RevisionState, message: str) -> None:
            self._record(model, version, state, message)

        gateway = gateway_of(self._settings, model, target)
        return Production(model, self._settings, self._mlflow(), record, gateway=gateway, backend=self._backend)
