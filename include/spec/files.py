"""The files a spec names: inside the model's folder, there, and (for code) with the function in it. Code is parsed, never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from include.errors import InputError
from include.judge import labels
from include.spec.document import Fault, FieldPath
from include.spec.llm import AnySpec, Judge, LlmSpec
from include.spec.problem import SpecError, nearest
from include.spec.schema import ModelSpec

TABLES = (".csv", ".parquet")
CHATS = (".jsonl",)
REGISTERED = re.compile(r"models:/[^/:@]+/[1-9]\d*")
"""A version of a model in MLflow's registry."""
HUB_ID = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}")
"""A repository on the Hugging Face Hub; looked for only when it is needed."""
MAX_CODE_BYTES = 4 * 1024 * 1024
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None


def faults(spec: AnySpec, folder: Path) -> Iterator[Fault]:
    """Every file or entry point of ``spec`` that is not as it must be in ``folder``."""
    if isinstance(spec, LlmSpec):
        yield from _of_llm(spec, folder)
    else:
        yield from _of_table(spec, folder)
    for name, entry in spec.serve.classes().items():
        yield from _entry(("serve", name), entry, folder, arguments=None)
    for name, file in spec.serve.files().items():
        yield from _file(("serve", name), file, folder)


def _of_llm(spec: LlmSpec, folder: Path) -> Iterator[Fault]:
    if is_entry(spec.data.source):
        yield from _entry(("data", "source"), spec.data.source, folder, arguments=0)
    elif Path(spec.data.source).suffix not in CHATS:
        remedy = "Name `module:function` of a Python file in the model's folder, or a .jsonl file there."
        yield ("data", "source"), f"{spec.data.source[:80]!r} is neither a function nor JSON Lines.", {"remedy": remedy}
    else:
        yield from _file(("data", "source"), spec.data.source, folder)
    if spec.data.expectations is not None:
        yield from _file(("data", "expectations"), spec.data.expectations, folder)
    for number, path in enumerate(spec.evaluate.harness):
        yield from _file(("evaluate", "harness", number), path, folder)
    if spec.evaluate.judge is not None:
        yield from _judge(spec.evaluate.judge, folder)
    yield from _base(("base",), spec.base, folder)
    if spec.train.teacher is not None:
        yield from _base(("train", "teacher"), spec.train.teacher, folder)


def _judge(judge: Judge, folder: Path) -> Iterator[Fault]:
    for name, read in (("rubric", labels.rubric), ("labels", labels.read)):
        at: FieldPath = ("evaluate", "judge", name)
        missing = list(_file(at, getattr(judge, name), folder))
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
        yield from _entry(at, base, folder, arguments=1)
    elif base.startswith("models:"):
        if not REGISTERED.fullmatch(base):
            yield at, f"{base[:80]!r} names no version of a model.", {"remedy": "Write `models:/<name>/<version>`."}
    elif (folder / base).is_dir() or base.startswith(("/", ".", "~")):  # an absolute path stays absolute
        if not (folder / base / "config.json").is_file():
            yield at, f"there is no config.json in {base[:200]!r}.", {"remedy": "Name a folder with a Hugging Face model."}
    elif not HUB_ID.fullmatch(base):
        remedy = "Name a folder with a Hugging Face model, `models:/<name>/<version>`, a Hub id (`owner/name`), or `module:function`."
        folders = [path.name for path in folder.iterdir() if path.is_dir()]
        yield at, f"{base[:80]!r} is no base model.", {"remedy": remedy, "nearest": nearest(base, folders)}


def _of_table(spec: ModelSpec, folder: Path) -> Iterator[Fault]:
    source: FieldPath = ("data", "source")
    if is_entry(spec.data.source):
        yield from _entry(source, spec.data.source, folder, arguments=0)
    elif Path(spec.data.source).suffix not in TABLES:
        remedy = "Name `module:function` of a Python file in the model's folder, or a .csv or .parquet file there."
        yield source, f"{spec.data.source[:80]!r} is neither a function nor a table.", {"remedy": remedy}
    else:
        yield from _file(source, spec.data.source, folder)
    yield from _file(("data", "expectations"), spec.data.expectations, folder)
    yield from _entry(("train", "entry"), spec.train.entry, folder, arguments=3)


