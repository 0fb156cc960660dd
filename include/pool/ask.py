"""What is asked of the GPU pool, in the terms people think in: as it is written (:class:`AskForm`), and as it is (:class:`Ask`).

Whoever asks, a DAG's author, a spec or a caller of the REST API, fills in the form, which alone checks; it becomes the value that the pool
plans with, and travels as that one's JSON, which is a filled-in form again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, ValidationInfo, model_validator

from include.errors import InputError
from include.pool import mig

PRIORITIES = range(1, 11)
MOST_GPUS, MOST_NODES, MOST_MEMORY_MIB = 64, 256, 16 * 1024 * 1024
LONGEST_S = 90 * 24 * 3600.0
SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(MiB|GiB|TiB|MB|GB|TB)?$")
MIB = {"MiB": 1.0, "GiB": 1024.0, "TiB": 1024.0**2, "MB": 1e6 / 2**20, "GB": 1e9 / 2**20, "TB": 1e12 / 2**20, None: 1.0}
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
PROFILE = re.compile(f"^{mig.PROFILE}$")


def mib(size: str) -> float:
    """Of a size such as ``8GiB`` that a spec's pattern has let pass."""
    found = SIZE.match(size)
    assert found is not None, size
    return float(found[1]) * MIB[found[2]]


@dataclass(frozen=True)
class Ask:
    """One of ``gpus`` (whole GPUs on each node), ``fraction`` (of one GPU, under 1), ``memory_mib`` (on one GPU) or ``mig`` (a profile, of
    which ``gpus`` says how many instances).

    ``nodes`` over 1 asks for a gang: ``gpus`` on each of that many nodes, all at once. ``models`` empty allows any GPU model; every one of
    ``labels`` must be on the node. ``same`` names a label (rack, NVLink domain) of which a gang's nodes preferably have one value: where
    they can't, it starts all the same; so does ``within``, by which the GPUs on each node are preferably linked by NVLink (``nvlink``), or
    of one NUMA node (``numa``). ``priority`` 1 (lowest) to 10. ``duration_s`` is what the holder expects, None if it doesn't know;
    ``endless`` says that it has no end of its own (a server), so that nobody waits for it. ``grace_s`` is how long it may take to stop once
    told to, ``ttl_s`` how long it may be silent before its lease is taken back; None leaves either to the pool."""

    gpus: int = 0
    fraction: float = 0.0
    memory_mib: int = 0
    mig: str = ""
    nodes: int = 1
    models: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    priority: int = 5
    team: str = "default"
    preemptible: bool = True
    duration_s: float | None = None
    endless: bool = False
    grace_s: float | None = None
    ttl_s: float | None = None
    same: str = ""
    within: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str = "request") -> Ask:
        """From what a person wrote: ``memory`` may be MiB or text (``20GiB``), ``models`` a list, ``labels`` a mapping.

        Raises InputError naming the field and its remedy.
        """
        return AskForm.read(data, where).ask()

    def to_json(self) -> dict[str, Any]:
        """JSON types; :meth:`from_json` is its inverse."""
        return {
            "gpus": self.gpus,
            "fraction": self.fraction,
            "memory_mib": self.memory_mib,
            "mig": self.mig,
            "nodes": self.nodes,
            "models": list(self.models),
            "labels": dict(self.labels),
            "priority": self.priority,
            "team": self.team,
            "preemptible": self.preemptible,
            "duration_s": self.duration_s,
            "endless": self.endless,
            "grace_s": self.grace_s,
            "ttl_s": self.ttl_s,
            "prefer": {name: value for name, value in (("same", self.same), ("within", self.within)) if value},
        }

    @property
    def shape(self) -> tuple[object, ...]:
        """All that says where it fits: two asks of one shape fit the same places, whatever they prefer."""
        return self.gpus, self.fraction, self.memory_mib, self.mig, self.nodes, self.models, self.labels

    def among(self, labels: Mapping[str, str]) -> Ask:
        """The same, on nodes that have these labels too."""
        return replace(self, labels=tuple(sorted({**dict(self.labels), **labels}.items())))

    def size(self) -> str:
        """For people: `2 GPUs`, `30 % of a GPU`, `20 GiB of a GPU`, `1 x 1g.10gb`."""
        if self.mig:
            text = f"{self.gpus} x {self.mig}"
        elif self.fraction:
            text = f"{self.fraction * 100:g} % of a GPU"
        elif self.memory_mib:
            text = f"{self.memory_mib / 1024:g} GiB of a GPU"
        else:
            text = f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}"
        if self.nodes > 1:
            text += f" on each of {self.nodes} nodes"
        return text + (f" ({' or '.join(self.models)})" if self.models else "")


