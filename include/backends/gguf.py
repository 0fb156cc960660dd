"""What backends share whose servers read a model's GGUF file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include.backends.backend import Laid, insist, link
from include.backends.chat import ChatBackend
from include.bundles.chat import GGUF, ChatBundle
from include.estimate.tensors import Tensor
from include.spec.serve import ChatServe, Serve

OPTIONS = "options.json"


class GgufBackend(ChatBackend):
    """Lays out the bundle's GGUF file beside the options (``planned``) that its server is started with."""

    def digest(self, bundle: Path) -> str:
        return ChatBundle.read(bundle, GGUF).digest()

    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: Serve, params: Mapping[str, Any]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        link(bundle / GGUF, folder / GGUF)
        (folder / OPTIONS).write_text(json.dumps(self.planned(serve)))

    def check(self, folder: Path, model: str, version: str) -> None:
        insist(folder, (GGUF, OPTIONS))

    def laid(self, folder: Path) -> Laid:
        found: Laid = json.loads((folder / OPTIONS).read_text())
        return found

    def normalises(self, serve: ChatServe) -> bool:
        return False

    def check_base(self, folder: Path, tensors: Sequence[Tensor], serve: ChatServe, methods: Sequence[str], rank: int) -> None:
        from include.bundles import gguf, tokenizer

        gguf.check(folder, tokenizer.load(folder, normalises=self.normalises(serve)))
