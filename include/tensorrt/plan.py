"""A plan on disk: the serialised engine, and beside it what it was built from and for. A plan is loaded only where it was built for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import InputError
from include.tensorrt.gpu import Gpu

FOLDER = "tensorrt"
"""Of a bundle that holds a plan."""
MODEL, PLAN, SHEET = "model.onnx", "model.plan", "plan.json"
"""In that folder: the ONNX of which the plan is built, the plan, and its :class:`Sheet`."""


@dataclass(frozen=True)
class Batches:
    """What batches an engine takes: 1 to ``most``, and an optimisation profile for each of ``preferred`` (rising)."""

    most: int
    preferred: tuple[int, ...] = ()

    @property
    def profiles(self) -> tuple[int, ...]:
        """The batch that each profile is tuned for."""
        return self.preferred or (self.most,)

    def profile_of(self, rows: int) -> int:
        """The index of the profile whose batch is nearest."""
        return min(range(len(self.profiles)), key=lambda index: abs(self.profiles[index] - rows))


@dataclass(frozen=True)
class Key:
    """What a plan is good for."""

    gpu: Gpu
    tensorrt: str

    def differs(self, other: Key) -> str:
        """Why a plan of this key can't be used under the other one; empty when it can."""
        if self.gpu != other.gpu:
            return f"it was built on {self.gpu}, and this is {other.gpu}"
        if self.tensorrt != other.tensorrt:
            return f"it was built by TensorRT {self.tensorrt}, and this is {other.tensorrt}"
        return ""

    def slug(self) -> str:
        """A file name of its own."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        return f"sm{self.gpu.capability[0]}{self.gpu.capability[1]}-{self.tensorrt}-{digest}"


@dataclass(frozen=True)
class Sheet:
    """What is known about a plan: its key, precision (``fp32``, ``fp16``, ``int8``, ``fp8``), batches, and digests of both files."""

    key: Key
    precision: str
    batches: Batches
    workspace_mib: int
    onnx_sha256: str
    plan_sha256: str

    def save(self, path: Path) -> None:
        atomic.write(path, json.dumps(asdict(self), indent=1), mode=0o644)

    @classmethod
    def read(cls, path: Path) -> Sheet:
        """InputError when it is none."""
        try:
            data: dict[str, Any] = json.loads(path.read_text())
            gpu = Gpu(data["key"]["gpu"]["name"], (data["key"]["gpu"]["capability"][0], data["key"]["gpu"]["capability"][1]))
            batches = Batches(int(data["batches"]["most"]), tuple(data["batches"]["preferred"]))
            rest = {name: data[name] for name in ("precision", "workspace_mib", "onnx_sha256", "plan_sha256")}
            return cls(Key(gpu, data["key"]["tensorrt"]), batches=batches, **rest)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(f"describes no plan: {error!r}.", where=str(path), remedy="Run the optimize step again.") from error

    def unfit(self, key: Key, plan: Path, onnx: Path) -> str:
        """Why the plan must not be loaded under ``key``; empty when it may. The files must be those that the sheet is about."""
        if not plan.is_file() or sha256(plan) != self.plan_sha256:
            return "its file is missing or not the one that was built"
        if sha256(onnx) != self.onnx_sha256:
            return "it was built of another model"
        return self.key.differs(key)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
