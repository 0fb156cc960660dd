"""A fitted estimator as a file: written and read by skops, which loads only types that are known or that the spec trusts. Never pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.errors import InputError
from include.kinds.table.boosters.stored import TYPES

FILE = "model.skops"
TRUSTED_PACKAGES = ("sklearn", "numpy")
"""What a model may hold of these needs no word in the spec."""


def save(model: Any, path: Path, trusted: tuple[str, ...]) -> list[str]:
    """Write ``model`` and return the types to trust when it is read back. InputError names those that the spec would have to list."""
    import skops.io

    try:
        skops.io.dump(model, path)
        unknown = skops.io.get_untrusted_types(file=path)
    except Exception as error:
        raise InputError(
            f"the model cannot be stored: {type(error).__name__}: {error}",
            where="train.entry",
            remedy="Define its classes and functions at the top level of a module in the model's folder (no lambdas).",
        ) from error
    refused = [name for name in unknown if not _known(name, trusted)]
    if refused:
        path.unlink()
        raise InputError(
            f"the model holds types that are not trusted: {', '.join(refused)}.",
            where="train.trusted_types",
            remedy="If you know them, list them in `train.trusted_types` of model.yaml.",
        )
    return list(unknown)


def load(path: Path, trusted: tuple[str, ...]) -> Any:
    """The estimator in ``path``; InputError when the file is none or holds untrusted types."""
    import skops.io

    try:
        unknown = skops.io.get_untrusted_types(file=path)
        return skops.io.load(path, trusted=[name for name in unknown if _known(name, trusted)])
    except Exception as error:
        raise InputError(f"cannot be loaded: {error}", where=str(path), remedy="Run the train step again.") from error


def _known(name: str, trusted: tuple[str, ...]) -> bool:
    return name in trusted or name in TYPES or name.partition(".")[0] in TRUSTED_PACKAGES
