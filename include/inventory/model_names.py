"""GPU models under one short name, whoever reports them: the estimator's names (``include/estimate/tables/gpus.toml``) where it has one."""

from __future__ import annotations

import re

from include.errors import InputError
from include.estimate.engines import gpu, gpu_names

NOISE = re.compile(r"^(NVIDIA|TESLA|GEFORCE|QUADRO|SXM\d*|PCIE|HBM\w*|NVL|SHARED)$", re.IGNORECASE)
"""Parts of a driver's name that tell makers, brands and boards apart, not what fits on the GPU."""
MIG = re.compile(r"[- ]MIG[- ](\w+\.)?\d+g\.\d+gb(\.me|\+me|\.me\.all)?$", re.IGNORECASE)
SIZE = re.compile(r"^(.*)-(\d+)GB$")
NEAR = 0.03
"""A driver reports up to this share of memory less or more than the size in the name says of another driver's version."""


def short_name(driver: str, memory_mib: int) -> str:
    """``NVIDIA H100 80GB HBM3``, ``NVIDIA-H100-80GB-HBM3`` → ``H100-80GB``; ``NVIDIA GeForce RTX 4090`` → ``RTX-4090``.

    The rule: split at blanks and dashes, drop NOISE and a MIG suffix, join with dashes. A name without a size whose model exists in several
    sizes gets that of ``memory_mib`` (MiB of the whole GPU): ``NVIDIA H200`` → ``H200-141GB``, ``NVIDIA H100 NVL`` → ``H100-94GB``.
    """
    parts = [part for part in re.split(r"[\s-]+", MIG.sub("", driver)) if part and not NOISE.match(part)]
    base = "-".join(parts)[:64] or "GPU"
    sized = {name: match[1] for name in gpu_names() if (match := SIZE.match(name))}
    if base in gpu_names() or base not in sized.values():
        return base
    for name in (name for name, of in sized.items() if of == base):
        if abs(memory_mib - gpu(name).nvml_mib) <= NEAR * memory_mib:
            return name
    return f"{base}-{round(memory_mib / 1024)}GB" if memory_mib else base


def known_memory_mib(model: str) -> int:
    """Memory of a model as its driver reports it (MiB); 0 when the estimator's table doesn't know the model."""
    try:
        found = gpu(model)
    except InputError:
        return 0
    return int(found.nvml_mib) if found.name == model else 0
