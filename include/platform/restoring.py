"""What a restore leaves for `make up`: a folder while it is not done, a note of what was restored once it is."""

from __future__ import annotations

import json

from include import atomic
from include.errors import InputError
from include.runtime.settings import Settings
from include.serving.revisions import Revisions

FOLDER = "restoring"
RESTORED = "restored.json"


def insist_done(settings: Settings) -> None:
    """Raise InputError for a home into which a backup is half restored."""
    if (settings.home / FOLDER).exists():
        remedy = "Run the same `make restore` once more: it goes on from here."
        raise InputError("a restore was cut short here.", where=str(settings.home / FOLDER), remedy=remedy)


def revive(settings: Settings) -> list[str]:
    """Start the servers of what a backup has brought back, at the first start after it. Return their names. May be repeated."""
    file = settings.home / RESTORED
    facts = json.loads(file.read_text()) if file.exists() else {}
    if not facts.get("revive"):
        return []
    backend = Revisions(settings)
    found = backend.list()
    for revision in found:
        backend.revive(revision)
    atomic.write(file, json.dumps(facts | {"revive": False}, indent=1))
    return [revision.name for revision in found]
