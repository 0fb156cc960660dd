"""Asks both arms of a trial the same live prompts, greedily and through the gateway, and counts who answered better."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.canary.asked import NOTHING, Asked, Example
from include.data.personal import masked
from include.gates.chat import matches
from include.gates.refusal import usable
from include.gateway.recorder import PATH, Recorded, Recorder

if TYPE_CHECKING:
    import aiohttp

MAX_TOKENS = 1024
"""Of an answer, where the caller allowed more or said nothing."""
ASK_S = 300.0
IDLE_S = 0.1
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


class Examiner:
    """``stable`` and ``canary`` are the headers that reach each arm at ``url``; ``answers_to`` gives the right answers to a prompt's id.

    At most ``most`` prompts are asked, ``pause_s`` apart, one at a time: it must not become the load. Belongs to one event loop.
    """

    def __init__(
        self,
        recorder: Recorder,
        url: str,
        stable: Mapping[str, str],
        canary: Mapping[str, str],
        answers_to: Callable[[str], Sequence[str]],
        *,
        most: int,
        pause_s: float,
    ) -> None:
        self._recorder, self._address, self._answers_to = recorder, f"{url.rstrip('/')}{PATH}", answers_to
        self._arms = (dict(stable), dict(canary))
        self._most, self._pause_s = most, pause_s
        self._asked, self._ids = NOTHING, list[str]()

    def drain(self) -> tuple[Asked, list[str]]:
        """What was found since the last call, and the ids of the prompts."""
        found = self._asked, self._ids
        self._asked, self._ids = NOTHING, []
        return found

    async def run(self) -> None:
        """Ask until ``most`` prompts are through. One that an arm has no answer to is left out: errors are judged by live traffic."""
        import aiohttp

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_S)) as session:
            for _ in range(self._most):
                while (prompt := self._recorder.take()) is None:
                    await asyncio.sleep(IDLE_S)
                said = await asyncio.gather(*(self._ask(session, prompt, headers) for headers in self._arms))
                self._ids.append(prompt.id)
                if said[0] is not None and said[1] is not None:
                    references = await asyncio.to_thread(self._answers_to, prompt.id)
                    self._asked += compared(prompt, references, said[0], said[1])
                await asyncio.sleep(self._pause_s)

    async def _ask(self, session: aiohttp.ClientSession, prompt: Recorded, headers: Mapping[str, str]) -> Said | None:
        import aiohttp

        try:
            async with session.post(self._address, data=json.dumps(again(prompt.body)), headers=_typed(headers)) as answer:
                return Said.of(await answer.json()) if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, IndexError, TypeError):
            return None


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


def _typed(headers: Mapping[str, str]) -> dict[str, str]:
    return {**headers, "content-type": "application/json"}
