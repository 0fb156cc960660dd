"""How Triton serves a model on a GPU: a TensorRT plan, ONNX Runtime with TensorRT's and CUDA's execution providers, or, where neither can
be, the Python backend as on any machine.

Which it is depends on the GPU that the server gets and on the backends that the server has, so it is decided before every start
(:func:`fit`). A plan is used only where GPU and version of TensorRT are those that it was built for; at a deployment it is built anew for
others.

Only the Python backend checks what the columns' limits refuse. A model that has some stands behind one of it, which checks every request
and hands on what the model takes: two models in the server's repository, of which callers know the first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from include import atomic
from include.backends.backend import link
from include.backends.triton.spec import TritonServe
from include.bundles.table import Bundle
from include.errors import InputError
from include.runtime.settings import REPO, Settings
from include.tensorrt.gpu import leased
from include.tensorrt.plan import FOLDER, MODEL, PLAN, SHEET, Key, Sheet

FORMS = "gpu"
"""In the model's version folder: a ``<backend>.pbtxt`` for each way to serve it, and the plan's files."""
SERVED = "served.txt"
"""There: which way it is, and why no better one, in a sentence."""
PYTHON, ONNX, TENSORRT = "python", "onnxruntime", "tensorrt"
CHECKED = "checked.pbtxt"
"""There, of a model with limits: the config.pbtxt of the Python model that checks the requests."""
BEHIND = "-gpu"
"""The end of the name of the model behind that one; no model's own name has a dash."""
BUILD_S = 3600.0
LIBRARY = re.compile(r"^libnvinfer\.so\.(\d+\.\d+\.\d+)")
PLACES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/tensorrt/lib", "/usr/local/lib")


@dataclass(frozen=True)
class TritonServer:
    """What a Triton server can do: the names of its backends, and the TensorRT that it is linked with (``11.4.0``; "" for none)."""

    backends: frozenset[str]
    tensorrt: str

    @classmethod
    def at(cls, root: Path) -> TritonServer:
        """By the files at ``root``; the library's version stands in its name."""
        backends = frozenset(path.name for path in (root / "backends").glob("*") if path.is_dir())
        places = [
            root / "lib",
            root / "backends" / TENSORRT,
            *(Path(place) for place in os.environ.get("LD_LIBRARY_PATH", "").split(":") if place),
            *map(Path, PLACES),
        ]
        found = [match[1] for place in places if place.is_dir() for path in sorted(place.iterdir()) if (match := LIBRARY.match(path.name))]
        return cls(backends, found[0] if found else "")


def lay_out(bundle: Bundle, home: Path, configs: Mapping[str, str], checked: str = "") -> None:
    """Put every way to serve the bundle beside the model, in its version folder ``home``; ``configs`` are config.pbtxt by backend, and
    ``checked`` that of the Python model before the other backends', for a model with limits."""
    forms = home / FORMS
    forms.mkdir()
    if checked:
        (forms / CHECKED).write_text(checked)
    for backend, config in configs.items():
        (forms / f"{backend}.pbtxt").write_text(config)
    for name in (MODEL, PLAN, SHEET) if TENSORRT in configs else ():
        link(bundle.folder / FOLDER / name, forms / name)


def ways(bundle: Bundle, serve: TritonServe) -> tuple[str, ...]:
    """The backends that could serve the bundle on a GPU. A wrapper is called by the Python backend only."""
    if serve.resources is None or serve.wrapper is not None:
        return ()
    return (PYTHON, ONNX, TENSORRT) if (bundle.folder / FOLDER).is_dir() else (PYTHON, ONNX)


def fit(home: Path, server: TritonServer, environment: Mapping[str, str], settings: Settings, *, build: bool) -> None:
    """Make ``config.pbtxt`` above the version folder ``home`` the best way that this server has on the GPU that ``environment`` shows it.

    ``build``: a plan for another GPU may be built anew, which takes minutes.
    """
    forms = home / FORMS
    if not forms.is_dir():
        return
    backend, why = _choose(forms, server, environment, settings, build=build)
    behind = home.parent.with_name(home.parent.name + BEHIND)
    shutil.rmtree(behind, ignore_errors=True)
    (home / PLAN).unlink(missing_ok=True)
    config, place, after = forms / f"{backend}.pbtxt", home, ""
    if backend != PYTHON and (forms / CHECKED).exists():
        place, after = behind / home.name, ", behind the Python backend, which checks the columns' limits"
        place.mkdir(parents=True)
        if backend == ONNX:
            link(home / MODEL, place / MODEL)
        atomic.write(behind / "config.pbtxt", config.read_text(), mode=0o644)
        config = forms / CHECKED
    if backend == TENSORRT:
        link(forms / PLAN, place / PLAN)
    atomic.write(home.parent / "config.pbtxt", config.read_text(), mode=0o644)
    atomic.write(forms / SERVED, f"Served by Triton's backend {backend}{after}{f': {why}' if why else ''}.", mode=0o644)


def served(home: Path) -> str:
    """What :func:`fit` has decided, in a sentence; "" for a model that asks for no GPU."""
    try:
        return (home / FORMS / SERVED).read_text()
    except FileNotFoundError:
        return ""


def _choose(forms: Path, server: TritonServer, environment: Mapping[str, str], settings: Settings, *, build: bool) -> tuple[str, str]:
    gpu = leased(environment)
    if gpu is None:
        return PYTHON, "there is no NVIDIA GPU in the server's lease"
    why = ""
    if (forms / PLAN).exists():
        why = _plan(forms, server, Key(gpu, server.tensorrt), environment, settings, build=build)
        if not why:
            return TENSORRT, ""
    if ONNX in server.backends:
        return ONNX, why
    return PYTHON, "; ".join(filter(None, (why, "the server has no ONNX Runtime backend")))


def _plan(forms: Path, server: TritonServer, key: Key, environment: Mapping[str, str], settings: Settings, *, build: bool) -> str:
    """Why the plan can't be used; empty when it can, built anew if need be."""
    if TENSORRT not in server.backends:
        return "the server has no TensorRT backend"
    if not key.tensorrt:
        return "the server's version of TensorRT can't be told (no libnvinfer where it is looked for)"
    why = _unfit(forms, key)
    if not why or not build:
        return why
    failed = _rebuild(forms, environment, settings)
    return f"{why}; {failed}" if failed else _unfit(forms, key)


def _unfit(forms: Path, key: Key) -> str:
    try:
        return Sheet.read(forms / SHEET).unfit(key, forms / PLAN, forms / MODEL)
    except InputError as error:
        return str(error).rstrip(".")


def _rebuild(forms: Path, environment: Mapping[str, str], settings: Settings) -> str:
    """Build the plan on the server's GPU; why it can't be, empty when it was."""
    python = settings.python(TENSORRT)
    if not python.exists():
        return "it can't be built anew: runtime tensorrt is not installed (`make install-tensorrt`)"
    command = [str(python), "-m", "include.tensorrt.build", str(forms), "--caches", str(settings.home / FOLDER)]
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    known = kept | {"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(REPO)}
    try:
        done = subprocess.run(command, env=known | dict(environment), capture_output=True, text=True, timeout=BUILD_S, check=False)
    except subprocess.TimeoutExpired:
        return f"it could not be built anew within {BUILD_S:g} s"
    return f"it could not be built anew: {done.stderr.strip()[-400:].rstrip('.')}" if done.returncode else ""
