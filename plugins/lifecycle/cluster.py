"""The cluster of Airflow's connection ``updraft_kubernetes``, as a target for steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_pool.client import Held
from include.errors import InputError
from include.inventory.declared import DECLARED
from include.kubernetes.client import CONNECTION
from include.pool.grants import grant_of, kubernetes, kubernetes_gang
from include.runtime import pinned
from include.runtime.settings import Settings
from include.spec.parts import Limits
from include.targets.kubernetes import KubernetesTarget
from include.targets.kubernetes_options import Options
from include.targets.trainjob import GangTarget

if TYPE_CHECKING:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from kubernetes.client import ApiClient

NAMESPACE = "default"
WHERE = f"connection {CONNECTION}"


def cluster(settings: Settings, limits: Limits, lease: Held | None, priority: int, nodes: int = 1) -> KubernetesTarget | GangTarget:
    """For a step on so many nodes.

    Which cluster and namespace, the connection says in the words of Airflow's own hook; ``steps`` in its extra is ours.

    InputError when the connection is missing or names no cluster. ``priority``: of the lease.
    """
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    hook = KubernetesHook(kubernetes_conn_id=CONNECTION)
    try:
        extra = hook.conn_extras
    except AirflowNotFoundException:
        raise InputError("does not exist.", where=WHERE, remedy="Add it (type kubernetes): docs/scaling.md says how.") from None
    options = Options.read(extra)
    pinned.insist(settings, pinned.DOOR, options.mlflow or "")
    if options.simulated_gpus and lease and all(uuid.startswith(DECLARED) for grant in lease.grants for uuid in grant.uuids):
        lease = None
    kind: type[KubernetesTarget | GangTarget] = KubernetesTarget
    place = None
    if nodes > 1:
        kind, place = GangTarget, kubernetes_gang(lease.id, lease.grants, priority) if lease else None
    elif lease:
        place = kubernetes(lease.id, grant_of(lease.grants), priority)
    return kind(settings, _client(hook), hook.get_namespace() or NAMESPACE, options, place, limits)


def _client(hook: KubernetesHook) -> ApiClient:
    from airflow.sdk.exceptions import AirflowException
    from kubernetes.config import ConfigException

    try:
        found = hook.get_conn()
        # Calls are tried again here, and what is amiss is said once; urllib3 would fill the task's log.
        found.rest_client.pool_manager.connection_pool_kw["retries"] = False
        return found
    except (ConfigException, AirflowException, OSError, ValueError, TypeError, KeyError) as error:
        remedy = "Set in_cluster, kube_config_path or kube_config in its extra."
        raise InputError(f"names no cluster ({error!s:.300}).", where=WHERE, remedy=remedy) from None
