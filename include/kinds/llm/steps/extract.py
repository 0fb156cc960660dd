"""Step `llm.extract`: the model's source as a table of chats, and a profile of each chat (runtime `llm`)."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.backends.chat import chat_backend
from include.backends.registry import backend
from include.bundles import template
from include.bundles import tokenizer as tokenizers
from include.bundles.template import Misfit
from include.data import chat_profile, chats
from include.data.chats import Chat, Row
from include.errors import InputError
from include.kinds.llm.files import CHATS
from include.spec.files import is_entry
from include.spec.llm import LlmSpec
from include.spec.names import DATA_SOURCE
from include.spec.problem import Problem
from include.steps.context import StepContext
from include.steps.user_code import explained, importable, load_entry

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH = 512
"""Chats tokenised at once: the tokenizer keeps much more of a text than its tokens."""


def run(ctx: StepContext) -> dict[str, Any]:
    """``{"table": chats.jsonl, "profile": chats.parquet, "rows": n, "train_rows": n, "eval_rows": n}``.

    A line of the table is a ``chats.Row``. Raises ``InputError`` for every fault of the source.
    """
    spec = ctx.spec(LlmSpec)
    source = ctx.params.get(DATA_SOURCE) or spec.data.source
    found = _chats(ctx.folder, source, spec, own=source == spec.data.source)
    tokenizer = tokenizers.load(ctx.input("base"), normalises=chat_backend(backend(spec.serve.backend)).normalises(spec.serve))
    no_marks(tokenizer, found, source)
    rows = chats.write(found, ctx.out / "chats.jsonl", spec.data.test_fraction)
    counts = tokens(tokenizer, rows, found, source)
    fits(rows, counts, found, source, spec, positions(ctx.input("base")))
    frame = chat_profile.describe(rows, counts)
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


def no_marks(tokenizer: PreTrainedTokenizerBase, found: Sequence[Chat], source: str) -> None:
    """SpecError for chats whose texts hold control tokens of the model: as a text they can't be learned, only as what they do."""
    marks = template.control_tokens(tokenizer)
    if not marks:
        return
    any_mark = re.compile("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)))
    faults = []
    for number, chat in enumerate(found, 1):
        held = ((at, any_mark.search(message.content)) for at, message in enumerate(chat.messages))
        at, mark = next(((at, match[0]) for at, match in held if match), (0, None))
        if mark is not None:
            what = f"holds {mark!r}, a control token of the base model: the text would end or begin a turn."
            remedy = "Write it otherwise (with a space in it, say), or leave the chat out."
            faults.append(Problem(Path(source), what, chat.line or number, field=f"messages[{at}].content", remedy=remedy))
    chats.insist(faults, "chats")


def tokens(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], found: Sequence[Chat], source: str) -> list[tuple[int, int]]:
    """Tokens of each chat, and of its answer alone. SpecError for chats that would be learned otherwise than they are served."""
    out: list[tuple[int, int]] = []
    faults = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        texts = [_rendered(tokenizer, row) for row in part]
        written = [text for text in texts if not isinstance(text, Misfit)]
        ids = iter(tokenizer([text for pair in written for text in pair], add_special_tokens=False)["input_ids"]) if written else iter(())
        for chat, row, pair in zip(found[start : start + BATCH], part, texts, strict=True):
            if isinstance(pair, Misfit):
                fault: Misfit | None = pair
            else:
                cut = next(ids), next(ids)
                out.append((len(cut[1]), len(cut[1]) - len(cut[0])))
                fault = template.misfit_of(tokenizer, row.messages, pair, cut)
            if fault:
                faults.append(Problem(Path(source), fault.what, chat.line, remedy=fault.remedy))
        if len(faults) > chats.SHOWN:
            break
    chats.insist(faults, "chats")
    return out


def _rendered(tokenizer: PreTrainedTokenizerBase, row: Row) -> tuple[str, str] | Misfit:
    """The prompt and the whole chat as the model reads them."""
    try:
        return template.render(tokenizer, row.prompt, asked=True), template.render(tokenizer, row.messages, asked=False)
    except Exception as error:  # a template is a program of the model's author, and raises what it likes
        what = f"is refused by the base model's chat template: {error}."
        return Misfit(what, "Write the chats as the model was made for.")


def positions(base: Path) -> float:
    """Tokens that the model can follow; infinite when it does not tell."""
    file = base / "config.json"
    return float(json.loads(file.read_text()).get("max_position_embeddings") or math.inf) if file.is_file() else math.inf


def fits(rows: Sequence[Row], counts: Sequence[tuple[int, int]], found: Sequence[Chat], source: str, spec: LlmSpec, longest: float) -> None:
    """SpecError for chats that are longer than the model can follow, and held-out ones longer than the conversations it will have."""
    faults = []
    served = min(spec.serve.context, longest)
    for row, chat, (whole, _) in zip(rows, found, counts, strict=True):
        if whole > longest:
            what = f"has {whole} tokens, and the model follows {longest:g} (max_position_embeddings)."
            faults.append(Problem(Path(source), what, chat.line, remedy="Shorten it, leave it out, or take a base with more positions."))
        elif row.split == "eval" and whole > served:
            what = (
                f"is held out and has {whole} tokens, but a conversation has {served:g} at most (serve.context): its answer would be cut."
            )
            faults.append(Problem(Path(source), what, chat.line, remedy=f"Raise serve.context (up to {longest:g}), or shorten the chat."))
    chats.insist(faults, "chats")


def _chats(folder: Path, source: str, spec: LlmSpec, *, own: bool) -> list[Chat]:
    form = spec.data.format if own else None
    if own and is_entry(source):
        return _call(folder, source, form)
    path = folder / source  # an absolute source stays absolute
    if path.suffix not in CHATS:
        raise InputError(f"{source[:80]!r} is no JSON Lines file.", where="data source", remedy="Name a .jsonl file.")
    return chats.read(path, form)


def _call(folder: Path, entry: str, form: str | None) -> list[Chat]:
    with importable(folder):
        function = load_entry(folder, entry)
        with explained(folder, f"{entry.partition(':')[2]}()"):
            returned = function()
            values = list(returned) if hasattr(returned, "__iter__") and not isinstance(returned, str | bytes | dict) else None
    if values is None:
        what = f"returned {type(returned).__name__}, not an iterable of chats."
        raise InputError(what, where=f"data.source {entry}", remedy="Return a list of chats, or yield them.")
    return chats.of(values, entry, form)
