"""Closed-loop load by gRPC, from a process of its own: ``python -m bench.serving.grpc_load JOB.json`` prints one JSON object.

Messages are serialised once, and answers left as bytes: a heavier client would be what is measured on a small machine.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any


def run(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: address, key, message (Base64), connections, warm_s, seconds; the result is that of :mod:`bench.serving.load`."""
    return asyncio.run(_load(job))


async def _load(job: dict[str, Any]) -> dict[str, Any]:
    from grpc import aio

    message = base64.b64decode(job["message"])
    begin = time.perf_counter() + job["warm_s"]
    end = begin + job["seconds"]
    latencies: list[float] = []
    sent, metadata = [0], (("x-api-key", job["key"]),)

    async with aio.insecure_channel(job["address"]) as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        async def one() -> None:
            while (started := time.perf_counter()) < end:
                sent[0] += 1
                await ask(message, metadata=metadata)
                now = time.perf_counter()
                if begin <= now <= end:
                    latencies.append((now - started) * 1000)

        await asyncio.gather(*(one() for _ in range(job["connections"])))
    latencies.sort()
    return {
        "rps": len(latencies) / job["seconds"],
        "p50_ms": latencies[len(latencies) // 2] if latencies else None,
        "p99_ms": latencies[int(len(latencies) * 0.99)] if latencies else None,
        "failed": 0,
        "sent": sent[0],
    }


if __name__ == "__main__":
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
