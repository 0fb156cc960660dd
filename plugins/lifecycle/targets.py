"""Where a run's steps run: the target that its spec names, with the connections that Airflow keeps for it."""

from __future__ import annotations

from gpu_pool.client import Held
from include.errors import InputError
from include.pool.targets import grant_of, kubernetes
from include.targets.kubernetes import KubernetesTarget
from include.targets.kubernetes_options import CONNECTION, Options
from include.targets.process import ProcessTarget
from include.targets.target import Target
from lifecycle.run import Run

NAMESPACE = "default"


def target_of(run: Run, lease: Held | None = None, priority: int = 5) -> Target:
    """The target of the run's spec, for steps that hold ``lease``."""
    if run.spec.target == "kubernetes":
        return _kubernetes(run, lease, priority)
    return ProcessTarget(run.settings)


def _kubernetes(run: Run, lease: Held | None, priority: int) -> KubernetesTarget:
    """The cluster that the connection ``updraft_kubernetes`` names, in the words of Airflow's own hook; ``steps`` in its extra are ours."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
    from kubernetes.config import ConfigException

    hook = KubernetesHook(kubernetes_conn_id=CONNECTION)
    try:
        options, client = Options.read(hook.conn_extras), hook.get_conn()
    except AirflowNotFoundException:
        remedy = "Add it (type kubernetes): see docs/scaling.md."
        raise InputError("does not exist.", where=f"connection {CONNECTION}", remedy=remedy) from None
    except (ConfigException, AirflowException, OSError, ValueError) as error:
        raise InputError(f"names no cluster: {error!s:.300}", where=f"connection {CONNECTION}", remedy="Mend its extra.") from None
    place = kubernetes(lease.id, grant_of(lease.grants), priority) if lease else None
    return KubernetesTarget(run.settings, client, hook.get_namespace() or NAMESPACE, options, place)
