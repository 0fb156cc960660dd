"""What the new version and the champion said to the held-out prompts: written by the step `llm.evaluate`, read by the task `judge`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from include import atomic


@dataclass(frozen=True)
class HeldOut:
    """A prompt, its right answer and what was said; ``champion`` is None where there is none or it could not be asked."""

    id: str
    task: str
    prompt: list[dict[str, str]]
    reference: str
    answer: str
    champion: str | None = None


def write(path: Path, rows: Sequence[HeldOut]) -> None:
    """``rows`` as JSON Lines."""
    atomic.write(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))


def read(path: Path) -> list[HeldOut]:
    """The rows in ``path``."""
    with path.open(encoding="utf-8") as lines:
        return [HeldOut(**json.loads(line)) for line in lines]


def drawn(rows: Sequence[HeldOut], most: int) -> list[HeldOut]:
    """``most`` of the rows at most: those with the lowest ids, which are hashes, so the choice is by chance and always the same."""
    return sorted(rows, key=lambda row: row.id)[:most]
