"""``python -m include.budgets list``: budgets with what this month has used of them; ``set SCOPE NAME --tokens N --gpu-hours N``,
``remove SCOPE NAME``. SCOPE is key, team or model.

Exit 0, 1 for bad input or a platform that does not answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from include.errors import spoken
from include.gateway.budgets import SCOPES
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN
from include.runtime.own_api import own_api

PATH = "/lifecycle/v1/budgets"


@spoken
def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    print("\n".join(_lines(arguments, own_api(ADMIN))))
    return 0


def line(row: Mapping[str, Any]) -> str:
    """Say how far a budget is used."""
    parts = []
    if row["tokens"] is not None:
        reserved = f" (and {row['tokens_reserved']:,} reserved)" if row["tokens_reserved"] else ""
        parts.append(f"{row['tokens_used']:,} of {row['tokens']:,} tokens{reserved}")
    if row["gpu_hours"] is not None:
        parts.append(f"{row['gpu_hours_used']:.1f} of {row['gpu_hours']:g} GPU-hours")
    return f"{row['scope']} {row['name']}: {', '.join(parts)} this month: {row['level']}"


def _lines(arguments: argparse.Namespace, api: AirflowApi) -> list[str]:
    if arguments.command == "list":
        return [line(row) for row in api.get(PATH)] or ["Nobody has a budget."]
    path = f"{PATH}/{arguments.scope}/{arguments.name}"
    if arguments.command == "remove":
        return [str(api.call("DELETE", path))]
    body = {"tokens": arguments.tokens, "gpu_hours": arguments.gpu_hours, "warn": arguments.warn, "why": arguments.why}
    return [line(api.call("PUT", path, json=body))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.budgets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every budget, and how far it is used")
    made = commands.add_parser("set", help="what a key, a team or a model may use in a month")
    ended = commands.add_parser("remove", help="no budget any more")
    for command in (made, ended):
        command.add_argument("scope", choices=SCOPES)
        command.add_argument("name")
    made.add_argument("--tokens", type=int, help="of language models")
    made.add_argument("--gpu-hours", type=float, help="of the pool; not of a key")
    made.add_argument("--warn", type=float, default=0.8, help="share from which people are told. Default: 0.8")
    made.add_argument("--why", default="", help="kept with it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
