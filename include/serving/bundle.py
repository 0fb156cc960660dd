"""What a deploy is given: a folder with the model, its signature, and inputs whose right answers are known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.serving.signature import Signature

REQUIRED = ("model.onnx", "signature.json", "golden.json")


@dataclass(frozen=True)
class Tolerance:
    """An answer is right when ``|answer - reference| <= absolute + relative * |reference|`` for at least ``share`` of its elements."""

    relative: float = 1e-4
    absolute: float = 1e-5
    share: float = 1.0

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Tolerance:
        """Also understands the spellings ``rtol`` and ``atol``; other keys are ignored."""
        data = data or {}
        return cls(
            relative=float(data.get("relative", data.get("rtol", cls.relative))),
            absolute=float(data.get("absolute", data.get("atol", cls.absolute))),
            share=float(data.get("share", cls.share)),
        )


@dataclass(frozen=True)
class Golden:
    """Inputs and their reference answers, as KServe v2 JSON tensors; the first dimension of each is the row."""

    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]
    tolerance: Tolerance = field(default_factory=Tolerance)

    @property
    def rows(self) -> int:
        return int(self.inputs[0]["shape"][0])

    @classmethod
    def read(cls, path: Path) -> Golden:
        try:
            data = json.loads(path.read_text())
            golden = cls(tuple(data["inputs"]), tuple(data["outputs"]), Tolerance.from_json(data.get("tolerance")))
            counts = {int(tensor["shape"][0]) for tensor in (*golden.inputs, *golden.outputs)}
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(f"holds no golden inputs: {error!r}.", where=str(path), remedy="Run the optimize step again.") from error
        if len(counts) != 1 or counts == {0} or not golden.outputs:
            raise InputError("its tensors do not hold the same number of rows, at least one.", where=str(path))
        return golden


@dataclass(frozen=True)
class Bundle:
    """A checked bundle folder."""

    folder: Path
    signature: Signature
    golden: Golden

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """InputError that names the file when one is missing, empty or unreadable."""
        for name in REQUIRED:
            path = folder / name
            if not path.is_file() or not path.stat().st_size:
                raise InputError("is missing or empty.", where=str(path), remedy="Run the optimize step again.")
        return cls(folder, Signature.read(folder / "signature.json"), Golden.read(folder / "golden.json"))

    @property
    def code(self) -> Path | None:
        """The model's own code, when the bundle has any."""
        folder = self.folder / "code"
        return folder if folder.is_dir() else None

    def digest(self) -> str:
        """Of every file that is served: two bundles with the same digest serve the same."""
        digest = hashlib.sha256()
        code = sorted(path for path in self.code.rglob("*") if path.is_file() and "__pycache__" not in path.parts) if self.code else []
        for path in (*(self.folder / name for name in REQUIRED), *code):
            digest.update(str(path.relative_to(self.folder)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()
