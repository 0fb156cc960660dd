"""The runtimes as images: what they are called, and how they are built. Standard library only: it runs before anything is installed.

    python3.11 -m include.targets.images [RUNTIME ...]     build; without one: all (``make images``)

An image is named after its runtime and tagged with the digest of its lock: a changed lock asks for another image. It holds the runtime's
environment, and Updraft's code in a layer of its own behind it; weights never.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from include.runtime.install import RUNTIMES
from include.runtime.tools import REPO

IMAGES = tuple(RUNTIMES)
INSIDE = Path("/opt/updraft/.updraft/runtimes")
"""Where an image has its runtime's environment, in a folder of the runtime's name."""
PASSED_ON = ("PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS")
"""Where packages come from, as pip and uv are told: passed on to the build when it is set."""


def tag(runtime: str) -> str:
    """The runtime's tag: the first 12 digits of its lock's SHA-256."""
    return hashlib.sha256(RUNTIMES[runtime].read_bytes()).hexdigest()[:12]


def name(runtime: str, registry: str = "") -> str:
    """``updraft/<runtime>:<tag>``, in ``registry`` (``registry.example.org:5000/team``) where one is given."""
    return f"{registry.rstrip('/')}/".lstrip("/") + f"updraft/{runtime}:{tag(runtime)}"


def python(runtime: str) -> Path:
    """The interpreter in the runtime's image."""
    return INSIDE / runtime / "bin" / "python"


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


def main(runtimes: list[str]) -> int:
    """Build; the number of images that could not be built."""
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
