"""Where a run's steps run: the target that its spec names, with the connections that Airflow keeps for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

from gpu_pool.client import Held
from include.errors import ComponentError, InputError
from include.runtime.settings import TARGETS
from include.targets.containers import EngineAccess, EnginePlace
from include.targets.docker import DockerTarget
from include.targets.docker_errors import CONNECTION, explained
from include.targets.process import ProcessTarget
from include.targets.ray import CONNECTION as RAY
from include.targets.ray import RayPlace, RayTarget
from include.targets.target import Target
from lifecycle.cluster import cluster
from lifecycle.run import Run

if TYPE_CHECKING:
    from airflow.sdk import Connection

DOCKER = "updraft_docker"


def target_of(run: Run, lease: Held | None = None, priority: int = 5, *, nodes: int = 1, ray: bool = False) -> Target:
    """The target of the run's spec, for steps that hold ``lease``; of one that needs several ``nodes``, or is started by Ray."""
    if ray:
        return ray_cluster(run)
    target = run.spec.target or run.settings.target
    if nodes > 1 and target != "kubernetes":
        raise InputError(
            f"are {nodes}, and target {target} is one machine.",
            where="model.yaml: train.resources.nodes",
            remedy="Write `target: kubernetes`, or leave it out.",
        )
    match target:
        case "docker":
            return docker(run)
        case "kubernetes":
            return cluster(run.settings, run.spec.limits, lease, priority, nodes)
        case "process":
            return ProcessTarget(run.settings)
        case unknown:
            raise no_target(unknown)


def no_target(name: str) -> InputError:
    """Of a name that is no target's."""
    return InputError(f"there is no target {name!r:.60}.", where="model.yaml: target", remedy=f"Use one of: {', '.join(TARGETS)}.")


def ray_cluster(run: Run) -> RayTarget:
    """The Ray cluster behind the connection ``updraft_ray``: its dashboard's host, port and schema; password: the token of its API;
    extra: ``python`` and ``code`` on its nodes. InputError when there is none."""
    connection = connection_of(RAY)
    if connection is None:
        remedy = "Add it (type HTTP): docs/scaling.md says how. Or leave `train.launcher` out."
        raise InputError("does not exist.", where=f"connection {RAY}", remedy=remedy)
    port = f":{connection.port}" if connection.port else ""
    url = f"{connection.schema or 'http'}://{connection.host}{port}" if connection.host else ""
    return RayTarget(run.settings, RayPlace.of(url, connection.password or "", connection.extra_dejson))


def docker(run: Run) -> DockerTarget:
    """The Docker engine that the connection ``updraft_docker`` names in its extra: ``engine`` and, for TLS, ``ca_cert``, ``client_cert``,
    ``client_key``; without it that of ``DOCKER_HOST``, else this machine's. Its host, login and password are the registry's.
    """
    _, place, client = engine()
    return DockerTarget(run.settings, client, place, run.spec.limits)


def engine() -> tuple[EngineAccess, EnginePlace, Any]:
    """Where the Docker engine is, how it is used, and a client of it: the provider's own, which logs in to the registry."""
    from airflow.providers.docker.hooks.docker import DockerHook
    from docker.errors import DockerException

    connection = connection_of(DOCKER)
    extra = connection.extra_dejson if connection else {}
    registry = (connection.host or "") + (f":{connection.port}" if connection.port else "") if connection else ""
    access, place = EngineAccess.of(extra, os.environ), EnginePlace.of(extra, registry)
    login = DOCKER if connection and connection.host and connection.login else None
    try:
        return access, place, DockerHook(login, base_url=access.url, version="auto", tls=access.tls() or False).api_client
    except DockerException as error:
        raise explained(error) from None
    except AirflowException:
        remedy = f"The log above says why. Its address is in {CONNECTION} (extra: engine), else in DOCKER_HOST of `make up`."
        raise ComponentError(f"does not answer at {access.url}.", where="Docker engine", remedy=remedy) from None


def connection_of(name: str) -> Connection | None:
    """None where Airflow has none of that name."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None
