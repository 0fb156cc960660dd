"""What Label Studio shows of a row, and what it asks about it: its configuration in XML. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from include.errors import InputError

if TYPE_CHECKING:
    from include.spec.label import Label

NAME = "label"
"""Of the control that is the target's."""
ROW, TEXT, PICTURE = "updraft_row", "text", "updraft_picture"
"""What a task's data have for the template beside the row's own columns."""
KEY = "updraft_key"
"""What a task is known by: the same for the same row of a model, however often it is imported."""
MOST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Control:
    """The control whose value is the label. ``kind``: its tag; ``of``: the name of the tag that it is about."""

    kind: str
    of: str
    choices: tuple[str, ...] = ()

    def result(self, label: Any) -> list[dict[str, Any]]:
        """Return a label as Label Studio keeps one."""
        value, type_ = _WRITE[self.kind](label)
        return [{"from_name": NAME, "to_name": self.of, "type": type_, "value": value}]

    def read(self, result: Mapping[str, Any]) -> Any:
        """Return the label in one part of an annotation's result; None for what is no label. Raises ValueError for a broken one."""
        try:
            return _READ[self.kind](result["value"])
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{error!r}") from None


_WRITE: dict[str, Any] = {
    "Choices": lambda label: ({"choices": [str(label)]}, "choices"),
    "Number": lambda label: ({"number": label}, "number"),
    "Rating": lambda label: ({"rating": label}, "rating"),
    "TextArea": lambda label: ({"text": [str(label)]}, "textarea"),
}


def _one(found: list[Any]) -> Any:
    if len(found) > 1:
        raise ValueError(f"{len(found)} values where one was asked for")
    return found[0] if found else None


_READ: dict[str, Any] = {
    "Choices": lambda value: _one(value["choices"]),
    "Number": lambda value: value["number"],
    "Rating": lambda value: value["rating"],
    "TextArea": lambda value: _one(value["text"] if isinstance(value["text"], list) else [value["text"]]),
}


def template(label: Label, numbers: bool) -> str:
    """Return the configuration that a spec's `label` comes to; ``numbers``: whether the model answers numbers and not classes."""
    shown = {
        "row": f'  <Table name="shown" value="${ROW}"/>',
        "text": f'  <Text name="shown" value="${TEXT}"/>',
        "picture": f'  <Image name="shown" value="${PICTURE}" maxWidth="400px" zoom="false"/>',
    }[label.show]
    if numbers:
        asked = f'  <Number name="{NAME}" toName="shown" required="true"/>'
    else:
        choices = "".join(f"\n    <Choice value={quoteattr(str(one))}/>" for one in label.classes)
        asked = f'  <Choices name="{NAME}" toName="shown" choice="single" required="true" showInLine="true">{choices}\n  </Choices>'
    return f"<View>\n{shown}\n{asked}\n</View>"


def control(config: str, where: str, classes: Sequence[object] = ()) -> Control:
    """Return the control that a configuration has for the target.

    Raises InputError, naming ``where``, for one without, or whose choices are others than ``classes``, where there are any.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    if len(config.encode()) > MOST_BYTES:
        raise InputError(f"is longer than {MOST_BYTES} bytes.", where=where)
    try:
        root = fromstring(config, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise InputError(f"is no XML: {error}.", where=where, remedy="Write it as Label Studio's own editor does.") from None
    named = [part for part in root.iter() if part.get("name") == NAME]
    if len(named) != 1 or named[0].tag not in _READ:
        what = f"has {len(named)} tags named {NAME!r}" if len(named) != 1 else f"has a <{named[0].tag}> named {NAME!r}"
        remedy = f'Name the one control of the target so: <Choices name="{NAME}" toName="...">; it may be {", ".join(_READ)}.'
        raise InputError(f"{what}.", where=where, remedy=remedy)
    if not any(part.get("name") == named[0].get("toName") for part in root.iter()):
        raise InputError(f"its control names {named[0].get('toName')!r}, which is not there.", where=where, remedy="Correct `toName`.")
    choices = tuple(str(part.get("value")) for part in named[0].iter("Choice"))
    if classes and choices and {*map(str, classes)} != {*choices}:
        odd = sorted({*map(str, classes)} ^ {*choices})
        raise InputError(f"its choices and `label.classes` differ in {', '.join(odd)[:200]}.", where=where, remedy="Name the same classes.")
    return Control(named[0].tag, str(named[0].get("toName")), choices)
