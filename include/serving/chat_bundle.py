"""What the deploy of a language model is given: a folder with the model as GGUF, its facts, and prompts whose right answers are known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.serving.chat_golden import ChatGolden

REQUIRED = ("model.gguf", "chat.json", "golden.json")
MAGIC = b"GGUF"


@dataclass(frozen=True)
class ChatBundle:
    """A checked bundle folder. ``chat``: ``context`` (tokens), ``forms`` (its quantisation), ``architecture``, ``parameters``."""

    folder: Path
    chat: dict[str, Any]
    golden: ChatGolden

    @classmethod
    def read(cls, folder: Path) -> ChatBundle:
        """InputError that names the file when one is missing, empty or unreadable."""
        for name in REQUIRED:
            path = folder / name
            if not path.is_file() or not path.stat().st_size:
                raise InputError("is missing or empty.", where=str(path), remedy="Run the verify step again.")
        with (folder / "model.gguf").open("rb") as model:
            if model.read(len(MAGIC)) != MAGIC:
                raise InputError("is no GGUF file.", where=str(folder / "model.gguf"), remedy="Run the verify step again.")
        return cls(folder, _chat(folder / "chat.json"), ChatGolden.read(folder / "golden.json"))

    def digest(self) -> str:
        """Of every file that is served: two bundles with the same digest serve the same."""
        digest = hashlib.sha256()
        for name in REQUIRED:
            with (self.folder / name).open("rb") as file:
                digest.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def _chat(path: Path) -> dict[str, Any]:
    try:
        chat = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"is no JSON ({error}).", where=str(path), remedy="Run the verify step again.") from error
    if not isinstance(chat, dict):
        raise InputError("holds no facts about a model.", where=str(path), remedy="Run the verify step again.")
    return chat
