from collections.abc import Callable
from pathlib import Path

import pytest

MINIMAL = "name: wine\ntask: classification\ndata:\n  source: data:load\n  target: kind\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with everything that the minimal spec needs but the spec."""
    folder = tmp_path / "models" / "wine"
    folder.mkdir(parents=True)
    (folder / "data.py").write_text("def load():\n    ...\n")
    (folder / "train.py").write_text("def train(X, y, params):\n    ...\n")
    (folder / "serving.py").write_text("class Wrapper:\n    ...\n")
    (folder / "expectations.yaml").write_text("- expect_table_row_count_to_be_between: {min_value: 10}\n")
    return folder


@pytest.fixture
def write(folder: Path) -> Callable[..., Path]:
    """Write the minimal spec with more YAML behind it, or (``whole=True``) that YAML alone."""

    def write(more: str = "", *, whole: bool = False) -> Path:
        path = folder / "model.yaml"
        path.write_text(more if whole else MINIMAL + more)
        return path

    return write
