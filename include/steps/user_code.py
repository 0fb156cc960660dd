"""The user's own Python: imported from the model's folder, and its failures shown as its author would want to see them."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.steps.lease import Stopped


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """The model's folder leads ``sys.path`` inside, and is off it again afterwards: a user's ``data.py`` shadows no later import."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def load_entry(folder: Path, entry: str) -> Callable[..., Any]:
    """The function that ``module:name`` names in ``folder``; call it inside :func:`importable`. InputError when it cannot be imported."""
    module_name, _, name = entry.partition(":")
    with explained(folder, f"importing {module_name}.py"):
        module = importlib.import_module(module_name)
    origin = Path(getattr(module, "__file__", None) or "/")
    if not origin.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"the name {module_name!r} is already taken by a library.",
            where=entry,
            remedy=f"Rename {module_name}.py in the model's folder.",
        )
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(
            f"{module_name}.py has no function {name!r}.", where=entry, remedy="Define it, or correct the entry in model.yaml."
        )
    return function  # type: ignore[no-any-return]


@contextmanager
def explained(folder: Path, doing: str) -> Iterator[None]:
    """An exception of the user's code becomes an InputError; its traceback, from the user's first frame on, is printed to the log.
    One that is an InputError already stays as it is."""
    try:
        yield
    except (Stopped, InputError):
        raise
    except (Exception, SystemExit) as error:
        print("".join(traceback.format_exception(type(error), error, _from_user(error, folder))), flush=True)
        raise InputError(
            f"{doing} raised {type(error).__name__}: {error}",
            where=_place(error, folder),
            remedy=_remedy(error),
        ) from error


def _frames(error: BaseException) -> Iterator[Any]:
    frame = error.__traceback__
    while frame is not None:
        yield frame
        frame = frame.tb_next


def _of_user(frame: Any, folder: Path) -> bool:
    return Path(frame.tb_frame.f_code.co_filename).resolve().is_relative_to(folder.resolve())


def _from_user(error: BaseException, folder: Path) -> Any:
    return next((frame for frame in _frames(error) if _of_user(frame, folder)), None)


def _place(error: BaseException, folder: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    own = [frame for frame in _frames(error) if _of_user(frame, folder)]
    return f"{Path(own[-1].tb_frame.f_code.co_filename).name}, line {own[-1].tb_lineno}" if own else str(folder)


def _remedy(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"Use what docker/{Path(sys.prefix).name}/requirements.txt installs, or a module in the model's folder."
    return "The traceback is in the task's log."
