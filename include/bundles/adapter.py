"""A LoRA adapter as it is kept and served: PEFT's folder, and which base it was trained on.

The folder holds ``adapter_config.json``, ``adapter_model.safetensors`` and ``base.json`` (``folder`` and ``digest`` of the base).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from include.errors import InputError
from include.estimate.checkpoint import folder_tensors, read_json

CONFIG, WEIGHTS, BASE = "adapter_config.json", "adapter_model.safetensors", "base.json"
FILES = (CONFIG, WEIGHTS, BASE)
MAX_JSON_BYTES = 16 * 1024 * 1024
_PART = re.compile(r"^base_model\.model\.(.+)\.lora_([AB])\.weight$")
_AGAIN = "Train the version again."


@dataclass(frozen=True)
class Adapter:
    """A checked folder. ``base``: the folder of its base; ``digest``: the base's, as :func:`digest` says it."""

    folder: Path
    base: Path
    digest: str
    rank: int

    @classmethod
    def read(cls, folder: Path) -> Adapter:
        """InputError that names the file when one is missing or no good, or the base is gone."""
        for name in FILES:
            path = folder / name
            if not path.is_file() or not path.stat().st_size:
                raise InputError("is missing or empty.", where=str(path), remedy=_AGAIN)
        config, base = (read_json(folder / name, MAX_JSON_BYTES) for name in (CONFIG, BASE))
        rank, place, digest = config.get("r"), base.get("folder"), base.get("digest")
        if type(rank) is not int or rank < 1:
            raise InputError(f"r is {rank!r:.40}, which is no rank.", where=str(folder / CONFIG), remedy=_AGAIN)
        if not isinstance(place, str) or not isinstance(digest, str):
            raise InputError("does not say which base the adapter is of.", where=str(folder / BASE), remedy=_AGAIN)
        if not (Path(place) / "config.json").is_file():
            raise InputError(f"the adapter's base is not at {place} any more.", where=str(folder / BASE), remedy="Put it back, or make it.")
        return cls(folder, Path(place), digest, rank)

    def check(self, highest_rank: int) -> None:
        """InputError unless it fits its base, matrix by matrix, and a server that takes ranks up to ``highest_rank``."""
        if self.rank > highest_rank:
            raise InputError(
                f"the adapter has rank {self.rank}, and the server takes {highest_rank} at most.",
                where="serve.arguments.max-lora-rank",
                remedy="Raise it, or train with a lower lora_rank.",
            )
        whole = {tensor.name: tensor.shape for tensor in folder_tensors(self.base)}
        for tensor in folder_tensors(self.folder):
            found = _PART.match(tensor.name)
            shape = whole.get(f"{found[1]}.weight") if found else None
            if found is None or shape is None or len(shape) != 2:
                raise self._foreign(f"the base has nothing that {tensor.name} could be added to")
            wanted = (self.rank, shape[1]) if found[2] == "A" else (shape[0], self.rank)
            if tensor.shape != wanted:
                raise self._foreign(f"{tensor.name} is {_size(tensor.shape)}, and must be {_size(wanted)}")

    def _foreign(self, why: str) -> InputError:
        return InputError(f"the adapter does not fit its base {self.base}: {why}.", where=str(self.folder / WEIGHTS), remedy=_AGAIN)

    def check_base(self) -> None:
        """InputError when the base's files are others than the adapter was trained on. Reads them all."""
        if digest(self.base) != self.digest:
            remedy = "Put back the one it was trained on, or train the version again."
            raise InputError("the base has changed since the adapter was trained on it.", where=str(self.base), remedy=remedy)


def is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def of_base(base: Path) -> str:
    """What ``base.json`` says of an adapter's base."""
    return json.dumps({"folder": str(base), "digest": digest(base)}, indent=1)


def digest(folder: Path) -> str:
    """Of what a model is: its configuration, its tokenizer, and the bytes of its weights."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".safetensors")):
        with path.open("rb") as handle:
            whole.update(path.name.encode() + b"\0" + hashlib.file_digest(handle, "sha256").digest())
    return whole.hexdigest()


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
