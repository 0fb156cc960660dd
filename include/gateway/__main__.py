"""``python -m include.gateway usage``: tokens by day, key and model, and what they cost. Exit 0, 2 for bad input."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from include.errors import UpdraftError
from include.gateway.metering import DEFAULT_INSTANCE, INSTANCES, Meter, Usage, instance
from include.platform.settings import Settings

HEADINGS = ("day (UTC)", "client", "model", "answers", "prompt", "completion", "untold", "server s", "USD")
NAMES = 3
"""Columns of text, before those of figures."""


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        settings, priced_as = Settings.load(), instance(args.instance)
        rows = Meter(settings.gateway_log, settings.usage).update()
        chosen = [row for row in rows if row.day >= args.since and args.client in (None, row.client) and args.model in (None, row.model)]
        costs = [row.cost_usd(priced_as) for row in chosen]
    except UpdraftError as error:
        print(error, file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([{**asdict(row), "usd": cost} for row, cost in zip(chosen, costs, strict=True)]))
    else:
        print(table(chosen, costs))
        print(f"Priced as {args.instance} ({priced_as.gpus}), {priced_as.usd_per_hour} USD an hour, each answer alone on it.")
    return 0


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m include.gateway", description="What the gateway knows of its callers.")
    usage = found.add_subparsers(dest="command", required=True).add_parser("usage", help="tokens by day, key and model")
    usage.add_argument("--since", default="", help="first day (2026-01-31)")
    usage.add_argument("--client", help="of this API key's owner only")
    usage.add_argument("--model", help="of this model only")
    usage.add_argument("--instance", default=DEFAULT_INSTANCE, help=f"the machine whose price is taken: {', '.join(INSTANCES)}")
    usage.add_argument("--json", action="store_true")
    return found


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
