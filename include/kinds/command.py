"""``python -m include.spec check PATH...`` validates specs; ``python -m include.spec schema [FILE]`` prints the JSON schema for editors,
or puts it in place of FILE's content, whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic.json_schema import models_json_schema

from include import atomic
from include.kinds.check import check
from include.kinds.load import FILE, find
from include.kinds.registry import KINDS, TABLE
from include.spec.problem import Problem, SpecError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.spec", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="validate model.yaml files; exit 1 with one line a problem")
    checking.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a model.yaml, a model's folder, or a folder of model folders"
    )
    printed = commands.add_parser("schema", help="print the JSON schema of model.yaml, or write it to a file")
    printed.add_argument("file", nargs="?", type=Path, metavar="FILE", help="what it is written to, whole or not at all")
    options = parser.parse_args(arguments)
    if options.command == "schema":
        return _schema(options.file)
    return max([_check(path) for path in options.paths])


def schema() -> str:
    """The JSON schema of ``model.yaml``, as text that is the same for the same schema."""
    refs, schemas = models_json_schema([(kind.spec, "validation") for kind in KINDS.values()])
    of = {name: refs[kind.spec, "validation"] for name, kind in KINDS.items()}
    # Who writes no `kind` means a table: editors then complete and judge by its schema, not by a mixture.
    choice: dict[str, object] = dict(of[TABLE.name])
    for name in sorted(KINDS.keys() - {TABLE.name}):
        choice = {"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": of[name], "else": choice}
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": schemas["$defs"], **choice}, indent=1)


def _schema(file: Path | None) -> int:
    if file is None:
        print(schema())
        return 0
    try:
        atomic.write(file, schema() + "\n", mode=0o644)
    except OSError as error:
        print(f"{file}: can't be written: {error.strerror}. Name another file, or give yourself the right to write there.", file=sys.stderr)
        return 1
    return 0


def _check(path: Path) -> int:
    try:
        files = _files(path)
    except SpecError as error:
        print(error, file=sys.stderr)
        return 1
    return max([_check_file(file) for file in files])


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if (path / FILE).exists():
        return [path / FILE]
    found = find(path)
    if not found:
        raise SpecError([Problem(path, f"there is no {FILE} in it or in a folder of it.", remedy="Name a model.yaml or its folder.")])
    return found


def _check_file(file: Path) -> int:
    try:
        check(file)
    except SpecError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{file}: OK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
