"""The runtimes as images: what they are called, and how they are built. Standard library only: it runs before anything is installed.

    python3 include/runtime/python.py -m include.targets.images [RUNTIME ...]     build; without one: all (``make images``)

With ``MODEL`` in the environment: the layer of that model's own packages (``include.runtime.layers``) on these runtimes (default: trainer).

An image is named after its runtime and tagged with the digest of its lock: a changed lock asks for another image. It holds the runtime's
environment, and Updraft's code in a layer of its own behind it; weights never.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from include.errors import InputError
from include.runtime import layers
from include.runtime.install import RUNTIMES
from include.runtime.tools import REPO

IMAGES = tuple(name for name in RUNTIMES if (REPO / "docker" / name / "Dockerfile").exists())
INSIDE = Path("/opt/updraft/.updraft/runtimes")
"""Where an image has its runtime's environment, in a folder of the runtime's name."""
PASSED_ON = ("PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS")
"""Where packages come from, as pip and uv are told: passed on to the build when it is set."""


def tag(runtime: str) -> str:
    """The runtime's tag: the first 12 digits of its lock's SHA-256, with the digest of a model's own packages behind it."""
    base, layer = layers.split(runtime)
    digest = hashlib.sha256(RUNTIMES[base].read_bytes()).hexdigest()[:12]
    return f"{digest}-{layer}" if layer else digest


def name(runtime: str, registry: str = "") -> str:
    """``updraft/<runtime>:<tag>``, in ``registry`` (``registry.example.org:5000/team``) where one is given."""
    return f"{registry.rstrip('/')}/".lstrip("/") + f"updraft/{layers.split(runtime)[0]}:{tag(runtime)}"


def python(runtime: str) -> Path:
    """The interpreter in the runtime's image."""
    return INSIDE / runtime / "bin" / "python"


def contained(interpreter: str, runtime: str, folder: Path) -> tuple[str, ...]:
    """The command of a step's container, in which ``interpreter`` runs the step.

    With a layer its first process, which gives up what the step mustn't have, is the runtime's own interpreter: in the layer's, code of the
    layer's packages runs before anything else.
    """
    base, layer = layers.split(runtime)
    started = ("-m", "include.steps.contained", str(folder))
    return (str(python(base)), *started, interpreter) if layer else (interpreter, *started)


def command(runtime: str, base: str = "", network: str = "") -> list[str]:
    """``docker build`` of a runtime; ``base``: another image to build from, ``network``: the network of the build."""
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, text=True, check=False).stdout.strip()
    found = ["docker", "build", "--file", str(REPO / "docker" / runtime / "Dockerfile"), "--tag", name(runtime)]
    found += ["--label", f"org.opencontainers.image.revision={revision}", "--label", f"org.opencontainers.image.version={tag(runtime)}"]
    found += ["--build-arg", f"BASE={base}"] if base else []
    found += ["--network", network] if network else []
    for variable in PASSED_ON:
        found += ["--build-arg", variable] if os.environ.get(variable) else []
    return [*found, str(REPO)]


def layer_command(runtime: str, folder: Path, network: str = "") -> list[str]:
    """``docker build`` of the layer (a runtime's name with one) on the runtime's own image. ``folder`` has the runtime's lock and the
    model's requirements."""
    base, digest = layers.split(runtime)
    given = {"BASE": name(base), "RUNTIME": base, "LAYER": f"{base}-{digest}"}
    found = ["docker", "build", "--file", str(REPO / "docker" / "layer" / "Dockerfile"), "--tag", name(runtime)]
    found += [part for key, value in given.items() for part in ("--build-arg", f"{key}={value}")]
    found += ["--network", network] if network else []
    for variable in PASSED_ON:
        found += ["--build-arg", variable] if os.environ.get(variable) else []
    return [*found, str(folder)]


def build_layers(folder: Path, runtimes: list[str]) -> int:
    """Build the layers of a model's own packages on these runtimes; the number of those that could not be built."""
    failed = 0
    for runtime in runtimes or ["trainer"]:
        try:
            layer = layers.layered(runtime, folder)
        except InputError as error:
            print(f"Updraft: {error}", file=sys.stderr)
            return 1
        if layer == runtime:
            print(f"{folder / layers.FILE} names no package.", file=sys.stderr)
            return 1
        print(f"  {runtime:<10} {name(layer)}", flush=True)
        with tempfile.TemporaryDirectory() as context:
            shutil.copyfile(folder / layers.FILE, Path(context) / layers.FILE)
            shutil.copyfile(RUNTIMES[runtime], Path(context) / "requirements.lock")
            command = layer_command(layer, Path(context), os.environ.get("BUILD_NETWORK", ""))
            failed += bool(subprocess.run(command, check=False).returncode)
    return failed


def main(runtimes: list[str]) -> int:
    """Build; the number of images that could not be built."""
    if model := os.environ.get("MODEL"):
        return build_layers(Path(os.environ.get("UPDRAFT_MODELS", REPO / "include" / "models")) / model, runtimes)
    unknown = [runtime for runtime in runtimes if runtime not in IMAGES]
    if unknown:
        print(f"RUNTIMES: there is no runtime {', '.join(unknown)}. Use some of: {', '.join(IMAGES)}.", file=sys.stderr)
        return len(unknown)
    if not shutil.which("docker"):
        print(
            "Images are built by the command `docker`, which is not here: install Docker's client (apt-get install docker.io).",
            file=sys.stderr,
        )
        return 1
    failed = []
    for runtime in runtimes or IMAGES:
        print(f"  {runtime:<10} {name(runtime)}", flush=True)
        if subprocess.run(command(runtime, os.environ.get("BASE", ""), os.environ.get("BUILD_NETWORK", "")), check=False).returncode:
            failed.append(runtime)
    if failed:
        print(f"Not built: {', '.join(failed)}. Docker's own words are above.", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
