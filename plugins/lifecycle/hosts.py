"""Where revisions' servers can run, with the connections that Airflow keeps for it."""

from __future__ import annotations

from include.platform.settings import Settings
from include.serving.backend import Backend, Hosts
from include.serving.docker import DockerHost
from include.serving.host import ProcessHost
from lifecycle import targets


def hosts(settings: Settings) -> Hosts:
    """By target, beside this machine's processes."""
    return {DockerHost.name: lambda: DockerHost(settings, reach=targets.engine)}


def standing(settings: Settings) -> Backend:
    """Revisions that were placed before: to start again, and to end. No connection is asked for, or at hand, outside of tasks."""
    return Backend(settings)


def backend(settings: Settings) -> Backend:
    """Revisions on every host that there is."""
    return Backend(settings, hosts=hosts(settings))


def host_of(target: str | None, settings: Settings) -> str:
    """Where servers of a spec with this target run: processes of this machine where the target has no servers of its own."""
    wanted = target or settings.target
    return wanted if wanted in hosts(settings) else ProcessHost.name
