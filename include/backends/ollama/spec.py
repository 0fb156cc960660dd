"""Ollama's part of the spec: ``serve`` of a language model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from include.spec.serve import ChatServe


class OllamaServe(ChatServe):
    forms: ClassVar[tuple[str, ...]] = ("q8_0", "q4_0")
    usual: ClassVar[tuple[str, ...]] = forms

    backend: Literal["ollama"] = "ollama"
    """Inference server of a revision."""
    template: Annotated[str, Field(max_length=20_000)] = ""
    """How a chat becomes a prompt, as a Modelfile's TEMPLATE has it. Default: what Ollama takes the model's own template for, which is
    right for the usual families; for others the step `verify` finds other answers."""
    system: Annotated[str, Field(max_length=20_000)] = ""
    """What the model is told before a chat that has no system message of its own."""
    keep_alive_s: Annotated[int, Field(ge=1, le=30 * 24 * 3600)] | None = None
    """The model leaves the memory after so long without a request, and the next one waits until it is back (seconds). Default: it stays."""
