"""Whether vLLM can serve a model as the spec asks: told before anything is started, with figures."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

from include.backends.vllm.spec import LORAS, VllmServe
from include.errors import InputError
from include.estimate.architecture import Architecture
from include.estimate.engines import Gpu, gpu
from include.estimate.kv_cache import KvCache
from include.estimate.model import Model, read_model
from include.estimate.observed import Observations, apply, parse_log
from include.estimate.serving import Serving, estimate, fits
from include.estimate.training import adapter_params
from include.estimate.weights import MIB, Parallel
from include.spec.parts import AUTO
from include.verdict import Decision

WHERE = "serve.arguments"
ENGINE = "vllm==0.32.0"
GIB = 2**30
ANY_GPU = "16384GiB"
"""Where it is not said which: large enough for all."""
HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Of an attention head, for which the build for processors has kernels; a server with another is healthy until it is asked something."""
MIG_SIZE, NAMED_SIZE = re.compile(r"(\d+)gb", re.I), re.compile(r"-(\d+)GB$")
BLOCK = 128
"""Tokens of a cache block on processors."""
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def check(model: Path, serve: VllmServe, memory_mib: float | None = None) -> None:
    """InputError when the model (a Hugging Face folder, or its name) can't be split, followed or kept as ``serve`` asks.

    ``memory_mib``: of one GPU, or of this machine; None: what the spec asks for, or what this machine has.
    """
    found = read_model(str(model))
    facts = found.architecture
    assert facts is not None  # it has a config.json: the step `base` saw it
    _heads(facts, serve)
    _context(facts, serve)
    device = _device(serve, memory_mib)
    verdict = fits(found, device, _serving(serve, found))
    if verdict.decision is not Decision.PASS:
        raise InputError(
            f"{verdict.reasons[0]}; {verdict.reasons[1]}.",
            where="serve.context",
            remedy="Lower `serve.context` or `serve.parallel`, split it over more GPUs (tensor-parallel-size), or quantise it.",
        )


