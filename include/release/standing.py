"""What a model stands at right now, in one word with its facts, and whether it needs a person. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Word(StrEnum):
    """What a page says of a model; the texts for it are the page's."""

    BROKEN = "broken"
    DOWN = "down"
    HOLD = "hold"
    APPROVE = "approve"
    TRIAL = "trial"
    PAUSED = "paused"
    MIRROR = "mirror"
    GPU = "gpu"
    UNDER_WAY = "under_way"
    SERVES = "serves"
    FAILED = "failed"
    IDLE = "idle"
    UNKNOWN = "unknown"


TONES = {
    **dict.fromkeys((Word.BROKEN, Word.DOWN, Word.FAILED), "bad"),
    **dict.fromkeys((Word.HOLD, Word.APPROVE, Word.TRIAL, Word.PAUSED, Word.MIRROR, Word.GPU, Word.UNKNOWN), "warn"),
    Word.SERVES: "good",
}
DOWN_STATES = ("ERROR", "PREEMPTED", "STOPPED")
"""States of a revision's server in which the split gives callers nothing but errors."""


@dataclass(frozen=True)
class Facts:
    """What is known of a model. ``problem``: what is wrong with its spec, empty for nothing. ``champion`` and ``challenger`` are versions.

    ``weights``: percent of the traffic by version, None where it can't be read; ``mirror`` gets copies. ``states``: of the revisions'
    servers by version. ``task`` and ``gpu_wait_s``: what the run under way is at, and the seconds until a GPU is expected for it (None:
    nobody knows); ``waits_for_gpu`` whether it waits for one. ``on_trial``: the run is at its trial; ``paused``: a person has halted it.
    ``last_failed``: the latest ended run failed. ``registry``: the model registry answers. ``alerts``: critical ones that fire.
    """

    problem: str = ""
    champion: int | None = None
    challenger: int | None = None
    weights: Mapping[str, int] | None = None
    mirror: str | None = None
    states: Mapping[int, str] = field(default_factory=dict)
    task: str = ""
    waits_for_gpu: bool = False
    gpu_wait_s: float | None = None
    on_trial: bool = False
    paused: bool = False
    last_failed: bool = False
    registry: bool = True
    alerts: int = 0
    drift: str = ""


@dataclass(frozen=True)
class Standing:
    """One word, the facts that its sentence names, its tone (good, bad, warn, open), and why it needs a person: a list of words."""

    word: Word
    facts: Mapping[str, Any]
    tone: str
    needs: tuple[str, ...]


def standing(found: Facts) -> Standing:
    """Return what the model stands at: what a person has to know first comes first."""
    serving = serves(found)
    word, facts = _word(found, serving)
    return Standing(word, facts, TONES.get(word, "open"), tuple(_needs(found, word, serving)))


def serves(found: Facts) -> int | None:
    """Return the version that answers most callers: by the split, which is what is; without one by the registry, which is what shall be."""
    if found.weights:
        return int(min(found.weights, key=lambda version: (-found.weights[version], int(version))))  # type: ignore[index]
    return found.champion


def _word(found: Facts, serving: int | None) -> tuple[Word, dict[str, Any]]:
    if found.problem:
        return Word.BROKEN, {"problem": found.problem, "version": serving}
    if serving is not None and found.states.get(serving, "") in DOWN_STATES:
        return Word.DOWN, {"version": serving, "state": found.states[serving]}
    if found.task == "hold":
        return Word.HOLD, {"version": found.challenger}
    if found.task == "approve":
        return Word.APPROVE, {"version": serving}
    if found.on_trial:
        return _trial(found)
    if found.waits_for_gpu:
        minutes = None if found.gpu_wait_s is None else max(1, round(found.gpu_wait_s / 60))
        return Word.GPU, {"minutes": minutes, "task": found.task, "version": serving}
    if found.task:
        return Word.UNDER_WAY, {"task": found.task, "version": serving}
    if serving is not None:
        return Word.SERVES, {"version": serving}
    if found.last_failed:
        return Word.FAILED, {}
    return (Word.IDLE if found.registry else Word.UNKNOWN), {}


def _trial(found: Facts) -> tuple[Word, dict[str, Any]]:
    weights = found.weights or {}
    tried = str(found.challenger) if found.challenger is not None else found.mirror
    tried = tried or min(weights, key=lambda version: (weights[version], -int(version)), default=None)
    facts = {"version": int(tried) if tried else None, "percent": weights.get(tried or "", 0)}
    if found.paused:
        return Word.PAUSED, facts
    return (Word.MIRROR if found.mirror and not facts["percent"] else Word.TRIAL), facts


def _needs(found: Facts, word: Word, serving: int | None) -> list[str]:
    """Return why a person is needed, in words that pages know."""
    needs = [str(word)] if word in (Word.BROKEN, Word.DOWN, Word.HOLD, Word.APPROVE, Word.FAILED, Word.PAUSED) else []
    if found.last_failed and not found.task and word is not Word.FAILED:
        needs.append("last_failed")
    if found.drift == "ALARM":
        needs.append("drift")
    if found.alerts:
        needs.append("alert")
    return needs
