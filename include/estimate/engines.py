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
_OTHER = re.compile(r"LAPTOP|MAXQ|NVL|SUPER|ADA|^TI|^D$|^X$")
"""Behind a GPU's name: another GPU."""
SAME_SIZE = 0.1
"""A name's GB and the driver's MiB of one GPU differ by less than this share."""
_MEMORY = re.compile(r"^(\d+(?:\.\d+)?)\s*(MiB|GiB|TiB|MB|GB|TB)$", re.I)
_UNIT_MIB = {"mib": 1.0, "gib": 1024.0, "tib": 1024.0**2, "mb": 1e6 / 2**20, "gb": 1e9 / 2**20, "tb": 1e12 / 2**20}


@dataclass(frozen=True)
class EngineConstants:
    """One engine's constants; MiB, bytes, tokens or a share. ``tables/engines.toml`` says what each means and where it comes from."""

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
    non_torch_tp_pcie_mib: float
    non_torch_pp_mib: float
    graph_layer_mib: float
    graph_min_mib: float
    graph_max_mib: float
    utilisation: float
    batch: tuple[int, int]
    big_batch: tuple[int, int]
    family_extra_mib: Mapping[str, float]
    whole_prompts: bool = False
    graphs_in_share: bool = False

    def non_torch(self, tensor: int, pipeline: int, nvlink: bool = True) -> float:
        """MiB that the CUDA context, NCCL and all-reduce buffers take outside of PyTorch.

        Without NVLink there is no all-reduce over peers' memory, whose buffers are most of it.
        """
        if tensor > 1:
            return self.non_torch_tp_mib if nvlink else self.non_torch_tp_pcie_mib
        return self.non_torch_pp_mib if pipeline > 1 else self.non_torch_mib

    def graphs(self, layers: int) -> float:
        """MiB of captured CUDA graphs, taken after the cache is sized."""
        return min(self.graph_max_mib, max(self.graph_min_mib, self.graph_layer_mib * layers))


@dataclass(frozen=True)
class Gpu:
    """A GPU model. ``nvml_mib``: what the driver reports; ``cuda_mib``: what a process gets told, which engines divide. ``nvlink``: such
    GPUs are joined by it; else by PCIe alone (consumer cards, L4, L40S, T4)."""

    name: str
    nvml_mib: float
    cuda_mib: float
    big_batch: bool = False
    nvlink: bool = True


def engine_constants(engine: str) -> tuple[EngineConstants, str, str]:
    """(constants, version asked for, why these) for ``name==version`` or ``name`` (the newest measured). Falls back by a rule
    and says so."""
    match = _ENGINE.match(engine.strip())
    if not match:
        raise InputError(f"{engine!r:.60} is no engine.", where="engine", remedy="Write name==version, for example vllm==0.19.0.")
    name, version = match.group(1).lower(), match.group(2) or ""
    rows = [row for row in _engines() if row.name == name]
    found = next((row for row in rows if not version or _order(version) >= _order(row.since)), None)
    if found is None:
        rule = next(row for row in _engines() if row.name == "*")
        return (
            rule,
            version,
            f"no figures for {engine}: {_why_none(name, rows)}; the general rule of tables/engines.toml, not a measurement",
        )
    return found, version, f"{name} since {found.since}: {_how_sure(found, version, rows)}"


def _why_none(name: str, rows: list[EngineConstants]) -> str:
    if not rows:
        return f"no version of {name} was measured"
    return f"the oldest measured is {name} {rows[-1].since}"


def _how_sure(found: EngineConstants, version: str, rows: list[EngineConstants]) -> str:
    """Whether this very version was measured, and if not, what stands in for it."""
    if not version:
        return f"measured at {found.measured}"
    words = re.findall(r"\d+(?:\.\d+)+", found.measured)
    if version in words:
        return f"measured at {found.measured}"
    newest = found is rows[0]
    later = f"; a version newer than {words[-1]} may differ" if newest and words and _order(version) > _order(words[-1]) else ""
    return f"measured at {found.measured}; {version} itself was not measured{later}"


def gpu(text: str) -> Gpu:
    """The GPU of a name (``H100-80GB``, ``NVIDIA H100 80GB HBM3`` too) or of a size (``24000MiB``, ``24GiB``). Raises InputError."""
    memory = _MEMORY.match(text.strip())
    if memory:
        mib = float(memory.group(1)) * _UNIT_MIB[memory.group(2).lower()]
        if not 1 <= mib <= 16 * 1024 * 1024:
            raise InputError(f"{text} is no GPU's memory.", where="gpu", remedy="Give from 1 MiB to 16 TiB.")
        return Gpu(text.strip(), mib, mib, mib >= 70 * 1024, mib >= 70 * 1024)
    table, alias = _gpus()
    plain = _plain(text)
    told = re.search(r"(\d+)\s*GB\b", text, re.I)
    size = int(told.group(1)) * 1024 if told else None
    for name in sorted([*table, *alias], key=len, reverse=True):
        base = re.sub(r"\d+GB$", "", _plain(name))
        found = table[alias.get(name, name)]
        if plain.startswith(base) and _is_that(plain[len(base) :], found, size, name in alias or _plain(name) == base):
            return found
    raise InputError(f"unknown GPU {text!r:.60}.", where="gpu", remedy=f"Use a size (24564MiB) or one of {', '.join(table)}.")


def _is_that(rest: str, found: Gpu, size: int | None, any_size: bool) -> bool:
    """Whether a driver's name that goes on with ``rest`` is that of this GPU: an RTX 4090 Laptop GPU or an H100 NVL has another memory."""
    if (rest[:1].isdigit() and size is None) or _OTHER.search(rest):
        return False
    return any_size if size is None else abs(size - found.nvml_mib) < SAME_SIZE * found.nvml_mib


def gpu_names() -> list[str]:
    return list(_gpus()[0])


def _plain(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper().replace("NVIDIA", "").replace("GEFORCE", "").replace("TESLA", "").replace("SXM4", ""))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@cache
def _engines() -> tuple[EngineConstants, ...]:
    """Newest first within an engine, as the table lists them."""
    written = _table("engines.toml")["engine"]
    known = {(row["name"], row["since"]): row for row in written}
    return tuple(_constants(known.get((row["name"], row.get("like")), {}) | row) for row in written)


def _constants(row: Mapping[str, Any]) -> EngineConstants:
    values = {name: value for name, value in row.items() if name != "like"}
    return EngineConstants(**values | {name: tuple(values[name]) for name in ("batch", "big_batch")})


@cache
def _gpus() -> tuple[dict[str, Gpu], dict[str, str]]:
    table = _table("gpus.toml")
    gpus = {
        name: Gpu(name, row["nvml"], row["cuda"], row.get("big_batch", False), row.get("nvlink", False))
        for name, row in table["gpu"].items()
    }
    return gpus, dict(table["alias"])


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((TABLES / name).read_text(encoding="utf-8"))
