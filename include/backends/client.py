"""A language model behind an inference server, for as long as a step asks it something: the very program that serves it later."""

from __future__ import annotations

import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from include.backends.backend import Backend, Place
from include.backends.cause import last_cause
from include.bundles import template
from include.bundles import tokenizer as tokenizers
from include.errors import ComponentError, InputError
from include.runtime import web
from include.runtime.parent import dying_with_this
from include.runtime.revision_key import HEADER
from include.runtime.settings import REPO
from include.runtime.waiting import until
from include.spec.serve import ChatServe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

START_S = 600.0
ANSWER_S = 3600.0
STOP_S = 10.0
HOST = "127.0.0.1"
Messages = Sequence[dict[str, str]]
Get = Callable[[str], Any]
MODEL = "model"
"""What a step's server calls its model."""
PLAINER = "Fine-tune a base with a plainer chat template or one of the usual tokenizers (Qwen2's, Llama 3's)."
CHECKED = 256
"""Prompts whose tokens are compared, at most."""


class ServerRefused(ComponentError):
    """The server is up and does not take the question: the conversation is too long for it, say."""


@dataclass(frozen=True)
class Said:
    """An answer: ``ended`` by the model itself, not cut at its limit; ``tokens`` of it."""

    text: str
    ended: bool
    tokens: int


@dataclass(frozen=True)
class Reading:
    """A prompt as a server reads it: the ids of its tokens, and the text that its template makes of it (None where it does not say)."""

    tokens: list[int]
    text: str | None = None


@dataclass(frozen=True)
class ChatServer:
    """A server of a language model that is up. Every question raises ``ComponentError`` when it does not answer."""

    url: str
    key: str = field(repr=False)
    parallel: int
    process: int
    name: ClassVar[str] = "the server"
    """For people."""
    normalises: ClassVar[bool] = True
    """Whether it applies a tokenizer's normaliser to what it is asked."""

    def chat(self, messages: Messages, max_tokens: int, *, ended: bool = True) -> Said:
        """The greedy answer to a prompt; with ``ended`` false it goes on to ``max_tokens`` whatever the model says."""
        body = {"model": MODEL, "messages": list(messages), "max_tokens": max_tokens, "temperature": 0, "seed": 0}
        # What an earlier prompt left in llama.cpp's cache was computed in other batches, which can turn a near tie.
        answer = self._post("/v1/chat/completions", body | {"cache_prompt": False, "ignore_eos": not ended})
        choice = answer["choices"][0]
        text = choice["message"].get("content") or ""
        return Said(text, choice["finish_reason"] == "stop", int(answer["usage"]["completion_tokens"]))

    def chats(self, prompts: Sequence[Messages], limits: Sequence[int]) -> list[Said]:
        """The answers to ``prompts`` in their order, each of as many tokens at most as its limit; as many at once as the server takes."""
        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(self.chat, prompts, limits))

    def reading(self, prompt: Messages) -> Reading | None:
        """What the server makes of a prompt, by its chat template and its tokenizer; None where it does not say."""
        return None

    def check_prompts(self, model: Path, prompts: Sequence[Messages]) -> None:
        """InputError unless the server reads each prompt as the tokenizer in the folder ``model`` does, with which it was trained."""
        tokenizer = tokenizers.load(model, normalises=self.normalises)
        texts = [[{"role": "user", "content": text}] for text in template.TEXTS]
        self.compare(tokenizer, [*prompts[:CHECKED], *texts], f"optimize: {model / 'tokenizer.json'}")

    def compare(self, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], where: str) -> None:
        """InputError, of ``where``, unless the server reads each prompt as the tokenizer does."""
        for prompt in prompts:
            if (found := self.reading(prompt)) is None:
                return
            check_reading(self.name, tokenizer, prompt, found, where)

    def memory_bytes(self) -> int:
        """Of its processes on this machine; what several of them share counts once. GPUs' memory is not in it."""
        return sum(map(_memory, _family(self.process)))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = web.ask("POST", f"{self.url}{path}", json=body, headers={HEADER: self.key}, timeout=ANSWER_S)
        except OSError as error:
            raise ComponentError(f"does not answer ({error}).", where=self.name, remedy="See the step's log.") from error
        if not answer.ok:
            raise ServerRefused(f"it refused: {answer.text[:400]}", where=f"{self.name} {path}", remedy="See the step's log.")
        found: dict[str, Any] = answer.json()
        return found


def check_reading(name: str, tokenizer: PreTrainedTokenizerBase, prompt: Messages, found: Reading, where: str) -> None:
    """InputError unless the server ``name`` reads a prompt as the tokenizer does, with which the model is trained."""
    ours = template.render(tokenizer, prompt, asked=True)
    if found.text not in (None, ours):
        raise _otherwise(name, "writes a prompt", where, *_difference(ours, str(found.text)))
    ids = list(tokenizer(ours, add_special_tokens=False)["input_ids"])
    if found.tokens != ids:
        at = _parting(ids, found.tokens)
        ours_cut, theirs_cut = (tokenizer.convert_ids_to_tokens(part[at : at + 6]) for part in (ids, found.tokens))
        raise _otherwise(name, f"cuts {prompt[-1]['content']!r:.60} into tokens", where, ours_cut, theirs_cut)


