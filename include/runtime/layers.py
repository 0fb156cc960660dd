"""A model's own packages: ``requirements.txt`` in its folder, pinned, as a layer on the runtime that its steps run in.

A runtime with a layer is named ``trainer+<digest>``; the digest is that of the requirements and of the runtime's lock, so that the same
packages are the same layer, whatever model asks, and a changed line another. On this machine it is an environment of its own that finds
the runtime's packages behind its own, made once and kept. In containers it is a layer of the image (``docker/layer/Dockerfile``), made by
the same code.

Only wheels are installed, and no interpreter is started in the layer but a step's: a wheel's ``.pth`` files run code in each that
is, and it may bring an interpreter of its own. So nothing of a package runs outside of a step's walls. Standard library only.

    python -m include.runtime.layers RUNTIME REQUIREMENTS FOLDER     (in an image)
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from include.errors import ComponentError, InputError, UpdraftError, spoken
from include.runtime import install, tools, untrusted

FILE = "requirements.txt"
MARK = "+"
MOST_BYTES = 64 * 1024
LIMIT_S = 600.0
"""Resolving and installing together may take so long."""
STAMP = "updraft.layer"
"""Written last: a folder without it was not finished."""
SHOWN = 400
REMEDY = "Write `name==version`; other files, options and addresses are not read."
_PIN = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*==\s*([A-Za-z0-9.!+_-]+)\s*(;.*)?")
_HASH = re.compile(r" --hash=(sha256:[0-9a-f]{64})")
_FOR_UV = re.compile(r"(PATH|HOME|TMPDIR|LANG|LC_.*|SSL_CERT_(FILE|DIR)|XDG_.*|UV_.*|(HTTPS?|ALL|NO)_PROXY)", re.IGNORECASE)
"""What uv is told of the platform's environment: where packages come from, and where it may write."""
MOST_WRONG = 20
"""So many lines that can't be taken are told."""
_AWAY = re.compile(r"failed to fetch|error sending request|dns error|timed out|connection (refused|reset)|tcp connect", re.IGNORECASE)


@dataclass(frozen=True)
class Pin:
    """A line of a ``requirements.txt``: the package's name as indexes have it, its version, the line's number and its text, and the hashes
    of which its file must have one (none: any file of the index's)."""

    name: str
    version: str
    line: int
    text: str
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wrong:
    """A line that can't be taken: why, and what helps."""

    line: int
    what: str
    remedy: str


def read(path: Path) -> tuple[list[Pin], list[Wrong]]:
    """The pins of a ``requirements.txt`` and what is wrong in it; nothing where there is none."""
    if not os.path.lexists(path):
        return [], []
    found = untrusted.read(path, MOST_BYTES + 1)
    if found is None:
        return [], [Wrong(1, "is a link, or no plain file.", "Put the file itself into the model's folder.")]
    if len(found) > MOST_BYTES:
        return [], [Wrong(1, f"has more than {MOST_BYTES} bytes.", "Name the packages that the model's code imports.")]
    try:
        return parse(found.decode())
    except UnicodeDecodeError:
        return [], [Wrong(1, "is not UTF-8.", "Save it as UTF-8.")]


def parse(text: str) -> tuple[list[Pin], list[Wrong]]:
    """The same of a text. Pure."""
    pins: dict[str, Pin] = {}
    wrong: list[Wrong] = []
    for number, line in _lines(text):
        if len(wrong) == MOST_WRONG:
            break
        found = _PIN.fullmatch(_HASH.sub("", line))
        if found is None:
            wrong.append(Wrong(number, f"`{line[:80]}` {_why(line)}", REMEDY))
            continue
        pin = Pin(_canonical(found[1]), found[3], number, line, tuple(_HASH.findall(line)))
        if known := pins.get(pin.name):
            wrong.append(Wrong(number, f"{pin.name} stands in line {known.line} already.", "Keep one of them."))
        pins.setdefault(pin.name, pin)
    return list(pins.values()), wrong


def _why(line: str) -> str:
    if line.startswith("-") or "://" in line or "@" in line:
        return "is no package of an index."
    if " --hash=" in line:
        return "has a hash that is no sha256."
    return "is not pinned."


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and content of each line that says something, with single blanks; one that goes on in the next is one."""
    begun, whole = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        plain = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        begun = begun or number
        if plain.endswith("\\"):
            whole += plain[:-1] + " "
            continue
        if whole := " ".join((whole + plain).split()):
            yield begun, whole
        begun, whole = 0, ""
    if whole := " ".join(whole.split()):
        yield begun, whole


def locked(runtime: str) -> Mapping[str, str]:
    """The packages of a runtime's lock: name to version. Of torch any build is the version."""
    return _versions(_lock(runtime))


