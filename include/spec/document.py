"""YAML as configuration: plain data with the line and column of every field, and nothing that YAML can do to harm.

Two rules differ from PyYAML's ``safe_load``. Scalars follow the YAML 1.2 core schema, as editors do: ``1e-3`` is a number and
``on`` is a text. And the file is built from the parser's events, so a nesting or an alias that would explode is refused before it is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from include.runtime import untrusted
from include.spec.problem import Problem, SpecError

MAX_BYTES = 256 * 1024
"""A configuration file larger than this is a mistake or an attack."""
MAX_DEPTH = 20
MAX_ALIASES = 16
"""Enough to say a value twice; too few to build a bomb."""
MAX_NODES = 20_000
"""Values in one file, those that aliases repeat counted each time."""
MAX_NUMBER_LENGTH = 40

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOTHING: dict[str, bool | None] = {"": None, "~": None}
_WORDS = _NOTHING | {
    spelt: value for word, value in (("null", None), ("true", True), ("false", False)) for spelt in (word, word.title(), word.upper())
}

FieldPath = tuple[str | int, ...]
Fault = tuple[FieldPath, str, dict[str, Any]]
"""Where in a spec, what is wrong, and further arguments of a ``Problem``."""


@dataclass(frozen=True)
class Document:
    """``value`` holds dicts, lists, strings, numbers, booleans, None; ``marks`` (line, column), from 1, of every field by its path."""

    path: Path
    value: Any
    marks: dict[FieldPath, tuple[int, int]] = field(default_factory=dict)

    def problem(self, at: FieldPath, message: str, **more: Any) -> Problem:
        """A problem of the field ``at``, placed at it or at its nearest parent that is written down."""
        line, column = next((self.marks[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self.marks), (1, 1))
        return Problem(path=self.path, line=line, column=column, field=dotted(at), message=message, **more)


def dotted(at: FieldPath) -> str:
    """``("gate", "bars", 0, "min")`` as ``gate.bars[0].min``."""
    out = ""
    for part in at:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def read(path: Path) -> Document:
    """The document in ``path``. Raises ``SpecError`` (file, line, field, remedy) for everything that can be wrong with it."""
    text = _text(path)
    try:
        builder = _Builder(path, iter(yaml.parse(text, Loader=_LOADER)))
        value = builder.document()
    except yaml.YAMLError as error:
        raise SpecError([_syntax(path, error)]) from None
    return Document(path, value, builder.marks)


def _text(path: Path) -> str:
    try:
        with untrusted.plain(path) as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(
            [Problem(path, f"can't be read: {error.strerror}.", remedy="Create the file or correct its permissions.")]
        ) from None
    if len(raw) > MAX_BYTES:
        raise SpecError([Problem(path, f"is larger than {MAX_BYTES // 1024} KiB.", remedy="Keep data and code out of it.")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}."
        raise SpecError([Problem(path, message, line=line, remedy="Save the file as UTF-8.")]) from None
    if not text.strip():
        raise SpecError([Problem(path, "is empty.", remedy="Fill it in.")])
    return text


def _syntax(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "can't be parsed"
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    hint = "Quote texts that begin with a special character." if "cannot start any token" in what else "Correct the YAML."
    return Problem(path, f"is no valid YAML: {what}.", line=line, column=column, remedy=hint)


class _Builder:
    """One pass over the events. Recursion is bounded by ``MAX_DEPTH``, work by ``MAX_NODES``."""

    def __init__(self, path: Path, events: Iterator[Any]) -> None:
        self.path, self.events = path, events
        self.marks: dict[FieldPath, tuple[int, int]] = {}
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.nodes = self.aliases = 0

    def document(self) -> Any:
        event = next(self.events)
        while not isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.StreamEndEvent):
                raise SpecError([Problem(self.path, "is empty.", remedy="Fill it in.")])
            event = next(self.events)
        value = self._value(event, ())
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise self._refuse(event, (), "a second document begins here.", "Keep one document a file.")
        return value

    def _refuse(self, event: Any, at: FieldPath, message: str, remedy: str) -> SpecError:
        mark: Any = event.start_mark
        return SpecError([Problem(self.path, message, line=mark.line + 1, column=mark.column + 1, field=dotted(at), remedy=remedy)])

    def _count(self, event: Any, at: FieldPath, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise self._refuse(event, at, f"more than {MAX_NODES} values.", "Make the file smaller; aliases count each time.")

    def _value(self, event: Any, at: FieldPath) -> Any:
        self.marks.setdefault(at, _place(event))
        if len(at) > MAX_DEPTH:
            raise self._refuse(event, at, f"nested deeper than {MAX_DEPTH} levels.", "Flatten it.")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, at)
        if event.tag is not None:
            raise self._refuse(event, at, f"the tag {event.tag!r} is not allowed.", "Write plain values.")
        before = self.nodes
        self._count(event, at, 1)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, at)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(at)
        else:
            value = self._mapping(at)
        if event.anchor:
            self.anchors[event.anchor] = (value, self.nodes - before)
        return value

    def _alias(self, event: Any, at: FieldPath) -> Any:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise self._refuse(event, at, f"more than {MAX_ALIASES} aliases.", "Write the values out.")
        if event.anchor not in self.anchors:
            raise self._refuse(event, at, f"the alias *{event.anchor} names nothing complete above it.", "Write the value out.")
        value, nodes = self.anchors[event.anchor]
        self._count(event, at, nodes)
        return value

    def _sequence(self, at: FieldPath) -> list[Any]:
        out: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            out.append(self._value(event, (*at, len(out))))
        return out

    def _mapping(self, at: FieldPath) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise self._refuse(event, at, "a key must be a plain text.", "Write `name: value`.")
            key = event.value
            here = (*at, key)
            if key in out:
                first = self.marks[here][0]
                raise self._refuse(event, here, f"is given twice (first on line {first}).", "Keep one.")
            self._count(event, here, 1)
            self.marks[here] = _place(event)
            out[key] = self._value(next(self.events), here)
        return out

    def _scalar(self, event: Any, at: FieldPath) -> Any:
        text = event.value
        if not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if len(text) > MAX_NUMBER_LENGTH:
            return text
        if _INT.fullmatch(text):
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if _FLOAT.fullmatch(text):
            number = float("nan") if text.strip("+-").startswith((".i", ".I", ".n", ".N")) else float(text)
            if not math.isfinite(number):
                raise self._refuse(event, at, f"{text} is not a finite number.", "Use a finite one.")
            return number
        return text


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
