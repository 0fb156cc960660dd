"""Makes a restored home fit for the place where it is: its ports, its gateway, what is served there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text

from include import atomic
from include.backup import contents, traffic
from include.backup.databases import engine
from include.backup.manifest import Manifest
from include.backup.take import champions
from include.budgets import ledger
from include.errors import InputError
from include.gateway.gateway import Gateway
from include.gateway.observe import Cursor
from include.gateway.table import Table
from include.registry.mlflow import CHAMPION
from include.runtime.settings import Settings
from include.serving.lease import RevisionLease
from include.serving.revision import Revision


def fit(settings: Settings, manifest: Manifest) -> None:
    """Have files name what is true in this home, on these ports. Raises InputError for a gateway's table that can't be read."""
    for name in contents.FILES:
        if (settings.home / name).exists() and name.endswith(".json"):
            _forget_places(settings.home / name)
    for name in contents.LEDGERS:
        if (settings.home / name).exists():
            ledger.begin_log(settings.home / name)
    _revisions(settings, manifest)
    _gateway(settings, manifest)


def keep_champions(settings: Settings, manifest: Manifest, say: Callable[[str], None]) -> None:
    """Have the registry name those champions whose models are in the backup: of one that was promoted later there is nothing to serve."""
    moved = text("update registered_model_aliases set version = :version where name = :name and alias = :alias")
    now = champions(settings)
    with engine(settings, "mlflow") as opened, opened.begin() as connection:
        for name, version in manifest.champions.items():
            if name in now and now[name] != version:
                connection.execute(moved, {"version": version, "name": name, "alias": CHAMPION})
                say(f"  {name}: version {now[name]} was promoted after the backup, which does not have it; version {version} serves")


def _forget_places(file: Path) -> None:
    """A place in the gateway's log (an inode, an offset) is none in the log of another home."""

    def told(value: object) -> object:
        if isinstance(value, dict):
            return Cursor().to_json() if value.keys() == Cursor().to_json().keys() else {key: told(inner) for key, inner in value.items()}
        return [told(inner) for inner in value] if isinstance(value, list) else value

    atomic.write(file, json.dumps(told(json.loads(file.read_text()))))


def _revisions(settings: Settings, manifest: Manifest) -> None:
    """Servers listen where this platform has its ports; what held a GPU asks for one again."""
    for file in sorted(settings.revisions.glob("*/*/revision.json")):
        if (found := Revision.read(file.parent)) is not None:
            traffic.revision_moved(found, settings.host, manifest.port_base, settings.port_base).save(file.parent)
    for file in sorted(settings.revisions.glob("*/*/lease.json")):
        if (lease := RevisionLease.read(file.parent)) is not None:
            lease.without().save(file.parent)


def _gateway(settings: Settings, manifest: Manifest) -> None:
    """All traffic to the champions whose revisions are there."""
    written = settings.home / traffic.FILE
    try:
        table = traffic.settled(traffic.parse(written.read_text()), manifest.champions)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"its gateway's table can't be read ({error}).", where=f"backup {manifest.name}", remedy="Restore another backup."
        ) from None
    before, now = manifest.port_base, settings.port_base
    endpoints = {key: traffic.endpoint_moved(endpoint, settings.host, before, now) for key, endpoint in table.endpoints.items()}
    Gateway(settings).put_table(Table(endpoints, table.splits))
    written.unlink()
