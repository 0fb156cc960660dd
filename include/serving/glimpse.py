"""Whether anything may have changed about revisions, seen for a small part of what it costs to ask their servers.

What it doesn't see is a server that lives, takes connections and doesn't answer: for that it is asked, now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

from include.serving.host import Host
from include.serving.revision import Revision

GONE = -1
Folders = Callable[[Revision], set[Path]]


def glimpse(host_of: Callable[[str], Host], folders: Folders, revisions: Iterable[Revision]) -> dict[str, Hashable]:
    """Return what changes, by revision's name, when its server ends, is started or can't be reached, and when a file is put into one of its
    folders or taken out. Who is not in it is to be looked at."""
    by_target: dict[str, list[Revision]] = {}
    for revision in revisions:
        by_target.setdefault(revision.target, []).append(revision)
    found: dict[str, Hashable] = {}
    for target, theirs in by_target.items():
        seen = host_of(target).glimpse(theirs)
        for one in theirs:
            if one.name in seen:
                found[one.name] = (seen[one.name], tuple(changed_ns(folder) for folder in sorted(folders(one))))
    return found


def changed_ns(folder: Path) -> int:
    """Return when an entry was put into a folder or taken out of it (ns since the epoch); :data:`GONE` where there is none."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return GONE
