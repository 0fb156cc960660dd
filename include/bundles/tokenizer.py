"""A model's tokenizer as it is trained with, evaluated and served: one template without a clock, no change of the text before it is cut."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TODAY = datetime(2024, 7, 26, tzinfo=UTC)
"""The day that a template's clock shows, always: what Llama 3's template says itself where there is no clock."""
_CLOCK = "strftime_now"
_CALL = re.compile(rf"\b{_CLOCK}\s*\(\s*(\"[^\"\\]*\"|'[^'\\]*')\s*\)")
_ASKED = re.compile(rf"\b{_CLOCK}\s+is\s+(not\s+)?defined\b")


def load(folder: Path, *, normalises: bool) -> PreTrainedTokenizerBase:
    """The tokenizer in ``folder`` as it is trained with for a server that ``normalises`` texts, or cuts them as they come.

    Of several named templates the `default` is taken, its clock is stopped at :data:`TODAY`, and Unicode's NFC is left out where the server
    does not know it: letters that come decomposed are then the same tokens in training and in serving.

    Raises:
        InputError: there is no template, no `default` among several, or a clock that can't be stopped.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    where = f"base: {folder}"
    tokenizer.chat_template = pinned(chosen(tokenizer.chat_template, where), where)
    if not normalises and type(tokenizer.backend_tokenizer.normalizer).__name__ == "NFC":
        tokenizer.backend_tokenizer.normalizer = None
    return tokenizer


def chosen(template: str | Mapping[str, str] | None, where: str) -> str:
    """The template that chats without tools are written by."""
    if not template:
        raise InputError(
            "the base model's tokenizer has no chat template.",
            where="base",
            remedy="Fine-tune a model made for chats, or add a chat_template to its tokenizer_config.json.",
        )
    if isinstance(template, str):
        return template
    if "default" not in template:
        raise InputError(
            f"has several chat templates ({', '.join(sorted(template))[:200]}), and none is called default.",
            where=where,
            remedy="Call the one for chats without tools `default` in tokenizer_config.json.",
        )
    return template["default"]


def has_clock(template: str | Mapping[str, str] | None) -> bool:
    """Whether a template, or the default one of several, asks what day it is."""
    text = template.get("default", "") if isinstance(template, Mapping) else template or ""
    return _CLOCK in text


def knows_tools(template: str) -> bool:
    """Whether a template has a place for a request's tools."""
    return re.search(r"\btools\b", template) is not None


def pinned(template: str, where: str) -> str:
    """The template with a text in the place of each question for the time."""
    found = _CALL.sub(lambda call: f'"{TODAY.strftime(call[1][1:-1])}"', template)
    if _CLOCK in _ASKED.sub("", found):
        raise InputError(
            "asks for the time in a way that can't be stopped: what is served would not be what was learned.",
            where=f"{where}/chat_template",
            remedy=f"Write a fixed date in the template, or call {_CLOCK} with a text alone, such as {_CLOCK}('%d %b %Y').",
        )
    return found
