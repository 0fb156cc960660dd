"""The expectations file: a YAML list of Great Expectations' own rules.

    - expect_column_values_to_not_be_null: {column: age}
    - expect_column_values_to_be_between: {columns: "pixel_*", min_value: 0, max_value: 16}

``columns`` (a glob, or a list of globs) stands for one rule on every column that matches. Reading needs no Great Expectations;
whether a rule exists and takes these arguments is known where it is installed (``validate``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from include.spec import document
from include.spec.document import Document, FieldPath
from include.spec.problem import Problem, SpecError

MAX_RULES = 500
COLUMN_KEYS = ("column", "column_A", "column_B")
PROGRAMS = ("row_condition", "condition_parser")
"""Arguments that Great Expectations hands to ``DataFrame.query``, whose strings can call anything (``@pd.io.common.os.system``)."""
ADDRESSES = ("$ref", "$dynamicRef", "$recursiveRef", "$id", "id")
"""Keywords of JSON Schema whose address a validator fetches, from a network or a disk, or by which it resolves the others."""
_FORM = "Write a list of `- expect_...: {column: ..., ...}`."


@dataclass(frozen=True)
class Expectation:
    """One line of the file. ``columns`` are globs; ``kwargs`` are Great Expectations' own."""

    rule: str
    kwargs: dict[str, Any]
    columns: tuple[str, ...]
    at: FieldPath
    doc: Document = field(repr=False)

    def problem(self, message: str, *at: str, **more: Any) -> Problem:
        """A problem of this rule, or of its argument ``at``."""
        return self.doc.problem((*self.at, *at), message, **more)

    @property
    def label(self) -> str:
        """The rule with the columns it is about, as a user wrote them."""
        columns = self.columns or tuple(str(self.kwargs[key]) for key in COLUMN_KEYS if key in self.kwargs)
        return f"{self.rule} ({', '.join(columns)})" if columns else self.rule

    def over(self, known: Sequence[str]) -> list[dict[str, Any]]:
        """The arguments of each native rule that this line stands for in a table with the columns ``known``; none if no column matches."""
        if not self.columns:
            return [self.kwargs]
        return [{"column": name} | self.kwargs for name in known if any(fnmatchcase(name, glob) for glob in self.columns)]


def read(path: Path) -> list[Expectation]:
    """The rules in ``path``. Raises ``SpecError`` (file, line, rule, remedy)."""
    doc = document.read(path)
    if not isinstance(doc.value, list) or not doc.value:
        raise SpecError([Problem(path, "is no list of expectations.", remedy=_FORM)])
    if len(doc.value) > MAX_RULES:
        raise SpecError([Problem(path, f"holds more than {MAX_RULES} rules.", remedy="Use `columns:` to state one rule for many columns.")])
    found: list[Problem] = []
    out: list[Expectation] = []
    for index, item in enumerate(doc.value):
        one = _one(doc, index, item)
        (found if isinstance(one, Problem) else out).append(one)  # type: ignore[arg-type]
    if found:
        raise SpecError(found)
    return out


def _one(doc: Document, index: int, item: Any) -> Expectation | Problem:
    if not isinstance(item, dict) or len(item) != 1:
        return doc.problem((index,), "is not one rule with its arguments.", remedy=_FORM)
    ((rule, kwargs),) = item.items()
    at: FieldPath = (index, rule)
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(kwargs, dict):
        return doc.problem(at, "needs its arguments as a mapping.", remedy=_FORM)
    if refused := [name for name in PROGRAMS if name in kwargs]:
        what = "is a program for pandas, which would run with the platform's rights."
        return doc.problem((*at, refused[0]), what, remedy="Put what it selects into a column of its own, in the data's function.")
    if (fetched := next(_fetched(kwargs.get("json_schema"), ("json_schema",)), None)) is not None:
        what = "names a schema elsewhere, which would be fetched with the platform's rights."
        return doc.problem((*at, *fetched), what, remedy="Write that schema under `$defs` and refer to it as `#/$defs/<name>`.")
    globs = kwargs.get("columns")
    columns = (globs,) if isinstance(globs, str) else globs
    if columns is not None and "column" in kwargs:
        return doc.problem((*at, "columns"), "stands beside `column`.", remedy="Keep one of the two.")
    if columns is not None and not _globs(columns):
        return doc.problem((*at, "columns"), "must be a pattern such as 'pixel_*', or a list of them.", remedy=_FORM)
    return Expectation(rule, {key: value for key, value in kwargs.items() if key != "columns"}, tuple(columns or ()), at, doc)


def _globs(columns: Any) -> bool:
    return isinstance(columns, list | tuple) and bool(columns) and all(isinstance(glob, str) and glob for glob in columns)


def _fetched(value: Any, at: FieldPath) -> Iterator[FieldPath]:
    """Every place in ``value``, a schema, where an address leads out of it."""
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from _fetched(part, (*at, index))
    elif isinstance(value, dict):
        for name, part in value.items():
            if name in ADDRESSES and isinstance(part, str) and not part.startswith("#"):
                yield (*at, name)
            yield from _fetched(part, (*at, name))
