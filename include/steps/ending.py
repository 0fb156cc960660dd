"""How a step's work ends: ``result.json``, or ``error.json`` with the sentence for the user; either appears whole or not at all."""

from __future__ import annotations

import errno
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import ComponentError, InputError, UpdraftError
from include.runtime import untrusted

RESULT, ERROR = "result.json", "error.json"
MOST_SIGNS = 10_000
"""Of a sentence for the user."""
INPUT, COMPONENT = "input", "component"


def settle(folder: Path, step: str, work: Callable[[], dict[str, Any]]) -> int:
    """Do the work and write down what came of it. The exit status."""
    try:
        write(folder / RESULT, work())
    except UpdraftError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        write_error(folder, error)
        return 1
    except MemoryError:
        write_error(folder, InputError("out of memory.", where=f"step {step}", remedy="Use less data or a smaller model."))
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _unexpected(folder, step, error)
        what = f"{error.filename or 'a file'}: {error.strerror}."
        print(what, flush=True)  # there may be no room for the sentence either
        write_error(folder, ComponentError(what, where="disk", remedy="Make room, then clear the task."))
        return 1
    except Exception as error:
        return _unexpected(folder, step, error)
    return 0


def _unexpected(folder: Path, step: str, error: Exception) -> int:
    """The last net: a bug here must still end in a sentence, with its traceback in the log."""
    traceback.print_exc()
    what = f"failed unexpectedly: {type(error).__name__}: {error}"
    write_error(folder, ComponentError(what, where=f"step {step}", remedy="The traceback is in the log."))
    return 1


def write_error(folder: Path, error: UpdraftError) -> None:
    kind = INPUT if isinstance(error, InputError) else COMPONENT
    write(folder / ERROR, {"kind": kind, "what": error.what, "where": error.where, "remedy": error.remedy})


def read_error(path: Path) -> UpdraftError | None:
    """None when there is none, or none that can be read: user code may have written it."""
    text = untrusted.text(path)
    try:
        error: Any = json.loads(text) if text is not None else None
        kind = InputError if error["kind"] == INPUT else ComponentError
        what, where, remedy = (str(error[name])[:MOST_SIGNS] for name in ("what", "where", "remedy"))
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    return kind(what, where=where, remedy=remedy)


def write(path: Path, value: dict[str, Any]) -> None:
    atomic.write(path, json.dumps(value, indent=1, default=str))
