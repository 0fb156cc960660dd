"""The constants of serving engines, by version; and the devices they were measured on. Read from ``tables/``, where each has its source."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from include.errors import InputError

TABLES = Path(__file__).parent / "tables"
DEFAULT_ENGINE = "vllm==0.19.0"
_ENGINE = re.compile(r"^([a-z][a-z0-9_.-]{0,40}?)(?:==(\d+(?:\.\d+){0,4})[a-z0-9.+-]{0,20})?$", re.I)
_MEMORY = re.compile(r"^(\d+(?:\.\d+)?)\s*(MiB|GiB)$", re.I)


@dataclass(frozen=True)
class EngineConstants:
    """One engine's constants; MiB, bytes, or a share. ``tables/engines.toml`` says what each means and where it comes from."""

    name: str
    since: str
    measured: str
    sampler_bytes: float
    base_mib: float
    scratch_stays: bool
    forward_hidden: float
    pipeline_hidden: float
    non_torch_mib: float
    non_torch_tp_mib: float
    non_torch_pp_mib: float
    graph_layer_mib: float
    graph_min_mib: float
    graph_max_mib: float
    utilisation: float
    family_extra_mib: Mapping[str, float]

    def non_torch(self, tensor: int, pipeline: int) -> float:
        """MiB that the CUDA context, NCCL and all-reduce buffers take outside of PyTorch."""
        return self.non_torch_tp_mib if tensor > 1 else self.non_torch_pp_mib if pipeline > 1 else self.non_torch_mib

    def graphs(self, layers: int) -> float:
        """MiB of captured CUDA graphs, taken after the cache is sized."""
        return min(self.graph_max_mib, max(self.graph_min_mib, self.graph_layer_mib * layers))


@dataclass(frozen=True)
class Gpu:
    """A GPU model. ``nvml_mib``: what the driver reports; ``cuda_mib``: what a process gets told, which engines divide."""

    name: str
    nvml_mib: float
    cuda_mib: float
    big_batch: bool = False


def engine_constants(engine: str) -> tuple[EngineConstants, str, str]:
    """(constants, version asked for, why these) for ``name==version`` or ``name`` (the newest measured). Falls back by a rule
    and says so."""
    match = _ENGINE.match(engine.strip())
    if not match:
        raise InputError(f"{engine!r:.60} is no engine.", where="engine", remedy="Write name==version, for example vllm==0.19.0.")
    name, version = match.group(1).lower(), match.group(2) or ""
    for row in _engines():
        if row.name == name and (not version or _order(version) >= _order(row.since)):
            near = "" if not version or version in row.measured else f"; {version} itself was not measured"
            return row, version, f"{name} since {row.since}: measured at {row.measured}{near}"
    rule = next(row for row in _engines() if row.name == "*")
    return rule, version, f"no figures for {engine}: the general rule of tables/engines.toml, not a measurement"


def gpu(text: str) -> Gpu:
    """The GPU of a name (``H100-80GB``, ``NVIDIA H100 80GB HBM3`` too) or of a size (``24000MiB``, ``24GiB``). Raises InputError."""
    size = _MEMORY.match(text.strip())
    if size:
        mib = float(size.group(1)) * (1024 if size.group(2).lower() == "gib" else 1)
        if not 1 <= mib <= 16 * 1024 * 1024:
            raise InputError(f"{text} is no GPU's memory.", where="gpu", remedy="Give from 1 MiB to 16 TiB.")
        return Gpu(text.strip(), mib, mib, mib >= 70 * 1024)
    table, alias = _gpus()
    plain = _plain(text)
    for name in sorted([*table, *alias], key=len, reverse=True):
        if plain.startswith(_plain(name)):
            return table[alias.get(name, name)]
    raise InputError(f"unknown GPU {text!r:.60}.", where="gpu", remedy=f"Use a size (24564MiB) or one of {', '.join(table)}.")


def gpu_names() -> list[str]:
    return list(_gpus()[0])


def _plain(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper().replace("NVIDIA", "").replace("GEFORCE", "").replace("TESLA", "").replace("SXM4", ""))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@cache
def _engines() -> tuple[EngineConstants, ...]:
    """Newest first within an engine, as the table lists them."""
    return tuple(EngineConstants(**row) for row in _table("engines.toml")["engine"])


@cache
def _gpus() -> tuple[dict[str, Gpu], dict[str, str]]:
    table = _table("gpus.toml")
    gpus = {name: Gpu(name, row["nvml"], row["cuda"], row.get("big_batch", False)) for name, row in table["gpu"].items()}
    return gpus, dict(table["alias"])


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((TABLES / name).read_text(encoding="utf-8"))
