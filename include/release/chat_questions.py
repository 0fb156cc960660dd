"""Live prompts of a language model that both arms of a trial are asked again, greedily, and which of the two answers is the better one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.canary.asked import Asked, Example
from include.canary.observations import Sample
from include.data.personal import masked
from include.gates.chat import matches
from include.gates.refusal import usable
from include.gateway.recorder import PATH, Recorded

MAX_TOKENS = 1024
"""Of an answer, where the caller allowed more or said nothing."""
SHOWN_CHARACTERS = 600
"""Of a prompt or an answer that is kept as an example."""
_LEFT_OUT = ("stream", "stream_options", "max_completion_tokens", "logprobs", "top_logprobs", "user", "metadata", "store")


@dataclass(frozen=True)
class Said:
    """An arm's answer; ``ended``: not cut off."""

    text: str
    ended: bool

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Said:
        """KeyError, IndexError or TypeError for what is no chat completion."""
        choice = answer["choices"][0]
        return cls(str(choice["message"]["content"] or ""), choice["finish_reason"] == "stop")


class ChatQuestions:
    """Questions of :class:`include.release.examiner.Examiner`; ``answers_to`` gives the right answers to a prompt's id."""

    path = PATH

    def __init__(self, answers_to: Callable[[str], Sequence[str]]) -> None:
        self._answers_to = answers_to

    def body(self, request: Recorded) -> Mapping[str, Any]:
        return again(request.body)

    def answer(self, found: Any) -> Said:
        return Said.of(found)

    def compared(self, request: Recorded, stable: Said, canary: Said) -> Sample:
        return Sample(asked=compared(request, self._answers_to(request.id), stable, canary))


def again(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the arms are asked: once, greedily, as one piece, and no longer than the caller allowed."""
    allowed = [most for name in ("max_tokens", "max_completion_tokens") if isinstance(most := body.get(name), int) and most > 0]
    kept = {name: value for name, value in body.items() if name not in _LEFT_OUT}
    return kept | {"temperature": 0, "seed": 0, "n": 1, "max_tokens": min([*allowed, MAX_TOKENS])}


def compared(prompt: Recorded, references: Sequence[str], stable: Said, canary: Said) -> Asked:
    """One prompt's outcome: by exact match where right answers are known, by use and agreement in any case."""
    right = [one.ended and any(matches(one.text, reference) for reference in references) for one in (stable, canary)]
    fit = [usable(one.text, ended=one.ended) for one in (stable, canary)]
    alike = stable.ended == canary.ended and matches(canary.text, stable.text)
    worse = right[0] and not right[1] if references else (fit[0] and not fit[1]) or not alike
    return Asked(
        prompts=1,
        known=int(bool(references)),
        right=int(all(right)),
        lost=int(right[0] and not right[1]),
        gained=int(right[1] and not right[0]),
        unlike=int(not alike),
        fell=int(fit[0] and not fit[1]),
        rose=int(fit[1] and not fit[0]),
        examples=(_example(prompt, references, stable, canary),) if worse else (),
    )


def _example(prompt: Recorded, references: Sequence[str], stable: Said, canary: Said) -> Example:
    messages = prompt.body["messages"]
    asked = messages[0]["content"] if len(messages) == 1 else "\n".join(f"{each['role']}: {each['content']}" for each in messages)
    return Example(*(_short(text) for text in (asked, references[0] if references else "", stable.text, canary.text)))


def _short(text: str) -> str:
    text = masked(text)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