CLEAN = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
"""No control characters: databases and terminals take them badly."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else list(value) if isinstance(value, tuple) else value


def _nothing(value: object) -> object:
    return None if value == "" else value


Text = Annotated[str, StringConstraints(max_length=253, pattern=CLEAN)]
Model = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=CLEAN)]
Profile = Annotated[str, StringConstraints(max_length=32, pattern=f"^(?:{mig.PROFILE})$")]
Team = Annotated[str, StringConstraints(pattern=NAME.pattern)]
Size = Annotated[str, StringConstraints(max_length=32, pattern=SIZE.pattern)] | Annotated[int, Field(gt=0, le=MOST_MEMORY_MIB)]
Named = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=CLEAN)]


class Prefer(BaseModel):
    """What is better where it can be had: it starts all the same without. ``same`` is a label of which a gang's nodes have one value;
    ``within`` says that on each node its GPUs are linked by NVLink, or of one NUMA node."""

    model_config = ConfigDict(extra="forbid", strict=True)

    same: Named | None = None
    within: Literal["nvlink", "numa"] | None = None


class AskForm(BaseModel):
    """What is wanted: exactly one of gpus, fraction, memory (or memory_mib) and mig (which may have gpus)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    gpus: Annotated[int | None, Field(ge=0, le=MOST_GPUS)] = None
    fraction: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)] = None
    memory: Size | None = None
    memory_mib: Annotated[int | None, Field(ge=0, le=MOST_MEMORY_MIB)] = None
    mig: Annotated[Profile | None, BeforeValidator(_nothing)] = None
    nodes: Annotated[int | None, Field(ge=1, le=MOST_NODES)] = None
    models: Annotated[list[Model] | None, Field(max_length=32), BeforeValidator(_listed)] = None
    labels: Annotated[dict[Text, Text] | None, Field(max_length=32)] = None
    prefer: Annotated[Prefer | None, BeforeValidator(lambda value: None if value == {} else value)] = None
    priority: Annotated[int | None, Field(ge=PRIORITIES[0], le=PRIORITIES[-1])] = None
    team: Annotated[Team | None, BeforeValidator(_nothing)] = None
    preemptible: bool | None = None
    duration_s: Annotated[float | None, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)] = None
    endless: bool | None = None
    grace_s: Annotated[float | None, Field(gt=0, le=3600, allow_inf_nan=False)] = None
    ttl_s: Annotated[float | None, Field(gt=0, le=24 * 3600, allow_inf_nan=False)] = None

    @classmethod
    def read(cls, data: Mapping[str, Any], where: str) -> Self:
        """Check what was written. Raises InputError, naming field and remedy, for the first mistake; ``where`` goes before the field."""
        try:
            return cls.model_validate(dict(data), context={"where": where})
        except ValidationError as error:
            first = error.errors()[0]
        field = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise _wrong(where, field, "is no field of a request", f"Fields: {', '.join(cls.model_fields)}.") from None
        raise _wrong(where, field, f"is {data[field]!r:.60}", REMEDIES[field])

    @model_validator(mode="after")
    def _agrees(self, info: ValidationInfo) -> Self:
        """Raises InputError where one field contradicts another."""
        where = (info.context or {}).get("where", "request")
        memory = self.memory or self.memory_mib
        whole = self.gpus or (self.fraction == 1.0 and not self.gpus) or self.mig
        if self.fraction and self.fraction < 0.001:
            raise _wrong(where, "fraction", f"is {self.fraction!r}", REMEDIES["fraction"])
        if self.memory and (self.memory_mib or not 0 < _mib_up(self.memory) <= MOST_MEMORY_MIB):
            raise _wrong(where, "memory", f"is {self.memory!r:.60}", REMEDIES["memory"])
        shares = self.fraction if self.fraction != 1.0 or self.gpus else 0
        if sum(map(bool, (shares, memory, whole))) != 1:
            raise _wrong(
                where,
                "gpus",
                "must say how much GPU, in exactly one way",
                "Give one of gpus, fraction, memory and mig (mig may have gpus).",
            )
        if (self.nodes or 1) > 1 and not whole:
            raise _wrong(where, "nodes", "is for whole GPUs or MIG instances", "Give gpus, or leave nodes out.")
        self._preferred(where)
        if self.endless and self.duration_s is not None:
            raise _wrong(where, "endless", "has no end, and a duration", "Give duration_s, or endless, not both.")
        return self

    def _preferred(self, where: str) -> None:
        if self.prefer is None:
            return
        if not (self.prefer.same or self.prefer.within):
            raise _wrong(where, "prefer", "says nothing", REMEDIES["prefer"])
        if self.prefer.same and (self.nodes or 1) == 1:
            raise _wrong(where, "prefer", "has `same`, which is about several nodes, and this asks for one", "Leave it out, or give nodes.")
        if self.prefer.within and (self.mig or (self.gpus or 0) < 2):
            raise _wrong(where, "prefer", "has `within`, which is about several GPUs of a node", "Leave it out, or give gpus: 2 or more.")

    def ask(self) -> Ask:
        """What it comes to."""
        whole = self.fraction == 1.0 and not self.gpus
        return Ask(
            gpus=1 if whole or (self.mig and not self.gpus) else self.gpus or 0,
            fraction=0.0 if whole else round(float(self.fraction or 0), 3),
            memory_mib=_mib_up(self.memory) if self.memory else self.memory_mib or 0,
            mig=mig.canonical(self.mig or ""),
            nodes=self.nodes or 1,
            models=tuple(sorted(set(self.models or ()))),
            labels=tuple(sorted((self.labels or {}).items())),
            priority=self.priority or Ask.priority,
            team=self.team or Ask.team,
            preemptible=self.preemptible is not False,
            duration_s=_seconds(self.duration_s),
            endless=bool(self.endless),
            grace_s=_seconds(self.grace_s),
            ttl_s=_seconds(self.ttl_s),
            same=(self.prefer and self.prefer.same) or "",
            within=(self.prefer and self.prefer.within) or "",
        )


