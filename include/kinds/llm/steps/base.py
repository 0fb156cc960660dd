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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from include.backends.chat import chat_backend
from include.backends.registry import backend
from include.bundles.adapter import digest
from include.errors import ComponentError, InputError
from include.estimate.checkpoint import folder_tensors, read_json
from include.estimate.tensors import Tensor
from include.spec.files import is_entry
from include.spec.llm import LlmSpec
from include.steps.context import StepContext
from include.steps.user_code import explained, importable, load_entry

ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM")
"""What can be converted for llama.cpp (``include/bundles/gguf.py``)."""
MLFLOW = "models:/"
PROBES = (
    "It's 12345.678 + 9 = ?\n\n  indented\tand  spaced",
    "naïve — «Größe» Привет 日本語 مرحبا 🙂",
    "def f(x):\n    return {'b': x**2}",
)
"""Texts that tokenizers tend to differ on."""
HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
MAX_JSON_BYTES = 64 * 1024 * 1024
HEAD, NORM, LAYER = "lm_head.weight", "model.norm.weight", "model.layers.{}."
Refuse = Callable[[str, str, str], InputError]
"""File, what is wrong with it, what to do."""


def run(ctx: StepContext) -> dict[str, Any]:
    """``model`` (folder), ``digest`` (sha256), ``parameters``, ``architecture``; with method distill ``teacher`` (folder).

    InputError for a base that can't be built on, and for a teacher that can't teach it.
    """
    spec = ctx.spec(LlmSpec)
    bases = Path(os.environ["UPDRAFT_HOME"]) / "bases" / spec.name
    folder = find(spec.base, spec.name, ctx.folder, bases)
    tensors = check(folder)
    rank = int(ctx.params.get("lora_rank", spec.param_defaults("train")["lora_rank"]))
    chat_backend(backend(spec.serve.backend)).check_base(folder, tensors, spec.serve, spec.quantizations, rank)
    config = read_json(folder / "config.json", MAX_JSON_BYTES)
    parameters = sum(math.prod(tensor.shape) for tensor in tensors)
    architecture = config["architectures"][0]
    print(f"The base is {folder}: {architecture}, {parameters:,} parameters", flush=True)
    found = {"model": str(folder), "digest": digest(folder), "parameters": parameters, "architecture": architecture}
    if spec.train.teacher is None:
        return found
    teacher = find(spec.train.teacher, spec.name, ctx.folder, bases, "train.teacher")
    print(f"The teacher is {teacher}: {sum(math.prod(tensor.shape) for tensor in check(teacher)):,} parameters", flush=True)
    same_tokens(teacher, folder)
    return found | {"teacher": str(teacher)}


def same_tokens(teacher: Path, student: Path) -> None:
    """InputError unless both cut texts into the same tokens: what the teacher thinks of the next one is about these."""
    from tokenizers import Tokenizer

    theirs, ours = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (teacher, student))
    other = sorted(theirs.get_vocab().items() ^ ours.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
    text = next((text for text in PROBES if theirs.encode(text).ids != ours.encode(text).ids), None)
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


def check(folder: Path) -> list[Tensor]:
    """The base's tensors. InputError, naming the file and the remedy, for what is missing or can't be trained and served."""

    def refuse(file: str, what: str, remedy: str) -> InputError:
        return InputError(what, where=f"base: {folder / file}", remedy=remedy)

    if not (folder / "config.json").is_file():
        raise refuse("config.json", "is missing.", "A base is a folder as transformers' save_pretrained() writes it.")
    config = read_json(folder / "config.json", MAX_JSON_BYTES)
    architectures = config.get("architectures")
    architecture = architectures[0] if isinstance(architectures, list) and architectures else architectures
    if architecture not in ARCHITECTURES:
        raise refuse("config.json", f"architecture {architecture} is not supported.", f"Supported: {', '.join(ARCHITECTURES)}.")
    if "auto_map" in config:
        raise refuse("config.json", "brings code of its own (auto_map).", "Code from a model is never run; use a built-in architecture.")
    tensors = folder_tensors(folder)
    if not tensors:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        remedy = "Save it as safetensors: pickles are never opened." if pickled else "Download the model again, whole."
        raise refuse("*.safetensors", "there are no weights.", remedy)
    _tied(config, tensors, refuse)
    _layers(config, tensors, refuse)
    _tokenizer(folder, config, refuse)
    if not _chat_template(folder):
        raise refuse("tokenizer_config.json", "has no chat_template.", "Use a model made for chats, or add its template.")
    return tensors


def _tied(config: dict[str, Any], tensors: list[Tensor], refuse: Refuse) -> None:
    """A head that is missing would be filled with noise, in silence; one that the config calls tied would be left out."""
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    tied = bool(config.get("tie_word_embeddings", False))
    if not tied and HEAD not in shapes:
        raise refuse("config.json", f"tie_word_embeddings is false, but there is no {HEAD}.", "Set it to true, or restore the head.")
    if tied and HEAD in shapes:
        raise refuse("config.json", f"tie_word_embeddings is true, but there is a {HEAD}.", "Set it to false, or save the model without.")
    embedded = shapes.get("model.embed_tokens.weight")
    if embedded is None or embedded[0] != config.get("vocab_size"):
        what = f"vocab_size is {config.get('vocab_size')}, but the embedding is {embedded or 'missing'}."
        raise refuse("config.json", what, "Save config and weights of one model together.")


def _layers(config: dict[str, Any], tensors: list[Tensor], refuse: Refuse) -> None:
    """Every layer has what the first has; transformers would make up the rest."""
    names = {tensor.name for tensor in tensors}
    layers = config.get("num_hidden_layers")
    if type(layers) is not int or not 1 <= layers <= len(names):
        raise refuse("config.json", f"num_hidden_layers is {layers!r}.", "Save config and weights of one model together.")
    parts = [name.removeprefix(LAYER.format(0)) for name in names if name.startswith(LAYER.format(0))]
    wanted = {LAYER.format(layer) + part for layer in range(layers) for part in parts or ["*"]} | {NORM}
    if absent := sorted(wanted - names):
        what = f"{len(absent)} of {len(wanted)} tensors are missing: {', '.join(absent[:3])}."
        raise refuse("*.safetensors", what, "Download the model again, whole.")


def _tokenizer(folder: Path, config: dict[str, Any], refuse: Refuse) -> None:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise refuse(path.name, "is missing.", "Save the tokenizer beside the model: tokenizer.save_pretrained(folder).")
    try:
        last = max(Tokenizer.from_file(str(path)).get_vocab().values(), default=-1)
    except Exception as error:  # the library raises nothing narrower
        raise refuse(path.name, f"is no tokenizer: {str(error)[:120]}.", "Save it again: tokenizer.save_pretrained(folder).") from None
    if last >= config["vocab_size"]:
        what = f"has token {last}, but the model knows only {config['vocab_size']}."
        raise refuse(path.name, what, "Save tokenizer and weights of one model together.")


def _chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(read_json(path, MAX_JSON_BYTES).get("chat_template"))


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
