"""``python -m include.estimate MODEL --gpu H100-80GB``: the breakdown, fit or not and why.

Exit 0 where it fits, 1 where not, 2 for bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.estimate.engines import DEFAULT_ENGINE, gpu, gpu_names
from include.estimate.llamacpp import mix_name
from include.estimate.model import read_model
from include.estimate.observed import Observations, apply, read_log
from include.estimate.quantisation import Scheme, dtype_name, scheme
from include.estimate.serving import Serving, estimate, fits, judge_fit
from include.estimate.training import Method, Optimiser, Precision, Training, fits_training
from include.estimate.weights import Parallel
from include.runtime.settings import Settings
from include.verdict import Decision, Verdict

QUANTISED = frozenset({"fp8", "int8", "awq", "gptq", "w4a16", "int4", "fp8-dynamic", "w8a8", "bitsandbytes", "bnb", "fbgemm_fp8", "nvfp4"})
SERVING_ROWS = (
    ("parameters", "weights as loaded"), ("allocator", "rounding by PyTorch's allocator"), ("tables", "position tables"),
    ("activation", "peak of a full batch"), ("non_torch", "CUDA context, NCCL"), ("kv_need", "cache for what was asked"),
    ("graphs", "CUDA graphs"), ("total", ""),
)  # fmt: skip
TRAINING_ROWS = (
    ("weights", ""), ("adapters", "LoRA"), ("gradients", ""), ("optimiser", "Adam"), ("activations", ""), ("logits", "for the loss"),
    ("context", "CUDA context, workspaces"), ("total", ""),
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        verdict = judge(args)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(verdict.to_json()) if args.json else table(verdict, bool(args.train)))
    return 0 if verdict.decision is Decision.PASS else 1


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m include.estimate", description="Does a model fit a GPU, and why?")
    found.add_argument("model", help="a model folder, a config.json, a .gguf or .onnx file, or a known name")
    found.add_argument("--gpu", required=True, help=f"{', '.join(gpu_names())}, or a size such as 24564MiB")
    found.add_argument("--context", type=int, help="tokens of the longest request (default 8192; training 2048)")
    found.add_argument("--concurrency", type=int, default=1, help="requests at once; training: sequences a batch")
    found.add_argument("--tp", type=int, default=1, help="GPUs that share each layer")
    found.add_argument("--pp", type=int, default=1, help="groups that share the layers")
    found.add_argument(
        "--dtype", help="bfloat16, float16, float32; fp8, int8, awq, gptq, w4a16, bitsandbytes to quantise; a GGUF mix: q4_k_m"
    )
    found.add_argument("--kv-dtype", help="the cache's dtype, for example fp8")
    found.add_argument("--engine", help=f"name==version (default {DEFAULT_ENGINE}; a GGUF file's is llama.cpp)")
    found.add_argument("--utilisation", type=float, help="the engine's share of the GPU (its own default otherwise)")
    found.add_argument("--log", type=Path, help="a started server's log (vLLM, llama.cpp): what it reports is kept, and used from then on")
    found.add_argument("--train", choices=[method.value for method in Method])
    found.add_argument("--rank", type=int, default=16, help="LoRA's rank")
    found.add_argument("--precision", choices=[one.value for one in Precision], default=Precision.MIXED.value, help="training")
    found.add_argument("--optimiser", choices=[one.value for one in Optimiser], default=Optimiser.ADAM.value, help="training")
    found.add_argument("--shards", type=int, default=1, help="training: GPUs that share it by ZeRO or FSDP")
    found.add_argument("--stage", type=int, default=3, help="training: of ZeRO; 3 is FSDP")
    found.add_argument("--no-checkpointing", action="store_true", help="training keeps all activations")
    found.add_argument("--json", action="store_true")
    return found


def judge(args: argparse.Namespace) -> Verdict:
    """The verdict that the arguments ask for."""
    device, model = gpu(args.gpu), read_model(args.model)
    dtype: str | None = args.dtype
    quant: Scheme | None = None
    mix = mix_name(dtype)
    if mix:
        dtype = None
    elif dtype is not None and dtype.lower() in QUANTISED:
        quant, dtype = scheme(dtype, "--dtype"), None
    elif dtype is not None:
        dtype = dtype_name(dtype, "--dtype")
    if args.train:
        if args.pp != 1:
            raise InputError("training is estimated without pipeline parallel.", where="--pp", remedy="Leave it out.")
        context = 2048 if args.context is None else args.context
        method = Method(args.train)
        training = Training(
            method, context, args.concurrency, not args.no_checkpointing, args.rank, dtype, quant, args.tp,
            Precision(args.precision), Optimiser(args.optimiser), args.shards, args.stage,
        )  # fmt: skip
        return fits_training(model, device, training)
    context = 8192 if args.context is None else args.context
    split = Parallel(args.tp, args.pp)
    engine = args.engine or model.engine
    serving = Serving(context, args.concurrency, split, engine, dtype, args.kv_dtype, quant, args.utilisation, mix=mix)
    kept = Observations(Settings.load().observations)
    if args.log:
        kept.keep(model, device, serving, read_log(args.log))
    seen = kept.find(model, device, serving)
    return judge_fit(model, device, serving, apply(estimate(model, device, serving), seen)) if seen else fits(model, device, serving)


def table(verdict: Verdict, training: bool) -> str:
    """The breakdown for people: a row a part, then the verdict and its reasons."""
    figures: dict[str, Any] = verdict.evidence["estimate"]
    rows = [f"{'on each GPU':<12} {'MiB':>10}   {'GiB':>7}"]
    for name, meaning in TRAINING_ROWS if training else SERVING_ROWS:
        rows.append(f"{name:<12} {figures[name]:>10,.0f}   {figures[name] / 1024:>7.2f}   {meaning}".rstrip())
    device = verdict.evidence["gpu"]["cuda_mib"]
    rows.append(f"{'device':<12} {device:>10,.0f}   {device / 1024:>7.2f}   {verdict.evidence['gpu']['name']}")
    if not training:
        rows.append(f"the cache's pool holds {figures['kv_tokens']:,} tokens ({figures['kv_pool'] / 1024:.2f} GiB)")
    return "\n".join([*rows, "", ("FITS: " if verdict.decision is Decision.PASS else "DOES NOT FIT: ") + verdict.reasons[0]] + [
        f"  - {reason}" for reason in verdict.reasons[1:]
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
