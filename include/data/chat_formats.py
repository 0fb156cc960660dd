"""The forms in which chats come, each read as what it is: ShareGPT, Alpaca, prompt and completion, OpenAI's fine-tuning files. Pure.

Sources: OpenAI's guide to fine-tuning (`messages`, `weight`, `tools`, and the older `prompt` and `completion`), FastChat's ShareGPT
(`conversations` of `from` and `value`), Stanford Alpaca and Dolly (`instruction`, `input` or `context`, `output` or `response`), TRL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MESSAGES, OPENAI, SHAREGPT, ALPACA, COMPLETION = "messages", "openai", "sharegpt", "alpaca", "prompt_completion"
FORMS = (MESSAGES, OPENAI, SHAREGPT, ALPACA, COMPLETION)
READ_AS = {
    MESSAGES: "messages",
    OPENAI: "OpenAI's fine-tuning form (messages; ids are left out)",
    SHAREGPT: "ShareGPT (conversations: human is the user, gpt the assistant)",
    ALPACA: "Alpaca (the user's message is the instruction and, after an empty line, the input)",
    COMPLETION: "prompt and completion (the prompt is the user's message; one space before the completion is left out)",
}
"""Each form, as people are told it."""
FIELDS = ("messages", "task")
_SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "system": "system",
}
_ABOUT = frozenset(
    "id idx index conversation_id prompt_id hash source dataset url title lang language category model created_at timestamp".split()  # noqa: SIM905
)
"""Fields about a chat that are not its text."""
_SEPARATORS = ("###", "->")
_TOOLS = "Tools are not trained: leave these chats out, or their tools with the messages that call and answer them."
_ASK = 'jq -c \'{messages: [{role: "user", content: .%s}, {role: "assistant", content: .%s}]}\' %s > chats.jsonl'
FORM = 'Write {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}, one chat a line.'


class UnfitError(Exception):
    """A chat that can't be read as its form says: what is wrong, the field, what to do."""

    def __init__(self, what: str, field: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.field, self.remedy = what, field, remedy


@dataclass(frozen=True)
class Read:
    """A chat in Updraft's own form; ``places[i]`` is the field of the source that the i-th message's text came from."""

    form: str
    value: dict[str, Any]
    places: tuple[str, ...]


def read(value: Mapping[str, Any], form: str | None = None) -> Read:
    """A chat of the given form, or of the one that its fields show. Raises ``UnfitError``.

    What is no fault of the form (an empty text, a wrong order) is left to whoever reads the messages.
    """
    found = recognise(value)
    if form is not None and form != found and not {form, found} <= {MESSAGES, OPENAI}:
        raise UnfitError(
            f"looks like {READ_AS[found].partition(' (')[0]}.", "", f"data.format is {form!r}: make it {found!r}, or leave it out."
        )
    return _READERS[found](value)


def recognise(value: Mapping[str, Any]) -> str:
    """The form of a chat, by its fields. Raises ``UnfitError``, with the command that converts it, for one that is none of them."""
    names = set(value)
    if {"chosen", "rejected"} & names:
        raise UnfitError("is a preference pair.", "chosen", f"Convert it: {_ASK % ('prompt', 'chosen', 'FILE')}")
    if "messages" in names:
        return OPENAI if _is_openai(value) else MESSAGES
    if "conversations" in names or "conversation" in names:
        return SHAREGPT
    if "instruction" in names and names & {"output", "response"}:
        return ALPACA
    if "prompt" in names and names & {"completion", "response"}:
        return COMPLETION
    asked, said = _pair(names, ("question", "query", "input")), _pair(names, ("answer", "response", "output"))
    if asked and said:
        raise UnfitError("is a pair of question and answer, not a chat.", asked, f"Convert it: {_ASK % (asked, said, 'FILE')}")
    if "text" in names:
        raise UnfitError("is a plain text: nobody asks and nobody answers.", "text", FORM)
    return MESSAGES


def _pair(names: set[str], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in names), None)


