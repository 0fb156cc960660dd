"""Memory of one GPU that trains a decoder: full or LoRA, by optimiser, precision and sharding, activations kept or computed again.

Sources: Rajbhandari et al. 2020 (ZeRO), section 3.1: mixed precision keeps 16-bit weights and gradients and 12 bytes a parameter of
optimiser state (32-bit weights, two moments); section 5: stage 1 shares the optimiser's state among the GPUs, 2 the gradients too, 3 (as
FSDP) the weights too, of which a layer at a time is gathered. Dettmers et al. 2022: Adam's moments in 8 bits, a 32-bit scale to 256.
Korthikanti et al. 2022 (Reducing activation recomputation), section 4: a layer's activations, here without the attention matrix (flash
attention) and for the model's own head and MLP sizes; with recomputation the input of each layer and one layer's own remain. Hu et al. 2021
(LoRA): adapters of rank r on a matrix [m, n] have r (m + n) parameters; the base is frozen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from include.errors import InputError
from include.estimate.architecture import Architecture
from include.estimate.engines import Gpu
from include.estimate.model import Model
from include.estimate.quantisation import Scheme, dtype_bytes, dtype_name
from include.estimate.tensors import Tensor, touches
from include.estimate.weights import MIB, check_split, stage_weights
from include.estimate.weights import Parallel as _Parallel
from include.verdict import Decision, Rule, Verdict

CONTEXT_MIB = 600
"""CUDA context, cuBLAS workspaces and the allocator's slack: a rule of thumb, not a measurement."""
_ANY_LINEAR = Scheme("any", 16)


class Method(StrEnum):
    FULL = "full"
    LORA = "lora"


class Precision(StrEnum):
    """MIXED: 16-bit weights beside a 32-bit copy that is stepped. PURE: weights, gradients and moments in the one dtype."""

    MIXED = "mixed"
    PURE = "pure"


class Optimiser(StrEnum):
    """PAGED ones keep their moments in host memory; ADAFACTOR's are rows and columns, SGD (without momentum) has none."""

    ADAM = "adam"
    ADAM_8BIT = "adam8bit"
    PAGED_ADAM = "paged-adam"
    SGD = "sgd"
    ADAFACTOR = "adafactor"


def moment_bytes(optimiser: Optimiser, precision: Precision, size: float) -> float:
    """Bytes of GPU memory that the moments of one trained parameter take, whose dtype has ``size`` bytes."""
    if optimiser is Optimiser.ADAM_8BIT:
        return 2 * (1 + 4 / 256)
    if optimiser is Optimiser.ADAM:
        return 8.0 if precision is Precision.MIXED else 2 * size
    return 0.0


@dataclass(frozen=True)
class Training:
    """``batch`` sequences of ``context`` tokens on each GPU; ``rank``: LoRA's, on every linear layer. ``shards`` GPUs share by ``stage`` of
    ZeRO (3 is FSDP's full sharding). ``fused_step``: each layer is stepped in the backward pass, so its gradients alone stand."""

    method: Method = Method.FULL
    context: int = 2048
    batch: int = 1
    checkpointing: bool = True
    rank: int = 16
    dtype: str | None = None
    scheme: Scheme | None = None
    tensor: int = 1
    precision: Precision = Precision.MIXED
    optimiser: Optimiser = Optimiser.ADAM
    shards: int = 1
    stage: int = 3
    fused_step: bool = False

    def __post_init__(self) -> None:
        for name, value, high in (
            ("context", self.context, 100_000_000),
            ("batch", self.batch, 1_000_000),
            ("rank", self.rank, 65_536),
            ("shards", self.shards, 65_536),
            ("stage", self.stage, 3),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
                raise InputError(f"{name} is {value!r:.40}.", where="training", remedy=f"It must be a whole number from 1 to {high}.")
        if self.scheme and self.method is Method.FULL:
            raise InputError("quantised weights cannot be trained in full.", where="training", remedy="Train with lora, or unquantised.")


@dataclass(frozen=True)
class TrainingEstimate:
    """One GPU, MiB. ``adapters`` is their weights; gradients and optimiser are of what is trained."""

    weights: float
    adapters: float
    gradients: float
    optimiser: float
    activations: float
    logits: float
    context: float
    reasons: tuple[str, ...]

    @property
    def total(self) -> float:
        parts = (self.weights, self.adapters, self.gradients, self.optimiser, self.activations, self.logits, self.context)
        return sum(parts)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"total": self.total}


