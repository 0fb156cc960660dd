"""Triton's part of the spec: ``serve`` of a model of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from include.spec.document import Fault, FieldPath
from include.spec.parts import EntryPoint, Params
from include.spec.serve import TENSOR, Serve


class TritonServe(Serve):
    backend: Literal["triton"] = "triton"
    """Inference server of a revision."""
    wrapper: EntryPoint | None = None
    """Class in the model's folder that Triton calls around the model: `__init__(params)`, `before(inputs)`, `after(outputs)`."""
    params: Params = Field(default_factory=dict)
    """Parameters of the wrapper, each a field of the trigger form."""
    max_batch_size: Annotated[int, Field(ge=1, le=1024)] = 64
    """Largest batch a request or Triton's dynamic batching may form."""
    preferred_batch_sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(max_length=8)] = ()
    """Batches that Triton forms where it can, rising, and for which a TensorRT plan is tuned. Default: the largest."""
    batch_delay_us: Annotated[int, Field(ge=0, le=1_000_000)] = 500
    """How long a request may wait for others to join its batch (microseconds)."""
    instances: Annotated[int, Field(ge=1, le=16)] = 1
    """Copies of the model in the server."""

    @property
    def at_once(self) -> int:
        return self.max_batch_size

    @property
    def requests_at_once(self) -> int:
        return self.instances + 1

    @property
    def preferred(self) -> tuple[int, ...]:
        return self.preferred_batch_sizes

    @property
    def no_plan(self) -> str:
        return "" if self.wrapper is None else "Triton runs no `serve.wrapper` around a plan"

    @property
    def with_code(self) -> bool:
        return self.wrapper is not None

    def classes(self) -> Mapping[str, str]:
        return {"wrapper": self.wrapper} if self.wrapper is not None else {}

    def faults(self, spec: Any) -> Iterator[Fault]:
        sizes = self.preferred_batch_sizes
        at: FieldPath = ("serve", "preferred_batch_sizes")
        if any(later <= earlier for earlier, later in pairwise(sizes)):
            yield at, f"{list(sizes)} does not rise.", {"remedy": "Name each size once, the smallest first."}
        elif sizes and sizes[-1] > self.max_batch_size:
            yield at, f"{sizes[-1]} is above `serve.max_batch_size` ({self.max_batch_size}).", {"remedy": "Leave it out, or raise that."}
        if self.no_plan and spec.optimize.tensorrt.required:
            yield ("optimize", "tensorrt", "required"), f"{self.no_plan}.", {"remedy": "Leave the wrapper out, or `required`."}


class TritonTensorServe(TritonServe):
    """``serve`` of a model of named tensors."""

    kind: ClassVar[str] = TENSOR
