"""The code around a model, ``serve.wrapper``, called in the steps as the server calls it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from include.bundles import pictures
from include.bundles.pictures import Picture
from include.errors import InputError
from include.steps.user_code import explained

BATCH_FIRST = "Return numpy arrays whose first dimension is the batch."


class Wrapper(Protocol):
    """What a class in ``serving.py`` is."""

    def before(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the model's input tensors for those that callers send; pictures come as lists of Pillow's images."""
        ...

    def after(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Return what callers get for the model's output tensors."""
        ...


def before(wrapper: Wrapper, images: Mapping[str, Picture], sent: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what `before` of the ``wrapper``, whose code lies in ``folder``, makes of the tensors that callers have ``sent``.

    Raises InputError where that is anything but numpy arrays by name."""
    import numpy as np

    with explained(folder, "before() of the wrapper"):
        made = wrapper.before(pictures.opened(images, dict(sent)))
    if not isinstance(made, dict) or not made:
        what = f"before() gives {'nothing' if made == {} else type(made).__name__}, not the model's inputs by name."
        raise InputError(what, where="serve.wrapper", remedy="Return a dict such as {'pixels': array}.")
    for name, array in made.items():
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            what = f"before() gives a {type(array).__name__} as {name!r}."
            raise InputError(what, where="serve.wrapper", remedy=BATCH_FIRST)
    return made


def load(folder: Path, entry: str | None, params: Mapping[str, Any]) -> Wrapper | None:
    """Return the wrapper that ``entry`` (``module:name``) names in ``folder``; None without one.

    Modules of the folder are forgotten again: the champion's ``serving.py`` is another than the new version's.

    Raises:
        InputError: it can't be imported or made, or lacks ``before`` or ``after``.
    """
    if entry is None:
        return None
    module, _, name = entry.partition(":")
    root = folder.resolve()
    sys.path.insert(0, str(root))
    known = set(sys.modules)
    try:
        with explained(folder, f"serve.wrapper {entry}"):
            made: Wrapper = getattr(importlib.import_module(module), name)(dict(params))
    finally:
        sys.path.remove(str(root))
        for new in set(sys.modules) - known:
            if Path(getattr(sys.modules[new], "__file__", None) or "/").resolve().is_relative_to(root):
                del sys.modules[new]
    for method in ("before", "after"):
        if not callable(getattr(made, method, None)):
            remedy = "It is called with the tensors by name, and returns tensors by name."
            raise InputError(f"has no method `{method}`.", where=f"serve.wrapper {entry}", remedy=remedy)
    return made
