"""Step `llm.base`: the model that is fine-tuned, as a folder, looked through before anything is built on it (runtime `llm`).

What is made or fetched is kept in ``$UPDRAFT_HOME/bases/<model>``, whole or not at all, under what it was made from: a second run finds
it there.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from include.backends.chat import ChatBackend, chat_backend
from include.backends.registry import backend
from include.bundles import template
from include.bundles import tokenizer as tokenizers
from include.bundles.adapter import digest
from include.data import chats
from include.errors import ComponentError, InputError
from include.estimate.checkpoint import read_json
from include.kinds.llm.base_files import MAX_JSON_BYTES, check
from include.spec.files import is_entry
from include.spec.llm import LlmSpec
from include.spec.serve import ChatServe
from include.steps.context import StepContext
from include.steps.user_code import explained, importable, load_entry

MLFLOW = "models:/"
HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


def run(ctx: StepContext) -> dict[str, Any]:
    """``model`` (folder), ``digest`` (sha256), ``parameters``, ``architecture``, ``notes`` (sentences); with method distill ``teacher``.

    InputError for a base that can't be built on, and for a teacher that can't teach it.
    """
    spec = ctx.spec(LlmSpec)
    bases = Path(os.environ["UPDRAFT_HOME"]) / "bases" / spec.name
    folder = find(spec.base, spec.name, ctx.folder, bases)
    tensors = check(folder)
    rank = int(ctx.params.get("lora_rank", spec.param_defaults("train")["lora_rank"]))
    serving = chat_backend(backend(spec.serve.backend))
    serving.check_base(folder, tensors, spec.serve, spec.quantizations, rank)
    config = read_json(folder / "config.json", MAX_JSON_BYTES)
    notes = [*_context(spec, config), *_text(folder, spec, serving, ctx.folder)]
    print("\n".join(notes), flush=True)
    parameters = sum(math.prod(tensor.shape) for tensor in tensors)
    architecture = config["architectures"][0]
    print(f"The base is {folder}: {architecture}, {parameters:,} parameters", flush=True)
    found = {"model": str(folder), "digest": digest(folder), "parameters": parameters, "architecture": architecture, "notes": notes}
    if spec.train.teacher is None:
        return found
    teacher = find(spec.train.teacher, spec.name, ctx.folder, bases, "train.teacher")
    print(f"The teacher is {teacher}: {sum(math.prod(tensor.shape) for tensor in check(teacher)):,} parameters", flush=True)
    same_tokens(teacher, folder)
    return found | {"teacher": str(teacher)}


def _text(folder: Path, spec: LlmSpec, serving: ChatBackend, home: Path) -> list[str]:
    """InputError unless what is learned from chats is what will be served, to the token; what else there is to know about it."""
    tokenizer = tokenizers.load(folder, normalises=serving.normalises(spec.serve))
    where = f"base: {folder / 'tokenizer_config.json'}"
    found = template.check(tokenizer, where)
    if found.no_system and (line := _system_line(home, spec)):
        why = found.no_system.rstrip(".")
        what = f"chats with a system message can't be learned ({why}), and {spec.data.source} has one in line {line}."
        raise InputError(what, where=where, remedy="Use a template that takes system messages, or move their text into the user's message.")
    notes = list(found.notes)
    if tokenizers.has_clock(read_template(folder)):
        day = tokenizers.TODAY.strftime("%d %B %Y")
        notes.append(f"The template has a clock: it is stopped at {day}, in training and in serving alike.")
    return [*notes, serving.compare_base(folder, tokenizer, template.probes(tokenizer, system=not found.no_system), spec.serve)]


def read_template(folder: Path) -> str | Mapping[str, str] | None:
    """The chat template as it is stored, or several of them by name."""
    from transformers import AutoTokenizer

    found: str | Mapping[str, str] | None = AutoTokenizer.from_pretrained(folder, local_files_only=True).chat_template
    return found


def _system_line(home: Path, spec: LlmSpec) -> int | None:
    """The first line of the source that holds a system message; None when none does, or code makes the chats (`extract` looks then)."""
    path = home / spec.data.source
    if is_entry(spec.data.source) or not path.is_file():
        return None
    with suppress(InputError):  # its faults are told by `extract`, all of them
        return next((chat.line for chat in chats.read(path, spec.data.format, lambda _: None) if chat.messages[0].role == "system"), None)
    return None


def _context(spec: LlmSpec, config: Mapping[str, Any]) -> list[str]:
    """InputError when the model can't follow the conversations that the spec serves; what is lowered because of it."""
    longest = int(config["max_position_embeddings"])
    default = ChatServe.model_fields["context"].default
    if spec.serve.context > longest and spec.serve.context != default and not spec.serve.stretched:
        raise InputError(
            f"the model follows {longest} tokens at most (max_position_embeddings), not {spec.serve.context}.",
            where="serve.context",
            remedy=f"Lower it to {longest}, or take a base with more positions.",
        )
    notes = []
    if spec.serve.context > longest:
        notes.append(f"serve.context is {spec.serve.context} by default, and the model follows {longest} tokens: {longest} are served.")
    if spec.data.max_tokens > longest:
        notes.append(f"data.max_tokens is {spec.data.max_tokens}; a chat of more than the model's {longest} tokens is refused.")
    return notes


