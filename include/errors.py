"""The errors a user may meet: what was wrong, where, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")


class UpdraftError(Exception):
    """A failure explained to a person.

    ``what`` says what was wrong, ``where`` names the file and field (or the component), ``remedy`` says what to do.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        cure = f" {self.remedy}" if self.remedy else ""
        return f"{place}{self.what}{cure}"


class InputError(UpdraftError):
    """The user's spec, data, code or parameters are at fault; a retry will not help."""


class ComponentError(UpdraftError):
    """A server or tool did not do its part; a retry may help."""


def spoken(main: Callable[P, int]) -> Callable[P, int]:
    """Make a command say an UpdraftError as one line on stderr, and return 1, where its ``main`` raises one."""

    @wraps(main)
    def command(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except UpdraftError as error:
            print(f"Updraft: {error}", file=sys.stderr)
            return 1

    return command
