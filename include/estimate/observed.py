"""What started servers reported of their memory, kept for the next estimate of the same model on the same card.

vLLM and llama.cpp write it into their logs at start. One file an observation, replaced by the next of its kind.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import InputError
from include.estimate.confidence import LEAST_SHARE, Interval
from include.estimate.engines import Gpu
from include.estimate.model import Model
from include.estimate.serving import Estimate, Serving, batch
from include.runtime import untrusted

MAX_LOG_BYTES = 8 * 1024 * 1024
SAME_CARD = 0.03
"""Devices whose memory differs by less than this share are taken for the same card."""
_N = r"(-?\d+(?:\.\d+)?)"
_WEIGHTS = re.compile(rf"(?:Model loading took|Loading model weights took) {_N} Gi?B")
_POOL = re.compile(rf"Available KV cache memory: {_N} GiB")
_TOKENS = re.compile(r"GPU KV cache size: ([\d,]+) tokens")
_V0 = re.compile(
    rf"non_torch_memory takes {_N}GiB; PyTorch activation peak memory takes {_N}GiB; "
    rf"the rest of the memory reserved for KV Cache is {_N}GiB"
)
_V0_DEVICE = re.compile(rf"total_gpu_memory \({_N}GiB\) x gpu_memory_utilization \({_N}\)")
_DEVICE = re.compile(rf"Free memory on device \({_N}/{_N} GiB\) on startup\. Desired GPU memory utilization is \({_N}, ")
_USAGE = re.compile(rf"{_N} GiB for peak activation, (?:{_N} GiB for non-torch memory, )?and {_N} GiB for CUDAGraph memory")
_BUFFER = re.compile(rf"(?m)^(?!\[\d+\]).*?(?:CUDA|ROCm|Vulkan|SYCL)\d+ (model |KV |compute |RS )?buffer size\s*=\s*{_N} MiB")


@dataclass(frozen=True)
class Observation:
    """MiB of one GPU; None was not reported. ``device``: what the server was told the GPU has; ``share``: how much of it it may use."""

    weights: float | None = None
    activation: float | None = None
    non_torch: float | None = None
    graphs: float | None = None
    kv_pool: float | None = None
    kv_tokens: int | None = None
    device: float | None = None
    share: float | None = None


def parse_log(text: str) -> Observation | None:
    """What a server's log says of its memory; None where it says nothing. Of several ranks, what the fullest has.

    Raises InputError for a log over :data:`MAX_LOG_BYTES`.
    """
    if len(text) > MAX_LOG_BYTES:
        raise InputError(f"the log has {len(text)} characters, over {MAX_LOG_BYTES}.", where="log", remedy="Give its start alone.")
    found = _vllm(text) or _llamacpp(text)
    return found if found and found.weights is not None else None


def read_log(path: Path) -> Observation:
    """The same of a file, of which only the first :data:`MAX_LOG_BYTES` are looked at. Raises InputError where it says nothing."""
    try:
        with untrusted.plain(path) as file:
            seen = parse_log(file.read(MAX_LOG_BYTES).decode("utf-8", "replace"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from error
    if seen is None:
        remedy = "Give the log of a server's start: vLLM's at its usual level, llama.cpp's with -v."
        raise InputError("it says nothing of the weights' memory.", where=str(path), remedy=remedy)
    return seen


def _vllm(text: str) -> Observation | None:
    weights = [float(one) for one in _WEIGHTS.findall(text)]
    if not weights:
        return None
    v0, usage = _V0.findall(text), _USAGE.findall(text)
    device = [(float(total), float(share)) for total, share in _V0_DEVICE.findall(text)]
    device += [(float(total), float(share)) for _, total, share in _DEVICE.findall(text)]
    pools = [float(one) for one in _POOL.findall(text)] + [float(pool) for _, _, pool in v0]
    activation = [float(one) for _, one, _ in v0] + [float(one) for one, _, _ in usage]
    outside = [float(one) for one, _, _ in v0] + [float(one) for _, one, _ in usage if one]
    tokens = [int(one.replace(",", "")) for one in _TOKENS.findall(text)]
    return Observation(
        weights=_mib(max(weights)),
        activation=_mib(max(activation, default=None)),
        non_torch=_mib(max(outside, default=None)),
        graphs=_mib(max((float(one) for _, _, one in usage), default=None)),
        kv_pool=_mib(min(pools, default=None)),
        kv_tokens=min(tokens, default=None),
        device=_mib(device[0][0]) if device else None,
        share=device[0][1] if device else None,
    )


def _llamacpp(text: str) -> Observation | None:
    sizes: dict[str, float] = {}
    for kind, size in _BUFFER.findall(text):
        name = kind.strip() or "model"
        sizes[name] = sizes.get(name, 0.0) + float(size)
    if "model" not in sizes:
        return None
    cache = sizes.get("KV", 0.0) + sizes.get("RS", 0.0)
    return Observation(weights=sizes["model"], activation=sizes.get("compute"), kv_pool=cache or None)


def _mib(gib: float | None) -> float | None:
    return None if gib is None else gib * 1024


class Observations:
    """Those kept in a ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, model: Model, gpu: Gpu, serving: Serving, seen: Observation) -> None:
        """Whole or not at all, in place of what was known of the same model, settings and card."""
        self._folder.mkdir(parents=True, exist_ok=True)
        card = round(seen.device or gpu.cuda_mib)
        content = {"model": model.name, "engine": serving.engine, "seen": asdict(seen)}
        atomic.write(self._folder / f"{_key(model, gpu, serving)}-{card}.json", json.dumps(content, indent=1))

    def find(self, model: Model, gpu: Gpu, serving: Serving) -> Observation | None:
        """What a server of this model, so served, on such a card reported; None where none did."""
        for path in sorted(self._folder.glob(f"{_key(model, gpu, serving)}-*.json")):
            card = path.stem.rpartition("-")[2]
            if card.isdigit() and abs(int(card) - gpu.cuda_mib) <= SAME_CARD * gpu.cuda_mib and (seen := _read(path)) is not None:
                return seen
        return None

    def fullest(self, model: Model, gpu: Gpu, serving: Serving) -> Observation | None:
        """The same on whichever card, where it is not known yet on which it will run: the one that took most beside the cache."""
        found = [seen for path in self._folder.glob(f"{_key(model, gpu, serving)}-*.json") if (seen := _read(path)) is not None]
        return max(found, key=lambda seen: (seen.weights or 0.0) + (seen.activation or 0.0) + (seen.non_torch or 0.0), default=None)


