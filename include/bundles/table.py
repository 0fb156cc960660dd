"""What a deploy is given: a folder with the model, its signature, and inputs whose right answers are known; perhaps a TensorRT plan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from include.bundles.golden import Golden
from include.bundles.signature import Signature
from include.errors import InputError
from include.tensorrt.plan import FOLDER, MODEL, PLAN, SHEET, Sheet

REQUIRED = ("model.onnx", "signature.json", "golden.json")


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
        if (folder / FOLDER).is_dir():
            for name in (MODEL, PLAN):
                if not (folder / FOLDER / name).is_file():
                    raise InputError("is missing.", where=str(folder / FOLDER / name), remedy="Run the optimize step again.")
            Sheet.read(folder / FOLDER / SHEET)
        return cls(folder, Signature.read(folder / "signature.json"), _golden(folder / "golden.json"))

    @property
    def code(self) -> Path | None:
        """The model's own code, when the bundle has any."""
        folder = self.folder / "code"
        return folder if folder.is_dir() else None

    def digest(self) -> str:
        """Of every file that is served: two bundles with the same digest serve the same."""
        digest = hashlib.sha256()
        code = sorted(path for path in self.code.rglob("*") if path.is_file() and "__pycache__" not in path.parts) if self.code else []
        plan = sorted(path for path in (self.folder / FOLDER).glob("*") if path.is_file())
        for path in (*(self.folder / name for name in REQUIRED), *code, *plan):
            digest.update(str(path.relative_to(self.folder)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def _golden(path: Path) -> Golden:
    try:
        golden = Golden.read(path)
        rows = {int(tensor["shape"][0]) for tensor in (*golden.inputs, *golden.outputs)}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"holds no golden inputs: {error!r}.", where=str(path), remedy="Run the optimize step again.") from error
    if len(rows) != 1 or rows == {0} or not golden.outputs:
        raise InputError("its tensors do not hold the same number of rows, at least one.", where=str(path))
    return golden
