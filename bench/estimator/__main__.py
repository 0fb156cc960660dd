"""``python -m bench.estimator [--table rows.csv]`` (or TABLE=rows.csv): error per row; as the very last line one JSON object.

``--residuals`` writes include/estimate/tables/residuals.csv anew, from which estimates say how sure they are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.estimator.leave_out import LeftOut, leave_one_model_out
from bench.estimator.rows import MEASURED, OLDER, PUBLIC, Judged, covered, judged, read_rows, refused_falsely
from include.errors import InputError
from include.estimate.confidence import write

# llm-d-planner's published errors for its rows at vLLM 0.19.0 (its accuracy report): mean absolute, per cent, least and most.
PLANNER = {"weights_mae_pct": [0.75, 0.89], "kv_pool_mae_pct": [6.7, 7.8]}


BARS = {"weights": 2.0, "KV pool": 8.0}
"""Per cent; what is over is listed as a miss."""


def mean(errors: list[float]) -> float | None:
    return round(sum(abs(error) for error in errors) / len(errors), 3) if errors else None


def most(errors: list[float]) -> float | None:
    return round(max(abs(error) for error in errors), 3) if errors else None


def figures(rows: list[Judged]) -> dict[str, Any]:
    """Mean and largest absolute errors; None where nothing was measured."""
    weights = [row.weights_error for row in rows if row.weights_error is not None]
    pools = [row.kv_pool_error for row in rows if row.kv_pool_error is not None]
    gpustack = [row.gpustack_pool_error for row in rows if row.gpustack_pool_error is not None]
    tokens = [row.kv_tokens_error for row in rows if row.kv_tokens_error is not None]
    held = [row.tokens_of_pool_error for row in rows if row.tokens_of_pool_error is not None]
    activation = [row.activation_error_gib for row in rows if row.activation_error_gib is not None]
    return {
        "rows": len(rows),
        "weights_mae_pct": mean(weights),
        "weights_max_pct": most(weights),
        "kv_pool_mae_pct": mean(pools),
        "kv_pool_max_pct": most(pools),
        "kv_tokens_mae_pct": mean(tokens),
        "tokens_of_pool_max_pct": most(held),
        "activation_mae_gib": mean(activation),
        "gpustack_kv_pool_mae_pct": mean(gpustack),
        "gpustack_kv_pool_max_pct": most(gpustack),
    }


def show(title: str, rows: list[Judged]) -> None:
    print(title)
    head = ("model", "quant", "tp", "pp", "weights", "ours", "err %", "activ.", "ours", "KV pool", "ours", "err %", "1.2w+2 err %")
    widths = (40, 12, 2, 2, 7, 7, 6, 6, 6, 7, 7, 6, 12)
    print("  ".join(f"{name:>{width}}" if n > 1 else f"{name:<{width}}" for n, (name, width) in enumerate(zip(head, widths, strict=True))))
    for item in rows:
        row, found = item.row, item.estimate
        split = row.serving.parallel
        cells = [row.model[-40:], row.quant[:12], str(split.tensor), str(split.pipeline)]
        cells += [number(row.weights), number(found.weights / 1024), number(item.weights_error)]
        cells += [number(row.activation), number(found.activation / 1024)]
        cells += [number(row.kv_pool), number(item.pool / 1024), number(item.kv_pool_error), number(item.gpustack_pool_error)]
        print(
            "  ".join(
                f"{cell:>{width}}" if n > 1 else f"{cell:<{width}}" for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
        )
    print()


def show_left_out(rows: list[LeftOut]) -> None:
    print("Leave one model out: the version's fitted constants (base, non-torch; before 0.17 sampler bytes) are the other models'")
    print(f"{'model':<40}  {'quant':<12}  {'tp':>2}  {'base MiB':>8}  {'B/logit':>7}  {'activ.':>6}  {'then':>6}  {'KV pool err %':>13}")
    for item in rows:
        row = item.row
        fitted = f"{item.base_mib:>8.0f}  {item.sampler_bytes:>7.2f}"
        activation = f"{number(row.activation):>6}  {number(item.activation_mib / 1024):>6}"
        tensor = row.serving.parallel.tensor
        print(f"{row.model[-40:]:<40}  {row.quant[:12]:<12}  {tensor:>2}  {fitted}  {activation}  {number(item.kv_pool_error):>13}")
    print()


def misses(rows: list[Judged]) -> list[str]:
    """The figures of rows that are over the bars, for people."""
    found = []
    for item in rows:
        for what, error in (("weights", item.weights_error), ("KV pool", item.kv_pool_error)):
            if error is not None and abs(error) > BARS[what]:
                row = item.row
                found.append(
                    f"MISS {row.model} ({row.serving.engine}, {row.gpu.name}, tp {row.serving.parallel.tensor}): {what} {error:+.1f} %"
                )
    return found


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.estimator", description=__doc__)
    parser.add_argument("--table", type=Path, help="measured rows; the Makefile's TABLE= does the same")
    parser.add_argument("--residuals", action="store_true", help="write what estimates take their intervals from")
    args = parser.parse_args()
    if args.residuals:
        write(found for rows in (MEASURED, OLDER, PUBLIC) for row in read_rows(rows)[0] if (found := judged(row).residual) is not None)
        return 0
    table = args.table or (Path(os.environ["TABLE"]) if os.environ.get("TABLE") else None)
    try:
        return run(table)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def run(table: Path | None) -> int:
    rows, refused = read_rows(table or MEASURED)
    measured = [judged(row) for row in rows]
    print("GiB per GPU, of the first pipeline stage. Errors are of the measured. No constant belongs to a row or a model.\n")
    show(f"{table or 'vLLM 0.19.0 on H100-80GB (llm-d-planner, Apache-2.0)'}", measured)
    for line in refused:
        print(f"REFUSED {line}")
    result = figures(measured) | {"refused": len(refused)}
    if table is None:
        older_rows, _ = read_rows(OLDER)
        older = [judged(row) for row in older_rows]
        show("vLLM before 0.17 on H100-80GB (llm-d-benchmark, Apache-2.0)", older)
        result["older"] = figures(older)
        public_rows, turned_away = read_rows(PUBLIC)
        public = [judged(row) for row in public_rows]
        show("Public logs of single servers, one or more of each kind (data/public_logs.csv has the sources)", public)
        over, falsely = misses(public), [row.row.model for row in public if refused_falsely(row)]
        inside, asked = covered([*measured, *older, *public])
        print("\n".join([*turned_away, *over, *(f"REFUSED FALSELY {model}" for model in falsely)]) or "no miss")
        print(f"intervals (90 %), from the rows of other models: {inside} of {asked} rows lie within\n")
        result["public"] = figures(public) | {
            "misses": len(over), "false_refusals": len(falsely), "interval_rows": asked,
            "interval_covers_pct": round(100 * inside / asked, 1), "kinds": len({row.row.kind for row in public}),
        }  # fmt: skip
        left_out = [*leave_one_model_out(rows, fit_sampler=False), *leave_one_model_out(older_rows, fit_sampler=True)]
        show_left_out(left_out)
        result["left_out_kv_pool_mae_pct"] = mean([row.kv_pool_error for row in left_out if row.kv_pool_error is not None])
        result["left_out_kv_pool_max_pct"] = most([row.kv_pool_error for row in left_out if row.kv_pool_error is not None])
    result["llm_d_planner"] = PLANNER
    gpustack, pool = result["gpustack_kv_pool_mae_pct"], result["kv_pool_mae_pct"]
    print(f"KV pool, mean absolute error: ours {number(pool)} %, GPUStack's 1.2 x weights + 2 GiB {number(gpustack)} %,")
    print("llm-d-planner 6.7-7.8 % on its own full set of rows (published; weights 0.75-0.89 %).\n")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
