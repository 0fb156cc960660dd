"""Great Expectations' Data Docs as a folder of static files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def site(folder: Path) -> Iterator[Any]:
    """A throw-away data context whose Data Docs end up in ``folder``, complete or not at all; it reports nothing to anyone."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    pages = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(part)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"docs": pages},
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        analytics_enabled=False,
    )
    yield gx.get_context(mode="ephemeral", project_config=config)
    _slim(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _slim(folder: Path) -> None:
    """Take out the pictures that no page shows: two megabytes of tutorial in every run."""
    pages = "".join(path.read_text() for suffix in ("html", "css") for path in folder.rglob(f"*.{suffix}"))
    for image in folder.joinpath("static", "images").glob("*"):
        if image.name not in pages:
            image.unlink()