@cache
def _versions(lock: str) -> Mapping[str, str]:
    return {_canonical(name): version for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s+\\]+)", lock, re.MULTILINE)}


def faults(folder: Path, runtimes: Sequence[str]) -> list[Wrong]:
    """What in the model's ``requirements.txt`` can't be, as far as that is known without asking an index: its form, and packages that one
    of ``runtimes`` has in another version."""
    pins, wrong = read(folder / FILE)
    for runtime in runtimes if pins else ():
        there = locked(runtime)
        for pin in pins:
            if (known := there.get(pin.name)) and known != pin.version:
                what = f"asks for {pin.name}=={pin.version}, and runtime {runtime} has {pin.name}=={known}."
                wrong.append(Wrong(pin.line, what, "Take the line out, or raise the version in docker/" + runtime + "/requirements.txt."))
    return wrong


def layered(runtime: str, folder: Path) -> str:
    """The runtime's name with the layer that the model in ``folder`` asks for; ``runtime`` itself where it asks for none.

    Raises InputError for the first line that can't be."""
    if wrong := faults(folder, [runtime]):
        raise _error(folder, wrong[0].line, wrong[0].what, wrong[0].remedy)
    pins, _ = read(folder / FILE)
    return f"{runtime}{MARK}{digest(pins, runtime)}" if pins else runtime


def digest(pins: Sequence[Pin], runtime: str) -> str:
    """What the layer is made of: its pins in whatever order, the runtime's lock."""
    stated = json.dumps(sorted(pin.text for pin in pins))
    return hashlib.sha256(f"{stated}\0{_lock(runtime)}".encode()).hexdigest()[:16]


def split(name: str) -> tuple[str, str]:
    """A runtime's name without its layer, and the layer's digest (empty: it has none)."""
    runtime, _, layer = name.partition(MARK)
    return runtime, layer


def make(name: str, model: Path, folder: Path, python: Path, *, limit_s: float = LIMIT_S) -> None:
    """Make the layer ``name`` in ``folder`` on the runtime whose interpreter is ``python``, for the model in ``model``; a no-op when it is
    there.

    One at a time makes it; what a killed one has left is made anew. InputError names file, line and remedy; ComponentError: the index is
    away, or it took too long."""
    if (folder / STAMP).exists():
        return
    runtime, wanted = split(name)
    pins, wrong = read(model / FILE)
    if wrong or digest(pins, runtime) != wanted:
        raise _error(model, 0, "has changed since the step was asked for.", "Clear the task: it takes the packages as they are now.")
    folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _one_at_a_time(folder.with_name(f".{folder.name}.lock")):
        if (folder / STAMP).exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        print(f"Makes a layer of {len(pins)} packages of {model / FILE} on runtime {runtime}.", flush=True)
        uv = tools.find_uv()
        told = {key: value for key, value in os.environ.items() if _FOR_UV.fullmatch(key)}
        environment = told | {"UV_HTTP_TIMEOUT": "60", **install.find_links()}
        with tempfile.TemporaryDirectory() as work:
            lock = _resolved(uv, runtime, pins, Path(work), environment, model, limit_s)
            _run([str(uv), "venv", "-q", "--python", str(python.resolve()), str(folder)], environment, model, limit_s)
            own = next(folder.glob("lib/python*/site-packages"))
            behind = next(python.parents[1].glob("lib/python*/site-packages"))
            (own / "updraft_layer.pth").write_text(f"import site; site.addsitedir({str(behind)!r})\n")
            command = [str(uv), "pip", "install", "-q", "--python", str(folder / "bin" / "python"), "--no-deps", "--no-compile-bytecode"]
            _run([*command, "--only-binary", ":all:", "--require-hashes", "-r", str(lock)], environment, model, limit_s)
            # By the runtime's own interpreter, which sees none of it; a file that doesn't parse is compiled by whoever imports it.
            _uv([str(python.resolve()), "-I", "-S", "-m", "compileall", "-q", str(own)], environment, model, limit_s)
            (folder / STAMP).write_text(lock.read_text())
        print(f"The layer is in {folder}.", flush=True)


def _resolved(uv: Path, runtime: str, pins: Sequence[Pin], work: Path, environment: Mapping[str, str], model: Path, limit_s: float) -> Path:
    """A file with all packages of the layer, pinned and with hashes: those that the runtime has not."""
    asked, there, lock = work / "asked.txt", work / "there.txt", work / "layer.lock"
    known = locked(runtime)
    asked.write_text("".join(f"{pin.text}\n" for pin in pins))
    there.write_text("".join(f"{name}=={version}\n" for name, version in known.items()))
    command = [str(uv), "pip", "compile", "-q", "--python-version", "3.11", "--only-binary", ":all:", "--no-header", "--no-annotate"]
    done = _uv([*command, "--generate-hashes", "-c", str(there), str(asked), "-o", str(lock)], environment, model, limit_s)
    if done.returncode:
        raise explained(done.stderr, pins, runtime, model)
    blocks = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)
    named = {_canonical(block.partition("==")[0]): block for block in blocks}
    stated = {pin.name: pin for pin in pins}
    lock.write_text("".join(_held(block, stated.get(name), model) for name, block in named.items() if name not in known))
    return lock