def _otherwise(name: str, what: str, where: str, ours: object, theirs: object) -> InputError:
    return InputError(f"{name} {what} otherwise than the model is trained on: {theirs!r} instead of {ours!r}.", where=where, remedy=PLAINER)


@dataclass(frozen=True)
class Program:
    """How a server is started: ``python server config``; ``serves(get)`` is whether it is up and is the one asked for.

    ``get(path)`` is what it answers, as JSON ("" as None). OSError and ValueError when it does not.
    """

    name: str
    python: str
    server: Path
    model: Path
    causes: Sequence[re.Pattern[str]]
    serves: Callable[[Get], bool]


@dataclass(frozen=True)
class Running:
    """Where a server answers, the key that it asks for (as header or as bearer), and its process."""

    url: str
    key: str = field(repr=False)
    process: int


@contextmanager
def running(program: Program, options: Mapping[str, Any], port: int | None = None, key: str = "") -> Iterator[Running]:
    """A server of ``program``, stopped in the end. ``port``: where it answers (None: a free one), to whoever has the ``key`` (a new one).

    ``ComponentError`` with the end of its log when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix=f"{program.name}-") as home, (Path(home) / "log.txt").open("w+") as log:
        config, port, key = Path(home) / "config.json", port or free_port(), key or new_key()
        place = {"model": str(program.model), "alias": MODEL, "host": HOST, "port": port, "scratch": home}
        config.write_text(json.dumps({**place, "guard": {"header": HEADER, "key": key}, **options}))
        command, url = [program.python, "-P", str(program.server), str(config)], f"http://{HOST}:{port}"
        with _started(command, None, log, signal.SIGTERM) as process:
            _wait(process, lambda path: _get(url + path, key), program, Path(log.name))
            yield Running(url, key, process.pid)


@contextmanager
def launched(backend: Backend, serve: ChatServe, files: Mapping[str, Path]) -> Iterator[ChatServer]:
    """A server as its backend launches it on a process host, with ``files`` (name → file or folder) laid out, stopped in the end.

    ``ComponentError`` with the end of its log when it does not come up.
    """
    runtime = backend.runtime(serve)
    with tempfile.TemporaryDirectory(prefix=f"{backend.name}-") as home, (Path(home) / "log.txt").open("w+") as log:
        folder, laid = Path(home), backend.planned(serve)
        for name, path in files.items():
            (folder / name).symlink_to(path)
        python = Path(sys.prefix).parent / runtime / "bin" / "python"
        place = Place(MODEL, "1", MODEL, folder, HOST, (free_port(),), python, REPO, config=folder, scratch=folder, key=new_key())
        launch, url = backend.launch(laid, place), f"http://{HOST}:{place.http}"
        for name, text in launch.files.items():
            (folder / name).write_text(text)
        program = Program(backend.title, "", Path(), folder, backend.causes, lambda _: backend.ready(url, place, laid))
        with _started(launch.command, dict(launch.environment), log, signal.Signals[f"SIG{launch.stop.signal}"]) as process:
            _wait(process, lambda path: _get(url + path, place.key), program, Path(log.name))
            yield ChatServer(url, place.key, serve.parallel, process.pid)


@contextmanager
def _started(
    command: Sequence[str], environment: dict[str, str] | None, log: IO[str], stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=dying_with_this())
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def new_key() -> str:
    """A random one."""
    return secrets.token_hex(32)


def _get(url: str, key: str) -> Any:
    found = web.ask("GET", url, headers={HEADER: key}, timeout=5)
    found.raise_for_status()
    return found.json() if found.content else None


def _parting(ours: Sequence[object], theirs: Sequence[object]) -> int:
    """Where the two begin to differ."""
    return next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), min(len(ours), len(theirs)))


def _difference(ours: str, theirs: str) -> tuple[str, str]:
    """Both from a little before where they part."""
    at = _parting(ours, theirs)
    start = max(0, at - 20)
    return ours[start : at + 40], theirs[start : at + 40]


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


def _wait(process: subprocess.Popen[bytes], get: Get, program: Program, log: Path) -> None:

    def serves() -> bool:
        try:
            return program.serves(get)
        except (OSError, ValueError):
            return False

    if until(lambda: serves() or process.poll() is not None, START_S, 0.05) and process.poll() is None:
        return
    why = last_cause(log, program.causes) if process.poll() is not None else f"was not ready in {START_S:g} s."
    raise ComponentError(why, where=f"{program.name} with {program.model}", remedy="Is there enough memory and disk?")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
