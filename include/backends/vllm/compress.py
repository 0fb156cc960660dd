"""The forms of a model that vLLM serves: in 16 bits, and quantised by llm-compressor (runtime `quantise`; `llm` when nothing is).

A Hugging Face folder each, and ``calibration.json``: the chats of the training side that the scales were
chosen on. Sources: AWQ, arXiv 2306.00978; GPTQ, 2210.17323;
SmoothQuant (before W8A8), 2211.10438.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.backends.chat import Forms, Wanted
from include.backends.vllm.spec import VllmServe
from include.bundles.chat import BF16
from include.data import chats
from include.data.chats import Row
from include.errors import InputError
from include.estimate.checkpoint import folder_tensors
from include.estimate.tensors import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

AWQ, GPTQ, W8A8 = VllmServe.forms
GROUP = 128
"""Weights that share a scale in awq and gptq: what vLLM's kernels for 4 bits are made for."""
SMOOTHING = 0.8
"""How much of w8a8's difficulty moves from the activations to the weights (the figure of SmoothQuant's authors for Llama)."""
BATCH_TOKENS = 4096
"""Tokens that the model looks at together, at most, unless one chat is longer."""
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json")
"""What a form has of its own; the tokenizer, its template and the rest are the model's, byte for byte."""
GIB = 2**30
_ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+ \w+)")
_REMEDY = "Lower `optimize.calibration_chats` or `data.max_tokens`, or quantise on a larger machine."


@dataclass(frozen=True)
class Need:
    """Memory that quantising takes, bytes: the ``weights`` in 16 bits and once more while they are written, the largest layer's
    ``statistics`` in 32 bits (GPTQ's Hessian, its inverse and their copies), and the ``activations`` between two layers."""

    weights: float
    statistics: float
    activations: float

    @property
    def total(self) -> float:
        return self.weights + self.statistics + self.activations

    def __str__(self) -> str:
        parts = {"weights": self.weights, "the largest layer's statistics": self.statistics, "activations": self.activations}
        return f"{self.total / GIB:.2f} GiB ({', '.join(f'{name} {size / GIB:.2f}' for name, size in parts.items())})"


def make(wanted: Wanted) -> Forms:
    """Every form; the facts are ``forms`` (name, ``size_bytes``, ``seconds``) and ``calibration`` (``chats``, ``tokens``, ``seed``,
    ``digest``).

    InputError when a form does not fit the model's shape, or the memory does not suffice: tried again, it would fail again.
    """
    quiet = {"TQDM_DISABLE": "1", "LLM_COMPRESSOR_LOG_DISABLED": "true", "TOKENIZERS_PARALLELISM": "false"}
    os.environ.update({"HF_HUB_OFFLINE": "1", **quiet})
    import torch
    from transformers import AutoTokenizer

    tensors = folder_tensors(wanted.model)
    check(tensors, wanted.methods)
    rows = chosen(chats.table(wanted.table, "train"), wanted.calibration_chats, wanted.seed)
    ids = _ids(AutoTokenizer.from_pretrained(wanted.model, local_files_only=True), rows, wanted.max_tokens)
    tokens = sum(map(len, ids))
    used = {"chats": len(rows), "tokens": tokens, "seed": wanted.seed, "digest": _digest(rows)}
    (wanted.out / "calibration.json").write_text(json.dumps(used | {"ids": [row.id for row in rows]}))
    print(f"Calibrated on {len(rows)} chats of {tokens:,} tokens.", flush=True)
    enough(needed(tensors, wanted.methods, tokens), available())
    forms = []
    with bounded(on_gpu=torch.cuda.is_available()):
        for form in ("", *wanted.methods):
            torch.manual_seed(wanted.seed)
            started, name = time.monotonic(), form or BF16
            size = _write(wanted.model, form, ids, wanted.out, name)
            forms.append({"name": name, "size_bytes": size, "seconds": round(time.monotonic() - started, 1)})
            print(f"{name}: {size:,} bytes of weights, {forms[-1]['seconds']:g} s", flush=True)
    files = {str(one["name"]): wanted.out / str(one["name"]) for one in forms}
    return Forms(files, {"forms": forms, "calibration": used})


