"""Steps as pods on a cluster whose one node is this machine: what Airflow's connection ``updraft_kubernetes`` says when nobody else does.

Anything else (several nodes, another machine) needs what no program can know: a volume that all share, a registry, an address of MLflow's.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from include.errors import ComponentError, InputError
from include.kubernetes.client import CONNECTION, HOME_CONFIG, ApiRefused, NoAnswer, ask_json, configuration
from include.platform import door
from include.platform.gpus import Reporter
from include.runtime.airflow_api import AirflowApi
from include.runtime.settings import REPO, Settings
from include.runtime.waiting import until
from include.serving.kubernetes.options import FIELD as SERVERS
from include.targets import images
from include.targets.kubernetes_options import USER

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Of the kernel; a node tells it, too. Both are the same: the node is this machine, or a container on it."""
OURS = "Written by `make up`, and again by the next one. Change its description to keep it as it is."
MEMORY, CPU = "2Gi", "100m"
"""Of a step: on a machine that the platform itself runs on, a whole processor for each might never be free."""
IMAGE_S = 30.0
"""A node tells of an image within this."""
MOST_IMAGES = 50
"""A node names no more than these."""
CONFIG = "KUBECONFIG"
CORE, SCHEDULING = "CoreV1Api", "SchedulingV1Api"
PRIORITY_CLASSES = REPO / "docker" / "kubernetes" / "priority-classes.yaml"
BY_HAND = f"Add connection {CONNECTION}, which says how steps run there: docs/scaling.md, Kubernetes."
Say = Callable[[str], None]


@dataclass(frozen=True)
class Node:
    """The cluster's only one. ``images``: those that it tells of."""

    name: str
    address: str
    images: tuple[str, ...]


def prepare(settings: Settings, api: AirflowApi, who: Reporter, say: Say) -> str:
    """Where MLflow's door must be for steps in pods, "" where there is none. For target ``kubernetes`` writes the connection, unless
    somebody else has. Raises InputError that says what is missing.
    """
    host = door.address(settings)
    if settings.target != "kubernetes":
        return host
    path = f"/api/v2/connections/{CONNECTION}"
    known = api.get(path, missing_ok=True)
    if known is not None and known.get("description") != OURS:
        return host
    try:
        node, host = look(host)
    except ComponentError as away:
        if known is None:
            raise
        say(f"  {away} Steps wait for it.")
        return host
    door.keep(settings, host)
    extra = connection(settings, host, node, simulated_gpus=who.source == "declared")
    _make_namespace(extra["namespace"])
    _make_priority_classes()
    body = {"conn_type": "kubernetes", "description": OURS, "extra": json.dumps(extra)}
    if known is None:
        api.post("/api/v2/connections", {"connection_id": CONNECTION, **body})
    else:
        api.call("PATCH", path, params={"update_mask": ",".join(body)}, json={"connection_id": CONNECTION, **body})
    say(f"  steps are pods on node {node.name}, in namespace {extra['namespace']}; they reach MLflow at {door.url(settings, host)}")
    if SERVERS not in extra:
        say(f"  servers are processes of this machine: node {node.name} has no image {images.name('triton')}")
    return host


def look(host: str) -> tuple[Node, str]:
    """The node, and where the door is for its pods (``host``, where that is said). Raises InputError that says what is missing."""
    node = one_node()
    check_image(node, "trainer")
    return node, host or reachable_at(node)


def connection(settings: Settings, host: str, node: Node, *, simulated_gpus: bool) -> dict[str, Any]:
    """The connection's extra: images as ``make images`` names them, Updraft's own code and folders as they lie here; no credentials.

    Servers are Deployments where the node has Triton's image.
    """
    bases = settings.home / "bases"
    for folder in (settings.steps, bases):
        folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        os.chown(bases, USER, USER)
    seen = [(REPO / "include", True), (bases, False)]
    seen += [] if settings.models.is_relative_to(REPO / "include") else [(settings.models, True)]
    steps = {
        "image": "updraft/{runtime}:{lock}",
        "pull": "Never",
        "volume": {"host_path": str(settings.steps)},
        "mounts": [{"path": str(path), "host_path": str(path), "read_only": read_only} for path, read_only in seen],
        "mlflow": door.url(settings, host),
        "cpu": CPU,
        "memory": MEMORY,
        "simulated_gpus": simulated_gpus,
    }
    found = {"kube_config_path": config_path(), "namespace": namespace(settings), "steps": steps}
    if not has(node, "triton"):
        return found
    settings.revisions.mkdir(parents=True, exist_ok=True)
    common = {key: steps[key] for key in ("image", "pull", "cpu", "memory")}
    mine = {"host_path": str(settings.revisions), "user": os.getuid() or USER, "max_replicas": 1}
    return found | {SERVERS: common | mine | _address(node)}


