"""llama.cpp with a GGUF model, as a step asks it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from include.backends.client import PLAINER, ChatServer, Get, Messages, Program, Reading, ServerRefused, running
from include.backends.llamacpp.backend import SERVER, LlamaCpp
from include.errors import ComponentError, InputError
from include.runtime.settings import REPO

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTEXT = 8192
"""Tokens of a prompt that is compared, at most."""


class LlamaCppServer(ChatServer):
    """llama.cpp, up."""

    name = "llama.cpp"
    normalises = False

    def reading(self, prompt: Messages) -> Reading:
        text = str(self._post("/apply-template", {"messages": list(prompt)})["prompt"])
        return Reading(self.tokens(text), text)

    def tokens(self, text: str) -> list[int]:
        """The ids of ``text``; special tokens in it count as such."""
        return list(self._post("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"])


@contextmanager
def served(model: Path, context: int, parallel: int, threads: int | None = None) -> Iterator[LlamaCppServer]:
    """llama.cpp with ``model``, stopped in the end. ``ComponentError`` with the end of its log when it does not come up."""

    def serves(get: Get) -> bool:
        get("/health")
        return bool(get("/props").get("model_path") == str(model))

    program = Program(LlamaCppServer.name, sys.executable, REPO / SERVER, model, LlamaCpp.causes, serves)
    with running(program, {"context": context, "parallel": parallel, "threads": threads}) as up:
        yield LlamaCppServer(up.url, up.key, parallel, up.process)


def compare_base(folder: Path, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages]) -> str:
    """Start llama.cpp with the tokenizer and an empty network; what was compared, in a sentence.

    InputError when it reads a prompt otherwise than the tokenizer does, or can't read the template at all.
    """
    from include.bundles import gguf

    where = f"base: {folder}"
    with tempfile.TemporaryDirectory(prefix="vocabulary-") as home:
        file = Path(home) / "vocabulary.gguf"
        gguf.write_vocabulary(folder, tokenizer, file)
        try:
            with served(file, CONTEXT, 1, 1) as server:
                server.compare(tokenizer, prompts, where)
        except ServerRefused as error:
            what = f"llama.cpp refuses a prompt that the model could be trained on: {error.what}"
            raise InputError(what, where=where, remedy=PLAINER) from None
        except ComponentError:
            if not _starts_with_another(folder, tokenizer, Path(home) / "plain.gguf"):
                raise
            what = "llama.cpp does not start with the base's chat template: it uses what llama.cpp's Jinja does not know."
            remedy = "Write the template with plain loops, conditions and texts, or serve the model by vLLM (serve.backend)."
            raise InputError(what, where=f"{where}/chat_template", remedy=remedy) from None
    return f"{len(prompts)} awkward prompts are the same tokens in training and in llama.cpp."


def _starts_with_another(folder: Path, tokenizer: PreTrainedTokenizerBase, file: Path) -> bool:
    """Whether llama.cpp starts as soon as the template is a plain one: then it was the template, and not the machine."""
    from include.bundles import gguf

    own = tokenizer.chat_template
    try:
        tokenizer.chat_template = "{{ messages[0]['content'] }}"
        gguf.write_vocabulary(folder, tokenizer, file)
        with served(file, CONTEXT, 1, 1):
            return True
    except ComponentError:
        return False
    finally:
        tokenizer.chat_template = own
