"""Where revisions' servers can run, with the connections that Airflow keeps for it."""

from __future__ import annotations

from collections.abc import Callable

from include.kubernetes.client import CONNECTION
from include.runtime.settings import TARGETS, Settings
from include.serving.docker import DockerHost
from include.serving.host import Host, ProcessHost
from include.serving.kubernetes.access import ClusterAccess
from include.serving.kubernetes.host import KubernetesHost
from include.serving.kubernetes.options import FIELD
from include.serving.revisions import Hosts, Revisions
from lifecycle import targets
from lifecycle.cluster import NAMESPACE


def hosts(settings: Settings) -> Hosts:
    """By target, beside this machine's processes."""
    found: dict[str, Callable[[], Host]] = {DockerHost.name: lambda: DockerHost(settings, reach=targets.engine)}
    connection = targets.connection_of(CONNECTION)
    extra = connection.extra_dejson if connection else {}
    if FIELD in extra:
        found[KubernetesHost.name] = lambda: KubernetesHost(settings, ClusterAccess.of(extra, extra.get("namespace") or NAMESPACE))
    return found


def backend(settings: Settings) -> Revisions:
    """Revisions on every host that there is, for tasks: outside of them no connection is at hand, and :class:`Revisions` by itself knows
    those that were placed before, to start again and to end.
    """
    return Revisions(settings, hosts=hosts(settings))


def host_of(target: str | None, settings: Settings) -> str:
    """Where servers of a spec with this target run: processes of this machine where the target has no servers of its own. InputError for a
    name that is no target's."""
    wanted = target or settings.target
    if wanted not in TARGETS:
        raise targets.no_target(wanted)
    return wanted if wanted in hosts(settings) else ProcessHost.name


def facts(revisions: Revisions, model: str, version: int) -> dict[str, str]:
    """What the plugin's table says of a revision beside its state; nothing of one that there is not."""
    known = revisions.find(model, str(version))
    return {"target": known.target, "backend": known.backend, "endpoint": known.url} if known else {}
