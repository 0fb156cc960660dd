"""The files that a language model's spec names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from include.errors import InputError
from include.judge import labels
from include.spec.document import Fault, FieldPath
from include.spec.files import entry_fault, file_fault, is_entry
from include.spec.llm import Judge, LlmSpec
from include.spec.problem import SpecError, nearest
from include.spec.registered import is_registered, version_fault

CHATS = (".jsonl",)
HUB_ID = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}")
"""A repository on the Hugging Face Hub; looked for only when it is needed."""


def faults(spec: LlmSpec, folder: Path) -> Iterator[Fault]:
    """Yield every file or entry point of ``spec`` that is not as it must be in ``folder``."""
    if is_entry(spec.data.source):
        yield from entry_fault(("data", "source"), spec.data.source, folder, arguments=0)
    elif Path(spec.data.source).suffix not in CHATS:
        remedy = "Name `module:function` of a Python file in the model's folder, or a .jsonl file there."
        yield ("data", "source"), f"{spec.data.source[:80]!r} is neither a function nor JSON Lines.", {"remedy": remedy}
    else:
        yield from file_fault(("data", "source"), spec.data.source, folder)
    if spec.data.expectations is not None:
        yield from file_fault(("data", "expectations"), spec.data.expectations, folder)
    for number, path in enumerate(spec.evaluate.harness):
        yield from file_fault(("evaluate", "harness", number), path, folder)
    if spec.evaluate.judge is not None:
        yield from _judge(spec.evaluate.judge, folder)
    yield from _base(("base",), spec.base, folder)
    if spec.train.teacher is not None:
        yield from _base(("train", "teacher"), spec.train.teacher, folder)


def _judge(judge: Judge, folder: Path) -> Iterator[Fault]:
    for name, read in (("rubric", labels.rubric), ("labels", labels.read)):
        at: FieldPath = ("evaluate", "judge", name)
        missing = list(file_fault(at, getattr(judge, name), folder))
        yield from missing
        if not missing:
            yield from _unreadable(at, folder, folder / getattr(judge, name), read)


def _unreadable(at: FieldPath, folder: Path, path: Path, read: Callable[[Path], object]) -> Iterator[Fault]:
    try:
        read(path)
    except SpecError as error:
        for problem in error.problems:
            where = f"{path.relative_to(folder)}:{problem.line}" + (f": {problem.field}" if problem.field else "")
            yield at, f"{where}: {problem.message}", {"remedy": problem.remedy, "allowed": problem.allowed, "nearest": problem.nearest}
    except InputError as error:
        yield at, f"{path.relative_to(folder)}: {error.what}", {"remedy": error.remedy}


def _base(at: FieldPath, base: str, folder: Path) -> Iterator[Fault]:
    if is_entry(base):
        yield from entry_fault(at, base, folder, arguments=1)
    elif is_registered(base):
        yield from version_fault(at, base)
    elif (folder / base).is_dir() or base.startswith(("/", ".", "~")):  # an absolute path stays absolute
        if not (folder / base / "config.json").is_file():
            yield at, f"there is no config.json in {base[:200]!r}.", {"remedy": "Name a folder with a Hugging Face model."}
    elif not HUB_ID.fullmatch(base):
        remedy = "Name a folder with a Hugging Face model, `models:/<name>/<version>`, a Hub id (`owner/name`), or `module:function`."
        folders = [path.name for path in folder.iterdir() if path.is_dir()]
        yield at, f"{base[:80]!r} is no base model.", {"remedy": remedy, "nearest": nearest(base, folders)}
