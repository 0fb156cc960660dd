"""The files a spec names: inside the model's folder, there, and (for code) with the function in it. Code is parsed, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from include.runtime import untrusted
from include.spec.document import Fault, FieldPath
from include.spec.problem import nearest
from include.spec.schema import Spec

DATA_SUFFIXES = (".csv", ".parquet", ".jsonl", ".json")
"""Of files that may hold a model's data."""
QUERY = ".sql"
"""Ends the name of a file whose query returns a model's data."""
MAX_CODE_BYTES = 4 * 1024 * 1024
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None


def serve_faults(spec: Spec, folder: Path) -> Iterator[Fault]:
    """Yield every file and class that the spec's part ``serve`` names and that is not as it must be in ``folder``."""
    for name, entry in spec.serve.classes().items():
        yield from entry_fault(("serve", name), entry, folder, arguments=None)
    for name, file in spec.serve.files().items():
        yield from file_fault(("serve", name), file, folder)


def is_entry(source: str) -> bool:
    """Whether a data source is ``module:function`` (else it is a path)."""
    module, colon, function = source.partition(":")
    return bool(colon) and module.isidentifier() and function.isidentifier()


def is_query(source: str) -> bool:
    """Whether a data source is a file with a query."""
    return not is_entry(source) and source.endswith(QUERY)


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


def file_fault(at: FieldPath, relative: str, folder: Path) -> Iterator[Fault]:
    """Yield why ``relative`` is no plain file in the model's folder."""
    if why := outside(relative, folder):
        yield at, why, {"remedy": "Name a plain file in the model's folder."}
    elif not (folder / relative).is_file():
        here = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        yield (
            at,
            f"there is no file {relative!r} in the model's folder.",
            {"remedy": "Create it or correct the name.", "nearest": nearest(relative, here)},
        )


def entry_fault(at: FieldPath, entry: str, folder: Path, *, arguments: int | None) -> Iterator[Fault]:
    """Yield why ``entry`` is no function of a module in the model's folder that takes so many ``arguments`` (None: no class)."""
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
        with untrusted.plain(path) as file:
            raw = file.read(MAX_CODE_BYTES + 1)
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
