"""``python -m include.logs [--model digits] [--since 1h] [--request ID] [--json]``: what `make logs MODEL=... SINCE=...` calls.

All logs of the platform in one order of time: the gateway's, servers', Airflow's tasks', keepers'. With ``--request`` what became of one
request: the gateway's line, what its server said of it, and what the prediction log has of it.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from include.errors import InputError, spoken
from include.logs.files import files
from include.logs.logged import logged
from include.logs.read import Wanted, records
from include.logs.record import Record
from include.runtime.settings import Settings
from include.spec.problem import nearest

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FACTS = ("revision", "served_by", "client", "total_us", "flags", "request_id", "run_id", "error_detail")
"""What a person is shown of a record's facts."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@spoken
def main() -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog="python -m include.logs", description=__doc__)
    parser.add_argument("--model", default="")
    parser.add_argument("--since", default="", help="1h, 30m, 2d, or a time such as 2026-12-01T06:00 (UTC)")
    parser.add_argument("--request", default="", help="the header x-request-id of an answer")
    parser.add_argument("--json", action="store_true", help="JSON, a record a line")
    arguments = parser.parse_args()
    settings = Settings.load()
    wanted = Wanted(since(arguments.since, time.time()), _known(settings, arguments.model), arguments.request)
    count = 0
    for record in _found(settings, wanted):
        print(json.dumps(record.to_json()) if arguments.json else shown(record))
        count += 1
    if not count:
        print("Nothing is logged of that.", file=sys.stderr)
    return 0


def _found(settings: Settings, wanted: Wanted) -> Iterator[Record]:
    """What is wanted; of one request, what the prediction log has of it last."""
    model = wanted.model
    for record in records(files(settings), wanted):
        model = model or str(record.facts.get("model") or "")
        yield record
    if wanted.request and (row := logged(settings, model, wanted.request)) is not None:
        yield row


def since(text: str, now: float) -> float:
    """Return the moment (seconds since the epoch) that ``30m`` or ``2026-12-01T06:00`` means; 0 for an empty text. Raises InputError."""
    if not text:
        return 0.0
    if ago := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now - int(ago[1]) * UNITS[ago[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        remedy = "Write how long ago (90s, 30m, 1h, 2d), or a time (2026-12-01T06:00, UTC)."
        raise InputError(f"{text!r:.60} is no time.", where="SINCE", remedy=remedy) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def shown(record: Record) -> str:
    """Return a record as a line for people. What callers put into paths moves no cursor."""
    said = record.to_json()
    facts = " ".join(f"{name}={said[name]}" for name in FACTS if said.get(name) not in (None, "-", ""))
    text = f"{record.message}  {facts}".strip()
    text = CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return f"{said['time']}{'' if record.exact else '~'} {record.source:<22} {record.level:<8} {text}"


def _known(settings: Settings, model: str) -> str:
    """The model. Raises InputError for one that has neither a spec nor a log."""
    if not model:
        return ""
    known = {path.parent.name for path in settings.models.glob("*/model.yaml")} | {log.model for log in files(settings) if log.model}
    if model not in known:
        near = nearest(model, sorted(known))
        remedy = f"{f'Did you mean {near}? ' if near else ''}Known: {', '.join(sorted(known)) or 'none'}."
        raise InputError(f"there is no model {model!r:.60}.", where="MODEL", remedy=remedy)
    return model


if __name__ == "__main__":
    sys.exit(main())
