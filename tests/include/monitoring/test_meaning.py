"""Two samples of texts or marks: told apart when they differ, called alike no oftener wrong than the level; what is no vector is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from include.errors import ComponentError
from include.monitoring import chats
from include.monitoring.embedder import Embedder
from include.monitoring.meaning import PERMUTATIONS, drawn, marks_p_value, p_value
from include.monitoring.rows import Reference
from tests.include.gateway.small_server import SmallHandler, SmallServer


def vectors(rng: np.random.Generator, rows: int, towards: float = 0.0) -> Any:
    found = rng.normal(0, 1, (rows, 16))
    found[:, 0] += towards
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_samples_of_one_kind_differ_by_chance_alone() -> None:
    rng = np.random.default_rng(3)
    found = np.array([p_value(vectors(rng, 40), vectors(rng, 30)) for _ in range(60)])
    assert (found <= 0.05).mean() <= 0.13  # binomial: 5 % of 60, with three standard errors
    assert found.min() >= 1 / (PERMUTATIONS + 1) and found.max() <= 1


def test_texts_of_another_kind_are_as_unlikely_as_can_be_told() -> None:
    rng = np.random.default_rng(4)
    assert p_value(vectors(rng, 200), vectors(rng, 60, 1.5)) == 1 / (PERMUTATIONS + 1)


def test_texts_that_are_all_alike_are_no_change() -> None:
    assert p_value(np.ones((30, 4)), np.ones((50, 4))) == 1.0


def test_marks_are_compared_by_how_many_answers_got_each() -> None:
    assert marks_p_value((10, 90), (11, 88)) > 0.5
    assert marks_p_value((10, 90), (40, 10)) < 0.001
    assert marks_p_value((0, 0, 20, 0, 80), (0, 0, 0, 0, 30)) < 0.05


def test_the_same_rows_are_drawn_whenever_they_are() -> None:
    ids = [f"r{number}" for number in range(1_000)]
    assert drawn(ids, 50) == drawn(ids, 50) and len(drawn(ids, 50)) == 50 and drawn(ids[:7], 50) == list(range(7))
    assert max(drawn(ids, 50)) > 500, "by chance, not the first ones"


def test_texts_are_kept_where_they_are_wanted_and_the_log_does_not_hide_them() -> None:
    prompt, said = [[{"role": "user", "content": "I am ann.smith@gmail.com"}]], [("Hello " * 1_000, True, True, False)]
    kept = Reference.of(chats.reference(prompt, said, chats.texts_kept(())), classification=True).texts
    assert kept is not None and "gmail" not in kept["question"][0] and len(kept["answer"][0]) == chats.MOST_CHARACTERS
    assert Reference.of(chats.reference(prompt, said), classification=True).texts is None
    assert chats.texts_kept(("messages",)) == ("answer",) and chats.texts_kept(("outputs.text",)) == ("question",)


class Odd(SmallServer):
    """Answers what no embedder would."""

    answers: Any = None


class _Handler(SmallHandler):
    server: Odd

    def do_POST(self) -> None:
        self.asked()
        self._answer(*self.server.answers)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((404, {"error": {"message": "no such model"}}), "404"),
        ((200, {"data": []}), "1 texts with 0 vectors"),
        ((200, {"data": [{"index": 0, "embedding": "x"}]}), "another form"),
        ((200, {"data": [{"index": 0, "embedding": [float("nan"), 1.0]}]}), "no number"),
        ((200, {"rows": 1}), "another form"),
    ],
)
def test_an_embedder_that_gives_no_vectors_is_named_with_the_remedy(answers: Any, said: str) -> None:
    server = Odd(_Handler)
    server.answers = answers
    try:
        with pytest.raises(ComponentError, match=said) as told:
            Embedder(f"http://127.0.0.1:{server.server_port}", {}, "small").vectors(["hello"])
    finally:
        server.close()
    assert "monitor.embedder" in str(told.value) and "/v1/embeddings" in str(told.value)
