"""The files that a plugin's pages are made of: its own and those that all pages share, given out by name."""

from __future__ import annotations

from pathlib import Path

from fastapi import HTTPException, status
from fastapi.responses import FileResponse

from api_shared.security_headers import PAGE_POLICY

SHARED = Path(__file__).parents[1] / "ui_shared"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class PageFiles:
    """The pages of the plugin whose files are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = {path.name: path for place in (SHARED, folder) for path in place.iterdir() if path.suffix in KINDS}

    def page(self, name: str, policy: str = PAGE_POLICY) -> FileResponse:
        """The HTML page of this name, which may run these files and nothing else."""
        return FileResponse(self.folder / name, media_type="text/html", headers={"Content-Security-Policy": policy})

    def part(self, name: str) -> FileResponse:
        """A script, a style sheet or a picture; 404 for any other name."""
        if name not in self._parts:
            raise HTTPException(status.HTTP_404_NOT_FOUND, "The page has no such file.")
        path = self._parts[name]
        return FileResponse(path, media_type=KINDS[path.suffix], headers={"Cache-Control": "no-cache"})
