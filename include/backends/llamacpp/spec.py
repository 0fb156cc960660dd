"""llama.cpp's part of the spec: ``serve`` of a language model."""

from __future__ import annotations

from typing import ClassVar, Literal

from include.spec.serve import ChatServe


class LlamaCppServe(ChatServe):
    forms: ClassVar[tuple[str, ...]] = ("q8_0", "q4_0")
    usual: ClassVar[tuple[str, ...]] = forms

    backend: Literal["llamacpp"] = "llamacpp"
    """Inference server of a revision."""