def _held(block: str, pin: Pin | None, model: Path) -> str:
    """A package of the layer's lock with the hashes that its line states, if it states any: uv writes down those of the index."""
    if pin is None or not pin.hashes:
        return block
    there = [one for one in re.findall(r"--hash=(\S+)", block) if one in pin.hashes]
    if not there:
        raise _error(model, pin.line, f"no file of {pin.name}=={pin.version} has a hash that stands there.", "Correct the hash.")
    return " \\\n    ".join([block.partition(" \\")[0].strip(), *(f"--hash={one}" for one in there)]) + "\n"


def explained(said: str, pins: Sequence[Pin], runtime: str, model: Path) -> UpdraftError:
    """uv's words about requirements that can't be had, as an error that names file and line. Pure."""
    plain = " ".join(said.partition("\nhint:")[0].split()).removeprefix("error: ")
    plain = plain.replace("No solution found when resolving dependencies cause: ", "").replace(" cause:", ";")
    plain = re.sub(r" we can conclude that .*$", "", plain).rstrip(" ,.")
    place = f"{model / FILE}"
    if _AWAY.search(plain):
        return ComponentError(f"the packages can't be fetched ({plain[:SHOWN]}).", where=place, remedy="Is the package index reachable?")
    named = next((pin for pin in pins if re.search(rf"(?<![\w.-]){re.escape(pin.name)}(?![\w-])", plain)), None)
    line = named.line if named else 0
    own = named.name if named else "a package"
    if "not found in the package registry" in plain or "not found in the provided package locations" in plain:
        return _error(model, line, f"{own} is in no package index ({plain[:SHOWN]}).", "Correct its name.")
    if re.search(r"Python ?[><=]|Python (version|ABI) tag|requested Python version", plain):
        return _error(
            model,
            line,
            f"{own} needs another Python than the runtime's 3.11 ({plain[:SHOWN]}).",
            "Take a version that supports Python 3.11.",
        )
    if "no version of" in plain and "depends on" not in plain:
        return _error(model, line, f"{own} has no such version ({plain[:SHOWN]}).", "Name a version that there is.")
    if "no usable wheels" in plain or "no wheels" in plain or "building from source is disabled" in plain:
        remedy = f"Take a version with wheels for this machine, or have it in docker/{runtime}/requirements.txt, where sources are built."
        return _error(model, line, f"{own} comes as source only ({plain[:SHOWN]}).", remedy)
    remedy = f"Take a version that goes with runtime {runtime} (docker/{runtime}/requirements.lock)."
    return _error(model, line, f"{own} can't stand beside what runtime {runtime} has: {plain[:SHOWN]}.", remedy)


def _error(model: Path, line: int, what: str, remedy: str) -> InputError:
    return InputError(what, where=f"{model / FILE}{f':{line}' if line else ''}", remedy=remedy)


def _run(command: Sequence[str], environment: Mapping[str, str], model: Path, limit_s: float) -> None:
    done = _uv(command, environment, model, limit_s)
    if done.returncode:
        what = f"it can't be installed ({' '.join(done.stderr.split())[:SHOWN]})."
        raise ComponentError(what, where=str(model / FILE), remedy="Is there room on the disk?")


def _uv(command: Sequence[str], environment: Mapping[str, str], model: Path, limit_s: float) -> subprocess.CompletedProcess[str]:
    """What it makes may be read by all: steps run as other users."""
    try:
        return subprocess.run(command, capture_output=True, text=True, env=dict(environment), timeout=limit_s, umask=0o022, check=False)
    except subprocess.TimeoutExpired:
        what = f"fetching and installing the packages took longer than {limit_s:g} s."
        raise ComponentError(what, where=str(model / FILE), remedy="Try again.") from None


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower().strip()


def _lock(runtime: str) -> str:
    """The text of a runtime's lock. InputError where this machine has none."""
    try:
        return install.RUNTIMES[runtime].read_text()
    except (KeyError, OSError):
        what = f"asks for packages, and the lock of runtime {runtime} is not on this machine."
        raise InputError(what, where=FILE, remedy=f"Copy docker/{runtime}/requirements.lock here, beside Updraft's code.") from None


@spoken
def main(argv: Sequence[str]) -> int:
    runtime, model, folder = argv[0], Path(argv[1]), Path(argv[2])
    name = layered(runtime, model)
    make(name, model, folder, tools.HOME / runtime / "bin" / "python")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
