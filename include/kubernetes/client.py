"""The official client: where the cluster is, how long one call may take, and what a refusal or a silence is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from include.errors import ComponentError, InputError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration

CONNECTION = "updraft_kubernetes"
"""Of Airflow: the cluster of steps and servers."""
TIMEOUT_S = (3.05, 10.0)
"""To connect, and to answer."""
RAW: Mapping[str, Any] = {"_preload_content": False, "_request_timeout": TIMEOUT_S}
"""Options of a call whose answer is plain JSON: the client's own objects cost ten times the time."""
HOME_CONFIG = Path.home() / ".kube" / "config"
T = TypeVar("T")


class ApiRefused(Exception):
    """The API server has answered, and it was no: ``status`` of HTTP, its ``reason``, and what it ``said`` in full."""

    def __init__(self, status: int, reason: str, said: str) -> None:
        super().__init__(f"{status} {said}")
        self.status, self.reason, self.said = status, reason, said


class NoAnswer(ComponentError):
    """The API server gives no answer. ``why``: in a word or two."""

    def __init__(self, why: str, where: str = "Kubernetes") -> None:
        super().__init__(f"the API server gives no answer ({why}).", where=where)
        self.why = why


def ask(call: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What the client's call returns. Raises ApiRefused and NoAnswer."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return call(*arguments, **options)
    except ApiException as error:
        raise ApiRefused(int(error.status), str(error.reason), _message(error)) from None
    except (HTTPError, OSError) as error:
        raise NoAnswer(type(error).__name__) from None
    except AttributeError as error:  # the client stumbles over its own error where TLS fails: that one has no body to decode
        raise NoAnswer(f"{getattr(error.__context__, 'reason', error)!s:.200}") from None


def ask_json(call: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
    """The same as plain JSON, of a call that takes :data:`RAW`. NoAnswer too when it is none."""
    answer = ask(call, *arguments, **options, **RAW)
    try:
        return dict(json.loads(answer.data))
    except (ValueError, TypeError) as error:
        raise NoAnswer(type(error).__name__) from None


def configuration() -> Configuration:
    """Of this process: inside a cluster its service account, elsewhere ``KUBECONFIG`` or ``~/.kube/config``. Raises InputError."""
    from kubernetes import client, config

    found = client.Configuration()
    found.retries = False  # whoever asks tries again by itself
    try:
        if not os.environ.get("KUBECONFIG") and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=found)
        else:
            config.load_kube_config(os.environ.get("KUBECONFIG") or str(HOME_CONFIG), client_configuration=found)
    except (config.ConfigException, OSError, ValueError) as error:
        remedy = "Set it, or run this inside the cluster."
        raise InputError(f"there is no cluster to ask ({str(error)[:200]}).", where="KUBECONFIG", remedy=remedy) from None
    return found


def connected(reach: Mapping[str, Any]) -> ApiClient:
    """A client of the cluster that fields of Airflow's connection name (``in_cluster``, ``kube_config_path``, ``kube_config``,
    ``cluster_context``, ``disable_verify_ssl``); none: that of the user's own file. InputError when they name no cluster."""
    from kubernetes import client, config

    found = client.Configuration()
    found.retries = False
    try:
        if reach.get("in_cluster"):
            config.load_incluster_config(client_configuration=found)
        elif inline := reach.get("kube_config"):
            given = json.loads(inline) if isinstance(inline, str) else inline
            config.load_kube_config_from_dict(given, context=reach.get("cluster_context"), client_configuration=found)
        else:
            config.load_kube_config(reach.get("kube_config_path"), reach.get("cluster_context"), client_configuration=found)
    except (config.ConfigException, OSError, ValueError, TypeError) as error:
        remedy = "Set in_cluster, kube_config_path or kube_config in its extra."
        raise InputError(f"names no cluster ({error!s:.300}).", where=f"connection {CONNECTION}", remedy=remedy) from None
    if reach.get("disable_verify_ssl"):
        found.verify_ssl = False
    return client.ApiClient(found)


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
