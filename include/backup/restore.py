"""Puts a backup into an empty home. Everything is fetched, checked and made ready beside it; the platform's own places are filled last, by
renames. Killed before, nothing has happened; killed after, the same command goes on, and `make up` waits for it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from include import atomic
from include.backup import contents, continuous
from include.backup.contents import DATABASES, HOME, SPECS, STORES, Tree
from include.backup.databases import databases, engine, schemas
from include.backup.ended import end, end_trials
from include.backup.fitting import fit, keep_champions
from include.backup.manifest import Manifest
from include.backup.seal import unseal
from include.backup.store import Store
from include.errors import ComponentError, InputError
from include.platform import postgres, restoring, scale
from include.platform.migrate import digest, stamp
from include.platform.schemas import insist_known, older
from include.runtime import family
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor

Say = Callable[[str], None]
NOT_STATE = {"runtimes", "tools", "backup", "running", "up.lock", restoring.FOLDER}
"""What a home may hold that no platform has run in."""
READY = "ready"
"""In the folder beside the home, once everything in it is whole: what is left are renames."""
OTHER_SPECS = "restored-specs"


def restore(
    settings: Settings, store: Store, name: str, passphrase: str, now: datetime, say: Say = print, *, latest: bool = False
) -> Manifest:
    """Restore the backup of this name (empty: the newest). The platform is down afterwards: `make up` starts it. With ``latest`` the
    databases are those that were copied continuously; models and data stay the backup's.

    Raises InputError, and changes nothing, when the platform runs or has state, and for a backup that is unfinished, damaged, foreign,
    newer or encrypted with another passphrase.
    """
    store.insist()
    manifest = chosen(store, _begun(settings, name) or name)
    settings = _at_its_ports(settings, manifest)
    insist_empty(settings)
    secrets = unseal(manifest.sealed, passphrase, manifest.authenticated(), f"{store.where}: backup {manifest.name}")
    insist_known(manifest.schemas, f"{store.where}: backup {manifest.name}")
    stage = settings.home / restoring.FOLDER
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if manifest.scale == scale.Scale.SCALED:
        postgres.binaries(scale.postgres_data(settings))
        settings.home.chmod(0o711)
        postgres.check_reach(settings.home)
    if not (stage / READY).exists() or (stage / READY).read_text() != manifest.name:
        shutil.rmtree(stage, ignore_errors=True)
        try:
            _stage(settings, store, manifest, secrets, stage, now, say, latest)
        except BaseException as error:
            shutil.rmtree(stage, ignore_errors=True)
            if isinstance(error, OSError):
                raise ComponentError(f"could not be written ({error}).", where=str(stage), remedy="Is the disk full?") from error
            raise
    _place(settings, manifest, stage, say)
    return manifest


def _begun(settings: Settings, name: str) -> str:
    """Return the backup that is being put into the home already; "" for none. Raises InputError when another is asked for."""
    ready = settings.home / restoring.FOLDER / READY
    begun = ready.read_text() if ready.exists() else ""
    if begun and name not in ("", begun):
        remedy = f"Finish it first (NAME={begun}), or throw this home's state away: `make clean`."
        raise InputError(f"the restore of {begun} was cut short here.", where=str(settings.home), remedy=remedy)
    return begun


def chosen(store: Store, name: str) -> Manifest:
    """Return the manifest of the backup of this name (empty: the newest finished one). Raises InputError where there is none."""
    names = store.names()
    if name:
        if name not in names:
            remedy = f"There are: {', '.join(names[-5:]) or 'none'}."
            raise InputError(f"there is no backup {name!r:.60}.", where=store.where, remedy=remedy)
        if (found := store.manifest(name)) is None:
            remedy = "Restore another: `make backups FROM=...` lists them."
            raise InputError(f"backup {name} was never finished: it has no manifest.", where=store.where, remedy=remedy)
        return found
    for one in reversed(names):
        if (found := store.manifest(one)) is not None:
            return found
    raise InputError("holds no finished backup.", where=store.where, remedy="Make one: `make backup TO=...`.")


def insist_empty(settings: Settings) -> None:
    """Raise InputError for a home in which a platform runs or has run."""
    if Supervisor(settings).running() or family.family(str(settings.home)):
        remedy = "Stop it (`make down`) and set UPDRAFT_HOME to an empty folder, or throw its state away: `make clean`."
        raise InputError("a platform runs here.", where=str(settings.home), remedy=remedy)
    ready = (settings.home / restoring.FOLDER / READY).exists()
    found = sorted({path.name for path in settings.home.iterdir()} - NOT_STATE) if settings.home.is_dir() else []
    if found and not ready:
        remedy = "Set UPDRAFT_HOME to an empty folder, or throw this one's state away: `make clean`."
        raise InputError(f"holds a platform's state ({', '.join(found[:5])}).", where=str(settings.home), remedy=remedy)
    for name, place in _elsewhere(settings).items():
        if place.is_dir() and any(place.iterdir()) and not ready:
            raise InputError(f"{name} are to be restored there, and it is not empty.", where=str(place), remedy="Name an empty folder.")


def _elsewhere(settings: Settings) -> dict[str, Path]:
    """Where stores lie that are folders outside of the home."""
    found = {name: Path(url) for name, url in contents.stores(settings).items() if "://" not in url}
    return {name: path for name, path in found.items() if not path.is_relative_to(settings.home)}


def _at_its_ports(settings: Settings, manifest: Manifest) -> Settings:
    """On the ports that it had, unless others were asked for."""
    return settings if "UPDRAFT_PORT_BASE" in os.environ else replace(settings, port_base=manifest.port_base)


def _stage(
    settings: Settings, store: Store, manifest: Manifest, secrets: Mapping[str, bytes], stage: Path, now: datetime, say: Say, latest: bool
) -> None:
    """Have everything in ``stage`` as it shall be in the home."""
    free, needed = shutil.disk_usage(settings.home).free, manifest.size_bytes
    if free < needed:
        what = f"its disk has {free / 1e6:,.0f} MB left, and the backup needs {needed / 1e6:,.0f} MB."
        raise InputError(what, where=str(settings.home), remedy="Make room, or set UPDRAFT_HOME to a folder on another disk.")
    stage.mkdir(mode=0o711 if manifest.scale == scale.Scale.SCALED else 0o700)
    for file in manifest.files:
        if not _left_behind(file.path, manifest):
            target = stage / _target(settings, file.path)
            store.fetch(file.sha256, file.bytes, target)
            target.chmod(file.mode)
    for name in manifest.folders:
        if not _left_behind(f"{name}/", manifest):
            (stage / _target(settings, name)).mkdir(parents=True, exist_ok=True)
    say(f"  {len(manifest.files)} files, {needed / 1e6:,.1f} MB, each with the SHA-256 that it was backed up with")
    for name, data in secrets.items():
        if name not in contents.SECRETS:
            raise InputError(f"{name!r:.60} is no file of credentials.", where=f"backup {manifest.name}", remedy="Restore another backup.")
        atomic.write(stage / name, data)
    there = replace(settings, home=stage)
    if manifest.scale != scale.Scale.EMBEDDED:
        atomic.write(stage / "scale", f"{manifest.scale}\n")
    found = _databases(there, store, manifest, now, say, latest)
    fit(there, manifest)
    if not older(found):
        atomic.write(stamp(there), digest(settings))
    atomic.write(stage / "port-base", f"{settings.port_base}\n")
    facts = {"name": manifest.name, "made_at": manifest.made_at, "from": store.where, "restored_at": now.isoformat(timespec="seconds")}
    atomic.write(stage / restoring.RESTORED, json.dumps(facts | {"revive": True}, indent=1))
    os.sync()
    atomic.write(stage / READY, manifest.name)


def _databases(
    settings: Settings, store: Store, manifest: Manifest, now: datetime, say: Say, latest: bool
) -> Mapping[str, Mapping[str, str]]:
    """Load them, and end in them what was under way; return how far their migrations are."""
    if latest:
        continuous.fetch(settings, store.where, settings.home / DATABASES)
    loaded, found = databases(settings), manifest.schemas
    loaded.load(settings.home / DATABASES)
    with loaded.opened():
        if latest:
            found = schemas(settings)
            insist_known(found, f"{store.where}: {continuous.FOLDER}")
            keep_champions(settings, manifest, say)
        with engine(settings, "airflow") as opened, opened.begin() as connection:
            ended = end(connection, manifest.champions, now)
        with engine(settings, "mlflow") as opened, opened.begin() as connection:
            end_trials(connection)
    say(f"  databases are loaded; {ended} runs that were under way are ended")
    shutil.rmtree(settings.home / DATABASES)
    return found


def _left_behind(path: str, manifest: Manifest) -> bool:
    """Whether a file belongs to a revision that is no champion's."""
    parts = path.split("/")
    if parts[:2] != [HOME, "revisions"] or len(parts) < 5 or parts[2].startswith("."):
        return False
    return manifest.champions.get(parts[2]) != (int(parts[3]) if parts[3].isdigit() else None)


