"""vLLM's part of the spec: ``serve`` of a language model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from include.backends.vllm import arguments
from include.spec.document import Fault
from include.spec.serve import ChatServe

RANK, LORAS = 16, 4
"""With `serve.adapters`, unless told otherwise: the highest rank, and the adapters computed at once (champion, canary, one that stands by,
and one more)."""


class VllmServe(ChatServe):
    forms: ClassVar[tuple[str, ...]] = ("awq", "gptq", "w8a8")
    usual: ClassVar[tuple[str, ...]] = ("awq",)
    few_bits_for_gpus: ClassVar[bool] = True
    sizes_memory: ClassVar[bool] = True

    backend: Literal["vllm"] = "vllm"
    """Inference server of a revision."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of vLLM's server by their names without the dashes, such as `tensor-parallel-size: 2`, `enable-prefix-caching: true` or
    `speculative-config: {method: ngram, num_speculative_tokens: 4}`."""
    adapters: bool = False
    """Serve what `method: lora` has trained as an adapter beside others on one server of its base, instead of merged into a server of its
    own. Revisions, of other models too, share the server when base, context, parallel, threads, arguments and resources are the same. A
    version starts in seconds, and all of them take the memory of one base."""

    @property
    def methods(self) -> tuple[str, ...]:
        return () if self.adapters else self.usual

    @property
    def stretched(self) -> bool:
        return "hf-overrides" in self.arguments

    @property
    def as_adapter(self) -> bool:
        return self.adapters

    @property
    def highest_rank(self) -> int:
        """Of the adapters that the server takes."""
        return int(self.arguments.get("max-lora-rank", RANK))

    def runtime_of_forms(self, methods: Sequence[str]) -> str:
        """What vLLM serves in fewer bits is made by llm-compressor, which needs an environment of its own."""
        return "quantise" if methods else ""

    def faults(self, spec: Any) -> Iterator[Fault]:
        yield from arguments.faults(self.arguments)
        if self.adapters:
            yield from self._of_adapters(spec)

    def _of_adapters(self, spec: Any) -> Iterator[Fault]:
        given, method = self.arguments, spec.train.method
        if self.replicas.max > 1:
            what = "asks for several servers, and adapters share one with others."
            yield ("serve", "replicas", "max"), what, {"remedy": "Leave it at 1, or serve it merged (`adapters: false`)."}
        if method != "lora":
            remedy = "Use `train.method: lora`, or leave it out."
            yield ("serve", "adapters"), f"`method: {method}` trains none.", {"remedy": remedy}
        if spec.optimize.methods:
            what = "quantise a merged model, and adapters are served on the base as it is."
            yield ("optimize", "methods"), what, {"remedy": "Leave it out, or quantise the base beforehand."}
        rank, highest = spec.param_defaults("train")["lora_rank"], self.highest_rank
        if isinstance(rank, int) and rank > highest:
            what = f"is {rank}, and the server takes adapters of rank {highest} at most."
            yield ("train", "params", "lora_rank"), what, {"remedy": "Lower it, or raise `serve.arguments.max-lora-rank`."}
        if given.get("max-cpu-loras", math.inf) < given.get("max-loras", LORAS):
            what = f"is below max-loras ({given.get('max-loras', LORAS)}): those computed at once must be in memory."
            yield ("serve", "arguments", "max-cpu-loras"), what, {"remedy": "Raise it, or lower max-loras."}
