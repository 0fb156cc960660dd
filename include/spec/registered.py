"""A version of a model in MLflow's registry, as a spec names it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from include.spec.document import Fault, FieldPath

SCHEME = "models:"
VERSION = re.compile(r"models:/[^/:@]+/[1-9]\d*")


def is_registered(base: str) -> bool:
    """Say whether ``base`` is meant as a version in the registry, and not as a file or folder."""
    return base.startswith(SCHEME)


def version_fault(at: FieldPath, base: str) -> Iterator[Fault]:
    """Yield why ``base`` names no version."""
    if not VERSION.fullmatch(base):
        yield at, f"{base[:80]!r} names no version of a model.", {"remedy": "Write `models:/<name>/<version>`."}
