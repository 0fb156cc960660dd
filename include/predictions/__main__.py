"""``python -m include.predictions read MODEL``: what callers sent and got, as a table or a Parquet file; ``labels MODEL FILE``: what turned
out to be right of it.

Exit 0, 2 for bad input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from include.errors import InputError, UpdraftError
from include.predictions.label_files import read_labels
from include.predictions.reader import read, service
from include.predictions.telling import MOST_LABELS, tell
from include.runtime.settings import PRIVATE, Settings


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    os.umask(PRIVATE)
    try:
        args.act(args, Settings.load())
    except UpdraftError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def show(args: argparse.Namespace, settings: Settings) -> None:
    """Print what is logged of a model, or write it to a file."""
    versions = args.version or None
    frame = read(settings, args.model, moment(args.since, "--since"), moment(args.until, "--until"), versions)
    if args.out is None:
        print(frame.to_string(max_rows=20, max_colwidth=40) if len(frame) else f"Nothing of {args.model} is logged then.")
        return
    try:
        frame.to_parquet(args.out)
    except OSError as error:
        raise InputError(f"could not be written ({error}).", where=str(args.out), remedy="Name a file in a folder that is there.") from None
    print(f"{len(frame)} rows are in {args.out}.")


def label(args: argparse.Namespace, settings: Settings) -> None:
    """Tell the labels of a file: all of them or none. Again is fine: what is kept already is kept once."""
    found = read_labels(args.file, texts=args.texts)
    counts = tell(service(settings), args.model, found, str(args.file), skip=args.skip, at_once=MOST_LABELS)
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))


def moment(text: str | None, option: str) -> datetime | None:
    """Return the time that an option names (without a zone: UTC). Raises InputError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r:.60} is no time.", where=option, remedy="Write 2026-01-31 or 2026-01-31T13:00.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m include.predictions", description="What callers sent and got.")
    commands = found.add_subparsers(dest="command", required=True)
    one = commands.add_parser("read", help="what is logged of a model")
    one.add_argument("model")
    one.add_argument("--since", help="from this time on (2026-01-31T13:00; UTC)")
    one.add_argument("--until", help="before this time")
    one.add_argument("--version", type=int, action="append", help="of this version only; may be repeated")
    one.add_argument("--out", type=Path, help="a Parquet file to write; else it is printed")
    one.set_defaults(act=show)
    told = commands.add_parser("labels", help="tell what turned out to be right")
    told.add_argument("model")
    told.add_argument("file", type=Path, help="a table with the columns id and label: CSV, JSON lines or Parquet")
    told.add_argument("--texts", action="store_true", help="labels of a CSV are texts, whatever they look like")
    told.add_argument("--skip", action="store_true", help="pass over ids that are not in the log")
    told.set_defaults(act=label)
    return found


if __name__ == "__main__":
    sys.exit(main())
