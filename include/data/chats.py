"""The chats a language model learns from: read with every fault named, and each put on its side of the split.

Other forms than the one below are those of :mod:`include.data.chat_formats`.

A chat is `{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "task": "..."}`. An optional
system message comes first; then user and assistant take turns, and the last word is the assistant's: what the model should answer.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from include import atomic
from include.data import chat_formats
from include.data.chat_formats import FIELDS, FORM, UnfitError
from include.errors import InputError
from include.spec.problem import Problem, SpecError, nearest

Split = Literal["train", "eval"]
ROLES = ("system", "user", "assistant")
ONE_TASK = "all"
"""The task of chats that name none."""
MAX_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is a file without line ends, not a chat."""
MAX_TASK = 80
SHOWN_LETTERS = 6
"""Characters that a sentence names."""
SHOWN = 20
"""Faults that are listed; the rest is counted."""
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and signs that show nothing."""
_UNSEEN = ("Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"
"""They are letters' neighbours in Persian and Hindi, and between the parts of an emoji."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True)
class Chat:
    """A prompt (all messages but the last) and the answer wanted (the last); ``line`` is where it was read (0: nobody knows)."""

    messages: tuple[Message, ...]
    task: str = ONE_TASK
    line: int = field(default=0, compare=False)

    @property
    def prompt(self) -> tuple[Message, ...]:
        """What the model is asked."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """What it should say."""
        return self.messages[-1].content

    @property
    def id(self) -> str:
        """16 hex digits of the prompt's SHA-256: the same for chats that ask the same, whatever the answer."""
        return prompt_id([asdict(message) for message in self.prompt])

    def split(self, test_fraction: float) -> Split:
        """The side of the chat: a matter of its prompt alone, whose case and white space do not count.

        So a chat stays on its side between snapshots, and a larger fraction only adds to the held-out ones.
        """
        draw = int(_hash([[message.role, same(message.content)] for message in self.prompt]), 16) / 2.0**64
        return "eval" if draw < test_fraction else "train"


@dataclass(frozen=True)
class Row:
    """A line of the table of chats (`chats.jsonl`), as the steps after `extract` read it."""

    id: str
    split: Split
    task: str
    messages: list[dict[str, str]]

    @property
    def prompt(self) -> list[dict[str, str]]:
        """What the model is asked, as chat templates and servers take it."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The reference answer."""
        return self.messages[-1]["content"]


def read(path: Path, form: str | None = None, say: Say = print) -> list[Chat]:
    """The chats in ``path``, JSON Lines in UTF-8; blank lines don't count. Raises ``SpecError`` with every fault by its line.

    ``form``: one of :data:`include.data.chat_formats.FORMS`; None: what each line looks like. What was converted is given to ``say``.
    """
    return _all(path, values(path), form, say)


def values(path: Path) -> Iterator[tuple[int, Any]]:
    """Number and JSON value of every line of ``path`` that isn't blank, a ``Problem`` where it is none.

    Raises ``InputError`` for a file that can't be read, ``SpecError`` for one without line ends.
    """
    return ((number, _parsed(path, number, line)) for number, line in _lines(path))


def of(values: Iterable[Any], source: str, form: str | None = None, say: Say = print) -> list[Chat]:
    """The chats that the user's function ``source`` gave. Raises ``SpecError``; a fault's line is the chat's number, from 1."""
    path = Path(source)
    return _all(path, enumerate(values, 1), form, say)


def write(chats: Sequence[Chat], path: Path, test_fraction: float) -> list[Row]:
    """``chats`` as the table in ``path``, in their order. Raises ``InputError`` when a side of the split is left empty."""
    rows = [Row(chat.id, chat.split(test_fraction), chat.task, [asdict(message) for message in chat.messages]) for chat in chats]
    held_out = sum(row.split == "eval" for row in rows)
    if held_out in (0, len(rows)):
        side, other = ("held out to judge by", "train on") if held_out == 0 else ("left to train on", "judge by")
        raise InputError(
            f"no chat is {side}: all {len(rows)} are there to {other}.",
            where="data.test_fraction",
            remedy=f"Add chats that ask different things, or change the fraction ({test_fraction:g}).",
        )
    atomic.write(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))
    return rows


def table(path: Path, split: Split | None = None) -> list[Row]:
    """The rows of a table of chats, all or those of one side."""
    with path.open(encoding="utf-8") as lines:
        rows = [Row(**json.loads(line)) for line in lines]
    return [row for row in rows if split in (None, row.split)]


