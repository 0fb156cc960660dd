"""Where a run may take its data from: the model's own folder, and the data folders that the platform was started with.

A run's ``data_source`` comes from whoever may trigger a run; a spec's own source comes from its author, whose code is run anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from include.errors import InputError

NAMED = re.compile(r"^(?P<root>[a-z][a-z0-9_-]{0,31}):(?P<path>.+)$", re.DOTALL)
WHERE = "data_source"


def locate(source: str, folder: Path, roots: Mapping[str, Path]) -> Path:
    """The file that a run's ``source`` names: relative to the model's ``folder``, ``<root>:<file>``, or absolute within either.

    Links are followed before it is looked where the file lies. InputError for one that lies elsewhere.
    """
    named = NAMED.match(source)
    if named and named["root"] not in roots:
        raise InputError(f"{named['root']!r} is no data folder.", where=WHERE, remedy=_remedy(roots))
    try:
        path = (roots[named["root"]] / named["path"] if named else folder / source).resolve()
        inside = any(path.is_relative_to(root.resolve()) for root in ([roots[named["root"]]] if named else [folder, *roots.values()]))
    except (OSError, ValueError, RuntimeError) as error:  # a link to itself, a name that no file can have
        raise InputError(f"{source!r:.200} is no path ({type(error).__name__}).", where=WHERE, remedy=_remedy(roots)) from None
    if not inside:
        raise InputError(f"{source!r:.200} is in none of the folders that runs may read.", where=WHERE, remedy=_remedy(roots))
    return path


def _remedy(roots: Mapping[str, Path]) -> str:
    known = "; ".join(f"{name}:<file> ({root})" for name, root in sorted(roots.items()))
    return f"Name a file in the model's folder{f', or {known}' if known else ''}."
