"""Starts a step's workers: ``python -m include.steps.launch torchrun ARGUMENTS``. Ends with whoever started it, however that ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from include.runtime.parent import die_with
from include.steps import gang


def main(launcher: str, arguments: list[str]) -> None:
    die_with(int(os.environ[gang.PARENT]))
    os.environ[gang.PARENT] = str(os.getpid())
    if launcher == "ray":
        from include.steps import ray_workers

        sys.exit(ray_workers.main(Path(arguments[0])))
    from torch.distributed import run

    run.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
