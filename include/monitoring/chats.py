"""Chats as the looks at production compare them: how long they are, and what form the answers have. Pure.

Nobody has said what is right of most chats. Their form can be seen all the same: an answer that is empty, that runs on until it is cut off,
or that is no JSON where JSON was asked for is of no use to anybody. How often that happens is tested like a loss, against the held-out
chats. Refusals, lengths and forms beside it are compared as columns are: a change of theirs is a notice."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from include.data.personal import masked
from include.gates import chat
from include.monitoring.meaning import drawn
from include.monitoring.rows import ANSWER, INPUTS, LOSS, OUTPUTS, SAID, TEXTS, USELESS

if TYPE_CHECKING:
    import pandas as pd

ASKED = ("messages", "prompt_characters", "question_characters")
ANSWERED = ("answer_characters",)
EMPTY, CUT_OFF, REFUSAL, CALLS, JSON, TEXT = "empty", "cut off", "refusal", "tool calls", "JSON", "text"
"""The forms of an answer."""
LIMITS = ("max_tokens", "max_completion_tokens")
"""By these a caller says how long an answer may be: one that is cut off there is as it was wanted."""
_MESSAGES, _PROMPT, _TEXT = "messages", "prompt", "outputs.text"
QUESTION_TEXT, ANSWER_TEXT, MESSAGES = "question", "answer", "messages"
"""Texts as they are, where they are wanted."""
MOST_CHARACTERS, MOST_TEXTS = 2_000, 1_000
"""Of a text whose meaning is compared, and of held-out texts that are kept for that."""
_NAN = math.nan


def form(text: str, *, ended: bool = True, calls: bool = False) -> str:
    """Return the form of an answer; ``ended``: it was not cut off, ``calls``: it calls tools."""
    if calls:
        return CALLS
    if not text.strip():
        return EMPTY
    if not ended:
        return CUT_OFF
    if chat.refuses(text):
        return REFUSAL
    return JSON if chat.is_json(text) else TEXT


def reference(
    prompts: Sequence[Sequence[Mapping[str, str]]], said: Iterable[tuple[str, bool, bool, bool]], kept: Collection[str] = ()
) -> pd.DataFrame:
    """Return the table of held-out chats that production is compared with (:class:`include.monitoring.rows.Reference`).

    ``said`` of each prompt: the answer, whether it ended by itself, whether it is right, whether JSON was wanted. Texts are measured as the
    log keeps them, personal data masked; ``kept``: those that are kept themselves, too.
    """
    import pandas as pd

    found: list[dict[str, Any]] = []
    chosen = set(drawn(map(str, range(len(prompts))), MOST_TEXTS))
    for prompt, (text, ended, right, json_wanted) in zip(prompts, said, strict=True):
        kind = form(text, ended=ended)
        columns = _asked(prompt) | {"answer_characters": len(masked(text))}
        useless = kind in (EMPTY, CUT_OFF) or (json_wanted and kind != JSON)
        named = {f"{INPUTS}{name}": value for name, value in columns.items()}
        texts = {QUESTION_TEXT: _content(prompt[-1]) if prompt else "", ANSWER_TEXT: text}
        own = {f"{TEXTS}{name}": _cut(masked(texts[name])) if len(found) in chosen else None for name in kept}
        found.append({**named, **own, ANSWER: kind, LOSS: float(not right), USELESS: float(useless)})
    return pd.DataFrame(found)


def rows(logged: pd.DataFrame, hidden: Collection[str] = ()) -> pd.DataFrame:
    """Return logged chats with the compared columns in place of their texts. What the log doesn't know of a chat is missing.

    ``hidden``: what the log leaves out or hashes. Requests that ask for no answer (embeddings) are left out.
    """
    import pandas as pd

    plain = [name for name in logged.columns if not str(name).startswith((INPUTS, OUTPUTS))]
    found = []
    for row in logged.to_dict("records"):
        inputs = {name.removeprefix(INPUTS): value for name, value in row.items() if str(name).startswith(INPUTS)}
        outputs = {name.removeprefix(OUTPUTS): value for name, value in row.items() if str(name).startswith(OUTPUTS)}
        asked = _messages(inputs)
        if asked is None and _MESSAGES not in hidden and _PROMPT not in hidden:
            continue
        columns = _asked(asked) if asked is not None else dict.fromkeys(ASKED, _NAN)
        texts = _texts(asked, outputs, hidden)
        found.append({**{name: row[name] for name in plain}, **_named(columns, _answered(inputs, outputs, _TEXT in hidden)), **texts})
    own = [f"{TEXTS}{name}" for name in (QUESTION_TEXT, ANSWER_TEXT, MESSAGES)]
    empty = [*plain, *(f"{INPUTS}{name}" for name in (*ASKED, *ANSWERED)), ANSWER, SAID, USELESS, *own]
    return pd.DataFrame(found, columns=empty)


def labels(told: pd.DataFrame) -> pd.DataFrame:
    """Return those labels that are the right answer, in the form in which answers are compared; marks (thumbs) say nothing of the text."""
    texts = told[told["label"].map(lambda label: isinstance(label, str))]
    return texts.assign(label=texts["label"].map(plain))


def plain(text: str) -> str:
    """Return the text without what makes no difference between two answers: JSON by its values, else by its words."""
    if chat.is_json(text):
        return json.dumps(json.loads(text), sort_keys=True)
    return chat.normal(text)


def texts_kept(left_out: Collection[str]) -> tuple[str, ...]:
    """Return which texts of held-out chats may be kept, where the log leaves out or hashes these."""
    question = () if {_MESSAGES, _PROMPT} & set(left_out) else (QUESTION_TEXT,)
    return (*question, *(() if _TEXT in left_out else (ANSWER_TEXT,)))


def hidden_columns(left_out: Collection[str]) -> frozenset[str]:
    """Return the compared columns that can't be known where the log leaves out or hashes these."""
    asked = ASKED if {_MESSAGES, _PROMPT} & set(left_out) else ()
    return frozenset((*asked, *((*ANSWERED, ANSWER) if _TEXT in left_out else ())))


