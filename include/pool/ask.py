"""What is asked of the GPU pool, in the terms people think in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

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
    they can't, it starts all the same. ``priority`` 1 (lowest) to 10. ``duration_s`` is what the holder expects, None if it doesn't know;
    ``endless`` says that it has no end of its own (a server), so that nobody waits for it. ``grace_s`` is how long it may take to stop once
    told to, ``ttl_s`` how long it may be silent before its lease is taken back; None leaves either to the pool.
    """

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

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str = "request") -> Ask:
        """From what a person wrote: ``memory`` may be MiB or text (``20GiB``), ``models`` a list, ``labels`` a mapping.

        Raises InputError naming the field and its remedy.
        """
        return _Reader(dict(data), where).ask()

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
            "prefer": {"same": self.same} if self.same else {},
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


class _Reader:
    """Takes the fields out one by one; what is left in the end nobody knows."""

    def __init__(self, data: dict[str, Any], where: str) -> None:
        self.data, self.where = data, where

    def ask(self) -> Ask:
        gpus = self.whole("gpus", 0, MOST_GPUS)
        fraction = self.number("fraction", 0.0, 1.0)
        memory = self.memory()
        profile = mig.canonical(self.text("mig", PROFILE, "a MIG profile such as `1g.10gb`"))
        nodes = self.whole("nodes", 1, MOST_NODES, default=1)
        if fraction == 1.0 and not gpus:
            gpus, fraction = 1, 0.0
        if profile:
            gpus = gpus or 1
        if sum(map(bool, (fraction, memory, profile or gpus))) != 1:
            raise self.wrong(
                "gpus", "must say how much GPU, in exactly one way", "Give one of gpus, fraction, memory and mig (mig may have gpus)."
            )
        if nodes > 1 and not gpus:
            raise self.wrong("nodes", "is for whole GPUs or MIG instances", "Give gpus, or leave nodes out.")
        ask = Ask(
            gpus=gpus,
            fraction=round(fraction, 3),
            memory_mib=memory,
            mig=profile,
            nodes=nodes,
            models=self.models(),
            labels=self.labels(),
            priority=self.whole("priority", PRIORITIES[0], PRIORITIES[-1], default=5),
            team=self.text("team", NAME, "1 to 63 letters, digits, `_`, `.` and `-`") or "default",
            preemptible=self.flag("preemptible", True),
            duration_s=self.seconds("duration_s", LONGEST_S),
            endless=self.flag("endless", False),
            grace_s=self.seconds("grace_s", 3600.0),
            ttl_s=self.seconds("ttl_s", 24 * 3600.0),
            same=self.same(),
        )
        if ask.same and ask.nodes == 1:
            raise self.wrong("prefer", "is about several nodes, and this asks for one", "Leave it out, or give nodes.")
        if ask.endless and ask.duration_s is not None:
            raise self.wrong("endless", "has no end, and a duration", "Give duration_s, or endless, not both.")
        if self.data:
            raise self.wrong(min(map(str, self.data)), "is no field of a request", f"Fields: {', '.join(FIELDS)}.")
        return ask

    def wrong(self, field: str, what: str, remedy: str) -> InputError:
        return InputError(f"{what}.", where=f"{self.where}.{field}", remedy=remedy)

    def whole(self, field: str, least: int, most: int, default: int = 0) -> int:
        value = self.data.pop(field, None)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(field, f"is {value!r:.60}", f"Give a whole number from {least} to {most}.")
        return value

    def number(self, field: str, least: float, most: float) -> float:
        value = self.data.pop(field, None)
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most or 0 < value < 0.001:
            raise self.wrong(field, f"is {value!r:.60}", f"Give a number from 0.001 to {most:g}.")
        return float(value)

    def seconds(self, field: str, most: float) -> float | None:
        value = self.data.pop(field, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            raise self.wrong(field, f"is {value!r:.60}", f"Give seconds, more than 0 and at most {most:g}, or leave it out.")
        return float(value)

    def memory(self) -> int:
        value = self.data.pop("memory", None)
        mib = self.whole("memory_mib", 0, MOST_MEMORY_MIB)
        if value is None:
            return mib
        match = SIZE.match(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
        size = -int(-float(match[1]) * MIB[match[2]] // 1) if match else -1
        if match is None or mib or not 0 < size <= MOST_MEMORY_MIB:
            raise self.wrong(
                "memory", f"is {value!r:.60}", "Give a size such as `20GiB`, or MiB as a number, and not memory_mib beside it."
            )
        return size

    def text(self, field: str, pattern: re.Pattern[str], means: str) -> str:
        value = self.data.pop(field, None)
        if value is None or value == "":
            return ""
        if not isinstance(value, str) or not pattern.match(value):
            raise self.wrong(field, f"is {value!r:.60}", f"Give {means}.")
        return value

    def flag(self, field: str, default: bool) -> bool:
        value = self.data.pop(field, None)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(field, f"is {value!r:.60}", "Give true or false.")
        return value

    def models(self) -> tuple[str, ...]:
        value = self.data.pop("models", None) or ()
        value = (value,) if isinstance(value, str) else value
        if (
            not isinstance(value, list | tuple)
            or len(value) > 32
            or not all(isinstance(name, str) and 0 < len(name) <= 64 for name in value)
        ):
            raise self.wrong("models", f"is {value!r:.60}", "Give a list of GPU models as the inventory names them.")
        return tuple(sorted(set(value)))

    def labels(self) -> tuple[tuple[str, str], ...]:
        value = self.data.pop("labels", None) or {}
        if not isinstance(value, Mapping) or len(value) > 32 or not all(_short(key) and _short(entry) for key, entry in value.items()):
            raise self.wrong("labels", f"is {value!r:.60}", "Give a mapping of text to text: the labels a node must have.")
        return tuple(sorted(value.items()))

    def same(self) -> str:
        value = self.data.pop("prefer", None) or {}
        if (
            not isinstance(value, Mapping)
            or (value and set(value) != {"same"})
            or not all(_short(name) and name for name in value.values())
        ):
            raise self.wrong("prefer", f"is {value!r:.60}", "Give `{same: LABEL}`, the name of a label such as `rack`.")
        return str(value.get("same", ""))


def _short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 253


FIELDS = (
    *("gpus", "fraction", "memory", "memory_mib", "mig", "nodes", "models", "labels"),
    *("priority", "team", "preemptible", "duration_s", "endless", "grace_s", "ttl_s", "prefer"),
)
