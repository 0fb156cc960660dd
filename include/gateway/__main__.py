"""``python -m include.gateway usage``: tokens by day, key and model, and what they cost; ``limit``, ``limits``: what keys may ask;
``key add|list|rotate|revoke``: who may call at all.

Exit 0, 2 for bad input.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from include.acts import outbox
from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.gateway.key_ring import KeyRing
from include.gateway.keys import VERBS
from include.gateway.metering import DEFAULT_INSTANCE, INSTANCES, Meter, Usage, instance
from include.gateway.rate_limits import EVERYBODY, Limit
from include.runtime.settings import PRIVATE, Settings

HEADINGS = ("day (UTC)", "client", "model", "answers", "prompt", "completion", "untold", "server s", "USD")
NAMES = 3
"""Columns of text, before those of figures."""


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    os.umask(PRIVATE)
    try:
        args.act(args, Settings.load())
    except UpdraftError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def usage(args: argparse.Namespace, settings: Settings) -> None:
    """Print what has been used."""
    priced_as = instance(args.instance)
    rows = Meter(settings.gateway_log, settings.usage).update()
    chosen = [row for row in rows if row.day >= args.since and args.client in (None, row.client) and args.model in (None, row.model)]
    costs = [row.cost_usd(priced_as) for row in chosen]
    if args.json:
        print(json.dumps([{**asdict(row), "usd": cost} for row, cost in zip(chosen, costs, strict=True)]))
    else:
        print(table(chosen, costs))
        print(f"Priced as {args.instance} ({priced_as.gpus}), {priced_as.usd_per_hour} USD an hour, each answer alone on it.")


def limit(args: argparse.Namespace, settings: Settings) -> None:
    """Set one client's limit, or take it off."""
    Gateway(settings).set_limit(args.client, Limit(args.requests, args.tokens))
    outbox.note(settings.noted_acts, "limit set", "key", args.client, requests=args.requests, tokens=args.tokens)
    limits(args, settings)


def limits(args: argparse.Namespace, settings: Settings) -> None:
    """Print every client's limit."""
    found = Gateway(settings).limits()
    print("\n".join(f"{client}: {limit.said()}" for client, limit in sorted(found.items())) or "No key has a limit.")


def key_add(args: argparse.Namespace, settings: Settings) -> None:
    """Make a key and print it, alone on the output."""
    scope: dict[str, Any] = {"models": args.model, "verbs": args.verb or list(VERBS), "days": args.days, "team": args.team}
    secret = KeyRing(settings).add(args.name, **scope, by=getpass.getuser())
    outbox.note(settings.noted_acts, "key made", "key", args.name, **scope)
    print(secret)


def key_rotate(args: argparse.Namespace, settings: Settings) -> None:
    """Give a key a new secret and print it, alone on the output."""
    secret = KeyRing(settings).rotate(args.name, args.overlap_hours * 3600)
    outbox.note(settings.noted_acts, "key rotated", "key", args.name, overlap_hours=args.overlap_hours)
    print(secret)


def key_revoke(args: argparse.Namespace, settings: Settings) -> None:
    """End a key."""
    KeyRing(settings).revoke(args.name)
    outbox.note(settings.noted_acts, "key revoked", "key", args.name)
    print(f"{args.name} opens nothing any more.")


def key_list(args: argparse.Namespace, settings: Settings) -> None:
    """Print every key without its secret."""
    for row in KeyRing(settings).list():
        key = row.key
        scope = f"{', '.join(key.verbs)} of {', '.join(key.models) or 'all models'}" if key else "the platform's own"
        print(f"{row.name}: {scope}; {_when('ends', key.expires_at if key else None)}; {_when('last used', row.last_used)}")


def _when(what: str, at: float | None) -> str:
    return f"{what} {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" if at else f"{what}: never"


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m include.gateway", description="What the gateway knows of its callers.")
    commands = found.add_subparsers(dest="command", required=True)
    _usage_parser(commands.add_parser("usage", help="tokens by day, key and model"))
    one = commands.add_parser("limit", help="what a key may ask of /v1 in a minute; without a figure: whatever it likes")
    one.add_argument("client", help=f"the API key's owner; {EVERYBODY}: each key that has no limit of its own")
    one.add_argument("--requests", type=int, help="requests a minute")
    one.add_argument("--tokens", type=int, help="tokens a minute")
    one.set_defaults(act=limit)
    commands.add_parser("limits", help="every key's limit").set_defaults(act=limits)
    _key_parser(commands.add_parser("key", help="who may call"))
    return found


def _key_parser(command: argparse.ArgumentParser) -> None:
    acts = command.add_subparsers(dest="what", required=True)
    made = acts.add_parser("add", help="a new key; it is shown this once")
    made.add_argument("name", help="whose it is, as usage and limits name it")
    made.add_argument("--model", action="append", default=[], help="good for this model only; may be repeated. Default: all")
    made.add_argument("--verb", action="append", choices=VERBS, help="good for this only; may be repeated. Default: all")
    made.add_argument("--team", default="", help="whose it is, for budgets and cost. Default: nobody's")
    made.add_argument("--days", type=float, help="ends after so many days. Default: when it is revoked")
    made.set_defaults(act=key_add)
    acts.add_parser("list", help="every key: scope, end, last use").set_defaults(act=key_list)
    turned = acts.add_parser("rotate", help="a new secret for a key; it is shown this once")
    turned.add_argument("name")
    turned.add_argument("--overlap-hours", type=float, default=0.0, help="so long the one before stays good. Default: 0")
    turned.set_defaults(act=key_rotate)
    ended = acts.add_parser("revoke", help="a key opens nothing any more")
    ended.add_argument("name")
    ended.set_defaults(act=key_revoke)


def _usage_parser(command: argparse.ArgumentParser) -> None:
    command.add_argument("--since", default="", help="first day (2026-01-31)")
    command.add_argument("--client", help="of this API key's owner only")
    command.add_argument("--model", help="of this model only")
    command.add_argument("--instance", default=DEFAULT_INSTANCE, help=f"the machine whose price is taken: {', '.join(INSTANCES)}")
    command.add_argument("--json", action="store_true")
    command.set_defaults(act=usage)


def table(rows: Sequence[Usage], costs: Sequence[float]) -> str:
    """Rows under headings, sums at the end."""
    lines = [HEADINGS] + [_cells(row, cost) for row, cost in zip(rows, costs, strict=True)]
    if len(rows) > 1:
        lines.append(_cells(_sum(rows), sum(costs)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(_aligned(cells, widths)) for cells in lines)


def _sum(rows: Sequence[Usage]) -> Usage:
    return Usage(
        "all",
        "",
        "",
        requests=sum(row.requests for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        untold=sum(row.untold for row in rows),
        seconds=sum(row.seconds for row in rows),
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Names to the left, figures to the right."""
    names = [cell.ljust(width) for cell, width in zip(cells[:NAMES], widths[:NAMES], strict=True)]
    return [*names, *(cell.rjust(width) for cell, width in zip(cells[NAMES:], widths[NAMES:], strict=True))]


def _cells(row: Usage, cost: float) -> tuple[str, ...]:
    counts = (row.requests, row.prompt_tokens, row.completion_tokens, row.untold)
    return (*row.key, *map(str, counts), f"{row.seconds:.1f}", f"{cost:.4f}")


if __name__ == "__main__":
    sys.exit(main())
