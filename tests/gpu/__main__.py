"""``make test-gpu``: the tests of this folder on a real GPU, and their record. Says so, and is content, where there is none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from include.inventory.choose import gpus_here
from include.runtime.settings import REPO
from tests.gpu.conftest import RECORD

TO = REPO / "docs" / "gpu-record.md"


def main() -> int:
    found = gpus_here()
    if not found:
        print(f"There is no NVIDIA GPU here (NVML finds none): nothing was measured, and {TO.relative_to(REPO)} was not written.")
        return 0
    os.environ[RECORD] = str(TO)
    code = int(pytest.main([str(Path(__file__).parent), "-q", "-rs"]))
    print(f"{found} GPU(s). The record: {TO.relative_to(REPO)}" if TO.exists() else "No record was written.")
    return code


if __name__ == "__main__":
    sys.exit(main())
