"""A bounded background client: sends inference requests at a steady rate, open loop, and checks the form of every answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.canary.observations import Latencies

if TYPE_CHECKING:
    import aiohttp

MAX_IN_FLIGHT = 256
"""More than this at once and a request is not sent but counted as shed: the client must not become the load."""
MAX_EXAMPLES = 20
UNKNOWN = "unknown"
"""Stands for the revision of an answer that names none: the request never reached one."""

Check = Callable[[Mapping[str, Any]], str | None]
"""What is wrong with an answer (the parsed KServe response), None when nothing is."""


@dataclass
class RevisionReport:
    """One revision's answers; ``latencies_ms`` of the good ones, as the client saw them."""

    requests: int = 0
    failed: int = 0
    latencies_ms: list[float] = field(default_factory=list)


@dataclass
class TrafficReport:
    """All that was sent and what came of it. ``shed`` requests were due but not sent."""

    total: int = 0
    shed: int = 0
    by_revision: dict[str, RevisionReport] = field(default_factory=dict)
    by_status: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(report.failed for report in self.by_revision.values())

    @property
    def failed_by_revision(self) -> dict[str, int]:
        return {revision: report.failed for revision, report in self.by_revision.items()}

    def to_json(self) -> dict[str, Any]:
        revisions = {
            revision: {"requests": report.requests, "failed": report.failed, **_quantiles(report.latencies_ms)}
            for revision, report in sorted(self.by_revision.items())
        }
        return {
            "total": self.total,
            "failed": self.failed,
            "shed": self.shed,
            "revisions": revisions,
            "statuses": {str(status): count for status, count in sorted(self.by_status.items())},
            "failures": self.failures,
        }


class Sender(ABC):
    """``bodies`` are requests to ``address``, sent in turn, ``rate`` a second, with ``key`` as API key. Subclasses judge the answers.

    ``start()`` returns at once; ``report()`` may be read at any time; ``stop()`` lets what is in flight finish. An answer fails when it is
    missing (after ``timeout_s`` seconds), not 200, or when :meth:`problem` finds fault with it.
    """

    def __init__(self, address: str, key: str, bodies: Sequence[bytes], rate: float, timeout_s: float) -> None:
        if not bodies or rate <= 0:
            raise ValueError("traffic needs requests, and a rate above 0")
        self._address = address
        self._headers = {"x-api-key": key, "content-type": "application/json"}
        self._bodies, self._rate, self._timeout_s = list(bodies), rate, timeout_s
        self._report = TrafficReport()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=f"traffic-{address}", daemon=True)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self._rate

    @abstractmethod
    def problem(self, index: int, answer: bytes) -> str:
        """What is wrong with a 200's body, the answer to the request of this index; empty when nothing is."""

    def quality(self) -> dict[str, int]:
        """What subclasses count of the answers themselves."""
        return {}

    def choose(self, number: int) -> int:
        """The index of the ``number``-th request to send: by default all in turn."""
        return number % len(self._bodies)

    def answered(self, index: int, revision: str, request_id: str, answer: bytes, problem: str) -> None:  # noqa: B027
        """Hear of an answer: the request's index, who gave it, the gateway's id of the request, its body, and what is wrong with it."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> TrafficReport:
        """End the sending, wait for what is in flight, and return the final report."""
        self._ending.set()
        self._thread.join()
        return self._report

    def report(self) -> TrafficReport:
        """A copy of the figures so far, without the latencies' list being shared."""
        with self._lock:
            revisions = {
                name: RevisionReport(report.requests, report.failed, list(report.latencies_ms))
                for name, report in self._report.by_revision.items()
            }
            whole = self._report
            return TrafficReport(whole.total, whole.shed, revisions, Counter(whole.by_status), list(whole.failures))

    async def _run(self) -> None:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=MAX_IN_FLIGHT, keepalive_timeout=60)
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        pending: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as session:
            begun = time.monotonic()
            for number in itertools.count():
                # Due times come from the start, not from the answer before: a slow server meets the same rate.
                await asyncio.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
                if self._ending.is_set():
                    break
                if len(pending) >= MAX_IN_FLIGHT:
                    with self._lock:
                        self._report.shed += 1
                    continue
                task = asyncio.create_task(self._send(session, self.choose(number)))
                pending.add(task)
                task.add_done_callback(pending.discard)
            await asyncio.gather(*pending)

    async def _send(self, session: aiohttp.ClientSession, index: int) -> None:
        import aiohttp

        started = time.perf_counter()
        status, revision, problem, request_id, text = 0, UNKNOWN, "", "", b""
        try:
            async with session.post(self._address, data=self._bodies[index]) as answer:
                text = await answer.read()
                status, revision = answer.status, answer.headers.get("x-updraft-revision") or UNKNOWN
                request_id = answer.headers.get("x-request-id") or ""
                problem = self.problem(index, text) if status == 200 else f"{status}: {text[:200].decode(errors='replace')}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = f"no answer: {type(error).__name__} {error}".strip()
        self._count(revision, status, problem, (time.perf_counter() - started) * 1000)
        self.answered(index, revision, request_id, text, problem)

    def _count(self, revision: str, status: int, problem: str, latency_ms: float) -> None:
        with self._lock:
            whole, report = self._report, self._report.by_revision.setdefault(revision, RevisionReport())
            whole.total += 1
            whole.by_status[status] += 1
            report.requests += 1
            if not problem:
                report.latencies_ms.append(latency_ms)
                return
            report.failed += 1
            if len(whole.failures) < MAX_EXAMPLES:
                whole.failures.append(f"revision {revision}: {problem}")


