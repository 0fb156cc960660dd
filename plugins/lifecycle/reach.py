"""What the steps of a run may reach beside their own folders: files that the spec names, kept bases, places on the network. Pure but for
looking whether a file is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.kinds.llm.files import HUB_ID
from include.kinds.registry import kind_of
from include.runtime.settings import Settings
from include.spec.files import is_entry
from include.spec.names import DATA_SOURCE
from include.spec.schema import Spec
from include.targets.confined import old_bases
from include.targets.target import step_of

HUB = "huggingface.co:443"


def versions(spec: Spec) -> tuple[str, ...]:
    """The model versions (``models:/...``) that a run's steps may read beside their own run's: what the spec names as base or teacher."""
    return tuple(name for name in kind_of(spec).bases(spec) if name.startswith("models:/"))


def files(spec: Spec, folder: Path, params: Mapping[str, Any], settings: Settings) -> list[str]:
    """Data and bases that lie outside the model's folder, and what is kept of the model's bases."""
    sources = [source for source in (spec.data.source, params.get(DATA_SOURCE)) if source and not is_entry(str(source))]
    named = [folder / str(source) for source in sources] + [
        place for name in kind_of(spec).bases(spec) for place in (Path(name), folder / name)
    ]
    kept = [kept_bases(spec, settings), *old_bases(settings.home / "bases", spec.name)] if kind_of(spec).bases(spec) else []
    return sorted({str(path.resolve()) for path in (*named, *kept) if path.exists()})


def results(key: str, spec: Spec, folder: Path, params: Mapping[str, Any], settings: Settings) -> list[Path]:
    """The folders in which the tasks of a run may say that a file lies: its steps', fetched bundles, and what its steps may reach."""
    own = step_of(settings, key, "").folder
    return [own, settings.home / "bundles", folder, *settings.data_roots.values(), *map(Path, files(spec, folder, params, settings))]


def kept_bases(spec: Spec, settings: Settings) -> Path:
    """Where a model's bases are kept between runs."""
    return settings.home / "bases" / spec.name


def network(spec: Spec, step: str, folder: Path) -> list[str]:
    """``host:port`` of what the spec names; the Hub's, for the step that fetches a base from there."""
    fetched = step == "base" and any(HUB_ID.fullmatch(name) and not (folder / name).is_dir() for name in kind_of(spec).bases(spec))
    return [*spec.network, *([HUB] if fetched else [])]
