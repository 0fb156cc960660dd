"""Streams of answers, and what a caller sees of them: time to the first token, time for each further one, tokens a second."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp

TOKENS = 64
"""Of each answer, whatever the model has to say."""


@dataclass
class Seen:
    """``ttft_ms`` and ``tpot_ms`` of every answer; ``tokens`` in ``seconds``."""

    ttft_ms: list[float] = field(default_factory=list)
    tpot_ms: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds

    def add(self, other: Seen) -> None:
        self.ttft_ms += other.ttft_ms
        self.tpot_ms += other.tpot_ms
        self.tokens += other.tokens
        self.seconds += other.seconds

    def medians(self) -> tuple[float, float]:
        return statistics.median(self.ttft_ms), statistics.median(self.tpot_ms)


def run(url: str, headers: Mapping[str, str], model: str, questions: Sequence[Any], streams: int, seconds: float) -> Seen:
    """``streams`` callers, each asking again as soon as it has its answer, for ``seconds``. Raises RuntimeError for a failed answer."""
    return asyncio.run(_run(url, headers, model, questions, streams, seconds))


async def _run(url: str, headers: Mapping[str, str], model: str, questions: Sequence[Any], streams: int, seconds: float) -> Seen:
    seen, numbers, begun = Seen(), count(), time.perf_counter()
    common = {"model": model, "stream": True, "max_tokens": TOKENS, "ignore_eos": True, "temperature": 0}

    async def caller(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() - begun < seconds:
            body = common | {"messages": questions[next(numbers) % len(questions)]}
            sent, arrivals = time.perf_counter(), []
            async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                if answer.status != 200:
                    raise RuntimeError(f"{url}: {answer.status} {(await answer.text())[:300]}")
                async for line in answer.content:
                    if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                        arrivals.append(time.perf_counter())
            if len(arrivals) < 2:
                raise RuntimeError(f"{url}: an answer of {len(arrivals)} tokens")
            seen.ttft_ms.append(1000 * (arrivals[0] - sent))
            seen.tpot_ms.append(1000 * (arrivals[-1] - arrivals[0]) / (len(arrivals) - 1))
            seen.tokens += len(arrivals)

    # llama.cpp closes a kept connection now and then without a word: each request has one of its own, both ways.
    connector = aiohttp.TCPConnector(limit=streams, force_close=True)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(caller(session) for _ in range(streams)))
    seen.seconds = time.perf_counter() - begun
    return seen
