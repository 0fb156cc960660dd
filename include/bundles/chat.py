"""What the deploy of a language model is given: a folder with the model, its facts, and prompts whose right answers are known.

The model is ``model.gguf`` for llama.cpp, and for vLLM the folder ``model``: what transformers' save_pretrained() writes, with tokenizer
and chat template; or the folder ``adapter`` (:mod:`include.bundles.adapter`), which is served on its base.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.bundles import adapter
from include.bundles.chat_golden import ChatGolden
from include.errors import InputError

GGUF, FOLDER, ADAPTER = "model.gguf", "model", "adapter"
F16, BF16 = "f16", "bf16"
PLAIN = (F16, BF16, ADAPTER)
"""The forms that are not quantised."""
FACTS, GOLDEN = "chat.json", "golden.json"
WHOLE = ("config.json", "tokenizer.json")
"""What a model's folder must hold beside weights."""
MAGIC = b"GGUF"
AGAIN = "Run the verify step again."


@dataclass(frozen=True)
class ChatBundle:
    """A checked bundle folder. ``chat``: ``context`` (tokens), ``forms`` (its quantisation), ``architecture``, ``parameters``, ``tools``
    (whether its chat template has a place for them)."""

    folder: Path
    chat: dict[str, Any]
    golden: ChatGolden
    model: Path

    @classmethod
    def read(cls, folder: Path, model: str | None = None) -> ChatBundle:
        """The bundle; ``model`` (``GGUF``, ``FOLDER`` or ``ADAPTER``) when it must be of that form.

        InputError that names the file when one is missing, empty or unreadable.
        """
        path = folder / (model or form(folder))
        weights = list(path.glob("*.safetensors")) or [path / "model.safetensors"]
        wholes = {GGUF: [path], ADAPTER: [path / name for name in adapter.FILES]}
        parts = wholes.get(path.name, [*(path / name for name in WHOLE), *weights])
        for part in (*parts, folder / FACTS, folder / GOLDEN):
            if not part.is_file() or not part.stat().st_size:
                raise InputError("is missing or empty.", where=str(part), remedy=AGAIN)
        if path.name == GGUF:
            with path.open("rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    raise InputError("is no GGUF file.", where=str(path), remedy=AGAIN)
        return cls(folder, _chat(folder / FACTS), ChatGolden.read(folder / GOLDEN), path)

    @property
    def tools(self) -> bool:
        """Whether its chat template has a place for tools; bundles of before that was written down may."""
        return bool(self.chat.get("tools", True))

    def digest(self) -> str:
        """Of every file that is served: two bundles with the same digest serve the same."""
        digest = hashlib.sha256()
        parts = [self.model] if self.model.is_file() else sorted(path for path in self.model.rglob("*") if path.is_file())
        for part in (*parts, self.folder / FACTS, self.folder / GOLDEN):
            with part.open("rb") as file:
                name = str(part.relative_to(self.folder))
                digest.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def form(folder: Path) -> str:
    """``ADAPTER``, ``FOLDER`` or ``GGUF``: what a bundle's folder holds."""
    return next((name for name in (ADAPTER, FOLDER) if (folder / name).is_dir()), GGUF)


def _chat(path: Path) -> dict[str, Any]:
    try:
        chat = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"is no JSON ({error}).", where=str(path), remedy=AGAIN) from error
    if not isinstance(chat, dict):
        raise InputError("holds no facts about a model.", where=str(path), remedy=AGAIN)
    return chat
