"""The price table: what one GPU costs for an hour, and a million tokens of a model. Pure but for reading and writing its file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from include import atomic
from include.errors import InputError

FILE = Path(__file__).with_name("prices.yaml")
EVERY = "*"
"""Stands for every model that isn't named."""
MILLION = 1_000_000
MOST_BYTES = 256 * 1024
REMEDY = "Its form is that of include/prices/prices.yaml, explained in docs/cost.md."

Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Instance(Strict):
    """A machine for rent: its GPUs (``gpu`` by short name, ``count`` of them, ``title`` for people), and what an hour of it costs."""

    gpu: Name
    count: Annotated[int, Field(ge=1, le=64)]
    hour: Amount
    title: str = ""


class Spot(Strict):
    """``factor``: what a GPU at spot rates costs, as a share of its price on demand. Nodes with one of ``labels`` are at spot rates."""

    factor: Annotated[float, Field(ge=0, le=1)] = 1.0
    labels: Mapping[Name, str] = {}


class TokenPrice(Strict):
    """A million tokens of prompts, and of answers."""

    prompt: Amount
    completion: Amount


class Changes(Strict):
    """What differs from the project's table, part by part; what isn't given doesn't differ."""

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"
    instances: Mapping[Name, Instance] = {}
    gpus: Mapping[Name, Amount] = {}
    spot: Spot = Spot()
    tokens: Mapping[Name, TokenPrice] = {}


class Prices(Changes):
    """A whole table."""

    def gpu_hour(self, gpu: str, *, spot: bool = False) -> float | None:
        """Price one GPU for an hour by its short name (``H100-80GB``), at spot rates or on demand; None where the table doesn't know it."""
        rents = [one.hour / one.count for one in self.instances.values() if one.gpu == gpu]
        hour = self.gpus.get(gpu, min(rents, default=None))
        return None if hour is None else hour * (self.spot.factor if spot else 1.0)

    def token_cost(self, model: str, prompt: int, completion: int) -> float | None:
        """Price so many tokens of a model; None where the table has no price for them."""
        price = self.tokens.get(model, self.tokens.get(EVERY))
        return None if price is None else (prompt * price.prompt + completion * price.completion) / MILLION

    def is_spot(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a node with these labels is let go at spot rates."""
        return any(labels.get(name) == value for name, value in self.spot.labels.items())


class Current:
    """The table at ``path`` as it is now, read again when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[tuple[int, int] | None, Prices] | None = None

    def prices(self) -> Prices:
        """Return the table. Raises InputError naming file and field."""
        try:
            stat = self._path.stat()
            version: tuple[int, int] | None = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            version = None
        if self._known is None or self._known[0] != version:
            self._known = version, read(self._path)
        return self._known[1]

    def is_spot(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a node is at spot rates; by the project's labels while the file can't be read."""
        try:
            return self.prices().is_spot(labels)
        except InputError:
            return defaults().is_spot(labels)


@cache
def defaults() -> Prices:
    """Return the project's own table: the cost table of the seeds (on demand, US dollars)."""
    return _checked(_mapping(FILE.read_text(), str(FILE)), str(FILE))


def read(path: Path) -> Prices:
    """Return the project's table with the file at ``path`` over it, entry by entry; without such a file the project's alone.

    Raises InputError naming file and field.
    """
    return over(read_changes(path), str(path))


def read_changes(path: Path) -> dict[str, Any]:
    """Return what the administrator's file says, {} where there is none. Raises InputError naming the file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"is longer than {MOST_BYTES // 1024} KiB.", where=str(path), remedy=REMEDY)
        return _mapping(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't be read ({error}).", where=str(path), remedy=REMEDY) from None


def over(changes: Mapping[str, Any], where: str) -> Prices:
    """Return the project's table with these changes over it. Raises InputError naming the field; ``where`` goes before it."""
    base = defaults().model_dump()
    unknown = sorted(map(str, set(changes) - set(base)))
    if unknown:
        raise InputError(f"{unknown[0]!r:.80} is no part of a price table.", where=where, remedy=f"Parts: {', '.join(base)}.")
    merged: dict[str, Any] = dict(base)
    for part, value in changes.items():
        if isinstance(base[part], dict):
            if not isinstance(value, dict):
                raise InputError("must be a mapping.", where=f"{where}, {part}", remedy=REMEDY)
            merged[part] = {**base[part], **value}
        else:
            merged[part] = value
    return _checked(merged, where)


def write(path: Path, changes: Mapping[str, Any]) -> Prices:
    """Keep these changes as the administrator's file (mode 0600), and return the table that follows.

    Raises InputError, and changes nothing then.
    """
    found = over(changes, str(path))
    text = "# Over include/prices/prices.yaml; written by an administrator on the page Cost, or by hand.\n"
    atomic.write(path, text + yaml.safe_dump(dict(changes), sort_keys=False))
    return found


def _mapping(text: str, where: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"is no YAML ({error!s:.200}).", where=where, remedy=REMEDY) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError("must be a mapping.", where=where, remedy=REMEDY)
    return found


def _checked(data: Mapping[str, Any], where: str) -> Prices:
    try:
        return Prices.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(f"{first['msg']}.", where=f"{where}, {field}", remedy=REMEDY) from None
