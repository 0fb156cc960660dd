"""A model behind an inference server, for as long as a step asks it something: the very program that serves it later."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from include.errors import ComponentError
from include.serving.cause import last_cause

START_S = 600.0
ANSWER_S = 3600.0
STOP_S = 10.0
HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
Messages = Sequence[dict[str, str]]


class Refused(ComponentError):
    """The server is up and does not take the question: the conversation is too long for it, say."""


@dataclass(frozen=True)
class Said:
    """An answer: ``ended`` by the model itself, not cut at its limit; ``tokens`` of it."""

    text: str
    ended: bool
    tokens: int


@dataclass(frozen=True)
class Server:
    """A server that is up. Every question raises ``ComponentError`` when it does not answer."""

    url: str
    parallel: int
    process: int
    name: ClassVar[str]
    """For people."""

    def chat(self, messages: Messages, max_tokens: int, *, ended: bool = True) -> Said:
        """The greedy answer to a prompt; with ``ended`` false it goes on to ``max_tokens`` whatever the model says."""
        body = {"messages": list(messages), "max_tokens": max_tokens, "temperature": 0, "seed": 0}
        # What an earlier prompt left in llama.cpp's cache was computed in other batches, which can turn a near tie.
        answer = self._post("/v1/chat/completions", body | {"cache_prompt": False, "ignore_eos": not ended})
        choice = answer["choices"][0]
        text = choice["message"].get("content") or ""
        return Said(text, choice["finish_reason"] == "stop", int(answer["usage"]["completion_tokens"]))

    def chats(self, prompts: Sequence[Messages], limits: Sequence[int]) -> list[Said]:
        """The answers to ``prompts`` in their order, each of as many tokens at most as its limit; as many at once as the server takes."""
        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(self.chat, prompts, limits))

    def memory_bytes(self) -> int:
        """Of its processes on this machine; what several of them share counts once. GPUs' memory is not in it."""
        return sum(map(_memory, _family(self.process)))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            what = f"it refused: {error.read()[:400].decode(errors='replace')}"
            raise Refused(what, where=f"{self.name} {path}", remedy="See the step's log.") from None
        except OSError as error:
            raise ComponentError(f"does not answer ({error}).", where=self.name, remedy="See the step's log.") from error


@dataclass(frozen=True)
class Program:
    """How a server is started: ``python server config``; ``serves(url)`` is whether it is up and is the one asked for."""

    name: str
    python: str
    server: Path
    model: Path
    causes: Sequence[re.Pattern[str]]
    serves: Callable[[str], bool]


@contextmanager
def running(program: Program, options: Mapping[str, Any], port: int | None = None) -> Iterator[tuple[str, int]]:
    """The address and the process of a server of ``program``, stopped in the end. ``port``: where it answers (None: a free one).

    ``ComponentError`` with the end of its log when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix=f"{program.name}-") as home, (Path(home) / "log.txt").open("w+") as log:
        config, port = Path(home) / "config.json", port or free_port()
        config.write_text(json.dumps({"model": str(program.model), "alias": "model", "host": HOST, "port": port, **options}))
        process = subprocess.Popen(
            [program.python, "-P", str(program.server), str(config)],
            stdout=log,
            stderr=log,
            preexec_fn=_die_with(os.getpid()),
        )
        try:
            _wait(process, f"http://{HOST}:{port}", program, Path(log.name))
            yield f"http://{HOST}:{port}", process.pid
        finally:
            _stop(process)


def answer(url: str) -> Any:
    """What a GET is answered with, as JSON ("" as None). OSError and ValueError when it is not."""
    with urllib.request.urlopen(url, timeout=5) as found:
        text = found.read()
        return json.loads(text) if text else None


def _family(process: int) -> list[int]:
    """A process and all below it."""
    try:
        children = [int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [process, *(one for child in children for one in _family(child))]


def _memory(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _die_with(step: int) -> Callable[[], None]:
    """For the new process: a step that is killed takes its server along."""

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != step:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def _wait(process: subprocess.Popen[bytes], url: str, program: Program, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if program.serves(url):
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    why = last_cause(log, program.causes) if process.poll() is not None else f"was not ready in {START_S:g} s."
    raise ComponentError(why, where=f"{program.name} with {program.model}", remedy="Is there enough memory and disk?")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