class Traffic(Sender):
    """KServe v2: ``rows`` are the ``inputs`` of one request each. ``check`` may find fault with an answer that has the right form."""

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        rows: Sequence[Sequence[Mapping[str, Any]]],
        rate: float,
        *,
        check: Check | None = None,
        timeout_s: float = 15,
    ) -> None:
        bodies = [json.dumps({"inputs": list(inputs)}).encode() for inputs in rows]
        super().__init__(f"{url.rstrip('/')}/v2/models/{model}/infer", key, bodies, rate, timeout_s)
        self._counts = [int(inputs[0]["shape"][0]) for inputs in rows]
        self._check = check

    def problem(self, index: int, answer: bytes) -> str:
        try:
            said = json.loads(answer)
            short = [tensor["name"] for tensor in said["outputs"] if tensor["shape"][0] != self._counts[index]]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return f"200 with no KServe answer: {error!r}"
        if short or not said["outputs"]:
            return f"200 with the wrong number of rows in {short or 'no output'}"
        return (self._check(said) if self._check else None) or ""


class ChatTraffic(Sender):
    """OpenAI's chat API: ``chats`` are the messages of one request each, answered greedily with at most ``max_tokens`` tokens.

    With ``references`` (one a chat), :meth:`quality` says how many answers equal theirs. With ``stream`` answers come token by token.
    """

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        chats: Sequence[Sequence[Mapping[str, str]]],
        rate: float,
        *,
        references: Sequence[str] = (),
        stream: bool = False,
        max_tokens: int = 64,
        timeout_s: float = 60,
    ) -> None:
        common = {"model": model, "max_tokens": max_tokens, "temperature": 0, "stream": stream}
        bodies = [json.dumps({**common, "messages": list(messages)}).encode() for messages in chats]
        super().__init__(f"{url.rstrip('/')}/v1/chat/completions", key, bodies, rate, timeout_s)
        self._references, self._stream = list(references), stream
        self._compared = self._right = 0

    def quality(self) -> dict[str, int]:
        return {"compared": self._compared, "right": self._right}

    def problem(self, index: int, answer: bytes) -> str:
        try:
            said = streamed(answer) if self._stream else json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return f"200 with no chat's answer: {error!r}"
        if self._references:
            self._compared += 1
            self._right += str(said).strip() == self._references[index].strip()
        return ""


def streamed(events: bytes) -> str:
    """The text of a streamed answer. ValueError for a stream without its end."""
    lines = [line.removeprefix("data: ") for line in events.decode().splitlines() if line.startswith("data: ")]
    if not lines or lines.pop() != "[DONE]":
        raise ValueError("the stream has no end")
    choices = [choice for line in lines for choice in json.loads(line)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def _quantiles(latencies_ms: list[float]) -> dict[str, float | None]:
    latencies = Latencies.of(latencies_ms)
    return {"p50_ms": latencies.quantile(0.5), "p99_ms": latencies.quantile(0.99)}
