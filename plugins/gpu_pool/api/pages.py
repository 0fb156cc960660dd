"""The page of the GPU pool in Airflow's navigation: whatever lies in ``ui``, and what all of Updraft's pages share."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse

from api_shared.auth import may_read
from api_shared.page_files import PageFiles

pages = APIRouter(dependencies=[Depends(may_read)], include_in_schema=False)
FILES = PageFiles(Path(__file__).parents[1] / "ui")


@pages.get("/ui")
def page() -> FileResponse:
    """What Airflow's navigation shows."""
    return FILES.page("index.html")


@pages.get("/ui/{name}")
def part(name: str) -> FileResponse:
    """The page's scripts and styles."""
    return FILES.part(name)