def _named(columns: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    found = {f"{INPUTS}{name}": value for name, value in {**columns, "answer_characters": answer["characters"]}.items()}
    return found | {ANSWER: answer["form"], SAID: answer["said"], USELESS: answer["useless"]}


def _texts(asked: Sequence[Mapping[str, Any]] | None, outputs: Mapping[str, Any], hidden: Collection[str]) -> dict[str, Any]:
    """The texts of a logged chat, None for one that is not known."""
    told = asked if asked and not {_MESSAGES, _PROMPT} & set(hidden) else None
    said = outputs.get("text")
    answer = masked(said) if isinstance(said, str) and _TEXT not in hidden else None
    messages = [{"role": str(one.get("role") or "user"), "content": masked(_content(one))} for one in told] if told else None
    return {
        f"{TEXTS}{QUESTION_TEXT}": _cut(messages[-1]["content"]) if messages else None,
        f"{TEXTS}{ANSWER_TEXT}": _cut(answer) if answer is not None else None,
        f"{TEXTS}{MESSAGES}": messages,
    }


def _cut(text: str) -> str:
    return text[:MOST_CHARACTERS]


def _asked(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    texts = [masked(_content(message)) for message in messages]
    return {"messages": len(messages), "prompt_characters": sum(map(len, texts)), "question_characters": len(texts[-1]) if texts else 0}


def _answered(inputs: Mapping[str, Any], outputs: Mapping[str, Any], unseen: bool) -> dict[str, Any]:
    """What is known of an answer: nothing where the log hides its text, or could not read it."""
    text, reason, calls = (_known(outputs.get(name)) for name in ("text", "finish_reason", "tool_calls"))
    if unseen or (text is None and reason is None and calls is None):
        return {"characters": _NAN, "form": None, "said": None, "useless": _NAN}
    said = text if isinstance(text, str) else ""
    limited = any(_known(inputs.get(name)) is not None for name in LIMITS)
    kind = form(said, ended=reason != "length" or limited, calls=bool(calls))
    useless = kind in (EMPTY, CUT_OFF) or (_json_wanted(inputs) and kind not in (JSON, CALLS) and not (limited and reason == "length"))
    return {"characters": len(said), "form": kind, "said": plain(said), "useless": float(useless)}


def _json_wanted(inputs: Mapping[str, Any]) -> bool:
    wanted = inputs.get("response_format")
    return isinstance(wanted, dict) and str(wanted.get("type", "")).startswith("json")


def _messages(inputs: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    said = inputs.get(_MESSAGES)
    if isinstance(said, list):
        return [message for message in said if isinstance(message, dict)]
    prompt = inputs.get(_PROMPT)
    return [{"content": prompt}] if isinstance(prompt, str) else None


def _content(message: Mapping[str, Any]) -> str:
    """The text of a message, also of one in parts (pictures aside)."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _known(value: Any) -> Any:
    """None for what a frame says in other ways of a value that isn't there."""
    return None if isinstance(value, float) and math.isnan(value) else value
