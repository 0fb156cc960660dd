"""Great Expectations' Data Docs as a folder of pages that need nothing but themselves: no network, no script.

They are made for the web (styles, scripts and fonts from a dozen servers). What remains is the text, in one style that each page carries;
the first page is the validation of this run.
"""

from __future__ import annotations

import os
import re
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
    _alone(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:1.5rem;color:#1f2430;background:#fff}
a{color:#1659c7;text-decoration:none} h1,h2,h3,h4,h5{margin:.9em 0 .3em;font-weight:600}
table{border-collapse:collapse;margin:.4rem 0 1rem;width:100%}
th,td{border:1px solid #d7dbe2;padding:.3rem .5rem;text-align:left;vertical-align:top}
.badge{padding:.1rem .35rem;border-radius:.25rem;background:#e8ebf1} .text-success{color:#17803d} .text-danger{color:#b3261e}
.alert{padding:.5rem .8rem;border-left:4px solid #d7dbe2;background:#f5f6f9}
ul.breadcrumb,ol.breadcrumb{display:flex;gap:.6rem;list-style:none;padding:0}
i.fas:before{content:"!"} i.fa-check-circle:before{content:"\\2713"} i.fa-times:before{content:"\\2717"}
.modal,.navbar,footer,.footer,#ge-cta-footer,a[data-toggle],.ge-navigation-sidebar-container,button{display:none}
@media (prefers-color-scheme:dark){body{color:#e4e7ee;background:#14171d}a{color:#82aaff}
th,td{border-color:#3a404c}.badge,.alert{background:#232833}}
"""
_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE)
_LOADED = re.compile(r"<(?:link|img|iframe|source)\b[^>]*>|url\(['\"]?https?:[^)]*\)", re.IGNORECASE)


def _alone(folder: Path) -> None:
    """Leave pages that load nothing, the run's own validation first."""
    pages = sorted(folder.rglob("*.html"))
    for page in pages:
        text = _LOADED.sub("", _SCRIPT.sub("", page.read_text()))
        page.write_text(text.replace("</head>", f'<meta charset="utf-8"><style>{STYLE}</style></head>', 1))
    shutil.rmtree(folder / "static", ignore_errors=True)
    own = next((page for page in reversed(pages) if "validations" in page.relative_to(folder).parts), None)
    if own is not None:
        up = "../" * (len(own.relative_to(folder).parts) - 1)
        (folder / "index.html").write_text(own.read_text().replace(f'href="{up}', 'href="'))
