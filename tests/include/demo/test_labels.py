"""The model of the story of labels, and how its people know what is right."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd

from include.demo import labels
from include.kinds.load import load
from include.labels.rows import of_table
from include.platform.label_studio import VARIABLE
from include.runtime.settings import Settings


def test_its_model_knows_few_digits_and_asks_about_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    folder = labels.write_model(replace(Settings.load(), home=tmp_path)) / labels.MODEL
    spec, pool = load(folder / "model.yaml"), pd.read_csv(folder / "pool.csv")
    assert os.environ[VARIABLE] == "1" and spec.label.tasks == labels.TASKS
    assert len(pd.read_csv(folder / "known.csv")) == labels.KNOWN and "digit" not in pool.columns
    known = {labels._pixels(row): digit for row, digit in zip(labels._images_as_rows(), labels._digits(), strict=True)}
    asked = of_table(pool, labels.MODEL, "digit").values()
    assert [known[labels._pixels(row)] for row in asked] == labels._digits()[labels.KNOWN :]


def test_a_story_without_a_better_version_has_failed():
    story = labels.Labels(*[SimpleNamespace()] * 5)
    told = {"promoted": True, "accuracy_before": 0.8, "accuracy_after": 0.9}
    assert story.failure(told) == ""
    assert "not promoted" in story.failure(told | {"promoted": False}) and "better" in story.failure(told | {"accuracy_after": 0.8})
