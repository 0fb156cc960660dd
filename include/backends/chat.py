"""The contract of a server of language models, beside :mod:`include.backends.backend`: the forms of a model that it serves, and how
steps ask one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from include.backends.backend import Backend
from include.backends.client import ChatServer, Messages
from include.errors import InputError
from include.estimate.tensors import Tensor
from include.spec.serve import ChatServe, Protocol, Serve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Wanted:
    """Forms to be made of the trained ``model`` (a folder): in 16 bits, and quantised by each of ``methods``.

    ``table``: the chats, of which ``calibration_chats`` of at most ``max_tokens`` tokens, drawn by ``seed``, may be looked at to choose
    scales; ``out``: the folder where the forms are written.
    """

    model: Path
    table: Path
    out: Path
    methods: tuple[str, ...]
    calibration_chats: int
    max_tokens: int
    seed: int


@dataclass(frozen=True)
class Forms:
    """What was made: name → file or folder, the one in 16 bits first, and what there is to tell about it (plain JSON)."""

    files: dict[str, Path]
    facts: dict[str, Any]


class ChatBackend(Backend):
    """An inference server of language models."""

    in_turn: ClassVar[bool] = False
    """Whether forms are compared one after the other, for each takes a whole GPU; else all are up at once."""

    def protocol(self, serve: Serve) -> Protocol:
        return "openai"

    @abstractmethod
    def check_base(self, folder: Path, tensors: Sequence[Tensor], serve: ChatServe, methods: Sequence[str], rank: int) -> None:
        """InputError when what is trained from this base could not be served, or not be quantised by these methods. ``rank``: of adapters,
        where they are trained."""

    def normalises(self, serve: ChatServe) -> bool:
        """Whether the server applies a tokenizer's normaliser (NFC, say) to what it is asked."""
        return True

    def compare_base(self, folder: Path, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], serve: ChatServe) -> str:
        """What was found out, in a sentence, about how the server will read prompts to what is trained from this base. InputError when it
        will read one otherwise than the ``tokenizer`` does, with which it is trained."""
        return f"{self.title} does not tell how it reads a prompt: its answers are compared once the model is trained."

    @abstractmethod
    def make_forms(self, wanted: Wanted, serve: ChatServe) -> Forms:
        """Write every form. InputError when the model can't be converted, or when the server would read its prompts otherwise than it was
        trained on."""

    @abstractmethod
    def asked(self, model: Path, serve: ChatServe, context: int) -> AbstractContextManager[ChatServer]:
        """A server with ``model`` (a form's file or folder) for conversations of ``context`` tokens, for as long as a step asks it."""


def chat_backend(found: Backend) -> ChatBackend:
    """The backend, of language models. Raises InputError for one of other models."""
    if not isinstance(found, ChatBackend):
        raise InputError(f"{found.title} serves no language models.", where="serve.backend", remedy="Choose another.")
    return found
