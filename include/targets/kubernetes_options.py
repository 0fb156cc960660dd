"""How steps run on a cluster: field ``steps`` of the extra of Airflow's connection ``updraft_kubernetes``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from include.errors import InputError
from include.kubernetes.client import CONNECTION
from include.kubernetes.values import AbsolutePath, DnsName, Quantity, quantity
from include.runtime import layers
from include.spec.parts import Limits, Part
from include.targets import images

FIELD = "steps"
USER = 1000
"""Steps of a worker that is root run as this user."""


class Volume(Part):
    """One of ``claim`` and ``host_path``."""

    claim: DnsName | None = None
    """A PersistentVolumeClaim of the namespace. Nodes and Airflow's workers share it: ReadWriteMany."""
    host_path: AbsolutePath | None = None
    """A folder of the node itself: for clusters of one node that the worker runs on as well."""
    sub_path: Annotated[str, Field(pattern=r"^([^/]|$)")] = ""
    """A folder in the claim."""

    @model_validator(mode="after")
    def _one(self) -> Volume:
        if (self.claim is None) == (self.host_path is None):
            raise ValueError("give one of claim and host_path")
        return self


class Mount(Volume):
    path: AbsolutePath
    """Where it is mounted in the step's container."""
    read_only: bool = True


class ByRuntime(Part):
    """What a runtime has of its own."""

    image: Annotated[str, Field(min_length=1)] | None = None
    python: str | None = None
    cpu: Quantity | None = None
    memory: Quantity | None = None


class Options(Part):
    image: Annotated[str, Field(min_length=1, max_length=500)]
    """Image of a step; `{runtime}` stands for the runtime's name, `{lock}` for the tag that `make images` gives it, the digest of its lock.
    Name it by digest where a tag may change: steps of another image start anew."""
    volume: Volume
    """Where Updraft's steps folder lies; it is mounted at the same path as the worker has it."""
    mounts: Annotated[tuple[Mount, ...], Field(max_length=32)] = ()
    """Further volumes: the models' folder, unless it is in the image."""
    python: str = "python"
    """Its interpreter; `{runtime}` as above."""
    code: AbsolutePath | None = None
    """Where Updraft's code is in the image. Default: where the worker has it."""
    pull: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """imagePullPolicy."""
    pull_secrets: tuple[DnsName, ...] = ()
    """Secrets with the registry's credentials."""
    cpu: Quantity = "1"
    """Processors that a step asks for; it may use more where there are more."""
    memory: Quantity = "4Gi"
    """Memory that a step asks for, and its limit."""
    tmp: Quantity = "10Gi"
    """Limit of its temporary files."""
    service_account: DnsName = "default"
    """No token of it is mounted: a step needs nothing of the cluster."""
    user: Annotated[int, Field(ge=1, le=2**31)] | None = None
    """User and group of the step's process. Default: the worker's own, 1000 if that is root."""
    trainer: Literal["trainjob", "pytorchjob"] | None = None
    """What starts training on several nodes: Kubeflow's Trainer (`trainjob`, v2), or the operator before it (`pytorchjob`)."""
    grace_s: Annotated[int, Field(ge=0, le=3600)] = 60
    """Between SIGTERM and SIGKILL when the cluster wants the pod gone: an eviction, a drain (seconds)."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that the node must have."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Taints that steps put up with, in the words of Kubernetes."""
    spot: dict[str, str] = Field(default_factory=dict)
    """Labels of nodes that may be taken away at any time: preferred, because a step is tried again."""
    queue: Annotated[str, Field(max_length=63)] = ""
    """Kueue's LocalQueue. Default: none."""
    runtimes: dict[str, ByRuntime] = Field(default_factory=dict)
    """What differs for a runtime, by its name."""
    mlflow: Annotated[str, Field(pattern=r"^https?://[^/@]+(/[^@]*)?$", max_length=500)] | None = None
    """The address of MLflow's door, as pods reach it. Default: that of connection updraft_door."""
    simulated_gpus: bool = False
    """Leases may be of GPUs that are declared only: such a step's pod asks for none, and may run on any node."""
    cpu_limit: Quantity | None = None
    """More processors than these it does not get. Default: what the node has left."""

    @classmethod
    def read(cls, extra: Mapping[str, Any]) -> Options:
        """Out of the connection's extra. Raises InputError that names the field."""
        given = extra.get(FIELD)
        if given is None:
            raise InputError(
                f"has no field {FIELD!r} in its extra.",
                where=f"connection {CONNECTION}",
                remedy='Say how steps run: {"steps": {"image": "registry/updraft-{runtime}:1", "volume": {"claim": "updraft"}}}.',
            )
        try:
            return cls.model_validate_json(json.dumps(given), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            at = ".".join(str(part) for part in (FIELD, *first["loc"]))
            raise InputError(f"{at}: {first['msg']}.", where=f"connection {CONNECTION}, extra", remedy="See docs/scaling.md.") from None

    def of(self, runtime: str, limits: Limits | None = None) -> Options:
        """As they are for one runtime; a spec's limits go before the connection's."""
        base, layer = layers.split(runtime)
        own = self.runtimes.get(base, ByRuntime()).model_dump(exclude_none=True)
        mine = self.model_copy(update=own)
        if layer and "{lock}" not in mine.image:
            raise InputError(
                f"steps.image is {mine.image!r:.80}: it says nothing of a model's own packages.",
                where=f"connection {CONNECTION}, extra",
                remedy=f"Tag images with {{lock}}, build the layer (`make images MODEL=<the model>`) and push it; or remove {layers.FILE}.",
            )
        named = {name: getattr(mine, name).replace("{runtime}", base) for name in ("image", "python")}
        if base in images.IMAGES:
            named["image"] = named["image"].replace("{lock}", images.tag(runtime))
        if limits and limits.memory:
            named["memory"] = quantity(limits.memory)
        if limits and limits.cpus:
            named |= {"cpu": f"{limits.cpus:g}", "cpu_limit": f"{limits.cpus:g}"}
        return mine.model_copy(update=named)

    def owner(self) -> int:
        """The user that a step runs as: it must be able to write what the worker has laid out, and the worker to read what it wrote."""
        own = os.getuid()
        if own and self.user not in (None, own):
            raise InputError(
                f"steps.user is {self.user}, and the worker runs as {own}: neither could read the other's files.",
                where=f"connection {CONNECTION}, extra",
                remedy="Leave it out.",
            )
        return self.user or own or USER