def apply(found: Estimate, seen: Observation) -> Estimate:
    """The estimate with what was reported in place of what was reckoned; the cache that is asked for stays as it was."""
    weights = found.weights if seen.weights is None else seen.weights
    activation = found.activation if seen.activation is None else seen.activation
    non_torch = found.non_torch if seen.non_torch is None else max(0.0, seen.non_torch)
    if seen.non_torch is None and None not in (seen.kv_pool, seen.device, seen.share):
        # It tells weights, activation and pool: the rest of its share is what lies outside.
        non_torch = max(0.0, (seen.device or 0.0) * (seen.share or 0.0) - (seen.kv_pool or 0.0) - weights - activation)
    graphs = found.graphs if seen.graphs is None else seen.graphs
    shift = (weights + activation + non_torch) - (found.weights + found.activation + found.non_torch)
    return replace(
        found,
        parameters=weights,
        allocator=0.0,
        tables=0.0,
        activation=activation,
        non_torch=non_torch,
        graphs=graphs,
        kv_pool=found.kv_pool - shift,
        interval=Interval(LEAST_SHARE, 1),
        reasons=(*found.reasons, f"learned: a server of this model reported {weights / 1024:.2f} GiB of weights, {_told(seen)}"),
    )


def _told(seen: Observation) -> str:
    parts = (("activation", seen.activation), ("non-torch", seen.non_torch), ("graphs", seen.graphs), ("KV pool", seen.kv_pool))
    return ", ".join(f"{name} {value / 1024:.2f}" for name, value in parts if value is not None) or "and no more"


def _key(model: Model, gpu: Gpu, serving: Serving) -> str:
    """Of the model's content, not its name, and of what sets its memory; not of context and conversations, which set the cache alone."""
    arch = replace(model.architecture, name="") if model.architecture else None
    stored: Sequence[Any] = [len(model.stored), round(sum(tensor.bytes for tensor in model.stored))]
    asked: Sequence[Any] = [
        serving.engine, serving.parallel, serving.dtype, serving.kv_dtype, serving.scheme, serving.mix, serving.graphs,
        round(serving.adapters), batch(gpu, serving),
    ]  # fmt: skip
    return hashlib.sha256(repr([arch, stored, model.scheme, asked]).encode()).hexdigest()[:24]


def _read(path: Path) -> Observation | None:
    """None for a file that is none of ours any more."""
    try:
        seen = json.loads(path.read_text(encoding="utf-8"))["seen"]
        whole = isinstance(seen, dict) and all(value is None or isinstance(value, int | float) for value in seen.values())
        return Observation(**seen) if whole else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