def is_entry(source: str) -> bool:
    """Whether a data source is ``module:function`` (else it is a path)."""
    module, colon, function = source.partition(":")
    return bool(colon) and module.isidentifier() and function.isidentifier()


def outside(relative: str, folder: Path) -> str | None:
    """Why ``relative`` is no path that stays in ``folder``; None when it is."""
    path = PurePosixPath(relative)
    if "\0" in relative or "\\" in relative or any(len(part) > 255 for part in path.parts):
        return f"{relative[:80]!r} is no usable path."
    if path.is_absolute() or ".." in path.parts or relative.startswith("~"):
        return f"{relative[:80]!r} leaves the model's folder."
    for n in range(1, len(path.parts) + 1):
        if folder.joinpath(*path.parts[:n]).is_symlink():
            return f"{'/'.join(path.parts[:n])!r} is a symbolic link."
    return None


def _file(at: FieldPath, relative: str, folder: Path) -> Iterator[Fault]:
    if why := outside(relative, folder):
        yield at, why, {"remedy": "Name a plain file in the model's folder."}
    elif not (folder / relative).is_file():
        here = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        yield (
            at,
            f"there is no file {relative!r} in the model's folder.",
            {"remedy": "Create it or correct the name.", "nearest": nearest(relative, here)},
        )


def _entry(at: FieldPath, entry: str, folder: Path, *, arguments: int | None) -> Iterator[Fault]:
    """``arguments``: how many the function is called with; None stands for a class."""
    module, _, name = entry.partition(":")
    candidates = [candidate for candidate in (f"{module}.py", f"{module}/__init__.py") if (folder / candidate).is_file()]
    if not candidates:
        modules = sorted(path.stem for path in folder.glob("*.py"))
        yield (
            at,
            f"there is no {module}.py in the model's folder.",
            {"remedy": "Create it or correct the name.", "nearest": nearest(module, modules)},
        )
        return
    file = candidates[0]
    if why := outside(file, folder):
        yield at, why, {"remedy": "Keep the model's code in its folder."}
        return
    names = _definitions(folder / file)
    if isinstance(names, str):
        yield at, f"{file} {names}", {"remedy": "Correct the file."}
    elif name not in names:
        kind = "class" if arguments is None else "function"
        yield (
            at,
            f"{file} defines no {kind} `{name}`.",
            {"remedy": f"Write it or correct the name (`{entry}`).", "nearest": nearest(name, list(names))},
        )
    elif why := _misfit(names[name], arguments):
        yield at, f"`{name}` in {file} {why}", {"remedy": "See the contract in the field's description (`python -m include.spec schema`)."}


def _definitions(path: Path) -> dict[str, _Definition] | str:
    """Top-level names with their definition (None where the name is bound another way), or what is wrong with the file."""
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_CODE_BYTES:
            return f"is larger than {MAX_CODE_BYTES // 2**20} MiB."
        tree = ast.parse(raw)
    except SyntaxError as error:
        return f"is no valid Python: {error.msg} (line {error.lineno})."
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return f"can't be parsed: {error}."
    names: dict[str, _Definition] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name): None for alias in node.names}
        else:
            names |= {leaf.id: None for leaf in ast.walk(node) if isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Store)}
    return names


def _misfit(node: _Definition, arguments: int | None) -> str | None:
    if node is None:
        return None
    if arguments is None:
        return None if isinstance(node, ast.ClassDef) else "is no class."
    if isinstance(node, ast.ClassDef):
        return "is a class, not a function."
    if isinstance(node, ast.AsyncFunctionDef):
        return "is asynchronous; a plain function is needed."
    accepted = len(node.args.posonlyargs) + len(node.args.args)
    required = accepted - len(node.args.defaults)
    keyword_only = any(default is None for default in node.args.kw_defaults)
    if keyword_only or required > arguments or (accepted < arguments and node.args.vararg is None):
        return f"can't be called with {arguments} positional arguments."
    return None
