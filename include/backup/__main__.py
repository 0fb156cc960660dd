"""``python -m include.backup make | restore | list``: what `make backup`, `make restore` and `make backups` call."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime

from include.backup.answering import answer
from include.backup.places import store, usual
from include.backup.proof import prove
from include.backup.restore import chosen, restore
from include.backup.seal import passphrase
from include.backup.store import Store
from include.backup.take import alone, folder, take
from include.errors import UpdraftError
from include.runtime.settings import PRIVATE, Settings
from include.verdict import Decision, Verdict


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m include.backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="back the platform up, and prove the backup")
    make.add_argument("--to", default="", help="a folder")
    make.add_argument("--unproven", action="store_true", help="don't restore it in isolation")
    back = commands.add_parser("restore", help="put a backup into an empty home")
    back.add_argument("place")
    back.add_argument("--name", default="", help="which (default: the newest)")
    verify = commands.add_parser("prove", help="restore a backup in isolation, and have its champions answer")
    verify.add_argument("place")
    verify.add_argument("--name", default="")
    commands.add_parser("list", help="the backups that there are").add_argument("place", nargs="?", default="")
    commands.add_parser("answer", help="have a restored platform's champions answer")
    arguments = parser.parse_args()
    os.umask(PRIVATE)
    try:
        return int(COMMANDS[arguments.command](Settings.load(), arguments))
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1


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


def _prove(settings: Settings, arguments: argparse.Namespace) -> int:
    target = store(settings, arguments.place)
    target.insist()
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
    print(f"Restoring from {target.where} to {settings.home} ...", flush=True)
    manifest = restore(settings, target, arguments.name, secret, datetime.now(UTC), lambda line: print(line, flush=True))
    print(f"Backup {manifest.name} of {manifest.made_at} is restored ({state(target, manifest.name)}). `make up` starts the platform.")
    for sentence in manifest.left_out:
        print(f"  not in it: {sentence}")
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
COMMANDS = {"make": _make, "restore": _restore, "prove": _prove, "list": _list, "answer": _answer}

if __name__ == "__main__":
    sys.exit(main())
