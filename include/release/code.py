"""The code of a model's folder as text, kept with each run that trains, so that two versions can be set side by side."""

from __future__ import annotations

from pathlib import Path

KINDS = (".py", ".yaml", ".yml", ".toml")
NAMES = ("requirements.txt",)
MOST_FILES, MOST_BYTES = 100, 64 * 1024
"""A larger file is data in disguise; of it, its size is kept."""


def texts(folder: Path) -> dict[str, str]:
    """Return the text of each file of code below the folder by its path; what is hidden, and links, are left out."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith((".", "__pycache__")) for part in parts) or path.is_symlink() or not path.is_file():
            continue
        if path.suffix not in KINDS and path.name not in NAMES:
            continue
        size = path.stat().st_size
        whole = path.read_text(errors="replace") if size <= MOST_BYTES else f"({size} bytes, not kept)"
        found["/".join(parts)] = whole.replace("\0", "\ufffd")
        if len(found) == MOST_FILES:
            break
    return found