def _is_openai(value: Mapping[str, Any]) -> bool:
    messages = value["messages"] if isinstance(value["messages"], list) else []
    own = any(
        isinstance(one, dict) and (one.keys() & {"weight", "tool_calls", "function_call"} or _typed(one.get("content"))) for one in messages
    )
    roles = any(isinstance(one, dict) and one.get("role") in ("developer", "tool", "function") for one in messages)
    return own or roles or bool(value.keys() & {"tools", "functions", "parallel_tool_calls", "id", "metadata"})


def _typed(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and all(isinstance(part, dict) and "type" in part for part in content)


def _of_messages(value: Mapping[str, Any]) -> Read:
    messages = value.get("messages")
    count = len(messages) if isinstance(messages, list) else 0
    return Read(MESSAGES, dict(value), tuple(f"messages[{n}].content" for n in range(count)))


def _of_openai(value: Mapping[str, Any]) -> Read:
    for name in ("tools", "functions"):
        if value.get(name):
            raise UnfitError("are given to the model.", name, _TOOLS)
    given = value["messages"] if isinstance(value["messages"], list) else []
    messages = [_openai_message(message, f"messages[{n}]") for n, message in enumerate(given)]
    _weights(given)
    kept = {name: held for name, held in value.items() if name not in {"tools", "functions", "parallel_tool_calls", "id", "metadata"}}
    return Read(OPENAI, {**kept, "messages": messages}, tuple(f"messages[{n}].content" for n in range(len(messages))))


def _openai_message(message: Any, field: str) -> Any:
    """A message in our own form."""
    if not isinstance(message, dict):
        return message
    for name in ("tool_calls", "function_call"):
        if message.get(name):
            raise UnfitError("calls a tool.", f"{field}.{name}", _TOOLS)
    role, content = message.get("role"), message.get("content")
    if role in ("tool", "function"):
        raise UnfitError(f"{role!r} is no role that is trained.", f"{field}.role", _TOOLS)
    if isinstance(content, list) and _typed(content):
        other = next((str(part["type"]) for part in content if part["type"] != "text" or not isinstance(part.get("text"), str)), None)
        if other is not None:
            raise UnfitError(f"holds a part of the type {other[:40]!r}.", f"{field}.content", "Only texts are trained: leave the chat out.")
        content = "".join(part["text"] for part in content)
    kept = {name: held for name, held in message.items() if name not in {"weight", "tool_calls", "function_call"}}
    return {**kept, "role": "system" if role == "developer" else role, "content": content}


def _weights(messages: Sequence[Any]) -> None:
    """Raises ``UnfitError`` for weights that ask for another training than that of the last message."""
    given = [
        (n, message["weight"]) for n, message in enumerate(messages) if isinstance(message, dict) and message.get("weight") is not None
    ]
    for n, weight in given:
        if weight not in (0, 1) or isinstance(weight, bool):
            raise UnfitError(f"is {str(weight)[:40]!r}, not 0 or 1.", f"messages[{n}].weight", "Write 0 or 1, or leave it out.")
        last = n == len(messages) - 1
        if last and weight == 0:
            raise UnfitError("is 0: the answer is not to be learned.", f"messages[{n}].weight", "Leave the chat out.")
        if not last and weight == 1:
            raise UnfitError(
                "is 1, and only the last message of a chat is learned.",
                f"messages[{n}].weight",
                "Write a chat that ends with this message as well, and give it the weight 0 here.",
            )


def _of_sharegpt(value: Mapping[str, Any]) -> Read:
    name = "conversations" if "conversations" in value else "conversation"
    turns = value[name]
    if not isinstance(turns, list) or not turns:
        raise UnfitError("holds no turn.", name, 'Write [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}].')
    messages, places = _system(value)
    for n, turn in enumerate(turns):
        field = f"{name}[{n}]"
        keys = ("from", "value") if isinstance(turn, dict) and "from" in turn else ("role", "content")
        if not isinstance(turn, dict) or not set(keys) <= turn.keys():
            raise UnfitError("is no turn.", field, 'Write {"from": "human" or "gpt", "value": "..."}.')
        if unknown := turn.keys() - {*keys, "weight", "loss", "train"}:
            raise UnfitError("unknown field.", f"{field}.{min(unknown)}", "Only who speaks and what is said are read: remove it.")
        last = n == len(turns) - 1
        for mark in ("weight", "loss", "train"):
            if mark in turn and bool(turn[mark]) is not last and _SPEAKERS.get(str(turn[keys[0]])) == "assistant":
                raise UnfitError(
                    f"is {turn[mark]!r}, and the last message of a chat, no other, is learned.",
                    f"{field}.{mark}",
                    "Write a chat for each answer to learn, and remove the marks.",
                )
        role = _SPEAKERS.get(str(turn[keys[0]]).lower())
        if role is None:
            raise UnfitError(
                f"{str(turn[keys[0]])[:40]!r} is nobody known here.", f"{field}.{keys[0]}", f"Known: {', '.join(_SPEAKERS)}. {_TOOLS}"
            )
        messages.append({"role": role, "content": turn[keys[1]]})
        places.append(f"{field}.{keys[1]}")
    return Read(SHAREGPT, _rest(value, messages, {name, "system"}), tuple(places))


def _of_alpaca(value: Mapping[str, Any]) -> Read:
    messages, places = _system(value)
    for n, turn in enumerate(value.get("history") or []):
        if not isinstance(turn, list) or len(turn) != 2:
            raise UnfitError("is no pair of question and answer.", f"history[{n}]", 'Write ["question", "answer"].')
        messages += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
        places += [f"history[{n}][0]", f"history[{n}][1]"]
    said = "output" if "output" in value else "response"
    more = "input" if "input" in value else "context"
    asked, given = value["instruction"], value.get(more)
    if given is not None and not isinstance(given, str):
        raise UnfitError("is no text.", more, "Write what the instruction is about as one text, or leave it out.")
    if isinstance(asked, str) and given and given.strip():
        asked = f"{asked}\n\n{given}"
    messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": value[said]}]
    return Read(ALPACA, _rest(value, messages, {"instruction", "history", "system", said, more}), (*places, "instruction", said))


def _of_completion(value: Mapping[str, Any]) -> Read:
    if "label" in value:
        raise UnfitError(
            "marks good and bad answers.", "label", "Keep the good ones: jq -c 'select(.label) | del(.label)' FILE > chats.jsonl"
        )
    said = "completion" if "completion" in value else "response"
    prompt, completion = value["prompt"], value[said]
    if isinstance(prompt, list) and isinstance(completion, list):
        messages = [*prompt, *completion]
        places = [*(f"prompt[{n}].content" for n in range(len(prompt))), *(f"{said}[{n}].content" for n in range(len(completion)))]
        return Read(COMPLETION, _rest(value, messages, {"prompt", said}), tuple(places))
    for name, text in (("prompt", prompt), (said, completion)):
        if isinstance(text, str) and text.rstrip().endswith(_SEPARATORS):
            raise UnfitError(
                "ends with a separator, which no caller of a chat model would send.",
                name,
                "Take it off: sed 's/\\\\n\\\\n###\\\\n\\\\n\"/\"/' FILE > chats.jsonl",
            )
    messages, places = _system(value)
    messages += [{"role": "user", "content": prompt}]
    messages += [{"role": "assistant", "content": completion.removeprefix(" ") if isinstance(completion, str) else completion}]
    return Read(COMPLETION, _rest(value, messages, {"prompt", said, "system"}), (*places, "prompt", said))


def _system(value: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The messages so far: the chat's ``system`` text, if it has one."""
    system = value.get("system")
    return ([{"role": "system", "content": system}], ["system"]) if system not in (None, "") else ([], [])


def _rest(value: Mapping[str, Any], messages: list[Any], read_already: set[str]) -> dict[str, Any]:
    """The chat with ``messages``, without what was read into them and what is only about it."""
    kept = {name: held for name, held in value.items() if name not in read_already | _ABOUT}
    return {**kept, "messages": messages}


_READERS: dict[str, Callable[[Mapping[str, Any]], Read]] = {
    MESSAGES: _of_messages,
    OPENAI: _of_openai,
    SHAREGPT: _of_sharegpt,
    ALPACA: _of_alpaca,
    COMPLETION: _of_completion,
}
