"""The few calls of Kubernetes' API that a step needs, in plain JSON; what it refuses becomes a sentence for the user."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from include.errors import ComponentError, InputError, UpdraftError
from include.kubernetes.client import CONNECTION, ApiRefused, NoAnswer, ask_json
from include.kubernetes.patience import insist

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes.client import ApiClient

PATIENCE_S = 150.0
"""A call that must come through is tried again for so long while the API server doesn't answer."""
BUSY = (429, 500, 502, 503, 504)
WHERE = "Kubernetes"
RULE = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"')
QUOTA = re.compile(r"exceeded quota: (.*)$", re.DOTALL)
NO_PRIORITY = re.compile(r"no PriorityClass with name (\S+) was found")
KUEUE, KUEUE_VERSIONS = "kueue.x-k8s.io", ("v1beta2", "v1beta1")
NO_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found')
Json = dict[str, Any]


class Exists(Exception):
    """There is one of that name already."""


class Away(ComponentError):
    """The API server gives no answer, or is too busy for one."""


class Cluster:
    """One namespace of a cluster. ``patience_s``: see PATIENCE_S."""

    def __init__(self, api: ApiClient, namespace: str, patience_s: float = PATIENCE_S) -> None:
        from kubernetes import client

        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self.namespace, self._patience_s = namespace, patience_s

    def create_pod(self, body: Json) -> Json:
        """The pod as the cluster knows it. Raises Exists."""
        return self._insist(self._core.create_namespaced_pod, self.namespace, body)

    def create_secret(self, body: Json) -> None:
        """Raises Exists."""
        self._insist(self._core.create_namespaced_secret, self.namespace, body)

    def check_queue(self, name: str) -> None:
        """InputError when the namespace surely has no such LocalQueue of Kueue's: a pod would wait there for ever, or not at all."""
        served = False
        for version in KUEUE_VERSIONS:
            try:
                self._insist(self._custom.get_namespaced_custom_object, KUEUE, version, self.namespace, "localqueues", name)
                return
            except InputError:  # nobody may look
                return
            except _NotFound as absent:
                served = served or name in str(absent)
        where = f"connection {CONNECTION}, extra: steps.queue"
        if not served:
            raise InputError("the cluster has no Kueue.", where=where, remedy="Install it, or leave `queue` out.")
        what = f"namespace {self.namespace} has no LocalQueue {name}."
        raise InputError(what, where=where, remedy=f"Create it, or name one of `kubectl get localqueues -n {self.namespace}`.")

    def delete_secret(self, name: str) -> None:
        """Absent is fine."""
        self._insist_or_none(self._core.delete_namespaced_secret, name, self.namespace)

    def delete_pod(self, name: str, grace_s: int) -> None:
        """SIGTERM now, SIGKILL ``grace_s`` seconds later; said again, the shorter one counts. Absent is fine.

        0 is for pods that have ended: of others the cluster would forget that they may still run.
        """
        self._insist_or_none(self._core.delete_namespaced_pod, name, self.namespace, grace_period_seconds=grace_s)

    def find_pod(self, name: str) -> Json | None:
        """None when there is none."""
        return self._insist_or_none(self._core.read_namespaced_pod, name, self.namespace)

    def look_at_pod(self, name: str) -> Json | None:
        """The same, asked once. Raises Away."""
        try:
            return self._ask(self._core.read_namespaced_pod, name, self.namespace)
        except _NotFound:
            return None

    def events(self, pod: str) -> list[Json]:
        """What happened to the pods of that name in the last hour, latest last; none where nobody may list them."""
        try:
            answer = self._ask(self._core.list_namespaced_event, self.namespace, field_selector=f"involvedObject.name={pod}", limit=100)
        except (UpdraftError, _NotFound):
            return []
        return sorted(answer["items"], key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def _insist_or_none(self, call: Callable[..., Any], *args: Any, **options: Any) -> Json | None:
        try:
            return self._insist(call, *args, **options)
        except _NotFound:
            return None

    def _insist(self, call: Callable[..., Any], *args: Any, **options: Any) -> Json:
        """The call's answer, tried again while the server is away."""
        try:
            return insist(lambda: self._ask(call, *args, **options), self._patience_s, Away)
        except Away as away:
            raise ComponentError(f"{away.what} It was asked for {self._patience_s:.0f} s.", where=WHERE) from None

    def _ask(self, call: Callable[..., Any], *args: Any, **options: Any) -> Json:
        try:
            return ask_json(call, *args, **options)
        except ApiRefused as error:
            raise refused(error, self.namespace) from None
        except NoAnswer as error:
            raise Away(error.what, where=WHERE) from None


class _NotFound(Exception):
    pass


def refused(error: ApiRefused, namespace: str) -> Exception:
    """What the API's refusal means."""
    said = error.said
    if error.status == 404:
        return _no_namespace(namespace) if f'namespaces "{namespace}" not found' in said else _NotFound(said)
    if error.status == 409:
        return Exists()
    if error.status in BUSY:
        return Away(f"the API server answered {error.status}: {said:.300}", where=WHERE)
    if error.status == 401:
        return InputError("refuses the credentials.", where=WHERE, remedy=f"Renew those of connection {CONNECTION}.")
    if error.status == 403:
        return _forbidden(said, namespace)
    if error.status in (400, 422):
        return InputError(f"takes no such pod: {said:.600}", where=WHERE, remedy=f"Mend `steps` in the extra of connection {CONNECTION}.")
    return ComponentError(f"answered {error.status}: {said:.300}", where=WHERE)


def _no_namespace(namespace: str) -> InputError:
    remedy = f"Create it (kubectl create namespace {namespace}), or name another in the extra of connection {CONNECTION}."
    return InputError("does not exist.", where=f"namespace {namespace}", remedy=remedy)


def _forbidden(said: str, namespace: str) -> InputError:
    where = f"namespace {namespace}"
    if rule := RULE.search(said):
        verb, resource = rule["verb"], rule["resource"] + (f".{rule['group']}" if rule["group"] else "")
        grant = f"kubectl create role updraft-{verb}-{rule['resource']} -n {namespace} --verb={verb} --resource={resource}"
        remedy = f"Allow it ({grant}, and bind it), or apply docker/kubernetes."
        return InputError(f"the user of connection {CONNECTION} may not {verb} {resource}.", where=where, remedy=remedy)
    if quota := QUOTA.search(said):
        remedy = "Wait for others to finish, ask for less (`steps.cpu`, `steps.memory`), or raise the ResourceQuota."
        return InputError(f"its quota is used up: {quota[1]}.", where=where, remedy=remedy)
    if missing := NO_PRIORITY.search(said):
        remedy = "Create Updraft's PriorityClasses: kubectl apply -k docker/kubernetes."
        return InputError(f"the cluster has no PriorityClass {missing[1]}.", where=WHERE, remedy=remedy)
    if missing := NO_ACCOUNT.search(said):
        remedy = f"Create it, or name another in `steps.service_account` of connection {CONNECTION}."
        return InputError(f"has no service account {missing[1]}.", where=where, remedy=remedy)
    return InputError(f"the pod is not allowed: {said:.600}", where=where, remedy="Ask whoever runs the cluster.")