def _address(node: Node) -> dict[str, str]:
    """How this machine reaches a server: through the node, where that is on a link of their own; else by its address in the cluster,
    which the machine itself then routes."""
    own = address_towards(node) == node.address
    return {"address": "cluster-ip"} if own else {"address": "node-port", "address_of": node.address}


def namespace(settings: Settings) -> str:
    """One of its own for every installation."""
    return f"updraft-{hashlib.sha256(str(settings.home).encode()).hexdigest()[:8]}"


def config_path() -> str:
    """The file of the cluster's address and credentials. Raises InputError when there is none."""
    path = Path(os.environ.get(CONFIG) or HOME_CONFIG)
    if not path.is_file():
        raise InputError(f"{path} is no file: it is not known which cluster steps run on.", where=CONFIG, remedy=f"Set it. Or: {BY_HAND}")
    return str(path.resolve())


def one_node() -> Node:
    """The cluster's node, which is this machine. Raises InputError for any other cluster."""
    config_path()
    return this_machine(_ask("list nodes", lambda api: api.list_node)["items"], BOOT.read_text().strip())


def this_machine(nodes: Sequence[Mapping[str, Any]], boot: str) -> Node:
    """The only one of the API's nodes, whose kernel is the one of this ``boot``. Raises InputError."""
    if len(nodes) != 1:
        raise InputError(f"the cluster has {len(nodes)} nodes: what volume do they share with this machine?", where=CONFIG, remedy=BY_HAND)
    name, status = nodes[0]["metadata"]["name"], nodes[0]["status"]
    if status["nodeInfo"]["bootID"] != boot:
        what = f"the cluster's node {name} is another machine: what volume does it share with this one?"
        raise InputError(what, where=CONFIG, remedy=BY_HAND)
    addresses = {one["type"]: one["address"] for one in status.get("addresses", ())}
    told = tuple(image for one in status.get("images", ()) for image in one.get("names") or ())
    return Node(name, addresses.get("InternalIP", ""), told)


def has(node: Node, runtime: str) -> bool:
    """Whether it tells of the runtime's image."""
    name = images.name(runtime)
    return any(told.endswith(f"/{name}") or told == name for told in node.images)


def check_image(node: Node, runtime: str, patience_s: float = IMAGE_S) -> None:
    """InputError when the node surely has not the runtime's image."""
    name = images.name(runtime)

    def may_have(node: Node) -> bool:
        return has(node, runtime) or len(node.images) >= MOST_IMAGES

    if not may_have(node) and not (patience_s > 0 and until(lambda: may_have(one_node()), patience_s, 2)):
        raise InputError(
            f"node {node.name} has no image {name}.",
            where="target kubernetes",
            remedy=f"`make images RUNTIMES={runtime}`, then load it into the node: "
            f"`docker save {name} | ctr -n k8s.io images import -` (kind load docker-image {name}; minikube image load {name}).",
        )


def reachable_at(node: Node) -> str:
    """This machine's address on the link to its node. InputError when that is no link of their own: others would find MLflow there."""
    found = address_towards(node)
    if found == node.address:
        raise InputError(
            f"pods reach MLflow at no other address than {found}, where other machines may reach it, too.",
            where="target kubernetes",
            remedy=f"Say that they may ({door.VARIABLE}={found}; MLflow asks everyone for its password), or name another address.",
        )
    return found


def address_towards(node: Node) -> str:
    """This machine's address, as its node sees it. Raises ComponentError."""
    with socket.socket(socket.AF_INET6 if ":" in node.address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((node.address, 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError as error:
            raise ComponentError(f"node {node.name} has no address that this machine finds ({error}).", where="Kubernetes") from None


def _make_namespace(name: str) -> None:
    body = {"metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "updraft"}}}
    _ask("create namespaces", lambda api: partial(api.create_namespace, body), fine=409)


def _make_priority_classes() -> None:
    """Of GPU leases."""
    import yaml

    for body in yaml.safe_load_all(PRIORITY_CLASSES.read_text()):
        _ask("create priorityclasses", partial(_make_priority_class, body), SCHEDULING, fine=409)


def _make_priority_class(body: dict[str, Any], api: Any) -> Any:
    return partial(api.create_priority_class, body)


def _ask(what: str, call: Callable[[Any], Any], group: str = CORE, fine: int = 0) -> dict[str, Any]:
    """``what`` we do, in the words of rights; ``group`` of the API, as the client calls it; ``fine``: a status that is no error."""
    from kubernetes import client

    try:
        return ask_json(call(getattr(client, group)(client.ApiClient(configuration()))))
    except ApiRefused as error:
        if error.status == fine:
            return {}
        if error.status in (401, 403):
            raise InputError(f"its user may not {what}.", where=CONFIG, remedy=f"Use another user's. Or: {BY_HAND}") from None
        raise ComponentError(f"the API server answered {error.status} {error.reason}.", where="Kubernetes") from None
    except NoAnswer as error:
        raise ComponentError(f"the API server of {config_path()} gives no answer ({error.why}).", where="Kubernetes") from None