def cache_gib(model: Path, serve: VllmServe) -> int:
    """What the conversations' cache takes on one worker: whole GiB, at least 1."""
    kv = _kv(read_model(str(model)), serve)
    return max(1, math.ceil(kv.bytes_for(-(-serve.context // BLOCK) * BLOCK, serve.parallel) / GIB))


def needed_mib(model: Path, serve: VllmServe, kept: Path | None = None) -> float:
    """Memory that it needs on each GPU, weights, cache, activations and the rest (MiB), by :mod:`include.estimate`, and by what a server
    of the same model, so served, reported (``kept``: the folder where that is)."""
    found = read_model(str(model))
    asked, serving = _asked_gpu(serve), _serving(serve, found)
    reckoned = estimate(found, asked, serving)
    seen = Observations(kept).fullest(found, asked, serving) if kept else None
    return (apply(reckoned, seen) if seen else reckoned).total


def learn(model: Path, serve: VllmServe, log: str, kept: Path) -> None:
    """Keep what a server's log says of its memory, for the next :func:`needed_mib`. A log that tells of no GPU changes nothing."""
    seen = parse_log(log) if serve.resources is not None else None
    if seen is None or seen.device is None:
        return
    found = read_model(str(model))
    Observations(kept).keep(found, _asked_gpu(serve), _serving(serve, found), seen)


def _asked_gpu(serve: VllmServe) -> Gpu:
    """The GPU model that the spec asks for; any, where it names none or several."""
    models = serve.resources.models if serve.resources else ()
    return _gpu_model(models[0]) if len(models) == 1 else gpu(ANY_GPU)


def adapters_mib(model: Model, serve: VllmServe) -> float:
    """What the room for adapters takes on each GPU: as many as are computed at once, each of the highest rank, in 16 bits (MiB).

    vLLM keeps it for every matrix of the layers, the embedding and the head, whatever an adapter has of them; 0 without adapters.
    """
    if not serve.adapters or model.architecture is None:
        return 0.0
    rank, facts = serve.highest_rank, model.architecture
    one = adapter_params(model.tensors(), rank) + 2 * rank * (facts.vocab + facts.hidden)
    return int(serve.arguments.get("max-loras", LORAS)) * one * 2 / MIB


def _kv(model: Model, serve: VllmServe) -> KvCache:
    return estimate(model, gpu(ANY_GPU), _serving(serve)).kv


def _serving(serve: VllmServe, model: Model | None = None) -> Serving:
    given = serve.arguments
    parallel = Parallel(given.get("tensor-parallel-size", 1), given.get("pipeline-parallel-size", 1))
    cache = given.get("kv-cache-dtype", "auto")
    on_gpu = serve.resources is not None
    return Serving(
        context=serve.context,
        concurrency=serve.parallel,
        parallel=parallel,
        engine=ENGINE,
        dtype="bfloat16" if given.get("dtype", "auto") in ("auto", "half", "float16", "bfloat16") else "float32",
        kv_dtype=None if cache == "auto" else "fp8" if cache.startswith("fp8") else cache,
        utilisation=given.get("gpu-memory-utilization") if on_gpu else 1.0,
        batch_tokens=given.get("max-num-batched-tokens"),
        batch_requests=serve.parallel,
        graphs=on_gpu and not given.get("enforce-eager", True),
        adapters=adapters_mib(model, serve) if model else 0.0,
    )


def _heads(facts: Architecture, serve: VllmServe) -> None:
    size = serve.arguments.get("tensor-parallel-size", 1)
    # Key and value heads are divided among the GPUs or, where there are fewer of them, copied.
    divided = facts.kv_heads % size == 0 or size % facts.kv_heads == 0
    if facts.heads % size or not divided:
        good = [n for n in range(1, facts.heads + 1) if facts.heads % n == 0 and (facts.kv_heads % n == 0 or n % facts.kv_heads == 0)]
        raise InputError(
            f"{size} does not divide the model's {facts.heads} attention heads and {facts.kv_heads} key-value heads.",
            where=f"{WHERE}.tensor-parallel-size",
            remedy=f"Possible: {', '.join(map(str, good))}.",
        )
    if facts.head_dim not in HEAD_SIZES:
        sizes = ", ".join(map(str, HEAD_SIZES))
        raise InputError(
            f"the model's attention heads have {facts.head_dim} dimensions; vLLM on processors computes {sizes}.",
            where="serve.backend",
            remedy="Serve it by llama.cpp.",
        )


def _context(facts: Architecture, serve: VllmServe) -> None:
    longest = facts.max_position
    if serve.context > longest and "hf-overrides" not in serve.arguments:
        raise InputError(
            f"the model follows {longest} tokens at most (max_position_embeddings), not {serve.context}.",
            where="serve.context",
            remedy=f"Lower it to {longest}, or stretch the model's positions with `hf-overrides`.",
        )


def _device(serve: VllmServe, memory_mib: float | None) -> Gpu:
    if memory_mib is not None:
        return gpu(f"{memory_mib}MiB")
    wanted = serve.resources
    if wanted is None:
        share = machine_mib() / _serving(serve).parallel.gpus
        return Gpu("this machine", share, share)
    if wanted.memory is not None and wanted.memory != AUTO:
        size = str(wanted.memory)
        return gpu(size if size[-1:].isalpha() else f"{size}MiB")
    if wanted.mig and (part := MIG_SIZE.search(wanted.mig)):
        return gpu(f"{part.group(1)}GiB")
    # The pool may choose any of the models: it must fit the smallest, and of a share no more than that.
    whole = min((_gpu_model(name) for name in wanted.models), key=lambda one: one.cuda_mib, default=gpu(ANY_GPU))
    share = wanted.fraction or 1.0
    return replace(whole, nvml_mib=whole.nvml_mib * share, cuda_mib=whole.cuda_mib * share)


def _gpu_model(name: str) -> Gpu:
    """A GPU as the inventory names it: one that the estimator does not know by the size in its name (``H100-94GB``), else any."""
    try:
        return gpu(name)
    except InputError:
        size = NAMED_SIZE.search(name)
        return gpu(f"{size.group(1)}GiB") if size else gpu(ANY_GPU)


def machine_mib() -> float:
    """Memory of this machine, or of its container if that is less (MiB)."""
    kib = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.exists() else "max"
    return min(kib / 1024, int(limit) / 2**20 if limit.isdigit() else math.inf)
