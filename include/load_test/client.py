"""Sends chats at a rising rate and times every token of the answers: open loop, as independent callers would.

Requests come as a Poisson process with a fixed seed, whether or not earlier ones are answered, and each is timed from the moment it was
due: a server that stalls can't slow its own test down (coordinated omission: Tene, "How NOT to Measure Latency", 2013).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.load_test.figures import AtRate, LoadFigures, Sent, at_rate
from include.spec.llm import LoadTest
from include.spec.serve import Slo

if TYPE_CHECKING:
    import aiohttp

MAX_IN_FLIGHT = 512
"""Beyond it a rate is given up: the server is far behind, and the client must not become the load."""
WAIT_S = 30.0
"""How long a rate's last answers are waited for. What is not there then has failed."""
Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class LoadTarget:
    """``POST {url}/v1/chat/completions`` with these headers; ``model`` is named in the body."""

    url: str
    headers: Mapping[str, str]
    model: str


def run(
    target: LoadTarget,
    prompts: Sequence[Messages],
    max_tokens: int,
    plan: LoadTest,
    slo: Slo,
    *,
    version: int = 0,
    wait_s: float = WAIT_S,
    say: Callable[[AtRate], None] = lambda _: None,
) -> LoadFigures:
    """The figures at each of the plan's rates, up to the first that misses ``slo``; ``say`` is told each. At most
    ``len(plan.rates) * (plan.seconds + wait_s)`` seconds."""
    return asyncio.run(_run(target, prompts, max_tokens, plan, slo, version, wait_s, say))


async def _run(
    target: LoadTarget,
    prompts: Sequence[Messages],
    max_tokens: int,
    plan: LoadTest,
    slo: Slo,
    version: int,
    wait_s: float,
    say: Callable[[AtRate], None],
) -> LoadFigures:
    import aiohttp

    order = random.Random(plan.seed)
    asked = list(prompts)
    order.shuffle(asked)
    body = {"model": target.model, "max_tokens": max_tokens, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
    bodies = [json.dumps({**body, "messages": list(messages)}).encode() for messages in asked]
    headers = {**target.headers, "content-type": "application/json"}
    address = f"{target.url.rstrip('/')}/v1/chat/completions"
    found: list[AtRate] = []
    number = 0
    connector = aiohttp.TCPConnector(limit=MAX_IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as session:
        for rate in plan.rates:
            due = arrivals(rate, plan.seconds, order)
            ask = [(bodies[(number + index) % len(bodies)], at) for index, at in enumerate(due)]
            number += len(due)
            sent, took_s = await _at_rate(session, address, ask, wait_s)
            found.append(at_rate(rate, sent, took_s, slo))
            say(found[-1])
            if found[-1].missed:
                break
    return LoadFigures(version, tuple(found), slo.model_dump(), len(bodies), max_tokens, plan.seconds)


def arrivals(rate: float, seconds: float, draw: random.Random) -> list[float]:
    """When the requests are due (seconds from the start): a Poisson process whose first event is at 0."""
    times, at = [], 0.0
    while at < seconds:
        times.append(at)
        at += draw.expovariate(rate)
    return times


async def _at_rate(
    session: aiohttp.ClientSession, address: str, ask: Sequence[tuple[bytes, float]], wait_s: float
) -> tuple[list[Sent], float]:
    """What became of the requests, and the seconds from the first one's time to the last one's end."""
    clock = asyncio.get_running_loop().time
    begun, shed = clock(), 0
    tasks: list[asyncio.Task[Sent]] = []
    flying: set[asyncio.Task[Sent]] = set()
    for body, at in ask:
        await asyncio.sleep(max(0.0, begun + at - clock()))
        if len(flying) >= MAX_IN_FLIGHT:
            shed = len(ask) - len(tasks)
            break
        task = asyncio.create_task(_one(session, address, body, begun + at))
        flying.add(task)
        task.add_done_callback(flying.discard)
        tasks.append(task)
    late: set[asyncio.Task[Sent]] = set()
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=wait_s)
    took_s = clock() - begun
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    sent = [Sent(problem=f"no whole answer within {wait_s:g} s of the last request") if task in late else task.result() for task in tasks]
    return sent + [Sent(problem=f"not sent: {MAX_IN_FLIGHT} others were unanswered")] * shed, took_s


async def _one(session: aiohttp.ClientSession, address: str, body: bytes, due: float) -> Sent:
    import aiohttp

    clock = asyncio.get_running_loop().time
    first = last = None
    pieces, told, whole = 0, None, False
    try:
        async with session.post(address, data=body) as answer:
            if answer.status != 200:
                return Sent(problem=f"{answer.status}: {(await answer.read())[:200].decode(errors='replace')}")
            async for line in answer.content:
                event = _event(line)
                if event is None:
                    continue
                if "error" in event:
                    return Sent(problem=f"broken off: {str(event['error'])[:200]}")
                if _says(event):
                    last = clock() - due
                    first = last if first is None else first
                    pieces += 1
                whole = whole or event.get("done", False) or any(choice.get("finish_reason") for choice in event.get("choices") or ())
                told = (event.get("usage") or {}).get("completion_tokens", told)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return Sent(problem=f"no answer: {type(error).__name__} {error}".strip())
    end = clock() - due
    if not whole:
        return Sent(problem="broken off before its end")
    # An empty answer is one too: its first byte of news is its end. The last token, not the closing of the stream, ends the time per token.
    return Sent(first if first is not None else end, last if last is not None else end, pieces if told is None else int(told))


def _event(line: bytes) -> dict[str, Any] | None:
    """One of OpenAI's server-sent events; ``{"done": True}`` for the last; None for a line that is none. ValueError for a garbled one."""
    if not line.startswith(b"data:"):
        return None
    text = line[5:].strip()
    if text == b"[DONE]":
        return {"done": True}
    event = json.loads(text)
    return event if isinstance(event, dict) else None


def _says(event: Mapping[str, Any]) -> bool:
    """Whether the event carries text of the answer."""
    return any((choice.get("delta") or {}).get("content") for choice in event.get("choices") or ())
