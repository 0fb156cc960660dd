"""Makes a backup of a platform, running or not. Nothing of the platform waits for it.

What refers is copied before what it refers to (verdicts before versions, versions before their artifacts): contents are only ever added,
so whatever a copied row names is found when its turn comes. The manifest is written last. Killed at any moment, a backup without one is
none, and what it has left is dropped later or used by the next.
"""

from __future__ import annotations

import secrets
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import text

from include.backup import contents, sqlite, traffic
from include.backup.contents import DATABASES, HOME, REVISIONS, SECRETS, Tree
from include.backup.databases import databases, engine, schemas
from include.backup.manifest import File, Manifest
from include.backup.seal import seal
from include.backup.store import Store
from include.errors import ComponentError, InputError
from include.gateway.gateway import Gateway
from include.gateway.table import Table
from include.platform import scale
from include.registry.mlflow import CHAMPION
from include.runtime.settings import Settings

Say = Callable[[str], None]
TRIES = 5
"""So often are revisions copied anew when traffic has moved meanwhile."""
NOT_IN = (
    "logs (Airflow's task logs, servers' logs, the gateway's access log)",
    "steps and the runs that are under way: they are ended by a restore",
    "environments (runtimes, layers of models' own packages): made anew by `make up`",
    "what Prometheus has collected",
    "inputs and results of batch inference",
)


def folder(settings: Settings) -> Path:
    """Return the platform's own folder for backups' sake: its lock, its passphrase, its plan."""
    return settings.home / "backup"


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One at a time, of those that change the store. Raises InputError when another is at work."""
    folder(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with FileLock(folder(settings) / "lock", timeout=0):
            yield
    except Timeout:
        raise InputError("another backup is under way.", where=str(settings.home), remedy="Wait for its end.") from None


def take(settings: Settings, store: Store, passphrase: str, now: datetime, say: Say = print) -> Manifest:
    """Back the platform up, and return the manifest. Raises InputError for a platform that isn't there, ComponentError where a database or
    the store does not do its part; the store then holds no new backup. The caller holds :func:`alone`."""
    if not (settings.home / "credentials.json").exists():
        raise InputError("there is no platform here.", where=str(settings.home), remedy="Start one with `make up`.")
    store.begin()
    work = folder(settings) / "work"
    shutil.rmtree(work, ignore_errors=True)
    try:
        folder(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
        work.mkdir(mode=0o700)
        return _take(settings, store, passphrase, now, work, say)
    except OSError as error:
        raise ComponentError(f"could not be read or copied ({error}).", where=str(settings.home), remedy="Is the disk full?") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _take(settings: Settings, store: Store, passphrase: str, now: datetime, work: Path, say: Say) -> Manifest:
    found = Manifest(
        name=f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        made_at=now.astimezone(UTC).isoformat(timespec="seconds"),
        updraft=version(settings),
        scale=str(scale.chosen(settings)),
        port_base=_port_base(settings),
    )
    trees = {tree.name: tree for tree in contents.trees(settings)}
    served, files = _of_one_moment(settings, store, work, trees.pop(REVISIONS), say)
    for name in contents.FILES:
        if (settings.home / name).is_file():
            files.append(_kept(store, f"{HOME}/{name}", settings.home / name))
    for number, name in enumerate(contents.SQLITE_FILES):
        if (settings.home / name).exists():
            sqlite.copy(settings.home / name, work / f"ledger{number}")
            files.append(_kept(store, f"{HOME}/{name}", work / f"ledger{number}"))
    for tree in trees.values():
        files += (part := _tree(store, tree))
        say(f"  {tree.name}: {len(part)} files, {_size(part)}")
    outside = [(name, url) for name, url in contents.stores(settings).items() if "://" in url]
    missed = [f"{name}: in {url}, which has to be backed up by itself" for name, url in outside]
    missed += [f"{path}: a link to a folder" for tree in contents.trees(settings) for path in tree.links()]
    missed += [f"{name} in the home: nothing here knows what it is" for name in contents.unknown(settings.home)]
    for sentence in missed:
        say(f"  NOT IN IT: {sentence}")
    left_out = [*NOT_IN, *missed]
    empty = tuple(path for tree in contents.trees(settings) for path in tree.empty())
    found = replace(found, schemas=schemas(settings), champions=served, files=tuple(files), folders=empty, left_out=tuple(left_out))
    hidden = {name: (settings.home / name).read_bytes() for name in SECRETS if (settings.home / name).exists()}
    found = replace(found, sealed=seal(hidden, passphrase, found.authenticated()))
    store.finish(found)
    return found


def _port_base(settings: Settings) -> int:
    """That of its last start, whatever this command was told."""
    try:
        return int((settings.home / "port-base").read_text())
    except FileNotFoundError:
        return settings.port_base


def version(settings: Settings) -> str:
    """Return Updraft's own."""
    return str(tomllib.loads((settings.repo / "pyproject.toml").read_text())["project"]["version"])


def champions(settings: Settings) -> dict[str, int]:
    """Return which version serves each model, as MLflow's registry has it."""
    query = text("select name, version from registered_model_aliases where alias = :alias")
    with engine(settings, "mlflow") as opened, opened.connect() as connection:
        return {str(name): int(number) for name, number in connection.execute(query, {"alias": CHAMPION})}


def _of_one_moment(settings: Settings, store: Store, work: Path, revisions: Tree, say: Say) -> tuple[dict[str, int], list[File]]:
    """Champions, the databases, and what serves: all three anew when another version was promoted meanwhile, or the registry would name
    another champion than the gateway, of which nothing was kept."""
    for _ in range(TRIES):
        before = champions(settings)
        files = [_kept(store, f"{DATABASES}/{path.name}", path) for path in databases(settings).dump(work).values()]
        served, production = _production(settings, store, work, revisions)
        if served == before:
            say(f"  databases: {_size(files)}")
            return served, files + production
        for path in work.iterdir():
            path.unlink()
    raise ComponentError(
        "champions changed all the while.", where="MLflow's registry", remedy="Back up once the runs under way have ended."
    )


def _production(settings: Settings, store: Store, work: Path, revisions: Tree) -> tuple[dict[str, int], list[File]]:
    """Champions, and the gateway's table with the revisions that it names: copied anew when traffic moves meanwhile."""
    gateway = Gateway(settings)
    for _ in range(TRIES):
        served, table = champions(settings), gateway.table()
        (work / traffic.FILE).write_text(traffic.text(table))
        files = [_kept(store, f"{HOME}/{traffic.FILE}", work / traffic.FILE), *_tree(store, revisions)]
        if (champions(settings), _who(gateway.table())) == (served, _who(table)):
            return served, files
    raise ComponentError("traffic moved all the while.", where="gateway", remedy="Back up once the trials that are under way have ended.")


def _who(table: Table) -> tuple[object, ...]:
    return sorted(table.endpoints), {model: dict(split.weights) for model, split in table.splits.items()}


def _tree(store: Store, tree: Tree) -> list[File]:
    """Keep a folder's files. One that goes meanwhile was none of those that something refers to."""
    found = []
    for path in tree.files():
        try:
            found.append(_kept(store, f"{tree.name}/{path.relative_to(tree.root).as_posix()}", path))
        except FileNotFoundError:
            continue
    return found


def _kept(store: Store, name: str, path: Path) -> File:
    mode = path.stat().st_mode & 0o777
    return File(name, *store.keep(path), mode)


def _size(files: Sequence[File]) -> str:
    return f"{sum(file.bytes for file in files) / 1e6:,.1f} MB"
