"""Where a run's steps run: the target that its spec names, with the connections that Airflow keeps for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

from gpu_pool.client import Held
from include.errors import ComponentError
from include.targets.containers import Access, Place
from include.targets.docker import DockerTarget
from include.targets.docker_errors import CONNECTION, explained
from include.targets.process import ProcessTarget
from include.targets.target import Target
from lifecycle.cluster import cluster
from lifecycle.run import Run

if TYPE_CHECKING:
    from airflow.sdk import Connection

DOCKER = "updraft_docker"


def target_of(run: Run, lease: Held | None = None, priority: int = 5) -> Target:
    """The target of the run's spec, for steps that hold ``lease``."""
    match run.spec.target or run.settings.target:
        case "docker":
            return docker(run)
        case "kubernetes":
            return cluster(run.settings, run.spec.limits, lease, priority)
        case _:
            return ProcessTarget(run.settings)


def docker(run: Run) -> DockerTarget:
    """The Docker engine that the connection ``updraft_docker`` names in its extra: ``engine`` and, for TLS, ``ca_cert``, ``client_cert``,
    ``client_key``; without it that of ``DOCKER_HOST``, else this machine's. Its host, login and password are the registry's.
    """
    _, place, client = engine()
    return DockerTarget(run.settings, client, place, run.spec.limits)


def engine() -> tuple[Access, Place, Any]:
    """Where the Docker engine is, how it is used, and a client of it: the provider's own, which logs in to the registry."""
    from airflow.providers.docker.hooks.docker import DockerHook
    from docker.errors import DockerException

    connection = _connection(DOCKER)
    extra = connection.extra_dejson if connection else {}
    registry = (connection.host or "") + (f":{connection.port}" if connection.port else "") if connection else ""
    access, place = Access.of(extra, os.environ), Place.of(extra, registry)
    login = DOCKER if connection and connection.host and connection.login else None
    try:
        return access, place, DockerHook(login, base_url=access.url, version="auto", tls=access.tls() or False).api_client
    except DockerException as error:
        raise explained(error) from None
    except AirflowException:
        remedy = f"The log above says why. Its address is in {CONNECTION} (extra: engine), else in DOCKER_HOST of `make up`."
        raise ComponentError(f"does not answer at {access.url}.", where="Docker engine", remedy=remedy) from None


def _connection(name: str) -> Connection | None:
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None
