"""Measured rows and what each rule says of them."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from include.errors import InputError
from include.estimate.confidence import Residual, interval
from include.estimate.engines import Gpu
from include.estimate.llamacpp import ENGINE as LLAMA_CPP
from include.estimate.llamacpp import mix_name
from include.estimate.model import Model, known_model, read_model
from include.estimate.quantisation import dtype_name, scheme
from include.estimate.serving import Estimate, Serving, batch, fits, stage_estimates
from include.estimate.weights import Parallel
from include.verdict import Decision

DATA = Path(__file__).parent / "data"
MEASURED = DATA / "h100_vllm_0_19_0.csv"
OLDER = DATA / "h100_vllm_older.csv"
PUBLIC = DATA / "public_logs.csv"
SHORT_TOKENS = 512
NEEDED = ("model", "gpu_total_gib", "gpu_mem_util")
BIG_BATCH_GIB = 70
"""vLLM's bound for its larger default batch; the table names no device, so an A100-80GB needs a column ``gpu`` with its name."""


@dataclass(frozen=True)
class Row:
    """One measurement, GiB per GPU; None was not reported."""

    line: str
    model: str
    quant: str
    weights: float | None
    activation: float | None
    non_torch: float | None
    kv_pool: float | None
    kv_tokens: float | None
    gpu: Gpu
    serving: Serving
    kind: str = ""
    source: str = ""
    pool_told: float | None = None
    """The pool where the settings that it depends on are not told: of use for the tokens in it alone."""


@dataclass(frozen=True)
class Judged:
    """A row beside our estimate and GPUStack's rule; errors in per cent of the measured, None where it was not measured or is not
    positive (the engine gave up)."""

    row: Row
    estimate: Estimate
    weights_error: float | None
    activation_error_gib: float | None
    kv_pool_error: float | None
    kv_tokens_error: float | None
    gpustack_pool_error: float | None
    pool: float
    tokens_of_pool_error: float | None
    """Of the tokens that we reckon the reported pool to hold."""

    @property
    def residual(self) -> Residual | None:
        """By what share the memory beside the cache was estimated wrongly, or the weights, where no more was reported."""
        row, found = self.row, self.estimate
        error = None
        if row.kv_pool is not None and not row.serving.engine.startswith(LLAMA_CPP):
            ours = found.budget - found.kv_pool
            error = (found.budget - row.kv_pool * 1024) / ours - 1
        elif row.weights is not None:
            error = row.weights * 1024 / found.weights - 1
        return None if error is None else Residual(row.model, found.kin[0], frozenset(found.kin[1]), error)


def refused_falsely(item: Judged) -> bool:
    """Whether what ran (a pool was left) would have been refused for one short request."""
    row = item.row
    if row.kv_pool is None or row.kv_pool <= 0 or row.serving.parallel.pipeline > 1:
        return False
    short = replace(row.serving, context=min(row.serving.context, SHORT_TOKENS), batch_tokens=batch(row.gpu, row.serving)[0], graphs=False)
    return fits(_model(row), row.gpu, short).decision is not Decision.PASS


def covered(rows: Sequence[Judged]) -> tuple[int, int]:
    """(rows whose measured memory lies in the interval that the rows of other models give, rows that could be asked)."""
    known = [(row, found) for row in rows if (found := row.residual) is not None]
    inside = asked = 0
    for row, own in known:
        others = [found for _, found in known if found.model != row.row.model]
        around = interval(own.engine, own.traits, others)
        if around is not None:
            asked, inside = asked + 1, inside + (abs(own.error) <= around.share)
    return inside, asked


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a table with the columns of ``h100_vllm_0_19_0.csv`` (``engine`` and ``gpu`` are optional), and what was refused and why.

    Raises InputError for what is no such table at all.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}.", where=str(path), remedy="Give a CSV file.") from error
    missing = [name for name in NEEDED if not lines or name not in lines[0]]
    if missing:
        raise InputError(f"has no rows or no column {', '.join(missing)}.", where=str(path), remedy="See bench/estimator/data/.")
    rows: list[Row] = []
    refused: list[str] = []
    for number, line in enumerate(lines, start=2):
        try:
            row = _row(line, f"{path.name}: line {number}")
            judged(row)
            rows.append(row)
        except InputError as error:
            refused.append(f"{path.name}: line {number}: {line.get('model') or 'no model'}: {error}")
    return rows, refused


