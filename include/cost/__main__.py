"""``python -m include.cost``: what a month has cost, by team, model and run, as a table; ``--csv`` or ``--json`` for all of it.

Exit 0, 1 for bad input or a platform that does not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from include.errors import spoken
from include.runtime.credentials import ADMIN
from include.runtime.own_api import own_api

PATH = "/lifecycle/v1/cost"
MOST = 20


@spoken
def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    api, params = own_api(ADMIN), {"month": arguments.month} if arguments.month else {}
    if arguments.csv:
        print(api.text(PATH, params={**params, "format": "csv"}), end="")
    else:
        found = api.get(PATH, params=params)
        print(json.dumps(found) if arguments.json else "\n".join(lines(found)))
    return 0


def lines(found: Mapping[str, Any]) -> list[str]:
    """Write a month's cost for a terminal: sums by team and by model, then the most expensive work."""
    currency = found["currency"]
    told = [f"{found['month']}: {_sum(found['total'], currency)}"]
    for part in ("team", "model"):
        told += ["", f"by {part}:"] + [f"  {one['name'] or '-'}: {_sum(one, currency)}" for one in found[f"by_{part}"]]
    if found["gpus"]:
        told += ["", "GPUs:"]
    for line in found["gpus"][:MOST]:
        rate = "simulated" if line["simulated"] else "spot" if line["spot"] else "on demand"
        running = f", {line['running']} running" if line["running"] else ""
        work = f"{line['run']} {line['what']}".strip()
        told.append(f"  {work}: {line['gpu_hours']:.2f} h of {line['gpu']} ({rate}{running}): {_cost(line['cost'], currency)}")
    if found["tokens"]:
        told += ["", "Tokens:"]
    for line in found["tokens"][:MOST]:
        counts = f"{line['prompt_tokens']} + {line['completion_tokens']} tokens"
        told.append(
            f"  {line['client'] or '-'} of {line['model']}: {counts} in {line['requests']} answers: {_cost(line['cost'], currency)}"
        )
    more = sum(max(0, len(found[part]) - MOST) for part in ("gpus", "tokens")) + found["left_out"]
    return told + ([f"... and {more} lines more: --csv"] if more else [])


def _sum(one: Mapping[str, Any], currency: str) -> str:
    more = " and what has no price" if one["unpriced"] else ""
    return f"{one['cost']:.2f} {currency}{more}, {one['gpu_hours']:.2f} GPU-hours, {one['tokens']} tokens"


def _cost(cost: float | None, currency: str) -> str:
    return "no price" if cost is None else f"{cost:.2f} {currency}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.cost", description=__doc__)
    parser.add_argument("--month", help="year and month in UTC (2026-12). Default: this month")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="every line, as CSV")
    form.add_argument("--json", action="store_true", help="as the API answers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
