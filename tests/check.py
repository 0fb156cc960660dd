"""Runs what is fast: ``python -m tests.check``, as `make check` does.

Style, types, the rooms' contracts, and the unit tests: those of the files that import nothing which starts a program or a server, neither
themselves nor by the tests' own modules and the fixtures that they use, but for those that compute for seconds (marked `slow`). `make lint`
and `make test` do all.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path

from include.runtime.settings import REPO

STARTERS = (
    "airflow",
    "aiohttp",
    "asyncpg",
    "dags",
    "docker",
    "gpu_pool",
    "http.server",
    "include.platform",
    "include.runtime.supervisor",
    "include.serving.revisions",
    "include.targets",
    "lifecycle",
    "mlflow",
    "multiprocessing",
    "playwright",
    "socket",
    "socketserver",
    "subprocess",
    "threading",
    "uvicorn",
)
"""Modules by which tests start programs and servers, or which alone take seconds to import."""
FOLDERS = (REPO / "tests" / "include", REPO / "tests" / "bench", REPO / "tests" / "plugins")
WORKERS = 2


def main() -> int:
    """Run each check, two at once, all of them whatever one says; 0 when each passed."""
    programs = Path(sys.executable).parent
    checks = [
        [sys.executable, "-m", "pytest", "-q", "-n", str(WORKERS), "-m", "not slow", *(str(file) for file in unit_tests())],
        [str(programs / "ruff"), "check", "."],
        [str(programs / "ruff"), "format", "--check", "."],
        [str(programs / "lint-imports")],
        [str(programs / "dmypy"), "run", "--timeout", "3600", "--", "include", "plugins", "dags"],
    ]
    with ThreadPoolExecutor(2) as pool:
        return 0 if all([_passes(done.result()) for done in as_completed(pool.submit(_run, check) for check in checks)]) else 1


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def _passes(done: subprocess.CompletedProcess[str]) -> bool:
    print(done.stdout, end="", flush=True)
    return done.returncode == 0


def unit_tests() -> list[Path]:
    """Return the test files that start no program and no server."""
    return [file for folder in FOLDERS for file in sorted(folder.rglob("test_*.py")) if not starts(file)]


def starts(file: Path) -> bool:
    """Whether a test file, the tests' modules that it imports or a conftest whose fixtures it uses import one of :data:`STARTERS`."""
    looked: set[Path] = set()
    left = [file]
    while left:
        module = left.pop()
        if module in looked:
            continue
        looked.add(module)
        names = imports(module)
        if any(name == starter or name.startswith(f"{starter}.") for name in names for starter in STARTERS):
            return True
        left += [found for name in names if (found := _of_tests(name))] + _conftests(module)
    return False


@cache
def imports(file: Path) -> frozenset[str]:
    """Return the modules that a file imports, wherever in it, by their whole names; of ``from a import b`` both ``a`` and ``a.b``."""
    return frozenset(_imports(_tree(file)))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _of_tests(name: str) -> Path | None:
    file = REPO / f"{name.replace('.', '/')}.py"
    return file if name.startswith("tests.") and file.is_file() else None


def _conftests(file: Path) -> list[Path]:
    asked = _parameters(file)
    above = [folder / "conftest.py" for folder in file.parents if folder != REPO / "tests" and (REPO / "tests") in folder.parents]
    return [conftest for conftest in above if conftest.is_file() and conftest != file and asked & _fixtures(conftest)]


@cache
def _parameters(file: Path) -> frozenset[str]:
    functions = [node for node in ast.walk(_tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(argument.arg for function in functions for argument in function.args.args)


@cache
def _fixtures(conftest: Path) -> frozenset[str]:
    functions = [node for node in _tree(conftest).body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    return frozenset(function.name for function in functions)


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


if __name__ == "__main__":
    sys.exit(main())
