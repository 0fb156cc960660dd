"""Step `llm.extract`: the model's source as a table of chats, and a profile of each chat (runtime `llm`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.data import chat_profile, chats
from include.data.chats import Chat, Row
from include.errors import InputError
from include.kinds.llm.files import CHATS
from include.spec.files import is_entry
from include.spec.llm import LlmSpec
from include.spec.names import DATA_SOURCE
from include.steps.context import StepContext
from include.steps.user_code import explained, importable, load_entry

BATCH = 512
"""Chats tokenised at once: the tokenizer keeps much more of a text than its tokens."""


def run(ctx: StepContext) -> dict[str, Any]:
    """``{"table": chats.jsonl, "profile": chats.parquet, "rows": n, "train_rows": n, "eval_rows": n}``.

    A line of the table is a ``chats.Row``. Raises ``InputError`` for every fault of the source.
    """
    spec = ctx.spec(LlmSpec)
    source = ctx.params.get(DATA_SOURCE) or spec.data.source
    found = _chats(ctx.folder, source, own=source == spec.data.source)
    rows = chats.write(found, ctx.out / "chats.jsonl", spec.data.test_fraction)
    frame = chat_profile.describe(rows, tokens(ctx.input("base"), rows))
    profile = ctx.out / "chats.parquet"
    part = profile.with_suffix(".part")
    frame.to_parquet(part, index=False)
    os.replace(part, profile)
    held_out = sum(row.split == "eval" for row in rows)
    print(f"{source}: {len(rows)} chats, {held_out} held out, {int(frame['tokens'].sum())} tokens", flush=True)
    return {
        "table": str(ctx.out / "chats.jsonl"),
        "profile": str(profile),
        "rows": len(rows),
        "train_rows": len(rows) - held_out,
        "eval_rows": held_out,
    }


def tokens(base: Path, rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Tokens of each chat, and of its answer alone, by the chat template of the model in ``base``."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    if not tokenizer.chat_template:
        remedy = "Fine-tune a model made for chats, or add a chat_template to its tokenizer_config.json."
        raise InputError("the base model's tokenizer has no chat template.", where="base", remedy=remedy)
    out: list[tuple[int, int]] = []
    for start in range(0, len(rows), BATCH):
        texts = [text for n, row in enumerate(rows[start : start + BATCH], start + 1) for text in _rendered(tokenizer, n, row)]
        count = [len(ids) for ids in tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]]
        out += [(whole, whole - prompt) for whole, prompt in zip(count[::2], count[1::2], strict=True)]
    return out


def _rendered(tokenizer: Any, number: int, row: Row) -> tuple[str, str]:
    """The whole chat and its prompt as the model reads them."""
    try:
        whole = tokenizer.apply_chat_template(row.messages, tokenize=False)
        return whole, tokenizer.apply_chat_template(row.prompt, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of the model's author, and raises what it likes
        what = f"chat {number} is refused by the base model's chat template: {error}."
        raise InputError(what, where="data.source", remedy="Write the chats as the model was made for.") from None


def _chats(folder: Path, source: str, *, own: bool) -> list[Chat]:
    if own and is_entry(source):
        return _call(folder, source)
    path = folder / source  # an absolute source stays absolute
    if path.suffix not in CHATS:
        raise InputError(f"{source[:80]!r} is no JSON Lines file.", where="data source", remedy="Name a .jsonl file.")
    return chats.read(path)


def _call(folder: Path, entry: str) -> list[Chat]:
    with importable(folder):
        function = load_entry(folder, entry)
        with explained(folder, f"{entry.partition(':')[2]}()"):
            returned = function()
            values = list(returned) if hasattr(returned, "__iter__") and not isinstance(returned, str | bytes | dict) else None
    if values is None:
        what = f"returned {type(returned).__name__}, not an iterable of chats."
        raise InputError(what, where=f"data.source {entry}", remedy="Return a list of chats, or yield them.")
    return chats.of(values, entry)
