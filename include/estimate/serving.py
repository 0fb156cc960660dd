"""Memory of one GPU that serves a model: weights, cache, activation, what lies outside PyTorch, graphs; and whether it fits.

The rule for activation, and where each constant is from, are told in ``tables/engines.toml``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from include.errors import InputError
from include.estimate import llamacpp
from include.estimate.architecture import Architecture
from include.estimate.confidence import Interval, interval
from include.estimate.engines import DEFAULT_ENGINE, EngineConstants, Gpu, engine_constants
from include.estimate.kv_cache import BLOCK_TOKENS, KvCache, kv_cache
from include.estimate.model import Model
from include.estimate.quantisation import Scheme, dtype_bytes, dtype_name
from include.estimate.weights import MIB, Parallel, StageWeights, stage_weights
from include.verdict import Decision, Rule, Verdict

MAX_TOKENS = 100_000_000
MAX_CONCURRENCY = 1_000_000
ONE_GPU = Parallel()
WHOLE_PROMPT_TOKENS = 32_768
"""Longer prompts are prefilled in pieces by vLLM's engine V0 too."""


@dataclass(frozen=True)
class Serving:
    """How a model is served. ``context`` is the longest request, tokens; ``utilisation`` the share of the device an engine may use (None:
    the engine's default). ``batch_tokens``, ``batch_requests``: the engine's batch (None: its default for the device). ``adapters``: MiB of
    each GPU that LoRA adapters take. ``mix``: of which types a GGUF file is (``q4_k_m``), where the model is not that file itself."""

    context: int = 8192
    concurrency: int = 1
    parallel: Parallel = ONE_GPU
    engine: str = DEFAULT_ENGINE
    dtype: str | None = None
    kv_dtype: str | None = None
    scheme: Scheme | None = None
    utilisation: float | None = None
    batch_tokens: int | None = None
    batch_requests: int | None = None
    graphs: bool = True
    adapters: float = 0.0
    mix: str | None = None

    def __post_init__(self) -> None:
        for name, value, high in (
            ("context", self.context, MAX_TOKENS),
            ("concurrency", self.concurrency, MAX_CONCURRENCY),
            ("batch_tokens", 1 if self.batch_tokens is None else self.batch_tokens, MAX_TOKENS),
            ("batch_requests", 1 if self.batch_requests is None else self.batch_requests, MAX_CONCURRENCY),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
                raise InputError(f"{name} is {value!r:.40}.", where="serving", remedy=f"It must be a whole number from 1 to {high}.")
        if self.utilisation is not None and not 0 < self.utilisation <= 1:
            raise InputError(f"utilisation is {self.utilisation}.", where="serving", remedy="It must be over 0 and at most 1.")


@dataclass(frozen=True)
class Estimate:
    """One GPU of the stage that needs most; all in MiB. ``kv_need`` is for the asked context and concurrency, ``kv_pool`` what the engine
    has left for the cache (negative: weights do not fit). ``reasons`` name the constants used and why."""

    stage: int
    parameters: float
    allocator: float
    tables: float
    activation: float
    non_torch: float
    graphs: float
    kv_need: float
    kv_pool: float
    budget: float
    device: float
    kv: KvCache
    reasons: tuple[str, ...]
    adapters: float = 0.0
    interval: Interval | None = None
    kin: tuple[str, tuple[str, ...]] = ("", ())
    """(engine and version of the constants, traits): by these, measured rows like this one are found."""

    @property
    def fixed(self) -> float:
        """What is reckoned, and may be wrong: all but the cache, whose size is arithmetic, and graphs."""
        return self.weights + self.activation + self.non_torch

    @property
    def total_range(self) -> tuple[float, float] | None:
        """Least and most of the total in so many cases as the interval's level says; None where nothing like it was measured."""
        if self.interval is None:
            return None
        low, high = self.interval.around(self.fixed)
        return self.total - self.fixed + low, self.total - self.fixed + high

    @property
    def kv_pool_range(self) -> tuple[float, float] | None:
        """The same of the pool."""
        if self.interval is None:
            return None
        low, high = self.interval.around(self.fixed)
        return self.kv_pool + self.fixed - high, self.kv_pool + self.fixed - low

    @property
    def weights(self) -> float:
        """What engines report as the model's memory after loading."""
        return self.parameters + self.allocator + self.tables

    @property
    def total(self) -> float:
        """What the GPU must have for the asked context and concurrency."""
        return self.weights + self.adapters + self.activation + self.non_torch + self.kv_need + self.graphs

    @property
    def kv_tokens(self) -> int:
        """Tokens that the pool holds, in whole blocks."""
        return self.kv.tokens_in(self.kv_pool * MIB)

    def to_json(self) -> dict[str, Any]:
        figures = asdict(self) | {"weights": self.weights, "total": self.total, "kv_tokens": self.kv_tokens}
        del figures["kin"]
        ranges = {"total_range": self.total_range, "kv_pool_range": self.kv_pool_range}
        return figures | ranges | {"kv": {"bytes_per_token": self.kv.bytes_per_token}}


def estimate(model: Model, gpu: Gpu, serving: Serving) -> Estimate:
    """The estimate for the GPU of the stage that needs most. Raises InputError for what engines refuse."""
    return max(stage_estimates(model, gpu, serving), key=lambda stage: stage.total)


def stage_estimates(model: Model, gpu: Gpu, serving: Serving) -> list[Estimate]:
    """One estimate for each pipeline stage, first to last."""
    if model.architecture is None:
        return [_graph_estimate(model, gpu, serving)]
    constants, version, why = engine_constants(serving.engine)
    if constants.name == llamacpp.ENGINE:
        return [_llamacpp_estimate(model, model.architecture, gpu, serving, constants, why)]
    arch, dtype = model.architecture, dtype_name(serving.dtype or model.dtype(), "dtype")
    tensors = model.tensors(None if model.stored and serving.dtype is None else dtype, serving.scheme, serving.mix)
    scheme = serving.scheme or model.scheme
    stages = stage_weights(tensors, arch, serving.parallel, dtype, scheme)
    reasons = (why, *_notes(model, arch, constants, serving, gpu.nvlink))
    if version:
        reasons += (f"engine asked for: {serving.engine}",)
    kin = (f"{constants.name} {constants.since}", traits(arch, serving, gpu, bool(scheme or serving.mix)))
    return [
        replace(_stage(arch, gpu, serving, constants, dtype, (number, stage), reasons), kin=kin, interval=interval(*kin))
        for number, stage in enumerate(stages)
    ]


def traits(arch: Architecture, serving: Serving, gpu: Gpu, quantised: bool) -> tuple[str, ...]:
    """What sets a row apart from others, as far as it made estimates better or worse."""
    parallel = serving.parallel
    link = ("tensor parallel", "NVLink" if gpu.nvlink else "PCIe") if parallel.tensor > 1 else ()
    found = [*link, *(["pipeline parallel"] if parallel.pipeline > 1 else []), *(["quantised"] if quantised else [])]
    found += ["experts"] if arch.experts else []
    found += ["vision"] if arch.multimodal else []
    found += ["latent attention"] if arch.latent else []
    found += ["layers of two kinds"] if arch.windowed_layers or arch.linear else []
    return tuple(found or ["plain"])


def batch(gpu: Gpu, serving: Serving) -> tuple[int, int]:
    """(tokens, requests) that the engine profiles at start: given, or the server defaults of its version for the device."""
    constants = engine_constants(serving.engine)[0]
    tokens, requests = constants.big_batch if gpu.big_batch else constants.batch
    if constants.whole_prompts and serving.context <= WHOLE_PROMPT_TOKENS:
        tokens = max(tokens, serving.context)
    tokens = serving.batch_tokens or tokens
    return tokens, min(tokens, serving.batch_requests or requests)


def fits(model: Model, gpu: Gpu, serving: Serving) -> Verdict:
    """Whether it fits, with the breakdown as evidence: the engine's share must hold everything but graphs, the device all of it."""
    return judge_fit(model, gpu, serving, estimate(model, gpu, serving))


def judge_fit(model: Model, gpu: Gpu, serving: Serving, found: Estimate) -> Verdict:
    """The same of an estimate that was made (and may have learned from a server)."""
    in_share = found.budget - found.kv_pool - found.fixed - found.adapters
    inside = found.total - found.graphs + in_share
    rules = (
        Rule("weights", found.weights <= found.budget, _gib(found.weights), f"<= {_gib(found.budget)}", "weights alone"),
        Rule("engine's share", inside <= found.budget, _gib(inside), f"<= {_gib(found.budget)}", "weights, cache, activation, non-torch"),
        Rule("device", found.total <= found.device, _gib(found.total), f"<= {_gib(found.device)}", "the same and CUDA graphs"),
    )
    passed = all(rule.passed for rule in rules)
    largest = largest_context(found)
    where = f"{model.name} on {serving.parallel.gpus} x {gpu.name}"
    asked = f"{serving.context} tokens x {serving.concurrency}"
    broken = next((rule for rule in rules if not rule.passed), None)
    first = (
        f"{where} fits {asked}" if broken is None else f"{where} does not fit {asked}: {broken.detail} {broken.figure}, has {broken.bar}"
    )
    second = f"the largest context that fits {serving.concurrency} at once is {largest} tokens" if largest else "no context fits"
    evidence = {"estimate": found.to_json(), "largest_context": largest, "gpu": asdict(gpu)}
    return Verdict(Decision.PASS if passed else Decision.FAIL, (first, second, how_sure(found), *found.reasons), rules, evidence)


def how_sure(found: Estimate) -> str:
    """The interval in a sentence."""
    if found.interval is None or found.total_range is None:
        return "how sure: not known, nothing like it was measured"
    low, high = found.total_range
    where = "by what such a server reported" if found.interval.rows == 1 else f"by {found.interval.rows} measured rows like this one"
    return f"how sure: {_gib(low)} to {_gib(high)} in {found.interval.level:.0%} of cases, {where}"


def largest_context(found: Estimate, concurrency: int | None = None) -> int:
    """The most tokens a request that fit ``concurrency`` times (None: as often as was asked) in whole blocks; 0 where none does.

    Not cut to what the model was trained for: that is the config's ``max_position_embeddings``.
    """
    asked = found.kv.requests if concurrency is None else concurrency
    room = min(found.kv_pool, found.device - (found.total - found.kv_need)) * MIB
    low, high = 0, MAX_TOKENS // BLOCK_TOKENS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if found.kv.bytes_for(middle * BLOCK_TOKENS, asked) <= room else (low, middle - 1)
    return low * BLOCK_TOKENS


def _stage(
    arch: Architecture,
    gpu: Gpu,
    serving: Serving,
    constants: EngineConstants,
    dtype: str,
    at: tuple[int, StageWeights],
    why: tuple[str, ...],
) -> Estimate:
    number, weights = at
    parallel = serving.parallel
    activation = activation_mib(arch, constants, batch(gpu, serving), dtype, parallel, last=number == parallel.pipeline - 1)
    non_torch = constants.non_torch(parallel.tensor, parallel.pipeline, gpu.nvlink)
    budget = gpu.cuda_mib * (serving.utilisation or constants.utilisation)
    graphs = constants.graphs(weights.layers) if serving.graphs else 0.0
    inside = graphs if constants.graphs_in_share else 0.0
    kv = kv_cache(
        arch, serving.kv_dtype or _cache_dtype(dtype), parallel.tensor, weights.layers, batch(gpu, serving)[0], serving.concurrency
    )
    return Estimate(
        stage=number,
        parameters=weights.parameters,
        allocator=weights.allocator,
        tables=weights.tables,
        activation=activation,
        non_torch=non_torch,
        graphs=graphs,
        kv_need=kv.bytes_for(serving.context, serving.concurrency) / MIB,
        kv_pool=budget - weights.total - serving.adapters - activation - non_torch - inside,
        budget=budget,
        device=gpu.cuda_mib,
        kv=kv,
        reasons=why,
        adapters=serving.adapters,
    )


def activation_mib(
    arch: Architecture, constants: EngineConstants, full: tuple[int, int], dtype: str, parallel: Parallel, *, last: bool
) -> float:
    """The peak while the engine runs a full batch of (tokens, requests), MiB. Only the last stage samples."""
    tokens, requests = full
    size = max(2.0, dtype_bytes(dtype))
    width = arch.intermediate if arch.experts is None or arch.experts.some_dense else arch.experts.shared_width
    mlp = (3 if arch.family.gated else 2) * width / parallel.tensor
    between = constants.pipeline_hidden if parallel.pipeline > 1 else 0
    forward = tokens * size * (mlp + (constants.forward_hidden + between) * arch.hidden)
    sampling = requests * arch.vocab * (size + constants.sampler_bytes) + (tokens + 2 * requests) * arch.hidden * size
    experts = 0.0
    if arch.experts:
        scratch = max(2 * arch.experts.width / parallel.tensor, arch.hidden) + arch.experts.width / parallel.tensor
        experts = tokens * arch.experts.per_token * scratch * size
    if not constants.scratch_stays:
        forward, experts = forward + experts, 0.0
    return constants.base_mib + family_extra(arch, constants) + (max(forward, sampling if last else 0.0) + experts) / MIB


def family_extra(arch: Architecture, constants: EngineConstants) -> float:
    """MiB by which the architecture departs from the rule at this engine version: 0 where it was seen not to, or was not measured."""
    extra = constants.family_extra_mib.get(arch.family.name, 0.0)
    vision_measured = arch.family.name == "Gemma3" and extra > 0
    return extra + (constants.family_extra_mib["Multimodal"] if arch.multimodal and not vision_measured else 0.0)


def _notes(model: Model, arch: Architecture, constants: EngineConstants, serving: Serving, nvlink: bool) -> tuple[str, ...]:
    extra = family_extra(arch, constants)
    measured = arch.family.name in constants.family_extra_mib
    notes = [f"weights from {model.source}", f"activation: base {constants.base_mib} MiB and {constants.sampler_bytes} B a sampled logit"]
    if extra:
        kind = f"architecture {arch.family.name}" if measured else "a vision tower, a guess: its architecture was not measured"
        notes.append(f"activation: {extra:.0f} MiB more for {kind}")
    if not arch.known_family:
        notes.append(f"model_type {arch.family.name!r} is not known: a plain decoder is assumed, a guess")
    tensor, pipeline = serving.parallel.tensor, serving.parallel.pipeline
    link = "NVLink" if nvlink else "PCIe"
    kind = f"tensor parallel over {link}" if tensor > 1 else "pipeline parallel" if pipeline > 1 else "one GPU"
    notes.append(f"non-torch: {constants.non_torch(tensor, pipeline, nvlink):.0f} MiB for {kind}")
    if arch.multimodal and not arch.vision and not arch.extra_params:
        notes.append("its vision_config does not give the tower's sizes: its weights are not counted")
    if constants.graphs_in_share and serving.graphs:
        notes.append("CUDA graphs are taken out of the engine's share since 0.21")
    return tuple(notes)


def _llamacpp_estimate(model: Model, arch: Architecture, gpu: Gpu, serving: Serving, constants: EngineConstants, why: str) -> Estimate:
    """One GPU with every layer of the model on it. llama.cpp takes the cache that was asked for, and no more."""
    if serving.parallel.gpus > 1:
        raise InputError("llama.cpp is estimated on one GPU.", where="parallel", remedy="Ask for one GPU, or for vllm.")
    tokens, _ = batch(gpu, serving)
    weights = sum(tensor.bytes for tensor in llamacpp.gpu_tensors(arch, model.stored, serving.mix)) / MIB
    compute = llamacpp.compute_bytes(arch, tokens) / MIB
    need = llamacpp.cache_bytes(arch, serving.kv_dtype, serving.context, serving.concurrency, tokens) / MIB
    budget = gpu.cuda_mib * (serving.utilisation or constants.utilisation)
    left = budget - weights - compute - constants.non_torch_mib
    linear = len(arch.linear.layers) if arch.linear else 0
    layer = llamacpp.cached_values(arch) * llamacpp.element_bytes(serving.kv_dtype)
    full = arch.layers - arch.windowed_layers - linear
    window = arch.window or 0
    kv = KvCache(
        layer, full, arch.windowed_layers, window, tokens, serving.concurrency, block_tokens=llamacpp.CELLS, grouped=False
    )  # fmt: skip
    reasons = (
        why,
        f"weights from {model.source}: all layers on the GPU, the token embedding in host memory",
        "compute buffer: a batch's logits and hidden state, with flash attention",
        f"non-torch: {constants.non_torch_mib:.0f} MiB for the CUDA context and cuBLAS, a guess: logs do not tell it",
    )
    kin = (f"{constants.name} {constants.since}", traits(arch, serving, gpu, True))
    return Estimate(
        0, weights, 0.0, 0.0, compute, constants.non_torch_mib, 0.0, need, left, budget, gpu.cuda_mib, kv, reasons, serving.adapters,
        interval(*kin), kin,
    )  # fmt: skip


def _graph_estimate(model: Model, gpu: Gpu, serving: Serving) -> Estimate:
    """An ONNX graph: its initialisers, and the general rule's constants. It tells neither cache nor activations; that is said."""
    if serving.parallel.gpus > 1:
        raise InputError("an ONNX graph is not split over GPUs.", where=model.name, remedy="Ask for one GPU.")
    constants, _, _ = engine_constants("onnxruntime")
    weights = sum(tensor.bytes for tensor in model.tensors(serving.dtype, None)) / MIB
    budget = gpu.cuda_mib * (serving.utilisation or constants.utilisation)
    left = budget - weights - constants.base_mib - constants.non_torch_mib
    reasons = (f"weights from {model.source}", "an ONNX graph tells no cache or activation sizes: the general rule's constants, a guess")
    kv = KvCache(0.0, 0, requests=serving.concurrency)
    return Estimate(0, weights, 0.0, 0.0, constants.base_mib, constants.non_torch_mib, 0.0, 0.0, left, budget, gpu.cuda_mib, kv, reasons)


def _cache_dtype(dtype: str) -> str:
    return dtype if dtype_bytes(dtype) >= 2 else "bfloat16"


def _gib(mib: float) -> str:
    return f"{mib / 1024:.2f} GiB"
