"""One Ollama server with one model, in the foreground: ``server.py CONFIG.json``, in the `ollama` runtime.

The configuration: ``gguf`` (a file), ``alias`` (the model's name for callers), ``tag`` (this revision's own, by which it is told from
others), ``host``, ``port``, ``store`` (a folder of the server's own), ``context`` (tokens of one conversation), ``parallel``
(conversations at once), ``threads`` (null: Ollama's choice), ``template``, ``system`` ("": none) and ``keep_alive_s`` (null: for ever).

OpenAI's API has no field for the context, and Ollama cuts the beginning of what is longer without a word: it is baked into the model. The
model is loaded under another name first, so that the alias is there only once it answers.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ollama import Client

LOADING = "loading"
UP_S = 60.0
"""The server itself, without a model, is up within this."""
_PR_SET_PDEATHSIG = 1
Options = Mapping[str, Any]


def environment(options: Options) -> dict[str, str]:
    """What `ollama serve` is told by variables. Pure."""
    return {
        "OLLAMA_HOST": f"{options['host']}:{options['port']}",
        "OLLAMA_MODELS": options["store"],
        "OLLAMA_NUM_PARALLEL": str(options["parallel"]),
        "OLLAMA_MAX_LOADED_MODELS": "1",
        "OLLAMA_CONTEXT_LENGTH": str(options["context"]),
        "OLLAMA_KEEP_ALIVE": _keep_alive(options),
        "OLLAMA_ORIGINS": "http://127.0.0.1",  # no web page that a user happens to look at may ask it
        "OLLAMA_NOPRUNE": "1",  # the model's file lies in the store before anything names it
        "OLLAMA_NOHISTORY": "1",
    }


def request(options: Options, digest: str) -> dict[str, Any]:
    """What makes the model of the file with this digest: the fields of ``POST /api/create``, which are a Modelfile's. Pure."""
    parameters = {"num_ctx": options["context"]} | ({"num_thread": options["threads"]} if options.get("threads") else {})
    found = {"files": {"model.gguf": f"sha256:{digest}"}, "parameters": parameters}
    return found | {name: options[name] for name in ("template", "system") if options.get(name)}


def modelfile(options: Options) -> str:
    """The same as a Modelfile, for people and for `ollama create`. Pure."""
    lines = [f"FROM {options['gguf']}", f"PARAMETER num_ctx {options['context']}"]
    lines += [f"PARAMETER num_thread {options['threads']}"] if options.get("threads") else []
    lines += [f'{name.upper()} """{options[name]}"""' for name in ("template", "system") if options.get(name)]
    return "\n".join(lines) + "\n"


def make(client: Client, options: Options, digest: str) -> None:
    """Make the model, load it, and give it the names under which it is asked. Raises the client's ResponseError."""
    client.create(model=LOADING, stream=False, **request(options, digest))
    client.generate(model=LOADING, keep_alive=_keep_alive(options))
    for name in (f"{options['alias']}:{options['tag']}", options["alias"]):
        client.copy(LOADING, name)


def main(config: Path) -> int:
    options: dict[str, Any] = json.loads(config.read_text())
    from ollama import Client, ResponseError

    store, gguf = Path(options["store"]), Path(options["gguf"])
    shutil.rmtree(store, ignore_errors=True)  # what an earlier server has made is named already, and not loaded
    digest = lay_in(gguf, store)
    (store / "Modelfile").write_text(modelfile(options))
    server = subprocess.Popen(["ollama", "serve"], env=os.environ | environment(options), preexec_fn=_die_with(os.getpid()))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.terminate())
    client = Client(host=f"http://{options['host']}:{options['port']}")
    try:
        _wait(server, client)
        make(client, options, digest)
        print(f"{options['alias']} is served on port {options['port']}", flush=True)
    except (ResponseError, ConnectionError) as error:
        print(f"ollama: {error}", flush=True)
        server.kill()
    return server.wait()


def lay_in(gguf: Path, store: Path) -> str:
    """Put the file where the server keeps such: under its digest, which is returned. It is named there, not copied."""
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    blobs = store / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256-{digest}").symlink_to(gguf)
    return digest


def _wait(server: subprocess.Popen[bytes], client: Client) -> None:
    """Until it answers. ConnectionError when it does not."""
    deadline = time.monotonic() + UP_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            client.list()
            return
        except ConnectionError:
            time.sleep(0.05)
    raise ConnectionError(f"the server did not come up within {UP_S:g} s." if server.poll() is None else "the server has ended.")


def _keep_alive(options: Options) -> str:
    return f"{options['keep_alive_s']}s" if options.get("keep_alive_s") else "-1s"


def _die_with(parent: int) -> Callable[[], None]:
    """For the new process: it ends with this one, however that ends."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