def same(text: str) -> str:
    """``text`` without what makes no difference to a reader: case, white space, Unicode's forms of one letter, what shows nothing."""
    shown = "".join(letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) != "Cf")
    return " ".join(shown.casefold().split())


def shows(text: str) -> bool:
    """Whether there is anything to see in ``text``: zero-width characters, fillers and white space are nothing."""
    return any(letter not in _BLANK and unicodedata.category(letter) not in _UNSEEN for letter in text)


def invisible(text: str) -> int:
    """How many characters of ``text`` show nothing and are no part of how a word or an emoji is written: zero-width spaces, marks of
    byte order, soft hyphens, changes of direction, tags."""
    return sum(unicodedata.category(letter) == "Cf" and letter not in _JOINERS for letter in text)


def prompt_id(messages: Sequence[Mapping[str, str]]) -> str:
    """The id of a prompt: of the messages' roles and texts, nothing else."""
    return _hash([[message["role"], message["content"]] for message in messages])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()[:16]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device might never end
            raise InputError("is no plain file.", where=str(path), remedy="Name a file.")
        handle = path.open("rb")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"can't be read: {why}.", where=str(path), remedy="Create the file or correct the path.") from None
    with handle:
        number = 0
        while line := handle.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise SpecError(
                    [
                        Problem(
                            path, f"is longer than {MAX_LINE_BYTES // 2**20} MiB.", number, remedy="Write one chat a line; end each line."
                        )
                    ]
                )
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield number, line


def _parsed(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8").rstrip("\r\n"), object_pairs_hook=_once)
    except _TwiceError as error:
        what = f"the key {error.key[:80]!r} stands twice in one object."
        return Problem(path, what, number, remedy="Keep the right one: a reader would take the last in silence.")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8: byte 0x{line[error.start]:02x}."
        return Problem(path, what, number, error.start + 1, remedy="Save the file as UTF-8.")
    except json.JSONDecodeError as error:
        return Problem(path, f"is not JSON: {error.msg} (column {error.colno}).", number, error.colno, remedy=FORM)
    except (RecursionError, ValueError) as error:
        return Problem(path, f"is not JSON that can be read: {type(error).__name__}.", number, remedy=FORM)


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object none of whose keys stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError(next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1))
    return found


def _all(path: Path, values: Iterable[tuple[int, Any]], form: str | None, say: Say) -> list[Chat]:
    """The chats among ``values``: each by its number, a parsed value or what is wrong with it."""
    out: list[Chat] = []
    found: list[Problem] = []
    forms: Counter[str] = Counter()
    for number, value in values:
        chat = value if isinstance(value, Problem) else _chat(path, number, value, form, forms)
        if isinstance(chat, Problem):
            found.append(chat)
        else:
            out.append(chat)
    insist(found, "chats")
    for name, count in sorted(forms.items()):
        if name != chat_formats.MESSAGES:
            say(f"{path.name}: {count} chats are read as {chat_formats.READ_AS[name]}.")
    several = sum(sum(message.role == "assistant" for message in chat.messages) > 1 for chat in out)
    if several and forms.keys() - {chat_formats.MESSAGES}:
        say(f"{path.name}: {several} chats have several answers; only the last one of each is learned.")
    if hidden := [chat for chat in out if any(invisible(message.content) for message in chat.messages)]:
        letters = {letter for chat in hidden for message in chat.messages for letter in message.content if invisible(letter)}
        shown = ", ".join(sorted(f"U+{ord(letter):04X}" for letter in letters)[:SHOWN_LETTERS])
        where = f", first in line {hidden[0].line}" if hidden[0].line else ""
        say(f"{path.name}: {len(hidden)} chats hold characters that nobody sees ({shown}){where}: a model learns them like others.")
    if not out:
        raise InputError("holds no chat.", where=str(path), remedy=FORM)
    return out


def insist(found: Sequence[Problem], things: str) -> None:
    """Raises ``SpecError`` with the first of these faults, if there are any; the rest is counted."""
    if len(found) > SHOWN:
        last = found[SHOWN - 1]
        more = Problem(last.path, f"{len(found) - SHOWN} more {things} have faults.", last.line, last.column + 1)
        found = [*found[:SHOWN], more]
    if found:
        raise SpecError(found)