REMEDIES = {
    "gpus": f"Give a whole number from 0 to {MOST_GPUS}.",
    "fraction": "Give a number from 0.001 to 1.",
    "memory": "Give a size such as `20GiB`, or MiB as a number, and not memory_mib beside it.",
    "memory_mib": f"Give a whole number from 0 to {MOST_MEMORY_MIB}.",
    "mig": "Give a MIG profile such as `1g.10gb`.",
    "nodes": f"Give a whole number from 1 to {MOST_NODES}.",
    "models": "Give a list of GPU models as the inventory names them.",
    "labels": "Give a mapping of text to text: the labels a node must have.",
    "prefer": "Give `{same: LABEL}`, the name of a label such as `rack`, or `{within: nvlink}` or `{within: numa}`, or both.",
    "priority": f"Give a whole number from {PRIORITIES[0]} to {PRIORITIES[-1]}.",
    "team": "Give 1 to 63 letters, digits, `_`, `.` and `-`.",
    "preemptible": "Give true or false.",
    "duration_s": f"Give seconds, more than 0 and at most {LONGEST_S:g}, or leave it out.",
    "endless": "Give true or false.",
    "grace_s": "Give seconds, more than 0 and at most 3600, or leave it out.",
    "ttl_s": "Give seconds, more than 0 and at most 86400, or leave it out.",
}


def _wrong(where: str, field: str, what: str, remedy: str) -> InputError:
    return InputError(f"{what}.", where=f"{where}.{field}", remedy=remedy)


def _mib_up(size: str | int) -> int:
    """MiB, rounded up."""
    return size if isinstance(size, int) else -int(-mib(size) // 1)


def _seconds(value: float | None) -> float | None:
    return None if value is None else float(value)
