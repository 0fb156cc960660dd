"""`make new-model`: a model's folder from a file of data. Without arguments it asks; NAME=, DATA=, TARGET= and the like answer for scripts.

python -m include.new_model --data customers.csv --name churn --target churned [--template boosted] [--task classification]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from include.errors import UpdraftError
from include.new_model import templates
from include.new_model.folder import make
from include.new_model.questions import asked
from include.runtime.settings import Settings

OPTIONS = {
    "data": "the file: .csv (any separator, encoding and decimal sign) or .parquet",
    "name": "what the model is called",
    "target": "the column to predict",
    "task": "classification or regression (default: by the target)",
    "template": "what is trained (default: the first that does the task)",
    "description": "a sentence about it",
    "use": "the columns that the model sees, with commas between them (default: all that nothing speaks against)",
    "min_score": "the score that its first version must reach (default: a little more than chance)",
    "separator": "what stands between fields (default: found out)",
    "decimal": "what stands before decimals (default: found out)",
    "encoding": "the file's encoding (default: found out)",
    "rename": "1: columns without a name or of one name are renamed in the model's copy",
}
NEEDED = ("data", "name", "target")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.new_model", description="Make a model's folder from a file of data.")
    for option, words in OPTIONS.items():
        parser.add_argument(f"--{option.replace('_', '-')}", help=words, default="")
    parser.add_argument("--templates", action="store_true", help="list the templates")
    given = vars(parser.parse_args(arguments))
    listing = given.pop("templates")
    try:
        models = Settings.load().models
        known = templates.find(models / templates.OWN)
        if listing:
            print("\n".join(f"{name}: {template.about.description}" for name, template in known.items()))
            return 0
        by_hand = sys.stdin.isatty()
        if not by_hand and (missing := [name for name in NEEDED if not given[name]]):
            print(
                f"{', '.join(name.upper() for name in missing)}: missing, and there is no terminal to ask at. Give them all.",
                file=sys.stderr,
            )
            return 2
        folder = make(asked(given, models, known, _ask if by_hand else _take, print), models)
    except UpdraftError as error:
        print(error, file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was written.", file=sys.stderr)
        return 130
    print(f"{_short(folder)} is there and checked. Its README.md says what was decided and why; the DAG {folder.name}_lifecycle follows.")
    return 0


def _ask(question: str) -> str:
    return input(f"{question}: ")


def _take(question: str) -> str:
    """Without a terminal, what is proposed is taken."""
    return ""


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