def messages_fault(messages: Any) -> tuple[str, str, str] | None:
    """The first thing wrong with a conversation's messages, whoever has the last word: what, the field, what to do."""
    if not isinstance(messages, list) or not messages:
        what = "is missing." if messages is None else "holds no message." if messages == [] else f"is {_kind(messages)}, not a list."
        return what, "messages", FORM
    for index, message in enumerate(messages):
        if fault := _message_fault(message, index, messages):
            what, field, remedy = fault
            return what, f"messages[{index}]{field}", remedy
    return None


def _chat(path: Path, number: int, value: Any, form: str | None, forms: Counter[str]) -> Chat | Problem:
    """A value as a chat, counted in ``forms``, or the first thing wrong with it, by the value's own fields."""
    if not isinstance(value, dict):
        return Problem(path, f"is {_kind(value)}, not a chat.", number, remedy=FORM)
    try:
        found = chat_formats.read(value, form)
    except UnfitError as error:
        return Problem(path, error.what, number, field=error.field, remedy=error.remedy)
    fault = _fault(path, number, found.value)
    if fault is not None:
        name, _, part = fault.field.rpartition(".")
        own = {f"messages[{n}]": place for n, place in enumerate(found.places)}
        place = own.get(name) if part in ("content", "role") else None
        return replace(
            fault, field=place.removesuffix(".content") + f".{part}" if place and place.endswith(".content") else place or fault.field
        )
    forms[found.form] += 1
    return Chat(tuple(Message(**message) for message in found.value["messages"]), found.value.get("task", ONE_TASK), number)


def _fault(path: Path, number: int, value: dict[str, Any]) -> Problem | None:
    """The first thing wrong with a chat's messages and task."""
    for name in value:
        if name not in FIELDS:
            near = nearest(str(name), FIELDS)
            return Problem(path, "unknown field.", number, field=str(name)[:80], allowed=FIELDS, nearest=near)
    task = value.get("task", ONE_TASK)
    if not isinstance(task, str) or not task.strip() or len(task) > MAX_TASK:
        return Problem(path, f"must be a text of 1 to {MAX_TASK} characters.", number, field="task", remedy="Name what is asked.")
    messages: Any = value.get("messages")
    if fault := messages_fault(messages):
        what, field, remedy = fault
        return Problem(path, what, number, field=field, remedy=remedy)
    if messages[-1]["role"] != "assistant":
        return Problem(
            path,
            f"ends with a {messages[-1]['role']}'s message.",
            number,
            field="messages",
            remedy="The last message is the answer to learn.",
        )
    return None


def _message_fault(message: Any, index: int, messages: list[Any]) -> tuple[str, str, str] | None:
    """What is wrong with a message, the field below it, and what to do."""
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        return "is not a role and its content.", "", 'Write {"role": "...", "content": "..."} and nothing else.'
    role, content = message["role"], message["content"]
    if role not in ROLES:
        near = nearest(str(role), ROLES)
        return f"{str(role)[:40]!r} is no role.", ".role", (f"Did you mean {near!r}? " if near else "") + f"Use {', '.join(ROLES)}."
    if not isinstance(content, str):
        return f"is {_kind(content)}, not a text.", ".content", "Write the turn as one text."
    if not content.strip():
        return "is empty.", ".content", "Write what was said, or leave the chat out."
    if not shows(content):
        names = ", ".join(dict.fromkeys(f"U+{ord(letter):04X}" for letter in content))
        return f"shows nothing: it holds only {names[:60]}.", ".content", "Write what was said, or leave the chat out."
    if "\0" in content or any("\ud800" <= letter <= "\udfff" for letter in content):
        return "holds a NUL character or half a Unicode character.", ".content", "Remove it."
    return _order_fault(role, index, messages)


def _order_fault(role: str, index: int, messages: list[Any]) -> tuple[str, str, str] | None:
    before = messages[index - 1]["role"] if index else None
    if role == "system":
        return None if index == 0 else ("a system message is not the first.", ".role", "Put it before all others.")
    wanted = "assistant" if before == "user" else "user"
    if role == wanted:
        return None
    after = f"follows the {before}'s" if before else "comes first"
    return f"a message of the {role} {after}.", ".role", f"User and assistant take turns: the {wanted}'s message belongs here."


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return "empty" if value is None else names.get(type(value), f"of the type {type(value).__name__}")
