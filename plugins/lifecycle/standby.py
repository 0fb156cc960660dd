"""Ends what has stood by for long enough; :mod:`lifecycle.keeper` asks every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from include.release.production import Production
from include.serving.revisions import Revisions


def end_expired(backend: Revisions, production: Callable[[str], Production]) -> list[str]:
    """Stop every revision whose time on standby is over; their names."""
    late = [revision for revision in backend.list() if (until := backend.standby(revision)) is not None and until < time.time()]
    for revision in late:
        production(revision.model).end_standby()
    return [revision.name for revision in late]
