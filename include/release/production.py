"""What serves a model in production, and how that changes: deploy beside, promote, roll back, return.

Each method may be repeated and may have been interrupted anywhere: it looks at what is there and does what is missing. The order is
always the same: the gateway first, then the registry's aliases, then the loser is drained and stopped. Which version is champion is
MLflow's to know; who gets traffic is the gateway's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from include.bundles.about import describe
from include.errors import ComponentError, InputError
from include.gateway.gateway import Gateway
from include.kinds.registry import kind_serving
from include.registry.mlflow import CHALLENGER, CHAMPION, PREVIOUS, Mlflow
from include.release.unasked import unasked
from include.runtime.settings import Settings
from include.serving.drain import drain
from include.serving.host import ProcessHost
from include.serving.lease import RevisionLease
from include.serving.revision import Revision, RevisionState
from include.serving.revisions import Revisions
from include.spec.serve import Serve
from include.verdict import Decision, Verdict

Record = Callable[[int, RevisionState, str], None]
"""Told of every change of a revision's state: version, state, message."""


class Production:
    """One model's production. ``backend``: of its revisions; without it they are processes of this machine."""

    def __init__(
        self,
        model: str,
        settings: Settings,
        mlflow: Mlflow,
        record: Record,
        *,
        gateway: Gateway | None = None,
        backend: Revisions | None = None,
    ) -> None:
        self._model, self._settings, self._mlflow, self._record = model, settings, mlflow, record
        self._gateway = gateway or Gateway(settings)
        self._backend = backend or Revisions(settings)

    def deploy(
        self,
        version: int,
        bundle: Path,
        serve: Serve,
        params: Mapping[str, Any],
        lease: RevisionLease | None = None,
        target: str = ProcessHost.name,
    ) -> Verdict:
        """A revision of the version beside what serves now, without traffic, its golden inputs answered rightly through the gateway.

        ``target``: of the host that its server runs on.

        The verdict is a FAIL, and nothing is left running, when an answer differs from its reference.
        """
        with self._lock():
            return self._deploy(version, bundle, serve, params, lease, target)

    def deploy_again(
        self,
        version: int,
        bundle: Path,
        serve: Serve,
        params: Mapping[str, Any],
        lease: RevisionLease | None,
        target: str,
        still: Callable[[], bool],
    ) -> Verdict | None:
        """The same, unless production is being changed now, or ``still`` says by then that it is not wanted any more: then None."""
        try:
            with self._lock(timeout_s=0):
                return self._deploy(version, bundle, serve, params, lease, target) if still() else None
        except Timeout:
            return None

    def _deploy(
        self, version: int, bundle: Path, serve: Serve, params: Mapping[str, Any], lease: RevisionLease | None, target: str
    ) -> Verdict:
        self._record(version, RevisionState.STARTING, "")
        try:
            revision = self._backend.start(bundle, self._model, str(version), serve, params, lease, target)
            self._gateway.add_revision(replace(revision.endpoint(), about=describe(bundle, self._model, str(version))))
            verdict = self._probe(revision, bundle, serve)
        except (InputError, ComponentError) as error:
            self._end(str(version), 0)
            self._record(version, RevisionState.ERROR, str(error))
            raise
        if verdict.decision is Decision.PASS:
            self._record(version, RevisionState.RUNNING, "")
        else:
            self._end(str(version), 0)
            self._record(version, RevisionState.ERROR, "; ".join(verdict.reasons))
        return verdict

    def halt(self, version: int, drain_s: float) -> dict[str, int] | None:
        """Stop the version's server until it is started again. Where others share the traffic, they get its part first and it finishes
        its requests; the split from then on, None where that is as it was."""
        with self._lock():
            revision, split = self._backend.find(self._model, str(version)), self._gateway.split(self._model)
            if revision is None:
                return None
            weights = without(str(version), split.weights) if split else {}
            if split and weights:
                mirror = None if split.mirror == str(version) else split.mirror
                self._gateway.set_split(self._model, weights, mirror, split.tap)
            if not split or str(version) not in split.weights or weights:
                with suppress(ComponentError):  # a gateway that is away sends it nothing
                    drain(self._gateway.admin, revision.endpoint().cluster, drain_s)
            self._backend.halt(revision)
            return weights or None

    def remove(self, version: int, drain_s: float) -> None:
        """Take a version that serves nobody away. InputError for a champion, and for one that has traffic."""
        with self._lock():
            if self._mlflow.aliases(self._model).get(CHAMPION) == version:
                raise InputError("it is the champion.", where=f"version {version} of {self._model}", remedy="Promote another first.")
            self._end(str(version), drain_s)
            self._record(version, RevisionState.STOPPED, "")

    def challenge(self, version: int) -> None:
        """The version is on trial."""
        self._mlflow.set_alias(self._model, CHALLENGER, version)

    def promote(self, version: int, drain_s: float, standby_s: float = 0) -> None:
        """All traffic to the version, which is champion from now on; every other revision finishes its requests and stops.

        The champion before it stands by for ``standby_s`` seconds first.
        """
        with self._lock():
            if str(version) not in self._gateway.revisions(self._model):
                raise InputError(
                    f"version {version} has no revision at the gateway.",
                    where=f"production of {self._model}",
                    remedy="Deploy it first: run the lifecycle, or its rollback DAG with this version.",
                )
            self._gateway.set_split(self._model, {str(version): 100})
            champion = self._mlflow.aliases(self._model).get(CHAMPION)
            if champion != version:
                if champion is not None:
                    self._mlflow.set_alias(self._model, PREVIOUS, champion)
                self._mlflow.set_alias(self._model, CHAMPION, version)
            self._mlflow.delete_alias(self._model, CHALLENGER)
            self._stand_by(str(self._mlflow.aliases(self._model).get(PREVIOUS)), standby_s)
            self._end_others(str(version), drain_s)

    def rollback(self, version: int, drain_s: float) -> float:
        """All traffic to the champion; the version finishes its requests and stops. Seconds until the gateway had done it.

        A version that is the champion is left alone: it has won meanwhile, or never was on trial.
        """
        started = time.monotonic()
        with self._lock():
            champion = self._mlflow.aliases(self._model).get(CHAMPION)
            if champion == version:
                return 0.0
            split = self._gateway.split(self._model)
            if champion is None or str(champion) not in self._gateway.revisions(self._model):
                if split is not None and str(version) in split.weights:
                    self._gateway.retire(self._model)
            elif split is None or split.weights != {str(champion): 100} or split.mirror is not None:
                self._gateway.set_split(self._model, {str(champion): 100})
            seconds = time.monotonic() - started
            if self._mlflow.aliases(self._model).get(CHALLENGER) == version:
                self._mlflow.delete_alias(self._model, CHALLENGER)
            self._end(str(version), drain_s)
            self._record(version, RevisionState.STOPPED, "")
            return seconds

    def retire(self, drain_s: float) -> list[int]:
        """Take the model out of production: callers get 404, its servers finish their requests and stop. Versions stay registered, but none
        is champion. The versions that ran. Raises InputError while one is on trial."""
        with self._lock():
            aliases = self._mlflow.aliases(self._model)
            if CHALLENGER in aliases:
                what = f"version {aliases[CHALLENGER]} is on trial."
                remedy = "Let its run end first, or end the trial on the model's page."
                raise InputError(what, where=f"production of {self._model}", remedy=remedy)
            known = {*self._gateway.revisions(self._model), *(revision.version for revision in self._backend.list(self._model))}
            if self._gateway.revisions(self._model):
                self._gateway.retire(self._model)
            for version in sorted(known, key=int):
                self._end(version, drain_s)
                self._record(int(version), RevisionState.STOPPED, "")
            for alias in (CHAMPION, PREVIOUS):
                self._mlflow.delete_alias(self._model, alias)
            return sorted(map(int, known))

    def end_standby(self, keep: int | None = None) -> None:
        """Stop what stands by, unless it is the version to ``keep``: its time is over, or its room is needed."""
        with self._lock():
            for revision in self._standing_by():
                if revision.version != str(keep):
                    self._take_traffic(revision.version)
                    self._end(revision.version, 0)
                    self._record(int(revision.version), RevisionState.STOPPED, "")

    def _take_traffic(self, version: str) -> None:
        """Give back to the champion what the watch has lent to the version that stands by."""
        split, champion = self._gateway.split(self._model), self._mlflow.aliases(self._model).get(CHAMPION)
        if split is not None and version in split.weights and str(champion) != version:
            self._gateway.set_split(self._model, {str(champion): 100})

    def serves_alone(self, version: int) -> bool:
        """Say whether the version is champion, has all traffic, and nothing else runs but what stands by."""
        split = self._gateway.split(self._model)
        if self._mlflow.aliases(self._model).get(CHAMPION) != version or split is None:
            return False
        if dict(split.weights) != {str(version): 100} or split.mirror is not None:
            return False
        revision = self._backend.find(self._model, str(version))
        return revision is not None and self._backend.ready(revision) and self._others(str(version)) == set()

    def previous(self) -> int:
        """The version that was champion before. InputError when there is none."""
        previous = self._mlflow.aliases(self._model).get(PREVIOUS)
        if previous is None:
            raise InputError(
                "no version was champion before the present one.",
                where=f"production of {self._model}",
                remedy="Name a version to return to.",
            )
        return previous

    def _probe(self, revision: Revision, bundle: Path, serve: Serve) -> Verdict:
        url, headers = self._settings.gateway_url, self._gateway.probe_headers(revision.version)
        if revision.protocol == "own":
            return unasked(revision.protocol)
        return kind_serving(serve).probe(url, headers, self._model, bundle, serve)

    def _standing_by(self) -> list[Revision]:
        return [revision for revision in self._backend.list(self._model) if self._backend.standby(revision) is not None]

    def _stand_by(self, version: str, seconds: float) -> None:
        revision = self._backend.find(self._model, version)
        if seconds and revision is not None and self._backend.ready(revision):
            self._backend.stand_by(revision, seconds)
            self._record(int(version), RevisionState.STANDBY, "")

    def _others(self, version: str) -> set[str]:
        """Versions with a revision or an entry at the gateway, but for this one and what stands by."""
        known = {*self._gateway.revisions(self._model), *(revision.version for revision in self._backend.list(self._model))}
        return known - {version} - {revision.version for revision in self._standing_by()}

    def _end_others(self, champion: str, drain_s: float) -> None:
        for version in sorted(self._others(champion)):
            self._end(version, drain_s)
            self._record(int(version), RevisionState.STOPPED, "")

    def _end(self, version: str, drain_s: float) -> None:
        """Drain, forget at the gateway, stop. The revision has no traffic any more."""
        endpoint = self._gateway.revisions(self._model).get(version)
        if endpoint is not None and drain_s:
            drain(self._gateway.admin, endpoint.cluster, drain_s)
        self._gateway.remove_revision(self._model, version)
        revision = self._backend.find(self._model, version)
        if revision is not None:
            # First: whoever is killed in between leaves nothing that is wanted and not there, which would be deployed again.
            self._record(int(version), RevisionState.STOPPING, "")
            self._backend.stop(revision)

    @contextmanager
    def _lock(self, timeout_s: float = -1) -> Iterator[None]:
        """One change of a model's production at a time on this machine. Timeout when another takes longer (negative: wait for ever)."""
        path = self._settings.home / "locks" / f"production-{self._model}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path, timeout=timeout_s):
            yield


def without(version: str, weights: Mapping[str, int]) -> dict[str, int]:
    """Return the shares of the others once a version has none: in proportion, whole percents, 100 in all; {} where it has none, or is
    alone. Pure."""
    others = {name: weight for name, weight in weights.items() if name != version and weight}
    if not weights.get(version) or not others:
        return {}
    whole = sum(others.values())
    found = {name: weight * 100 // whole for name, weight in others.items()}
    heaviest = max(found, key=lambda name: (found[name], name))
    return found | {heaviest: found[heaviest] + 100 - sum(found.values())}
