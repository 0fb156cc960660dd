"""The page of the GPU pool in Airflow's navigation: whatever lies in ``ui``, and what all of Updraft's pages share."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends, HTTPException, status
from fastapi.responses import FileResponse

from api_shared.auth import may_read
from api_shared.security_headers import PAGE_POLICY

pages = APIRouter(dependencies=[Depends(may_read)], include_in_schema=False)
FOLDER = Path(__file__).parents[1] / "ui"
SHARED = Path(__file__).parents[2] / "ui_shared"
KINDS = {".js": "text/javascript", ".css": "text/css"}


@pages.get("/ui")
def page() -> FileResponse:
    """What Airflow's navigation shows."""
    return _file(FOLDER / "index.html", "text/html", {"Content-Security-Policy": PAGE_POLICY})


@pages.get("/ui/{name}")
def part(name: str) -> FileResponse:
    """The page's scripts and styles."""
    parts = {path.name: path for path in (*SHARED.iterdir(), *FOLDER.iterdir()) if path.suffix in KINDS}
    if name not in parts:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "The page has no such file.")
    return _file(parts[name], KINDS[parts[name].suffix], {"Cache-Control": "no-cache"})


def _file(path: Path, kind: str, headers: dict[str, str]) -> FileResponse:
    if not path.is_file():
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no page.")
    return FileResponse(path, media_type=kind, headers=headers)
