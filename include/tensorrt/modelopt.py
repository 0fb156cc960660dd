"""Q/DQ nodes by NVIDIA ModelOpt, on the processor. A process of its own: it patches ONNX Runtime's quantiser for all who use it after.

python -m include.tensorrt.modelopt SOURCE TARGET PRECISION ROWS.npz
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

PRODUCTS = ("MatMul", "Gemm", "Conv")
BATCH = 64
MISSING = 3
"""Exit status where ModelOpt is not installed."""


def quantized(source: Path, target: Path, precision: str, rows: Mapping[str, npt.NDArray[Any]]) -> str:
    """Write ``source`` in ``precision`` (``int8``, ``fp8``) to ``target``. Empty, or why it couldn't, in ModelOpt's own words."""
    import numpy as np

    data = target.with_name("rows.npz")
    whole = len(next(iter(rows.values()))) // BATCH * BATCH  # it calibrates by whole batches
    np.savez(data, **({name: array[:whole] for name, array in rows.items()} if whole else rows))  # type: ignore[arg-type]
    command = [sys.executable, "-m", "include.tensorrt.modelopt", str(source), str(target), precision, str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == MISSING:
        return "it is not installed in this runtime"
    return "" if done.returncode == 0 and target.exists() else done.stderr.strip()[-400:]


def main(source: str, target: str, precision: str, data: str) -> int:
    import numpy as np

    try:
        from modelopt.onnx.quantization import quantize
    except ImportError:
        return MISSING
    with np.load(data) as stored:
        rows = {name: stored[name] for name in stored.files}
    size = min(BATCH, len(next(iter(rows.values()))))
    # Products with one row are left alone by it, and one row is what it would take for the batch.
    shapes = ",".join(f"{name}:{'x'.join(map(str, (size, *array.shape[1:])))}" for name, array in rows.items())
    quantize(
        source,
        quantize_mode=precision,
        calibration_data=rows,
        calibration_method="entropy" if precision == "int8" else "max",
        calibration_eps=["cpu"],
        calibration_shapes=shapes,
        op_types_to_quantize=list(PRODUCTS),
        high_precision_dtype="fp32",
        output_path=target,
        log_level="ERROR",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
