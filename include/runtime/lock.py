"""``make lock``: resolves every runtime's requirements into its lock, with the hashes of all files that may be installed.

Versions stay as they are locked as long as the requirements allow them; to take newer ones, raise them there. ``torch`` has several builds
of one version: the lock names the version, and the hashes of the index's builds and of those that pip is offered beside its index
(``find-links``), so that either is installed, and verified. What torch's build for GPUs needs besides is in ``docker/cuda.lock``. Standard
library only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

if __name__ == "__main__":  # run by its path, before anything is installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from include.runtime.install import CUDA, RUNTIMES, find_links
from include.runtime.tools import REPO, find_uv

BUILDS = "torch"
"""The package with builds of one version that differ in what they run on."""
OF_CUDA = ("cuda-", "nvidia-", "triton==")
"""How the names of the packages begin that torch's build for GPUs needs, and no other build."""
OPTIONS = {name: ("--overrides", f"docker/{name}/overrides.txt") for name in ("trainer", "triton", "vllm")}
BESIDE = {"tensorrt": ("tensorrt-cu12-bindings", ("tensorrt-cu12-libs", "tensorrt-cu12"))}
"""Packages of the same version as another, which fetch themselves from NVIDIA as they are installed: no index has their hashes."""
COMPILE = ("pip", "compile", "-q", "--python-version", "3.11", "--no-header", "--no-annotate", "--generate-hashes")
Blocks = dict[str, list[str]]


def blocks(lock: str) -> Blocks:
    """Requirement (``name==version``) → its hashes. Pure."""
    found: Blocks = {}
    for line in lock.splitlines():
        text = line.strip().removesuffix("\\").strip()
        if text.startswith("--hash="):
            found[next(reversed(found))].append(text)
        elif text and not text.startswith("#"):
            found[text] = []
    return found


def render(known: Mapping[str, list[str]]) -> str:
    """A lock's text. Pure."""
    return "".join(" \\\n    ".join([name, *hashes]) + "\n" for name, hashes in known.items())


def any_build(known: Blocks, indexed: Blocks) -> Blocks:
    """The same with torch in whatever build: without the build's own name, with the index's hashes too. Pure."""
    found: Blocks = {}
    for name, hashes in known.items():
        public = name.partition("+")[0] if name.startswith(f"{BUILDS}==") else name
        found[public] = sorted({*hashes, *indexed.get(public, [])})
    return found


def beside(known: Blocks, first: str, others: tuple[str, ...]) -> Blocks:
    """The same with further packages behind ``first``, of its version. Pure."""
    found: Blocks = {}
    for name, hashes in known.items():
        found[name] = hashes
        if name.startswith(f"{first}=="):
            found |= {name.replace(first, other): [] for other in others}
    return found


def resolve(uv: Path, runtime: str) -> str:
    """The lock of a runtime, anew. Raises CalledProcessError with uv's own words."""
    lock, links = RUNTIMES[runtime], find_links()
    requirements = REPO / "requirements-dev.txt" if runtime == "airflow" else lock.with_suffix(".txt")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lock"
        # What is locked now is kept; of torch that would be the index's build, whatever pip is offered beside it.
        kept = blocks(lock.read_text()) if lock.exists() else {}
        out.write_text("".join(f"{name}\n" for name in kept if not name.startswith(f"{BUILDS}==")))
        command = [str(uv), *COMPILE, *OPTIONS.get(runtime, ()), str(requirements), "-o", str(out)]
        subprocess.run(command, check=True, cwd=REPO, env=os.environ | links)
        known = blocks(out.read_text())
    build = next((name for name in known if name.startswith(f"{BUILDS}==")), None)
    if build:
        known = any_build(known, indexed(uv, build, "--no-deps"))
    return render(beside(known, *BESIDE[runtime]) if runtime in BESIDE else known)


def indexed(uv: Path, build: str, *options: str) -> Blocks:
    """What the index, and no folder beside it, has for torch's version: with its build for GPUs."""
    plain = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
    public = re.sub(r"\+.*", "", build)
    compiled = subprocess.run([str(uv), *COMPILE, *options, "-"], input=public, check=True, capture_output=True, text=True, env=plain)
    return blocks(compiled.stdout)


def cuda(uv: Path) -> str:
    """The lock of what torch's build for GPUs needs beyond the environments' own locks."""
    build = next(name for name in blocks(RUNTIMES["llm"].read_text()) if name.startswith(f"{BUILDS}=="))
    return render({name: hashes for name, hashes in indexed(uv, build).items() if name.startswith(OF_CUDA)})


def main(names: list[str]) -> int:
    uv = find_uv()
    for name in names or RUNTIMES:
        RUNTIMES[name].write_text(resolve(uv, name))
        print(f"  {name:<9} {RUNTIMES[name].relative_to(REPO)}", flush=True)
    CUDA.write_text(cuda(uv))
    print(f"  {'torch':<9} {CUDA.relative_to(REPO)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
