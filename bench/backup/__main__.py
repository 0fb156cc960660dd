"""``python -m bench.backup``: what is lost when everything is killed, and how long it takes until callers get answers again.

On a copy of the platform in ``UPDRAFT_HOME`` (it may run), or, where there is none, of the state that the tests restore; in a folder and
on ports of their own. ``rpo_s``: the largest of several kills of a writer and of Litestream, from the last row that was written to the
last one that is restored. ``rto_s``: from an empty home until every champion has answered its golden inputs and what was started for it has
stopped again; with ``--up`` instead ``up_s``: until all of `make up` answers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from include.backup.proof import free_base
from include.errors import UpdraftError
from include.platform import continuous
from include.runtime import family
from include.runtime.settings import REPO, Settings

STATE = REPO / "tests" / "include" / "backup"
PASSPHRASE = "the passphrase of a test"
ROW_S = 0.02
WARM_S, WRITES_S = 2.0, 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="of Litestream and its writer")
    parser.add_argument("--up", action="store_true", help="start all of the platform, too")
    options = parser.parse_args()
    settings = Settings.load()
    place = Path(tempfile.mkdtemp(prefix="ud-bench-"))
    place.chmod(0o711)
    try:
        row = _back(settings, place, options.up) | {"rpo_s": _lost(settings, place, options.kills)}
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1
    finally:
        family.end(str(place / "h"), grace_s=10)
        shutil.rmtree(place, ignore_errors=True)
    for name, value in row.items():
        print(f"{name:12}{'not measured' if value is None else value}")
    print(json.dumps(row))
    return 0


def _back(settings: Settings, place: Path, all_of_it: bool) -> dict[str, float | None]:
    """Back up, restore into an empty home, start what serves, ask."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UPDRAFT_")} | {
        "UPDRAFT_HOME": str(place / "h"),
        "UPDRAFT_RUNTIMES": str(settings.runtimes),
        "UPDRAFT_PORT_BASE": str(free_base()),
        "UPDRAFT_MODELS": str(place / "models"),
        "UPDRAFT_POINTER": str(place / "running"),
        "UPDRAFT_BACKUP_PASSPHRASE": PASSPHRASE,
    }
    backup_s = None
    if (settings.home / "credentials.json").exists():
        own = os.environ | {"UPDRAFT_BACKUP_PASSPHRASE": PASSPHRASE}
        backup_s = _timed(["include.backup", "make", "--to", str(place / "store"), "--unproven"], own)
    else:
        with tarfile.open(sorted(STATE.glob("release-*.tar.xz"))[-1]) as archive:
            archive.extractall(place, filter="data")
    restore_s = _timed(["include.backup", "restore", str(place / "store")], environment)
    if all_of_it:
        up_s = _timed(["include.platform", "up"], environment)
        _timed(["include.platform", "down"], environment)
        return {"backup_s": backup_s, "restore_s": restore_s, "up_s": round(restore_s + up_s, 1)}
    started = time.monotonic()
    told = json.loads(_called(["include.backup", "answer"], environment).splitlines()[-1])
    answer_s = round(time.monotonic() - started, 1)
    if silent := [f"{model}: {found['figure']}" for model, found in told.items() if not found["answered"]] or ([] if told else ["nobody"]):
        raise SystemExit(f"The champions did not answer their golden inputs: {'; '.join(silent)}")
    return {"backup_s": backup_s, "restore_s": restore_s, "rto_s": round(restore_s + answer_s, 1)}


def _timed(arguments: list[str], environment: dict[str, str]) -> float:
    started = time.monotonic()
    _called(arguments, environment)
    return round(time.monotonic() - started, 1)


def _called(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], env=environment, cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    return done.stdout


def _lost(settings: Settings, place: Path, kills: int) -> float | None:
    """Seconds, the worst of some kills; None without Litestream."""
    try:
        binary = continuous.binary(settings)
    except UpdraftError as error:
        print(error, file=sys.stderr)
        return None
    return round(max(_killed(replace(settings, home=place), binary, number) for number in range(kills)), 2)


def _killed(settings: Settings, binary: Path, number: int) -> float:
    folder = settings.home / f"kill{number}"
    folder.mkdir()
    database, out = folder / "a.db", folder / "restored.db"
    with closing(sqlite3.connect(database)) as made:
        made.executescript("pragma journal_mode=wal; create table beat (at real);")
    (folder / "c.yml").write_text(continuous.configuration({"a": database}, folder / "copies"))
    with (folder / "log").open("wb") as log:
        copier = subprocess.Popen([binary, "replicate", "-config", folder / "c.yml"], stdout=log, stderr=log)
    writer = os.fork()
    if writer == 0:
        _write(database)
    time.sleep(WARM_S + WRITES_S + number * 0.37)  # at another moment of Litestream's second each time
    for process in (writer, copier.pid):
        os.kill(process, signal.SIGKILL)
    os.waitpid(writer, 0)
    copier.wait()
    subprocess.run([binary, "restore", "-config", folder / "c.yml", "-o", out, database], check=True, capture_output=True)
    return _last(database) - _last(out)


def _write(database: Path) -> None:
    with closing(sqlite3.connect(database, timeout=10)) as writing:
        while True:
            with writing:
                writing.execute("insert into beat values (?)", (time.time(),))
            time.sleep(ROW_S)


def _last(database: Path) -> float:
    with closing(sqlite3.connect(database)) as opened:
        return float(opened.execute("select max(at) from beat").fetchone()[0])


if __name__ == "__main__":
    sys.exit(main())