def same_tokens(teacher: Path, student: Path) -> None:
    """InputError unless both cut texts into the same tokens: what the teacher thinks of the next one is about these."""
    from tokenizers import Tokenizer

    theirs, ours = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (teacher, student))
    other = sorted(theirs.get_vocab().items() ^ ours.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
    text = next((text for text in template.TEXTS if theirs.encode(text).ids != ours.encode(text).ids), None)
    if not other and text is None:
        return
    named = ", ".join(f"{token!r} ({number})" for token, number in other[:3])
    why = f"{len(other)} tokens are in one of them only, such as {named}" if other else f"they cut {text!r:.60} differently"
    raise InputError(
        f"teacher and base have not the same tokenizer: {why}.",
        where="model.yaml: train.teacher",
        remedy="Take a teacher of the base's own family, or fine-tune without one.",
    )


def find(base: str, name: str, folder: Path, cache: Path, field: str = "base") -> Path:
    """The folder of a base (the spec's ``field``): the one it names, or one in ``cache``, made or fetched there if need be."""
    if is_entry(base):
        return _kept(cache, name, _code(folder, base), lambda target: _make(folder, base, target))
    for path in (Path(base), folder / base):
        if path.is_dir():
            return path.resolve()
    if base.startswith(MLFLOW):
        return _kept(cache, name, base.encode(), lambda target: _from_mlflow(base, target))
    if base.count("/") == 1 and not base.startswith("."):
        return _kept(cache, name, base.encode(), lambda target: _from_hub(base, target))
    remedy = f"Name a folder, {MLFLOW}<name>/<version>, a Hub id (org/name), or module:function."
    raise InputError(f"there is no folder {base!r}.", where=f"model.yaml: {field}", remedy=remedy)


def _kept(cache: Path, name: str, source: bytes, write: Any) -> Path:
    """Two runs at once may both write; the first to finish is kept, and they are the same."""
    target = cache / f"{name}-{hashlib.sha256(source).hexdigest()[:16]}"
    if target.is_dir():
        return target
    for left in cache.glob(f".{target.name}-*"):  # by a process that was killed
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    part = cache / f".{target.name}-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        write(part)
        check(part)
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _make(folder: Path, entry: str, target: Path) -> None:
    with importable(folder):
        function = load_entry(folder, entry)
        print(f"Making the base with {entry}", flush=True)
        with explained(folder, f"{entry.partition(':')[2]}()"):
            function(target)


def _from_mlflow(uri: str, target: Path) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(target / "fetched")))
    except MlflowException as error:
        raise InputError(f"MLflow has no such model: {error}", where="model.yaml: base") from None
    configs = sorted(found.rglob("config.json"), key=lambda path: len(path.parts))
    if not configs:
        raise InputError(f"{uri} holds no Hugging Face model.", where="model.yaml: base", remedy="Name a language model's version.")
    for path in configs[0].parent.iterdir():
        path.rename(target / path.name)
    shutil.rmtree(target / "fetched")


def _from_hub(name: str, target: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(name, local_dir=target, allow_patterns=list(HUB_FILES))
    except LocalEntryNotFoundError as error:
        remedy = "Give this machine a way there, or download the model and name its folder."
        raise ComponentError(f"the Hub cannot be reached ({type(error).__name__}).", where=f"base {name}", remedy=remedy) from None
    except (HfHubHTTPError, OSError) as error:
        raise InputError(f"the Hub gave no {name}: {error}", where="model.yaml: base", remedy="See its name, and HF_TOKEN.") from None
    shutil.rmtree(target / ".cache", ignore_errors=True)


def _code(folder: Path, entry: str) -> bytes:
    """The entry's module with every module of the folder that it imports: what the base is made from."""
    seen: dict[str, bytes] = {}
    open_ = [entry.partition(":")[0]]
    while open_:
        module = open_.pop()
        path = next((one for one in (folder / f"{module}.py", folder / module / "__init__.py") if one.is_file()), None)
        if path is not None and module not in seen:
            seen[module] = path.read_bytes()
            open_ += _imports(seen[module])
    return json.dumps([entry, {name: hashlib.sha256(code).hexdigest() for name, code in sorted(seen.items())}]).encode()


def _imports(code: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
