"""Where revisions' servers can run, with the connections that Airflow keeps for it."""

from __future__ import annotations

from include.platform.settings import Settings
from include.serving.backend import Backend, Hosts
from include.serving.host import ProcessHost


def hosts(settings: Settings) -> Hosts:
    """By target, beside this machine's processes."""
    return {}


def backend(settings: Settings) -> Backend:
    """Revisions on every host that there is."""
    return Backend(settings, hosts=hosts(settings))


def host_of(target: str | None, settings: Settings) -> str:
    """Where servers of a spec with this target run: processes of this machine where the target has no servers of its own."""
    wanted = target or settings.target
    return wanted if wanted in hosts(settings) else ProcessHost.name
