"""The champion beside a new version: asked, not comparable, or not to be loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.bundles.signature import Signature, Tensor
from include.errors import ComponentError
from include.kinds.rows.answers import Answers
from include.kinds.rows.evaluation import champion_of
from include.kinds.rows.rows import Rows
from include.steps.context import StepContext
from tests.include.targets.asked import Asked

TABLE = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
TEST = Rows(TABLE[["x"]], TABLE["y"], TABLE)


def context(tmp_path: Path, *columns: str) -> StepContext:
    champion = tmp_path / "champion"
    champion.mkdir()
    tensors = tuple(Tensor(name, "FP32", (-1, 1)) for name in columns)
    Signature(tensors, (), columns, (), {}).save(champion / "signature.json")
    request = Asked(tmp_path, "quick").request
    request.inputs.update(champion=str(champion), champion_version="3")
    return StepContext(request, tmp_path)


def test_a_champion_is_asked_by_its_bundle_and_signature(tmp_path: Path) -> None:
    def ask(folder: Path, signature: Signature) -> Answers:
        assert folder == tmp_path / "champion" and signature.features == ("x",)
        return Answers(np.array([0, 1]))

    champion, said = champion_of(context(tmp_path, "x"), TEST, ask)
    assert champion is not None and champion.version == "3" and not champion.not_comparable
    assert said is not None and said.values.tolist() == [0, 1]


def test_a_champion_that_can_not_be_loaded_is_no_champion_that_can_not_be_compared(tmp_path: Path) -> None:
    """Else a damaged file would let every new version past the gate."""

    def ask(folder: Path, signature: Signature) -> Answers:
        raise ComponentError("ONNX Runtime cannot load it")

    with pytest.raises(ComponentError, match="cannot load it"):
        champion_of(context(tmp_path, "x"), TEST, ask)


def test_a_champion_that_takes_other_rows_is_not_comparable(tmp_path: Path) -> None:
    def ask(folder: Path, signature: Signature) -> Answers:
        raise ValueError("a text")

    champion, said = champion_of(context(tmp_path, "x"), TEST, ask)
    assert champion is not None and "does not take today's columns: a text" in champion.not_comparable and said is None


def test_a_champion_whose_columns_are_gone_is_not_comparable(tmp_path: Path) -> None:
    champion, said = champion_of(context(tmp_path, "x", "gone"), TEST, lambda folder, signature: Answers(np.array([0, 1])))
    assert champion is not None and champion.not_comparable.endswith("no longer has: gone") and said is None
