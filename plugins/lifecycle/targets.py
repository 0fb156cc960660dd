"""Where a run's steps run: the target that its spec names, with the connections that Airflow keeps for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

from gpu_pool.client import Held
from include.errors import ComponentError, InputError
from include.targets.docker import DockerTarget, Place
from include.targets.docker_errors import CONNECTION, explained
from include.targets.process import ProcessTarget
from include.targets.ray import CONNECTION as RAY
from include.targets.ray import Place as RayPlace
from include.targets.ray import RayTarget
from include.targets.target import Target
from lifecycle.cluster import cluster
from lifecycle.run import Run

if TYPE_CHECKING:
    from airflow.sdk import Connection

DOCKER = "updraft_docker"
ENGINE = "unix:///var/run/docker.sock"
TLS = ("ca_cert", "client_cert", "client_key")


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
        case _:
            return ProcessTarget(run.settings)


def ray_cluster(run: Run) -> RayTarget:
    """The Ray cluster behind the connection ``updraft_ray``: its dashboard's host, port and schema; password: the token of its API;
    extra: ``python`` and ``code`` on its nodes. InputError when there is none."""
    connection = _connection(RAY)
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
    connection = _connection(DOCKER)
    extra = connection.extra_dejson if connection else {}
    registry = (connection.host or "") + (f":{connection.port}" if connection.port else "") if connection else ""
    return DockerTarget(run.settings, _client(connection, extra), Place.of(extra, registry), run.spec.limits)


def _client(connection: Connection | None, extra: dict[str, Any]) -> Any:
    """The provider's own: it logs in to the registry."""
    from airflow.providers.docker.hooks.docker import DockerHook
    from docker.errors import DockerException

    login = DOCKER if connection and connection.host and connection.login else None
    try:
        engine, tls = _engine(extra)
        return DockerHook(login, base_url=engine, version="auto", tls=tls).api_client
    except DockerException as error:
        raise explained(error) from None
    except AirflowException:
        remedy = f"The log above says why. Its address is in {CONNECTION} (extra: engine), else in DOCKER_HOST of `make up`."
        raise ComponentError(f"does not answer at {engine}.", where="Docker engine", remedy=remedy) from None


def _engine(extra: dict[str, Any]) -> tuple[str, Any]:
    """Its address, and what TLS needs. Raises InputError, and DockerException for files that are not there."""
    from airflow.providers.docker.hooks.docker import DockerHook
    from docker.utils import kwargs_from_env

    if not extra.get("engine"):
        found = kwargs_from_env()
        return found.get("base_url") or ENGINE, found.get("tls")
    given = [name for name in TLS if extra.get(name)]
    if given and len(given) < len(TLS):
        missing = ", ".join(name for name in TLS if name not in given)
        raise InputError(f"has {', '.join(given)}, and no {missing}.", where=CONNECTION, remedy="TLS needs all three, as paths of files.")
    ca_cert, client_cert, client_key = (extra.get(name) for name in TLS)
    return str(extra["engine"]), DockerHook.construct_tls_config(ca_cert, client_cert, client_key)


def _connection(name: str) -> Connection | None:
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None
