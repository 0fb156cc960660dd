"""Clients that acquire and release, from a process of their own: ``python -m bench.leases.load JOB.json`` prints one JSON object.

Closed loop: each client asks for one GPU, gives it back, and so on. Raw sockets with kept-alive connections: on a small machine a heavier
client would be what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

Calls = dict[str, list[float]]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: port, token, clients, warm_s, seconds. Milliseconds of each call by kind; ``failed`` counts other answers than expected."""
    import uvloop

    return uvloop.run(_load(job))


async def _load(job: dict[str, Any]) -> dict[str, Any]:
    begin = time.perf_counter() + job["warm_s"]
    calls: Calls = {"acquire": [], "release": []}
    failed: list[str] = []
    clients = [Client(job, f"bench/{number}") for number in range(job["clients"])]
    await asyncio.gather(*(client.work(begin, begin + job["seconds"], calls, failed) for client in clients))
    return {"calls": calls, "failed": len(failed), "first_failure": failed[0] if failed else ""}


class Client:
    """One connection."""

    def __init__(self, job: dict[str, Any], key: str) -> None:
        self._port, self._key = job["port"], key
        self._head = f"host: 127.0.0.1\r\nauthorization: Bearer {job['token']}\r\ncontent-type: application/json\r\n"

    async def work(self, begin: float, end: float, calls: Calls, failed: list[str]) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        ask = json.dumps({"key": self._key, "gpus": 1})
        while time.perf_counter() < end:
            took, status, answer = await self._post("/gpu-pool/v1/requests", ask)
            if status != 200 or answer["state"] != "GRANTED":
                failed.append(f"acquire {status}: {str(answer)[:300]}")
                break
            lease = answer["lease"]
            _note(calls["acquire"], took, begin, end)
            took, status, answer = await self._post(f"/gpu-pool/v1/leases/{lease['id']}/release", json.dumps({"token": lease["token"]}))
            if status != 200:
                failed.append(f"release {status}: {str(answer)[:300]}")
                break
            _note(calls["release"], took, begin, end)
        self._writer.close()

    async def _post(self, path: str, body: str) -> tuple[float, int, Any]:
        started = time.perf_counter()
        self._writer.write(f"POST {path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n{body}".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        answer = await self._reader.readexactly(_length(head))
        return (time.perf_counter() - started) * 1000, int(head.split(b" ", 2)[1]), json.loads(answer)


def _note(found: list[float], took: float, begin: float, end: float) -> None:
    if begin <= time.perf_counter() <= end:
        found.append(took)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    raise ValueError(f"no content-length in {head!r}")


if __name__ == "__main__":
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
