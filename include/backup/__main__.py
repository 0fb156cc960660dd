"""``python -m include.backup make | restore | list``: what `make backup`, `make restore` and `make backups` call."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from include import atomic
from include.backup import plan as plans
from include.backup.answering import answer
from include.backup.continuous import FOLDER
from include.backup.places import store, usual
from include.backup.plan import Plan
from include.backup.proof import prove
from include.backup.restore import chosen, restore
from include.backup.retention import DAYS, KEEP
from include.backup.seal import FILE, passphrase
from include.backup.store import Store
from include.backup.take import alone, folder, take
from include.errors import InputError, UpdraftError, spoken
from include.platform import continuous
from include.platform.up import down
from include.runtime.settings import PRIVATE, Settings
from include.verdict import Decision, Verdict


@spoken
def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m include.backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="back the platform up, and prove the backup")
    make.add_argument("--to", default="", help="a folder")
    make.add_argument("--unproven", action="store_true", help="don't restore it in isolation")
    back = commands.add_parser("restore", help="put a backup into an empty home")
    back.add_argument("place")
    back.add_argument("--name", default="", help="which (default: the newest)")
    back.add_argument("--latest", action="store_true", help="databases as they were copied continuously")
    verify = commands.add_parser("prove", help="restore a backup in isolation, and have its champions answer")
    verify.add_argument("place")
    verify.add_argument("--name", default="")
    plan = commands.add_parser("plan", help="back the platform up by itself, by the DAG updraft_backup")
    plan.add_argument("--to", default="", help="a folder; without it, what is planned is told")
    plan.add_argument("--at", default=Plan.at, help="a cron expression, UTC (default: %(default)s)")
    plan.add_argument("--continuous", action="store_true", help="have Litestream copy the databases to the same place all along")
    plan.add_argument("--keep", type=int, default=KEEP, help="so many of the newest stay, however old (default: %(default)s)")
    plan.add_argument("--days", type=int, default=DAYS, help="so many days each stays (default: %(default)s)")
    upgrade = commands.add_parser("upgrade", help="after new code: stop, back up, and rehearse the upgrade on the backup")
    upgrade.add_argument("--to", default="", help="a folder")
    commands.add_parser("list", help="the backups that there are").add_argument("place", nargs="?", default="")
    commands.add_parser("answer", help="have a restored platform's champions answer")
    arguments = parser.parse_args()
    os.umask(PRIVATE)
    return int(COMMANDS[arguments.command](Settings.load(), arguments))


def _make(settings: Settings, arguments: argparse.Namespace) -> int:
    place = arguments.to or usual(settings)
    target, secret = store(settings, place), passphrase(folder(settings))
    with alone(settings):
        print(f"Backing {settings.home} up to {target.where} ...", flush=True)
        manifest = take(settings, target, secret, datetime.now(UTC), lambda line: print(line, flush=True))
        print(f"Backup {manifest.name}: {len(manifest.files)} files, {manifest.size_bytes / 1e6:,.1f} MB.", flush=True)
        if arguments.unproven:
            target.note(manifest.name, {"proof": None})
            print(f"NOT PROVEN: nobody knows whether it can be restored. `make prove FROM={place} NAME={manifest.name}` finds out.")
            return 0
        return _proven(settings, target, place, manifest.name, secret)


def _upgrade(settings: Settings, arguments: argparse.Namespace) -> int:
    """The backup is restored by the code that is new, its databases migrated, its champions asked: what goes wrong goes wrong there."""
    place = arguments.to or usual(settings)
    target, secret = store(settings, place), passphrase(folder(settings))
    down(settings)
    with alone(settings):
        print(f"The platform is down. Backing {settings.home} up to {target.where} ...", flush=True)
        manifest = take(settings, target, secret, datetime.now(UTC), lambda line: print(line, flush=True))
        print(f"Backup {manifest.name}. Rehearsing the upgrade on it ...", flush=True)
        status = _proven(settings, target, place, manifest.name, secret)
    if status:
        print("The upgrade is not begun, and nothing was changed: get the version of before and `make up`.")
    return status


def _prove(settings: Settings, arguments: argparse.Namespace) -> int:
    target = store(settings, arguments.place)
    target.insist()
    with alone(settings):
        return _proven(settings, target, arguments.place, chosen(target, arguments.name).name, passphrase(folder(settings)))


def _proven(settings: Settings, target: Store, place: str, name: str, secret: str) -> int:
    print("Restoring it in isolation ...", flush=True)
    verdict = prove(settings, place, chosen(target, name), secret)
    target.note(name, {"proof": verdict.to_json(), "at": datetime.now(UTC).isoformat(timespec="seconds")})
    for rule in verdict.rules:
        print(f"  {MARKS[rule.passed]} {rule.name} {rule.detail}: {rule.figure}")
    print(f"{WORDS[verdict.decision]} {' '.join(verdict.reasons)}")
    return 1 if verdict.decision is Decision.FAIL else 0


def _restore(settings: Settings, arguments: argparse.Namespace) -> int:
    target, secret = store(settings, arguments.place), passphrase(folder(settings))

    def say(line: str) -> None:
        print(line, flush=True)

    print(f"Restoring from {target.where} to {settings.home} ...", flush=True)
    manifest = restore(settings, target, arguments.name, secret, datetime.now(UTC), say, latest=arguments.latest)
    print(f"Backup {manifest.name} of {manifest.made_at} is restored ({state(target, manifest.name)}). `make up` starts the platform.")
    for sentence in manifest.left_out:
        print(f"  not in it: {sentence}")
    return 0


def _plan(settings: Settings, arguments: argparse.Namespace) -> int:
    if not arguments.to:
        found = plans.read(folder(settings))
        print(f"{found}" if found else "Nothing is planned: make backup-plan TO=...")
        return 0
    wanted = Plan(store(settings, arguments.to).where, arguments.at, arguments.keep, arguments.days)
    if why := wanted.fault():
        raise InputError(why, where="make backup-plan")
    secret = passphrase(folder(settings))
    atomic.write(folder(settings) / FILE, secret)
    place = Path(wanted.to) / FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if arguments.continuous and "://" in wanted.to:
        raise InputError(
            "Litestream copies to a folder here, not to S3.", where="CONTINUOUS", remedy="Name a folder, best on another disk."
        )
    continuous.choose(settings, place if arguments.continuous else None)
    plans.save(folder(settings), wanted)
    if arguments.continuous:
        print(f"From the next `make up` on Litestream copies the databases to {place}.")
    print(
        f"The DAG {plans.DAG_ID} backs up to {wanted.to} at {wanted.at!r} (UTC). {wanted.keep} backups stay, and all of {wanted.days} days."
    )
    print(f"The passphrase is in {folder(settings) / FILE}, for the DAG alone: keep it elsewhere, too.")
    return 0


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    target = store(settings, arguments.place or usual(settings))
    target.insist()
    for name in target.names():
        try:
            found = target.manifest(name)
            size = (
                "unfinished" if found is None else f"{len(found.files):>6} files {found.size_bytes / 1e6:>10,.1f} MB  {state(target, name)}"
            )
        except UpdraftError as error:
            size = f"can't be read: {error}"
        print(f"{name}  {size}")
    return 0


def state(target: Store, name: str) -> str:
    """Return what is known of whether a backup can be restored, in some words."""
    proof = target.record(name).get("proof")
    return WORDS[Verdict.from_json(proof).decision].rstrip(".:") if isinstance(proof, dict) else "not proven"


def _answer(settings: Settings, arguments: argparse.Namespace) -> int:
    print(json.dumps(answer(settings)))
    return 0


MARKS = {True: "ok     ", False: "FAILED ", None: "unknown"}
WORDS = {Decision.PASS: "PROVEN:", Decision.FAIL: "USELESS:", Decision.NOT_KNOWN: "NOT PROVEN:"}
COMMANDS = {"plan": _plan, "upgrade": _upgrade, "make": _make, "restore": _restore, "prove": _prove, "list": _list, "answer": _answer}

if __name__ == "__main__":
    sys.exit(main())
