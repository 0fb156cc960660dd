"""A model of this platform that turns texts into vectors, asked at the gateway as any caller asks it (OpenAI's ``/v1/embeddings``)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.errors import ComponentError
from include.runtime import web

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

WHERE = "monitor.embedder"
AT_ONCE = 32
"""Texts of a request."""
ANSWER_S, ALL_S = 60.0, 600.0


@dataclass(frozen=True)
class Embedder:
    """``url`` of the gateway, ``headers`` with a caller's key, ``model`` as the gateway names it."""

    url: str
    headers: Mapping[str, str]
    model: str

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Return a vector a text, each of length 1 [texts, dimensions]. Raises ComponentError when they can't be had."""
        import numpy as np

        found: list[list[float]] = []
        deadline = time.monotonic() + ALL_S
        for first in range(0, len(texts), AT_ONCE):
            part = [text or " " for text in texts[first : first + AT_ONCE]]
            body = {"model": self.model, "input": part}
            answer, problem = web.insist(f"{self.url}/v1/embeddings", self.headers, body, ANSWER_S, deadline)
            if problem:
                raise self._failed(problem)
            found += self._read(answer, len(part))
        try:
            vectors = np.array(found, dtype="float64")
        except ValueError:
            raise self._failed("its vectors are of different lengths") from None
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise self._failed("its vectors hold what is no number")
        unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit

    def _read(self, answer: bytes, wanted: int) -> list[list[float]]:
        try:
            rows = sorted(json.loads(answer)["data"], key=lambda row: row["index"])
            found = [[float(value) for value in row["embedding"]] for row in rows]
        except (ValueError, KeyError, TypeError):
            raise self._failed("it answers in another form than OpenAI's") from None
        if len(found) != wanted:
            raise self._failed(f"it answers {wanted} texts with {len(found)} vectors")
        return found

    def _failed(self, why: str) -> ComponentError:
        remedy = "Name a model whose server answers /v1/embeddings (a `custom` server with OpenAI's API)."
        return ComponentError(f"{self.model} gave no vectors: {why}.", where=WHERE, remedy=remedy)
