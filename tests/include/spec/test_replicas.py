"""`serve.replicas`: how many servers a model may have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.kinds.load import load
from include.spec.parts import Replicas
from include.spec.problem import SpecError

Write = Callable[..., Path]


def test_without_a_word_a_model_has_one_server(write: Write) -> None:
    assert load(write("")).serve.replicas == Replicas(min=1, max=1)


@pytest.mark.parametrize(
    ("replicas", "field", "words"),
    [
        ("{min: 3, max: 2}", "serve.replicas.min", "above max, which is 2"),
        ("{min: 0, max: 2}", "serve.replicas.min", "must be at least 1"),
        ("{min: 2, max: 2, in_flight: 10}", "serve.replicas.in_flight", "min is max"),
        ("{max: 2, schedule: {'0 7 * *': 2}}", "serve.replicas.schedule", "no cron expression"),
        ("{max: 2, schedule: {'0 7 * * *': 3}}", "serve.replicas.schedule", "max is 2"),
        ("{maximum: 2}", "serve.replicas", "maximum"),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_field(write: Write, replicas: str, field: str, words: str) -> None:
    with pytest.raises(SpecError) as refused:
        load(write(f"serve:\n  replicas: {replicas}\n"))
    assert field in str(refused.value) and words in str(refused.value), str(refused.value)
