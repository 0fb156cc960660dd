"""`python -m include.ci`: what a CI job does for a model of its repository.

    check PATH...            the spec check, as `python -m include.spec check`
    changed MODELS           names on standard output the models whose files are among the paths on standard input (git diff --name-only)
    run PATH --key COMMIT    begins the model's run at the platform, waits for its verdict, writes the comment

`run` takes the platform's address and a user from the environment: UPDRAFT_URL, UPDRAFT_USER, UPDRAFT_PASSWORD. It ends with 0 for
PROMOTED, 1 for a version that is not in production, 2 for what can't be run, 3 for what is not decided yet.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from include import atomic
from include.ci.run import Run, changed, read_conf
from include.errors import ComponentError, InputError, UpdraftError
from include.kinds import command
from include.kinds.check import check
from include.kinds.load import FILE
from include.kinds.run_params import apply
from include.runtime.airflow_api import AirflowApi

PROMOTED, NOT_PROMOTED, UNUSABLE, OPEN = 0, 1, 2, 3
CODES = {"good": PROMOTED, "bad": NOT_PROMOTED, "warn": OPEN, "open": OPEN}
"""Exit code by how the run's outcome reads."""
PATIENCE_S = 600
"""So long the platform may be away while a run is waited for."""
VARIABLES = ("UPDRAFT_URL", "UPDRAFT_USER", "UPDRAFT_PASSWORD")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.ci", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="check specs")
    checking.add_argument("paths", nargs="+", metavar="PATH")
    listing = commands.add_parser("changed", help="name the models that changed")
    listing.add_argument("models", type=Path, help="the folder of models, relative to the repository")
    running = commands.add_parser("run", help="run a model at the platform, and wait for its verdict")
    running.add_argument("path", type=Path, metavar="PATH", help="the model's folder")
    running.add_argument("--key", required=True, help="the commit's hash: a job that is run again finds the run that it has begun")
    running.add_argument("--conf", default="", help="parameters of the run as JSON")
    running.add_argument("--minutes", type=float, default=240, help="how long to wait (minutes; 240)")
    running.add_argument("--comment", type=Path, help="the file that the comment is written to (Markdown)")
    options = parser.parse_args(arguments)
    if options.command == "check":
        return command.main(["check", *options.paths])
    if options.command == "changed":
        print("\n".join(changed(sys.stdin.read().split("\n"), options.models)))
        return 0
    try:
        return _run(options)
    except ComponentError as error:
        print(error, file=sys.stderr)
        return OPEN
    except UpdraftError as error:
        print(error, file=sys.stderr)
        return UNUSABLE


def _run(options: argparse.Namespace) -> int:
    spec = check(options.path / FILE)
    conf = read_conf(options.conf)
    run = Run(_api(), spec.name, options.key)
    began = run.begin(conf, lambda words: print(words, flush=True))
    print(f"{'Begun' if began else 'There already'}: {run.url}", flush=True)
    run.wait(options.minutes, lambda words: print(words, flush=True))
    data = run.found()
    different = run.different(apply(spec, conf))
    text = run.told(data, different)
    if options.comment:
        atomic.write(options.comment, text, mode=0o644)
    print(text)
    return NOT_PROMOTED if different else CODES[data.result.tone]


def _api() -> AirflowApi:
    if missing := [name for name in VARIABLES if not os.environ.get(name)]:
        raise InputError(
            f"{', '.join(missing)} not set.", where="environment", remedy="Set the platform's address and a user of it (docs/ci.md)."
        )
    url, user, password = (os.environ[name] for name in VARIABLES)
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url[:80]!r} is no address.", where="UPDRAFT_URL", remedy="Write https://...")
    return AirflowApi(url, user, password, patience_s=PATIENCE_S, say=print)


if __name__ == "__main__":
    sys.exit(main())
