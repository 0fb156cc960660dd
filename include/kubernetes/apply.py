"""Brings rendered objects to a cluster, and takes a version's away: server-side apply, owned by field manager and labels."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from include.errors import ComponentError, InputError
from include.kubernetes.client import ApiRefused, NoAnswer, ask
from include.kubernetes.labels import labels_of

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Document = dict[str, Any]
MANAGER = "updraft"
TRIES, PAUSE_S = 10, 0.2
PRUNED = (
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
)
"""The kinds that a revision has of its own."""


class Applier:
    """Applies to one namespace. Every call may be repeated, and two at once come to the same: the server merges field by field."""

    def __init__(self, api: ApiClient, namespace: str, pruned: Sequence[tuple[str, str]] = PRUNED) -> None:
        from kubernetes.dynamic import DynamicClient

        self._client: Any = explained(lambda: DynamicClient(api), "cluster")
        self._namespace, self._pruned = namespace, pruned

    def apply(self, documents: Sequence[Document]) -> list[str]:
        """What was applied, as ``Kind name``. InputError names the object that the server refuses; those before it stand."""
        return [f"{document['kind']} {self.put(document)['metadata']['name']}" for document in documents]

    def put(self, document: Document) -> Document:
        """Apply one; the object as the cluster has it from then on."""
        what = f"{document['kind']} {document['metadata']['name']}"
        return dict(explained(lambda: self._apply(document), what))

    def get(self, version: str, kind: str, name: str) -> Document | None:
        """The object as it is; None when there is none."""
        from kubernetes.dynamic.exceptions import NotFoundError

        def read() -> Document | None:
            resource = self._client.resources.get(api_version=version, kind=kind)
            try:
                return dict(self._client.get(resource, name=name, namespace=self._namespace).to_dict())
            except NotFoundError:
                return None

        found: Document | None = explained(read, f"{kind} {name}")
        return found

    def remove(self, version: str, kind: str, name: str) -> None:
        """Absent is fine."""
        explained(lambda: self._delete(version, kind, name), f"{kind} {name}")

    def delete(self, name: str) -> None:
        """A revision's own objects, which all have its name. Absent is fine."""
        for version, kind in self._pruned:
            with suppress(_Unknown):
                self.remove(version, kind, name)

    def prune(self, model: str, keep: Collection[int]) -> list[str]:
        """Delete the objects of every version of the model but these; what was deleted, as ``Kind name``."""
        if not keep:
            raise InputError("no version is kept.", where="--keep", remedy="Name those that serve.")
        wanted = ",".join(f"{name}={value}" for name, value in labels_of(model).items())
        selector = f"{wanted},updraft.io/revision,updraft.io/revision notin ({', '.join(map(str, sorted(keep)))})"
        done = []
        for version, kind in self._pruned:
            try:
                found = explained(lambda version=version, kind=kind: self._list(version, kind, selector), kind)
            except _Unknown:
                continue
            for name in found:
                explained(lambda version=version, kind=kind, name=name: self._delete(version, kind, name), f"{kind} {name}")
                done.append(f"{kind} {name}")
        return done

    def _apply(self, document: Document) -> Document:
        from kubernetes.dynamic.exceptions import ConflictError

        resource = self._client.resources.get(api_version=document["apiVersion"], kind=document["kind"])
        asked = {"name": document["metadata"]["name"], "namespace": self._namespace, "field_manager": MANAGER, "force_conflicts": True}
        tries = 0
        while True:
            try:
                return dict(self._client.server_side_apply(resource, body=document, **asked).to_dict())
            except ConflictError:  # two have made it at once: now it is there, and the next try is merged into it
                tries += 1
                if tries == TRIES:
                    raise
                time.sleep(PAUSE_S)

    def _list(self, version: str, kind: str, selector: str) -> list[str]:
        resource = self._client.resources.get(api_version=version, kind=kind)
        return sorted(one.metadata.name for one in self._client.get(resource, namespace=self._namespace, label_selector=selector).items)

    def _delete(self, version: str, kind: str, name: str) -> None:
        from kubernetes.dynamic.exceptions import NotFoundError

        resource = self._client.resources.get(api_version=version, kind=kind)
        with suppress(NotFoundError):  # by another, meanwhile
            self._client.delete(resource, name=name, namespace=self._namespace, body={"propagationPolicy": "Background"})


class _Unknown(InputError):
    """The cluster has no such kind, so no object of it."""


def explained(call: Any, what: str) -> Any:
    """What the call returns; what the cluster refuses, in a sentence."""
    from kubernetes.dynamic.exceptions import ResourceNotFoundError

    try:
        return ask(call)
    except ResourceNotFoundError:
        remedy = "Is it new enough, and is what serves this API installed?"
        raise _Unknown("the cluster does not know this API.", where=what, remedy=remedy) from None
    except ApiRefused as error:
        if 400 <= error.status < 500 and error.status != 429:
            raise InputError(f"the cluster refuses it: {error.said:.500}", where=what) from None
        raise ComponentError(f"the cluster answered {error.status}: {error.said:.300}", where=what) from None
    except NoAnswer as error:
        raise ComponentError(f"the cluster gives no answer ({error.why}).", where=what) from None