def judged(row: Row) -> Judged:
    """Our estimate of a row, from its model's name (or path) and settings alone."""
    model = _model(row)
    found = stage_estimates(model, row.gpu, row.serving)[0]
    budget = found.budget / 1024
    # llama.cpp takes the cache that it was asked for; vLLM all that is left.
    pool = found.kv_need if row.serving.engine.startswith(LLAMA_CPP) else found.kv_pool
    # GPUStack's rule of thumb: 1.2 x weights + 2 GiB, with no term for the cache; so what it leaves of the engine's share is its pool.
    weights = _plain_weights_gib(model, row)
    own = row.serving.engine.startswith(LLAMA_CPP)
    told = row.pool_told if row.kv_pool is None else row.kv_pool
    tokens = None if told is None or row.kv_tokens is None else float(found.kv.tokens_in(told * 2**30))
    return Judged(
        row,
        found,
        _per_cent(found.weights / 1024, row.weights),
        None if row.activation is None else found.activation / 1024 - row.activation,
        _per_cent(pool / 1024, row.kv_pool),
        _per_cent(float(found.kv_tokens), None if row.pool_told is not None else row.kv_tokens),
        None if own else _per_cent(budget - 1.2 * weights - 2, row.kv_pool),
        pool,
        None if tokens is None else _per_cent(tokens, row.kv_tokens),
    )


def _plain_weights_gib(model: Model, row: Row) -> float:
    tensors = model.tensors(row.serving.dtype, row.serving.scheme, row.serving.mix)
    return sum(t.bytes for t in tensors) / 2**30 / row.serving.parallel.gpus


def _model(row: Row) -> Model:
    return read_model(row.model) if Path(row.model).exists() else known_model(row.model)


def _per_cent(ours: float, measured: float | None) -> float | None:
    return 100 * (ours - measured) / measured if measured is not None and measured > 0 else None


def _row(line: Mapping[str, str | None], where: str) -> Row:
    cells = {name: (value or "").strip() for name, value in line.items() if isinstance(value, str)}
    total = _number(cells, "gpu_total_gib", where)
    if total is None:
        raise InputError("gpu_total_gib is empty.", where=where)
    device = cells.get("gpu", "")
    quant = cells.get("quant", "")
    dtype = cells.get("dtype", "")
    kv_dtype = next((word for word in ("fp8", "int8") if f"kv_{word}" in quant.lower()), cells.get("kv_dtype", ""))
    parallel = Parallel(_whole(cells, "tp", where), _whole(cells, "pp", where))
    serving = Serving(
        context=_whole(cells, "max_model_len", where),
        parallel=parallel,
        engine=cells.get("engine") or "vllm==0.19.0",
        dtype=dtype_name(dtype, where) if dtype and dtype != "auto" else None,
        kv_dtype=dtype_name(kv_dtype, where) if kv_dtype and kv_dtype != "auto" else None,
        scheme=None if mix_name(quant) else scheme(_weights_quant(quant), where),
        mix=mix_name(quant),
        utilisation=_number(cells, "gpu_mem_util", where),
        batch_tokens=_whole(cells, "batch_tokens", where) if cells.get("batch_tokens") else None,
        batch_requests=_whole(cells, "batch_requests", where) if cells.get("batch_requests") else None,
    )
    large = total >= BIG_BATCH_GIB
    nvlink = cells["link"].lower() == "nvlink" if cells.get("link") else large
    gpu = Gpu(device or f"{total} GiB", total * 1024, total * 1024, large and "a100" not in device.lower(), nvlink)
    return Row(
        line=where,
        model=cells.get("model", ""),
        quant=quant,
        weights=_number(cells, "weights_gib", where),
        activation=_number(cells, "activation_gib", where),
        non_torch=_number(cells, "non_torch_gib", where),
        kv_pool=_number(cells, "kv_pool_gib", where),
        kv_tokens=_number(cells, "kv_tokens", where),
        gpu=gpu,
        serving=serving,
        kind=cells.get("kind", ""),
        source=cells.get("source", ""),
        pool_told=_number(cells, "pool_told_gib", where),
    )


def _weights_quant(quant: str) -> str:
    """``quant`` without what it says of the cache and in brackets; ``compressed-tensors`` leaves it to the model's name to say."""
    words = [word for word in re.split(r"[\s,;+/]+", re.sub(r"\(.*?\)", "", quant.lower())) if word and not word.startswith("kv")]
    return "" if words in (["compressed-tensors"], ["checkpoint"], ["auto"]) else " ".join(words)


def _number(cells: Mapping[str, str], name: str, where: str) -> float | None:
    text = cells.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{name} is {text[:40]!r}.", where=where, remedy="It must be a number.")
    return value


def _whole(cells: Mapping[str, str], name: str, where: str) -> int:
    value = _number(cells, name, where)
    if value is not None and value != int(value):
        raise InputError(f"{name} is {value}.", where=where, remedy="It must be a whole number.")
    return 1 if value is None else int(value)
