"""Leave one model out: fit an engine version's constants on the other models' rows and see what they say of this one.

What is fitted is what ``engines.toml`` holds as fitted: ``base_mib`` and non-torch memory; where vocabularies differ enough to tell,
``sampler_bytes`` too (the older version; at 0.19.0 leaving Llama out leaves two vocabularies of 152 k, so its three 4-byte copies stand).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.estimator.rows import Row, judged
from include.estimate.architecture import Architecture
from include.estimate.engines import EngineConstants, engine_constants
from include.estimate.model import known_model
from include.estimate.serving import activation_mib, batch


@dataclass(frozen=True)
class LeftOut:
    """A row predicted with constants that never saw its model."""

    row: Row
    base_mib: float
    sampler_bytes: float
    activation_mib: float
    kv_pool_error: float | None


def leave_one_model_out(rows: Sequence[Row], *, fit_sampler: bool) -> list[LeftOut]:
    """Every row of each model, predicted from the others."""
    found: list[LeftOut] = []
    for left in sorted({row.model for row in rows}):
        others = [row for row in rows if row.model != left]
        constants = _fitted(others, fit_sampler)
        found += [_predicted(row, constants, others) for row in rows if row.model == left]
    return found


def _fitted(rows: Sequence[Row], fit_sampler: bool) -> EngineConstants:
    """Least squares of the measured activation over what the rule says without the fitted parts, on one-stage rows.

    Sampling is the peak in all of them, so the rule is linear in both constants there.
    """
    known = [row for row in rows if row.activation is not None and row.serving.parallel.pipeline == 1]
    constants, _, _ = engine_constants(known[0].serving.engine)
    logits = [_requests(row) * _architecture(row).vocab / 2**20 for row in known]
    bare = replace(constants, base_mib=0.0)
    fixed = [
        _activation(row, bare) - (size * constants.sampler_bytes if fit_sampler else 0.0) for row, size in zip(known, logits, strict=True)
    ]
    left = np.array([(row.activation or 0.0) * 1024 for row in known]) - np.array(fixed)
    columns = np.array([[1.0, size] for size in logits]) if fit_sampler else np.ones((len(known), 1))
    solution = np.linalg.lstsq(columns, left, rcond=None)[0]
    return replace(constants, base_mib=float(solution[0]), sampler_bytes=float(solution[1]) if fit_sampler else constants.sampler_bytes)


def _predicted(row: Row, constants: EngineConstants, others: Sequence[Row]) -> LeftOut:
    activation = _activation(row, constants)
    non_torch = _non_torch(row, others)
    error = None
    if row.kv_pool is not None and row.kv_pool > 0 and non_torch is not None:
        found = judged(row).estimate
        pool = (found.budget - found.weights - activation) / 1024 - non_torch
        error = 100 * (pool - row.kv_pool) / row.kv_pool
    return LeftOut(row, constants.base_mib, float(constants.sampler_bytes), activation, error)


def _non_torch(row: Row, others: Sequence[Row]) -> float | None:
    """The other models' mean at the same kind of split, GiB; None where they have none."""
    kind = _kind(row)
    found = [other.non_torch for other in others if other.non_torch is not None and _kind(other) == kind]
    return sum(found) / len(found) if found else None


def _kind(row: Row) -> tuple[bool, bool]:
    return row.serving.parallel.tensor > 1, row.serving.parallel.pipeline > 1


def _activation(row: Row, constants: EngineConstants) -> float:
    arch, parallel = _architecture(row), row.serving.parallel
    dtype = row.serving.dtype or arch.dtype
    return activation_mib(arch, constants, batch(row.gpu, row.serving), dtype, parallel, last=parallel.pipeline == 1)


def _requests(row: Row) -> int:
    return batch(row.gpu, row.serving)[1]


def _architecture(row: Row) -> Architecture:
    found = known_model(row.model).architecture
    assert found is not None  # a known name has one
    return found
