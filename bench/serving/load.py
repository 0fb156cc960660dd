"""Closed-loop load, or a steady rate, from a process of its own: ``python -m bench.serving.load JOB.json`` prints one JSON object.

Raw sockets with kept-alive connections: a heavier client would be what is measured on a small machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any


def run(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: host, port, path, headers, body, connections, warm_s, seconds; ``rate``: requests a second, of all connections (without
    it, each asks again when it is answered). Latencies are milliseconds of the 200s; ``sent`` are all, those of the warm-up too."""
    return asyncio.run(_load(job))


async def _load(job: dict[str, Any]) -> dict[str, Any]:
    body = job["body"].encode()
    headers = {"host": job["host"], "content-type": "application/json", "content-length": len(body), **job["headers"]}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST {job['path']} HTTP/1.1\r\n{head}\r\n".encode() + body
    begin = time.perf_counter() + job["warm_s"]
    end = begin + job["seconds"]
    latencies: list[float] = []
    failed, sent = [0], [0]
    await asyncio.gather(*(_connection(job, request, begin, end, latencies, failed, sent, number) for number in range(job["connections"])))
    latencies.sort()
    return {
        "rps": len(latencies) / job["seconds"],
        "p50_ms": latencies[len(latencies) // 2] if latencies else None,
        "p99_ms": latencies[int(len(latencies) * 0.99)] if latencies else None,
        "failed": failed[0],
        "sent": sent[0],
    }


async def _connection(
    job: dict[str, Any],
    request: bytes,
    begin: float,
    end: float,
    latencies: list[float],
    failed: list[int],
    sent: list[int],
    number: int,
) -> None:
    reader, writer = await asyncio.open_connection(job["host"], job["port"])
    pause = job["connections"] / job["rate"] if job.get("rate") else 0.0
    due = time.perf_counter() + pause * number / job["connections"]
    while True:
        if pause:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += pause
        if (started := time.perf_counter()) >= end:
            break
        writer.write(request)
        sent[0] += 1
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_length(head))
        now = time.perf_counter()
        if now < begin or now > end:
            continue
        if head.split(b" ", 2)[1] == b"200":
            latencies.append((now - started) * 1000)
        else:
            failed[0] += 1
    writer.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    raise ValueError(f"no content-length in {head!r}")


if __name__ == "__main__":
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
