"""``python -m bench.budget``: many concurrent streams on one key with a budget, through the real Envoy. Prints a table, JSON last.

``overspend``: tokens that the server has told beyond the budget. Streams are begun at once, each asks again until it is refused for good.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from bench.budget.site import KEY, MODEL, Site, site, wait
from include.budgets.ledger import used
from include.cost.month import Month
from include.gateway.budgets import Budget

PATIENCE_S = 120


@dataclass
class Tally:
    statuses: Counter[str] = field(default_factory=Counter)
    first_byte_ms: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.budget", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=700_000)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--kill", action="store_true", help="kill -9 who keeps the count in the middle")
    arguments = parser.parse_args()
    with site() as found:
        plain = asyncio.run(one_by_one(found, 200))
        found.gateway.set_budget(Budget("key", "demo", tokens=10**9))
        held = asyncio.run(one_by_one(found, 200))
        wait(lambda: not reserved(found) and spent(found) == found.tokens())
        budget = arguments.budget + found.tokens()
        found.gateway.set_budget(Budget("key", "demo", tokens=budget))
        began = time.monotonic()
        tally = asyncio.run(flood(found, arguments.streams, arguments.max_tokens, arguments.kill))
        took_s = time.monotonic() - began
        wait(lambda: not reserved(found))
        warned = (found.settings.home / "envoy.log").read_text()
        print(*sorted(Counter(re.findall(r"budgets: .*", warned)).items())[:5], sep="\n")
        result = {
            "streams": arguments.streams,
            "at_once": found.most_at_once(),
            "budget": budget,
            "used": found.tokens(),
            "counted": spent(found),
            "overspend": max(0, found.tokens() - budget),
            "left_pct": round(100 * (budget - found.tokens()) / budget, 2),
            "statuses": dict(tally.statuses),
            "seconds": round(took_s, 1),
            "added_ms_p50": round(quantile(held, 0.5) - quantile(plain, 0.5), 2),
            "added_ms_p99": round(quantile(held, 0.99) - quantile(plain, 0.99), 2),
        }
    for name, value in result.items():
        print(f"{name:14} {value}")
    print(json.dumps(result))


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def spent(found: Site) -> int:
    return used(found.settings.budget_ledger, str(Month.of(time.time())))[0]["key", "demo"]


def reserved(found: Site) -> int:
    return used(found.settings.budget_ledger, str(Month.of(time.time())))[1]["key", "demo"]


async def one_by_one(found: Site, count: int) -> list[float]:
    """Times of short answers, ms."""
    times = []
    async with session() as client:
        for _ in range(count):
            began = time.perf_counter()
            async with client.post(url(found), json=body(1, stream=False), headers=KEYED) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            times.append((time.perf_counter() - began) * 1000)
    return times


async def flood(found: Site, streams: int, max_tokens: int, kill: bool) -> Tally:
    tally = Tally()
    start = asyncio.Event()
    async with session() as client:
        tasks = [asyncio.create_task(stream(client, found, max_tokens, start, tally)) for _ in range(streams)]
        start.set()
        if kill:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(found.kill, "budgets")
            await asyncio.to_thread(found.count)
        await asyncio.gather(*tasks)
    return tally


async def stream(client: aiohttp.ClientSession, found: Site, max_tokens: int, start: asyncio.Event, tally: Tally) -> None:
    """One caller: asks again and again, until the budget is used up."""
    await start.wait()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            async with client.post(url(found), json=body(max_tokens), headers=KEYED) as answer:
                text = await answer.read()
        except aiohttp.ClientError as error:
            tally.statuses[type(error).__name__] += 1
            return
        tally.statuses[str(answer.status)] += 1
        again_s = int(answer.headers.get("retry-after", "0"))
        if answer.status == 200 and b"[DONE]" not in text:
            tally.statuses["cut"] += 1
        if answer.status not in (200, 429, 503) or again_s > 60:
            return
        await asyncio.sleep(again_s)
    tally.statuses["gave up"] += 1


def body(max_tokens: int, *, stream: bool = True) -> dict[str, object]:
    messages = [{"role": "user", "content": "Tell me something, at whatever length you like."}]
    return {"model": MODEL, "messages": messages, "max_tokens": max_tokens, "stream": stream}


def url(found: Site) -> str:
    return f"{found.settings.gateway_url}/v1/chat/completions"


KEYED = {"authorization": f"Bearer {KEY}"}


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=PATIENCE_S))


if __name__ == "__main__":
    main()