def _target(settings: Settings, path: str) -> str:
    """Where a file of the backup goes, relative to the home."""
    first, _, rest = path.partition("/")
    if first == HOME:
        return rest
    if first == STORES:
        name, _, inner = rest.partition("/")
        url = contents.stores(settings).get(name, "")
        place = Path(url)
        if "://" not in url and place.is_relative_to(settings.home):
            return f"{place.relative_to(settings.home)}/{inner}"
    return path


def _place(settings: Settings, manifest: Manifest, stage: Path, say: Say) -> None:
    """The renames, and specs that are missing here. May be repeated."""
    for name, place in _elsewhere(settings).items():
        if (staged := stage / STORES / name).exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(staged, place, dirs_exist_ok=True)
            shutil.rmtree(staged)
    _specs(settings, stage / SPECS, say)
    for path in sorted(stage.iterdir()):
        if path.name not in (READY, SPECS, STORES):
            target = settings.home / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.rename(target)
    shutil.rmtree(stage)


def _specs(settings: Settings, staged: Path, say: Say) -> None:
    """Git is the owner of specs: one that is here stays, and what the backup has of it is put beside."""
    settings.models.mkdir(parents=True, exist_ok=True)
    for path in sorted(staged.iterdir()) if staged.is_dir() else ():
        target = settings.models / path.name
        if not target.exists():
            _arrive(path, target)
            say(f"  {path.name}: its spec was not here, and is taken from the backup")
        elif path.is_dir() and _differs(path, target):
            aside = settings.home / OTHER_SPECS / path.name
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.rename(aside)
            say(f"  {path.name}: its spec here is another than in the backup, and stays; the backup's is in {aside}")


def _arrive(path: Path, target: Path) -> None:
    """Copy a file or a folder, maybe from another disk; it appears whole."""
    part = target.with_name(f".{target.name}.restoring")
    shutil.rmtree(part, ignore_errors=True)
    part.unlink(missing_ok=True) if part.is_file() else None
    shutil.copytree(path, part) if path.is_dir() else shutil.copy2(path, part)
    part.rename(target)


def _differs(one: Path, other: Path) -> bool:
    """Whether a folder holds something else than the other at the same place."""
    for path in Tree("", one, ("__pycache__",)).files():
        twin = other / path.relative_to(one)
        if not twin.is_file() or twin.read_bytes() != path.read_bytes():
            return True
    return False
