"""From what a user has (a folder, a config.json, an ONNX file, a name) to the facts an estimate needs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.estimate.architecture import Architecture, architecture
from include.estimate.checkpoint import folder_tensors, read_json
from include.estimate.engines import DEFAULT_ENGINE, TABLES
from include.estimate.gguf import mix_tensors, read_gguf
from include.estimate.llamacpp import ENGINE as LLAMA_CPP
from include.estimate.onnx_file import onnx_tensors
from include.estimate.quantisation import Scheme, dtype_bytes, dtype_name, scheme_of_config, split_suffix
from include.estimate.tensors import Tensor, quantised, tensors_of, touches

MAX_CONFIG_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Model:
    """A model's facts. ``stored``: its tensors where a checkpoint was read; ``architecture`` is None for an ONNX graph, which tells
    none."""

    name: str
    source: str
    architecture: Architecture | None
    stored: tuple[Tensor, ...] = ()
    scheme: Scheme | None = None
    engine: str = DEFAULT_ENGINE
    """What serves it unless told otherwise: a GGUF file is llama.cpp's."""

    def tensors(self, dtype: str | None = None, scheme: Scheme | None = None, mix: str | None = None) -> list[Tensor]:
        """Its weights in ``dtype`` (None: as stored, or the config's), as ``scheme`` keeps them when quantised while loading, or as a
        GGUF file of ``mix`` has them.

        A checkpoint's own tensors win over what its architecture implies.
        """
        if mix and self.architecture and not self.stored:
            return mix_tensors(self.architecture, mix)
        if not self.stored:
            assert self.architecture is not None  # without tensors there was a config
            return tensors_of(self.architecture, dtype or dtype_name(self.architecture.dtype), scheme or self.scheme)
        loaded = list(self.stored) if self.scheme else [_cast(tensor, dtype) for tensor in self.stored]
        if scheme and not self.scheme:
            loaded = [quantised(t.name, t.shape, t.dtype, scheme) if touches(scheme, t.name, t.shape) else t for t in loaded]
        return loaded

    def dtype(self) -> str:
        """The dtype it computes in: what its config says, or what most of an ONNX graph's bytes are."""
        if self.architecture:
            return dtype_name(self.architecture.dtype, f"{self.name}: dtype")
        sizes: dict[str, float] = {}
        for tensor in self.stored:
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0.0) + tensor.bytes
        return max(sizes, key=lambda dtype: sizes[dtype])


def read_model(text: str) -> Model:
    """A folder with a config.json (and safetensors), a config.json, a .gguf or .onnx file, or a known name. Raises InputError with what to
    give."""
    path = Path(text).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return {".onnx": _onnx, ".gguf": _gguf}.get(path.suffix.lower(), _plain_config)(path)
    if path.suffix.lower() in {".onnx", ".json", ".gguf"}:
        raise InputError("no such file.", where=text)
    return known_model(text)


def known_model(name: str) -> Model:
    """A model by its name (organisation optional; a quantised checkpoint's suffix is understood)."""
    plain, scheme = split_suffix(name)
    entry = _known().get(_key(name))
    if entry is not None:
        scheme = None  # its own config tells, and which modules it leaves alone
    entry = entry or _known().get(_key(plain))
    if entry is None:
        remedy = f"Give its folder or config.json, or one of {', '.join(known_names()[:6])}, ... (tables/models.toml)."
        raise InputError(f"{name!r:.100} is neither a folder, a file nor a known model.", where="model", remedy=remedy)
    config = entry["config"]
    facts = architecture(config, name=name, where=f"tables/models.toml: {name}", extra_params=entry.get("extra_params", 0))
    return Model(name, "known name", facts, scheme=scheme or scheme_of_config(config, name))


def known_names() -> list[str]:
    return [name for row in _rows() for name in row["names"]]


def _folder(folder: Path) -> Model:
    config = folder / "config.json"
    if config.is_file():
        return _config(config, tuple(folder_tensors(folder)))
    graphs = sorted(folder.glob("*.onnx"))
    if len(graphs) == 1:
        return _onnx(graphs[0])
    files = sorted(folder.glob("*.gguf"))
    if len(files) == 1:
        return _gguf(files[0])
    raise InputError("no config.json in it.", where=str(folder), remedy="Give a model's folder as downloaded, or a .gguf or .onnx file.")


def _plain_config(path: Path) -> Model:
    return _config(path, ())


def _gguf(path: Path) -> Model:
    config, tensors = read_gguf(path)
    facts = architecture(config, name=path.stem, where=str(path))
    return Model(path.stem, "GGUF header", facts, tuple(tensors), Scheme("gguf", 8), LLAMA_CPP)


def _config(path: Path, stored: tuple[Tensor, ...]) -> Model:
    config = read_json(path, MAX_CONFIG_BYTES)
    facts = architecture(config, name=path.parent.name or "model", where=str(path))
    quant = scheme_of_config(config, str(path))
    return Model(facts.name, "config.json and safetensors headers" if stored else "config.json", facts, stored, quant)


def _onnx(path: Path) -> Model:
    return Model(path.stem, "ONNX initialisers", None, tuple(onnx_tensors(path)))


def _cast(tensor: Tensor, dtype: str | None) -> Tensor:
    if dtype is None or not tensor.dtype.startswith(("float", "bfloat")):
        return tensor
    return Tensor(tensor.name, tensor.shape, dtype, tensor.params * dtype_bytes(dtype))


def _key(name: str) -> str:
    """What is compared: no organisation, no Meta- prefix, lower case, dots and dashes alike."""
    return re.sub(r"[._]", "-", name.rsplit("/", 1)[-1].lower().removeprefix("meta-"))


@cache
def _rows() -> tuple[Mapping[str, Any], ...]:
    return tuple(tomllib.loads((TABLES / "models.toml").read_text(encoding="utf-8"))["model"])


@cache
def _known() -> dict[str, Mapping[str, Any]]:
    return {_key(name): row for row in _rows() for name in row["names"]}
