"""``python -m include.evidence``: whether what runs have found is as it was kept, and whether each verdict follows from its evidence.

``verify-history`` walks the chain of hashes over all verdicts, looks and acts; ``recompute`` decides every stored verdict again. Both read
the running platform's API as its viewer. Exit 0, 1 when something is not as it was, 2 for bad input or a platform that does not answer.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from include.errors import InputError, UpdraftError
from include.evidence.chain import Entry, Head, faults
from include.evidence.recompute import complete, difference
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import VIEWER
from include.runtime.own_api import own_api

PAGE = 500
SHOWN = 50
"""Faults that are printed; all are counted."""
HISTORY = "/lifecycle/v1/history"


def main(argv: Sequence[str] | None = None, api: AirflowApi | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return int(args.act(args, api or own_api(VIEWER)))
    except UpdraftError as error:
        print(error, file=sys.stderr)
        return 2


def verify_history(args: argparse.Namespace, api: AirflowApi) -> int:
    """Check the chain; print what is wrong with it, and its end, to be noted where nobody who writes here can write."""
    head = _head(api)
    found = list(faults(entries(api, head.number), head, _anchors(args.anchor)))
    _print(found)
    print(f"{head.number} entries, {len(found)} faults. The end of the chain, to be given as --anchor another time: {head}")
    return 1 if found else 0


def recompute(args: argparse.Namespace, api: AirflowApi) -> int:
    """Decide every verdict again from its evidence; print those that come out otherwise. Other words alone are counted, and no fault."""
    looks: dict[str, list[dict[str, Any]]] = {}
    seen: Counter[str] = Counter()
    found, old, reworded = [], 0, 0
    for entry in entries(api, _head(api).number):
        content = entry.content
        if entry.kind == "look":
            looks.setdefault(content["run_key"], []).append(content["body"])
            continue
        if entry.kind == "act":  # a person's: nothing to decide again
            continue
        kind, evidence = content["kind"], content["body"].get("evidence", {})
        if not complete(kind, evidence):
            old += 1
            continue
        seen[kind] += 1
        problem = difference(kind, content["body"], looks.get(content["run_key"], ()))
        if problem is not None and problem.only_words:
            reworded += 1
        elif problem is not None:
            found.append(f"entry {entry.number}: {kind} of {content['run_key']} {problem.said}")
    _print(found)
    by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.items())) or "no verdicts"
    print(f"{by_kind} computed again, {len(found)} come out otherwise; {old} of an earlier version keep too little evidence for it.")
    if reworded:
        print(f"{reworded} come out with the same decision, evidence and rules, in other words than those of the version that kept them.")
    return 1 if found else 0


def entries(api: AirflowApi, until: int) -> Iterator[Entry]:
    """The chain's entries up to the number ``until``, in order."""
    after = 0
    while after < until:
        page = api.get(HISTORY, params={"after": after, "limit": PAGE})["entries"]
        if not page:
            return
        for row in page:
            if row["number"] > until:
                return
            yield Entry(**row)
        after = page[-1]["number"]


def _head(api: AirflowApi) -> Head:
    return Head(**api.get(HISTORY, params={"limit": 1})["head"])


def _anchors(texts: Sequence[str]) -> list[Head]:
    try:
        return [Head.parse(text) for text in texts]
    except ValueError as error:
        raise InputError(f"{error}.", where="--anchor", remedy="Give one as verify-history has printed it.") from None


def _print(problems: Sequence[str]) -> None:
    print("\n".join(problems[:SHOWN]), end="\n" if problems else "")
    if len(problems) > SHOWN:
        print(f"... and {len(problems) - SHOWN} more")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m include.evidence", description="What runs have found, checked.")
    commands = found.add_subparsers(dest="command", required=True)
    history = commands.add_parser("verify-history", help="whether every verdict, look and act is as it was kept")
    history.add_argument("--anchor", action="append", default=[], help="number:hash that was noted before; may be repeated")
    history.set_defaults(act=verify_history)
    commands.add_parser("recompute", help="whether every verdict follows from its evidence").set_defaults(act=recompute)
    return found


if __name__ == "__main__":
    sys.exit(main())
