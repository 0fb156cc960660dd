"""The story of `make demo-drift`, as far as it needs no platform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from include.demo.drift import MODEL, Tally, moved, write_model
from include.kinds.load import load
from include.runtime.settings import Settings
from include.spec.schema import Act, ModelSpec


def test_an_image_is_moved_by_a_pixel_and_what_leaves_it_is_gone():
    image = [float(number) for number in range(64)]
    assert moved(image)[:8] == [0.0, *image[:7]] and moved(image)[56:] == [0.0, *image[56:63]]


def test_its_model_learns_from_production_and_alarms_of_drift_retrain_it(tmp_path: Path):
    folder = write_model(replace(Settings.load(), home=tmp_path))
    spec = load(folder / MODEL / "model.yaml")
    assert isinstance(spec, ModelSpec) and spec.data.production is not None and spec.monitor.on_alert == {"drift": Act.RETRAIN}


def test_accuracy_is_of_what_a_version_answered():
    answers = Tally()
    answers.all["2"], answers.right["2"] = 4, 3
    assert answers.accuracy(2) == 0.75 and answers.accuracy(3) == 0.0