def chosen(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """``count`` of the chats at most, the same for the same chats and seed, whatever their order."""
    ordered = sorted(rows, key=lambda row: (row.id, json.dumps(row.messages, sort_keys=True)))
    return random.Random(seed).sample(ordered, min(count, len(ordered)))


def check(tensors: Sequence[Tensor], methods: Sequence[str]) -> None:
    """InputError for a method that the model's shape does not allow."""
    by_groups = [method for method in methods if method in (AWQ, GPTQ)]
    unfit = [tensor for tensor in _linear(tensors) if tensor.shape[-1] % GROUP]
    if by_groups and unfit:
        first = unfit[0]
        raise InputError(
            f"{by_groups[0]} shares a scale among {GROUP} weights, and {first.name} has {first.shape[-1]} inputs, no multiple of {GROUP} "
            f"({len(unfit)} of the {len(_linear(tensors))} linear layers).",
            where="optimize.methods",
            remedy="Use w8a8, which has a scale a row, or none.",
        )


def needed(tensors: Sequence[Tensor], methods: Sequence[str], tokens: int) -> Need:
    """What quantising takes, about. Pure."""
    weights = 2.0 * sum(tensor.params for tensor in tensors)
    linear = _linear(tensors)
    widest = max((tensor.shape[-1] for tensor in linear), default=0)
    largest = max((tensor.params for tensor in linear), default=0)
    hessian = any(method in (GPTQ, W8A8) for method in methods)
    hidden = next((tensor.shape[-1] for tensor in tensors if tensor.name.endswith("embed_tokens.weight")), 0)
    statistics = 4.0 * (3 * largest + (4 * widest**2 if hessian else 0))
    return Need(weights * (1.5 if methods else 1), statistics if methods else 0.0, 2.0 * 2 * tokens * hidden if methods else 0.0)


def enough(need: Need, free: float) -> None:
    """InputError with the figures when ``free`` bytes are too few."""
    if need.total > free:
        raise InputError(f"quantising takes {need}, and {free / GIB:.2f} GiB are free.", where="optimize", remedy=_REMEDY)


def available() -> float:
    """Bytes of memory that this process may still have: the machine's, or its container's if that is less."""
    meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = [float(meminfo["MemAvailable"].split()[0]) * 1024]
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and (most := limit.read_text().strip()) != "max":
        free.append(float(most) - float(used.read_text()))
    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
    if soft != resource.RLIM_INFINITY:
        free.append(soft - _data())
    return max(0.0, min(free))


@contextmanager
def bounded(*, on_gpu: bool) -> Iterator[None]:
    """A lack of memory is an InputError with the figure, of this process, instead of whichever process the kernel would kill.

    The bound is not for GPUs: CUDA's driver takes address space that is no memory.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if not on_gpu:
        resource.setrlimit(resource.RLIMIT_DATA, (int(_data() + available()), hard))
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if (said := _out_of_memory(error)) is None:
            raise
        raise InputError(f"quantising ran out of memory{said}.", where="optimize", remedy=_REMEDY) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _out_of_memory(error: BaseException | None) -> str | None:
    """What was asked for when the memory ended, as torch says it; empty when it does not say; None for any other error."""
    found = None
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text:
            asked = _ASKED.search(text)
            found = f": it asked for another {asked[1]}" if asked else found or ""
        error = error.__cause__ or error.__context__
    return found


def _data() -> float:
    """Bytes that the kernel counts towards RLIMIT_DATA."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:"))
    return float(line.split()[1]) * 1024


def _linear(tensors: Sequence[Tensor]) -> list[Tensor]:
    """What is quantised: the matrices inside the layers."""
    return [tensor for tensor in tensors if len(tensor.shape) == 2 and ".layers." in tensor.name and tensor.name.endswith("_proj.weight")]


def _ids(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], max_tokens: int) -> list[list[int]]:
    """Each chat as the model was trained on it."""
    texts = [str(tokenizer.apply_chat_template(row.messages, tokenize=False)) for row in rows]
    return [list(ids[:max_tokens]) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _digest(rows: Sequence[Row]) -> str:
    return hashlib.sha256(json.dumps([asdict(row) for row in rows], sort_keys=True).encode()).hexdigest()


def _write(model: Path, form: str, ids: Sequence[Sequence[int]], out: Path, name: str) -> int:
    """The model in one form as ``out/name``, whole or not at all. Returns the bytes of its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    part = out / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(model, part, ignore=shutil.ignore_patterns(*WEIGHTS))
    network = AutoModelForCausalLM.from_pretrained(model, local_files_only=True, dtype=torch.bfloat16)
    if form:
        _quantise(network, form, ids)
    network.save_pretrained(part, **({"save_compressed": True} if form else {}))
    shutil.rmtree(out / name, ignore_errors=True)
    os.replace(part, out / name)
    return sum(file.stat().st_size for file in (out / name).glob("*.safetensors"))


def _quantise(network: PreTrainedModel, form: str, ids: Sequence[Sequence[int]]) -> None:
    import torch
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
    from llmcompressor.pipelines.cache import IntermediatesCache
    from loguru import logger
    from torch.utils.data import DataLoader

    logger.remove()  # dozens of lines a layer
    if not torch.accelerator.is_available():
        IntermediatesCache.pin_memory = lambda *_: None  # it fails where there is nothing to copy to
    what: dict[str, Any] = {"targets": ["Linear"], "ignore": ["lm_head"]}
    recipe = {
        AWQ: lambda: [AWQModifier(), QuantizationModifier(scheme="W4A16_ASYM", **what)],
        GPTQ: lambda: [GPTQModifier(scheme="W4A16", **what)],
        W8A8: lambda: [SmoothQuantModifier(smoothing_strength=SMOOTHING), GPTQModifier(scheme="W8A8", **what)],
    }[form]()
    batches = [
        {"input_ids": torch.tensor(batch), "attention_mask": torch.ones(len(batch), len(batch[0]), dtype=torch.long)}
        for batch in _batches(ids)
    ]
    oneshot(model=network, recipe=recipe, dataset=DataLoader(batches, batch_size=None))


def _batches(ids: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Chats of one length together, so that none is padded: padding would count as what the model is asked."""
    for length, alike in groupby(sorted(ids, key=len), key=len):
        together = list(alike)
        most = max(1, BATCH_TOKENS // length)
        yield from (together[start : start + most] for start in range(0, len(together), most))
