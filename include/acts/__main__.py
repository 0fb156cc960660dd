"""``python -m include.acts hold MODEL --why WORDS``: neither alerts nor the watch change the model's production, until ``lift MODEL --why
WORDS``. ``list``: what is held. ``acts [MODEL]``: what alerts have brought about.

Exit 0, 1 for bad input or a platform that does not answer.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from include.errors import spoken
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN
from include.runtime.own_api import own_api


@spoken
def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    print("\n".join(_lines(arguments, own_api(ADMIN))))
    return 0


def held_line(row: Mapping[str, Any]) -> str:
    """Say who holds a model, or has let it go on, since when and why."""
    return f"{row['model']} {'is held' if row['held'] else 'goes on'} since {row['at']}, by {row['who']}: {row['why']}"


def act_line(row: Mapping[str, Any]) -> str:
    """Say what became of an act."""
    end = row["run_key"] or row["reason"]
    return f"{row['at']} {row['model']} {row['act']} {row['state']} because of {row['name']}: {row['summary']} {end}".rstrip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.acts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (("hold", "stop what alerts and the watch do to a model"), ("lift", "let it go on")):
        command = commands.add_parser(name, help=about)
        command.add_argument("model")
        command.add_argument("--why", required=True, help="kept with it")
    commands.add_parser("list", help="what is held")
    commands.add_parser("acts", help="what alerts have brought about").add_argument("model", nargs="?")
    return parser


def _lines(arguments: argparse.Namespace, api: AirflowApi) -> list[str]:
    if arguments.command in ("hold", "lift"):
        why = f"{arguments.why} ({getpass.getuser()}, on the command line)"
        return [held_line(api.post("/lifecycle/v1/holds", {"model": arguments.model, "held": arguments.command == "hold", "why": why}))]
    if arguments.command == "list":
        return [held_line(row) for row in api.get("/lifecycle/v1/holds", params={"held": True})] or ["Nothing is held."]
    of_model = {"model": arguments.model} if arguments.model else {}
    return [act_line(row) for row in api.get("/lifecycle/v1/acts", params=of_model)] or ["Alerts have brought nothing about."]


if __name__ == "__main__":
    sys.exit(main())
