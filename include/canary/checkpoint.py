"""What a trial has come to, kept beside its looks: taken up after a kill, it goes on from there and judges only the looks since.

The looks are the truth. What is kept says up to which look, by that look's seal in the chain of evidence, of which run, and by which
judge's code it was found; where any of it differs, all looks are judged anew, and come to the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from include import atomic
from include.canary.progress import Progress

EVERY = 100
"""Looks between two of these: to judge so many takes half a second, to write this 0.1 s after ten thousand."""


@dataclass(frozen=True)
class Checkpoint:
    """``progress`` is what the first ``progress.seen`` looks of run ``run_key`` come to, the last of them sealed with ``seal``;
    ``prompts`` are the ids of the live requests that both arms have been asked."""

    run_key: str
    seal: str
    progress: Progress
    prompts: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        """Keep it in place of what was kept before."""
        content = {
            "run_key": self.run_key,
            "seal": self.seal,
            "judge": judge(),
            "prompts": list(self.prompts),
            "progress": self.progress.to_json(),
        }
        atomic.write(path, json.dumps(content))

    @classmethod
    def read(cls, path: Path, run_key: str) -> Checkpoint | None:
        """What is kept of that run; None for nothing, for what another judge has found, and for a file that is no such thing."""
        try:
            content = json.loads(path.read_text())
            if content["run_key"] != run_key or content["judge"] != judge():
                return None
            return cls(run_key, str(content["seal"]), Progress.from_json(content["progress"]), tuple(content["prompts"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


@cache
def judge() -> str:
    """Return a digest of the judge's code: another judge's state is not taken up."""
    return _digest(sorted(Path(__file__).parent.glob("*.py")))


def _digest(files: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()
