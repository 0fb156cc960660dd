"""The examples with pictures and texts: what they make keeps its expectations, and every sign is another picture."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from include.data.validate import validate
from include.kinds.load import load
from include.kinds.requests import request_of
from include.kinds.tensor.steps.extract import run
from include.runtime.settings import REPO
from include.steps.context import StepContext
from include.verdict import Decision
from tests.include.models.test_shipped_models import module


def test_signs_are_drawn_alike_for_a_seed_and_unlike_each_other() -> None:
    drawn = module("signs", "data")
    pictures = {name: drawn.picture(name, False, np.random.default_rng(3)) for name in drawn.SIGNS}
    assert pictures["stop"] == drawn.picture("stop", False, np.random.default_rng(3))
    assert len(set(pictures.values())) == 8
    assert all(40 <= Image.open(io.BytesIO(data)).width <= 72 for data in pictures.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["intents", "signs"])
def test_the_data_keeps_its_expectations(name: str, tmp_path: Path) -> None:
    folder = REPO / "include" / "models" / name
    sys.modules.pop("data", None)
    done = run(StepContext(request_of(folder / "model.yaml", "extract"), tmp_path))
    sys.modules.pop("data", None)
    spec = load(folder / "model.yaml")
    verdict = validate(Path(done["profile"]), folder / spec.data.expectations, tmp_path / "docs", name=name, target=spec.data.target)
    assert verdict.decision is Decision.PASS, verdict.reasons
