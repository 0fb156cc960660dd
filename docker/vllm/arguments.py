"""The arguments that this vLLM knows, as JSON for ``include/backends/vllm/arguments.json``: run it by runtime `vllm`'s Python.

A name's value is its kind (``flag``, ``int``, ``number``, ``text``, ``list``, ``mapping``) or the texts that it may be.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.version import __version__


def kind(action: argparse.Action) -> Any:
    if isinstance(action, argparse.BooleanOptionalAction):
        return "flag"
    if action.nargs == "+":
        return "list"
    if action.choices:
        return [str(choice) for choice in action.choices if choice is not None]
    if getattr(action.type, "__name__", "") == "union_dict_and_str":
        return "mapping"
    if action.type is None or accepts(action, "x"):
        return "text"
    if accepts(action, "1.5"):
        return "mapping" if accepts(action, "{}") else "number"
    return "int" if accepts(action, "1") else "mapping"


def accepts(action: argparse.Action, text: str) -> bool:
    try:
        action.type(text)
    except Exception:  # each type refuses in its own way
        return False
    return True


def main() -> None:
    parser = make_arg_parser(FlexibleArgumentParser())
    switches = (argparse._StoreTrueAction, argparse._HelpAction)
    found = {
        name.removeprefix("--"): kind(action)
        for action in parser._actions
        if not isinstance(action, switches)
        for name in action.option_strings
        if name.startswith("--") and not name.startswith("--no-")
    }
    print(json.dumps({"version": __version__, "arguments": dict(sorted(found.items()))}, indent=1))


if __name__ == "__main__":
    main()
