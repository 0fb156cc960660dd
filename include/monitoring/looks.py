"""What a kind of model is to the looks at production: what of its requests is compared, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def _as_they_are(frame: Any) -> Any:
    return frame


@dataclass(frozen=True)
class Looks:
    """``hidden``: compared columns of whose values the log knows nothing. ``expectations``: the file whose rules on single values hold of
    requests too, None for none. ``rows`` makes the compared columns out of logged rows, ``labels`` what was right, as it is compared with
    answers, out of what callers have said; both are frames as those of :mod:`include.predictions`. ``embedder``: the model that turns texts
    into vectors; ``judged``: so many answers are marked by the spec's judge."""

    hidden: frozenset[str] = frozenset()
    expectations: Path | None = None
    rows: Callable[[pd.DataFrame], pd.DataFrame] = _as_they_are
    labels: Callable[[pd.DataFrame], pd.DataFrame] = _as_they_are
    embedder: str | None = None
    judged: int = 0
