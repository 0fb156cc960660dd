from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.spec.schema import ModelSpec


@pytest.fixture
def frame() -> pd.DataFrame:
    """Twenty rows of wine: two numbers, a text, a class."""
    rows = range(20)
    return pd.DataFrame(
        {"acid": [n / 4 for n in rows], "sugar": list(rows), "region": ["north", "south"] * 10, "kind": [n % 3 for n in rows]}
    )


@pytest.fixture
def spec() -> Callable[..., ModelSpec]:
    """A spec over these columns; keyword arguments change its ``data``."""

    def spec(task: str = "classification", slices: tuple[str, ...] = (), **data: Any) -> ModelSpec:
        whole = {"name": "wine", "task": task, "data": {"source": "data:load", "target": "kind"} | data, "gate": {"slices": slices}}
        return ModelSpec.model_validate(whole)

    return spec


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def csv(content: str | bytes) -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return csv