def estimate_training(model: Model, training: Training) -> TrainingEstimate:
    """The breakdown. Raises InputError for an ONNX graph, which cannot be trained, and for quantised weights trained in full."""
    arch = model.architecture
    if arch is None:
        raise InputError("an ONNX graph is for inference.", where=model.name, remedy="Give the model it was exported from.")
    if model.scheme and training.method is Method.FULL:
        raise InputError(f"{model.scheme.name} weights cannot be trained in full.", where=model.name, remedy="Train with lora.")
    dtype = dtype_name(training.dtype or model.dtype(), "dtype")
    parallel = _Parallel(training.tensor)
    check_split(arch, parallel)
    tensors = model.tensors(None if model.stored and training.dtype is None else dtype, training.scheme)
    weights = stage_weights(tensors, arch, parallel, dtype, training.scheme or model.scheme)[0].total
    size = dtype_bytes(dtype)
    lora = training.method is Method.LORA
    # What is trained is counted from the architecture: a packed checkpoint's shapes are not those of its matrices.
    plain = model.tensors() if model.stored and not model.scheme else Model(model.name, model.source, arch).tensors(dtype)
    trained = (adapter_params(plain, training.rank) if lora else sum(tensor.params for tensor in plain)) / training.tensor
    state = moment_bytes(training.optimiser, training.precision, size) + (4 if size == 2 and training.precision is Precision.MIXED else 0)
    # What is gathered for one layer, and for the next while this one computes.
    layer = weights / arch.layers
    shards, stage = training.shards, training.stage if training.shards > 1 else 0
    held = weights / shards + 2 * layer if stage == 3 else weights
    gradients = trained * size / MIB
    if training.fused_step:
        gradients /= arch.layers
    elif stage >= 2:
        gradients = gradients / shards + gradients / arch.layers
    activations, logits = activation_bytes(arch, training, size)
    how = "recomputed: each layer's input and one layer's own" if training.checkpointing else "all kept, flash attention"
    adapter_note = f"LoRA rank {training.rank} on every linear layer" if lora else "all parameters are trained"
    return TrainingEstimate(
        weights=held,
        adapters=trained * size / MIB if lora else 0.0,
        gradients=gradients,
        optimiser=trained * state / MIB / (shards if stage >= 1 else 1),
        activations=activations / MIB,
        logits=logits / MIB,
        context=CONTEXT_MIB,
        reasons=(
            f"weights from {model.source}",
            adapter_note,
            f"{training.optimiser}, {training.precision} precision: {state:g} bytes of state a trained parameter (ZeRO, section 3.1)",
            *((f"ZeRO stage {stage} over {shards} GPUs (section 5)",) if stage else ()),
            f"activations {how} (Korthikanti et al. 2022)",
            "formulas, not calibrated on a measurement",
        ),
    )


def fits_training(model: Model, gpu: Gpu, training: Training) -> Verdict:
    """Whether it fits on each of ``tensor`` such GPUs, the breakdown as evidence."""
    found = estimate_training(model, training)
    rule = Rule("device", found.total <= gpu.cuda_mib, f"{found.total / 1024:.2f} GiB", f"<= {gpu.cuda_mib / 1024:.2f} GiB", "everything")
    said = "fits" if rule.passed else "does not fit"
    first = f"{training.method} training of {model.name} {said} {gpu.name}: {rule.figure}, has {rule.bar}"
    evidence = {"estimate": found.to_json(), "gpu": asdict(gpu)}
    return Verdict(Decision.PASS if rule.passed else Decision.FAIL, (first, *found.reasons), (rule,), evidence)


def adapter_params(tensors: list[Tensor], rank: int) -> int:
    """Parameters of rank-``rank`` adapters on every linear layer."""
    matrices = [tensor for tensor in tensors if touches(_ANY_LINEAR, tensor.name, tensor.shape)]
    return sum(rank * (t.params // (t.shape[-1] * t.shape[-2])) * (t.shape[-1] + t.shape[-2]) for t in matrices if 0 not in t.shape)


def activation_bytes(arch: Architecture, training: Training, size: float) -> tuple[float, float]:
    """(layers' activations, the loss's logits) in bytes on one GPU.

    A layer keeps its inputs and its norms' outputs, queries, keys, values and attention's output, and the MLP's gate, up and product; the
    logits stand in the computing dtype, in 32 bit for the loss, and as a gradient.
    """
    tokens = training.context * training.batch
    if arch.latent:
        heads = arch.heads * (2 * (arch.latent.nope_dim + arch.latent.rope_dim) + 2 * arch.latent.value_dim)
    else:
        heads = 2 * arch.head_dim * (arch.heads + arch.kv_heads)
    width = arch.intermediate
    if arch.experts:
        width = max(width, arch.experts.per_token * arch.experts.width + arch.experts.shared_width)
    layer = tokens * size * (4 * arch.hidden + (heads + 3 * width) / training.tensor)
    kept = arch.layers * tokens * arch.hidden * size + layer if training.checkpointing else arch.layers * layer
    return kept, tokens * arch.vocab * (2 * size + 4) / training.tensor
