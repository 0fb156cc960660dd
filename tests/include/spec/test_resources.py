"""A step's resources as what is asked of the GPU pool."""

from pathlib import Path

import pytest

from include.errors import InputError
from include.kinds.load import load
from include.pool.ask import Ask
from include.spec.parts import Resources
from include.spec.resources import ask_for

MODEL = """
name: wine
task: classification
data: {source: 'data:load', target: kind}
train:
  resources:
    fraction: 0.3
    priority: 7
    models: [H100-80GB]
    labels: {zone: a}
    duration_s: 600
"""


def test_a_spec_says_what_the_step_asks_for(write):
    path = write(MODEL, whole=True)
    resources = load(path).train.resources
    assert resources is not None
    expected = Ask(fraction=0.3, priority=7, models=("H100-80GB",), labels=(("zone", "a"),), duration_s=600.0)
    assert ask_for(resources, path.parent, "train.resources") == expected


def test_without_resources_nothing_is_asked(write):
    assert load(write("")).train.resources is None


def test_auto_memory_is_the_estimators():
    resources = Resources.model_validate({"memory": "auto", "estimate": {"model": "meta-llama/Llama-3.1-8B", "method": "lora"}})
    ask = ask_for(resources, Path("/nowhere"), "train.resources")
    assert 14_000 < ask.memory_mib < 40_000
    full = Resources.model_validate({"memory": "auto", "estimate": {"model": "meta-llama/Llama-3.1-8B", "method": "full"}})
    assert ask_for(full, Path("/nowhere"), "train.resources").memory_mib > 100_000


def test_auto_memory_of_an_unknown_model_is_explained():
    resources = Resources.model_validate({"memory": "auto", "estimate": {"model": "no-such-model"}})
    with pytest.raises(InputError, match="no-such-model"):
        ask_for(resources, Path("/nowhere"), "train.resources")
