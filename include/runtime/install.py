"""Sets up the runtimes' environments from their locks. Standard library only: it runs before anything is installed.

    python3 include/runtime/python.py include/runtime/install.py [RUNTIME ...]
    --chromium      the browser that the UI's tests drive, by Debian's package
    --scaled        PostgreSQL and Redis, by Debian's packages
    --monitoring    Prometheus and Alertmanager, out of Debian's packages

Without any of these: all that `make demo` needs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__":  # run by its path, before anything is installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from include.runtime.tools import HOME, REPO, TOOLS, debian, find_uv, say

RUNTIMES = {"airflow": REPO / "requirements.lock"} | {
    path.parent.name: path for path in sorted((REPO / "docker").glob("*/requirements.lock"))
}
"""The environments that there are, each with its lock: a folder of ``docker`` is one."""
ON_PROCESSORS = ("vllm",)
"""Environments whose packages are made for the build of torch that computes on processors."""
ON_GPUS = ("llm", "quantise", "tensorrt", "torch")
"""Environments whose torch may be the build for GPUs, which needs CUDA's packages as well: those of ``CUDA``."""
CUDA = REPO / "docker" / "cuda.lock"
BASIC = ("airflow", "trainer", "triton")
"""Installed unless others are named. Language models need much more room."""
ROOM = {"airflow": 2.7, "trainer": 0.7, "triton": 0.3, "llm": 1.5, "vllm": 2.5, "quantise": 0.6, "torch": 1.2, "labels": 1.0}
"""GB on disk (x86-64, torch's build for processors; as measured in December 2026)."""

SERVERS: dict[str, Callable[[], object]] = {
    "postgresql": lambda: list(Path("/usr/lib/postgresql").glob("*/bin/postgres")),
    "redis-server": lambda: shutil.which("redis-server"),
}
"""Debian's packages of a platform that is scaled, and whether each is there."""


TEMPLATES = tuple(Path("/usr/share/prometheus/alertmanager") / f"{name}.tmpl" for name in ("default", "email"))
"""Debian's Alertmanager does not start without them, wherever it lies itself."""


def main(names: list[str]) -> int:
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"Updraft runs on Python 3.11; this is {sys.version.split()[0]}. include/runtime/python.py finds or brings one.")
    if names == ["--chromium"]:
        return chromium()
    if names == ["--scaled"]:
        return scaled()
    if names == ["--monitoring"]:
        return monitoring()
    uv = find_uv()
    announce(names or BASIC)
    for name in names or BASIC:
        install(uv, name)
    if (HOME / "airflow").exists():
        register_provider(HOME / "airflow")
    triton = HOME / "triton"
    if triton.exists():
        prepare_triton(triton)
    return 0


def announce(names: Sequence[str]) -> None:
    """Say, before anything is fetched, what will be, where to, and about how much room it takes."""
    missing = [name for name in names if not is_installed(name)]
    if missing:
        room = sum(ROOM.get(name, 0) for name in missing)
        size = f": about {room:.1f} GB on disk, a third of it to download" if all(name in ROOM for name in missing) else ""
        say("setup", f"installs {', '.join(missing)} into {HOME}{size}")


def is_installed(name: str) -> bool:
    """Whether a runtime's environment is that of its lock."""
    stamp = HOME / name / "updraft.lock"
    return stamp.exists() and stamp.read_text() == digest(name)


def digest(name: str) -> str:
    """The digest of a runtime's lock."""
    return hashlib.sha256(RUNTIMES[name].read_bytes()).hexdigest()


def install(uv: Path, name: str) -> None:
    """Make one runtime's environment equal to its lock; a no-op when it already is."""
    if is_installed(name):
        return
    lock, folder = RUNTIMES[name], HOME / name
    say(name, f"installing {sum('==' in line for line in lock.read_text().splitlines())} packages from {lock.relative_to(REPO)}")
    if not (folder / "bin" / "python").exists():
        subprocess.run([str(uv), "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    environment = os.environ | {"UV_HTTP_TIMEOUT": "180", **find_links()}
    python = ["-q", "--python", str(folder / "bin" / "python"), "--compile-bytecode"]
    build = offered_build(lock.read_text(), environment.get("UV_FIND_LINKS", ""))
    # This vLLM runs on processors, beside the build of torch that does: where the machine is not offered one, PyTorch's own index has it.
    if name in ON_PROCESSORS and not build:
        build = "+cpu"
        python += ["--torch-backend", "cpu"]
    # NVIDIA's own packages fetch themselves as they are installed: no index has their hashes. What has one is verified there, too.
    hashes = [] if name == "tensorrt" else ["--require-hashes"]
    with tempfile.TemporaryDirectory() as work:
        told = Path(work) / "requirements.lock"
        told.write_text(of_build(lock.read_text(), build))
        subprocess.run([str(uv), "pip", "sync", *python, *hashes, str(told)], check=True, env=environment)
        # Which further packages torch needs depends on the build that this machine is offered: none for processors, CUDA's for GPUs.
        if name in ON_GPUS:
            subprocess.run([str(uv), "pip", "install", *python, *hashes, "-r", str(told), "-c", str(CUDA)], check=True, env=environment)
    (folder / "updraft.lock").write_text(digest(name))


def offered_build(lock: str, links: str) -> str:
    """The build of the lock's torch (``+cpu``) among the wheels in the folders that ``links`` names, between commas and beside addresses;
    "" where there is none."""
    version = re.search(r"^torch==([^+\s]+)", lock, re.MULTILINE)
    if not version:
        return ""
    wheels = [wheel for link in links.split(",") if link for wheel in Path(link.removeprefix("file://")).glob(f"torch-{version[1]}+*.whl")]
    return "+" + wheels[0].name.split("-")[1].partition("+")[2] if wheels else ""


def of_build(lock: str, build: str) -> str:
    """The lock with a build of torch in place of its version alone: uv looks a hash up by the whole version. Pure."""
    return re.sub(r"^(torch==[^+\s]+)", rf"\g<1>{build}", lock, flags=re.MULTILINE)


def find_links() -> dict[str, str]:
    """Where pip is told to look for wheels beside its index, for uv: a machine without GPUs may be offered a smaller build of torch."""
    if "UV_FIND_LINKS" in os.environ:
        return {}
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    found = os.environ.get("PIP_FIND_LINKS") or subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {"UV_FIND_LINKS": ",".join(found.split())} if found.strip() else {}


def register_provider(folder: Path) -> None:
    """Make Airflow know `@task.gpu`: it finds providers by the entry points of installed distributions only. A module and the four files by
    which Python knows a distribution need no build tool, and no registry."""
    packages = next(folder.glob("lib/python*/site-packages"))
    module, info = "updraft_gpu_pool.py", "updraft_gpu_pool-1.dist-info"
    files = {
        module: (REPO / "plugins" / "gpu_pool" / "provider.py").read_text(),
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: updraft-gpu-pool\nVersion: 1\n",
        f"{info}/entry_points.txt": "[apache_airflow_provider]\nprovider_info = updraft_gpu_pool:get_provider_info\n",
        f"{info}/INSTALLER": "updraft\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    (packages / info).mkdir(exist_ok=True)
    for name, text in files.items():
        path = packages / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def prepare_triton(folder: Path) -> None:
    """Put the Python backend's stub where Triton looks, and libpython3.11 where the stub looks."""
    server = next(folder.glob("lib/python*/site-packages/pytriton/tritonserver"))
    stub = server / "backends" / "python" / "triton_python_backend_stub"
    if not stub.exists():
        shutil.copy2(server / "python_backend_stubs" / "3.11" / "triton_python_backend_stub", stub)
    links = folder / "libpython"
    if not (links / "libpython3.11.so.1.0").exists():
        library = find_libpython()
        links.mkdir(exist_ok=True)
        (links / "libpython3.11.so.1.0").symlink_to(library)


def find_libpython() -> Path:
    """libpython3.11.so.1.0: this Python's own, the system's, or Debian's package unpacked without root."""
    name = "libpython3.11.so.1.0"
    folders = [
        Path(sys.base_prefix) / "lib",
        Path("/lib"),
        Path("/usr/lib"),
        Path("/usr/lib/x86_64-linux-gnu"),
        Path("/usr/lib/aarch64-linux-gnu"),
    ]
    for folder in folders:
        if (folder / name).exists():
            return (folder / name).resolve()
    say("triton", "fetching libpython3.11 from Debian")
    found = debian("libpython3.11", name)
    if not found:
        sys.exit(f"Triton's Python backend needs {name}, which is not on this machine. Install it: apt-get install libpython3.11")
    return found[0].resolve()


def chromium() -> int:
    """Install Chromium where that is possible; where it is not, say so: the tests that need it are skipped."""
    if shutil.which("chromium"):
        return 0
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say("chromium", "is missing and this user cannot install it: the UI's browser tests are skipped (apt-get install chromium)")
        return 0
    say("chromium", "installing Debian's package for the UI's browser tests")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        say("chromium", f"could not be installed; the UI's browser tests are skipped: {done.stderr.strip()[-200:]}")
    return 0


def scaled() -> int:
    """Install PostgreSQL and Redis where that is possible; 1, with what to do, where it is not."""
    missing = [package for package, there in SERVERS.items() if not there()]
    if not missing:
        return 0
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        if not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
            say("scaled", f"{' and '.join(missing)} missing, and this user cannot install it: apt-get install {' '.join(missing)}")
            return 1
        sudo = ["sudo", "-n"]
    else:
        sudo = []
    if not shutil.which("apt-get"):
        say("scaled", f"{' and '.join(missing)} missing, and there is no apt-get: install it as this system does")
        return 1
    say(
        "scaled", f"installing Debian's {' and '.join(missing)} (Debian may start servers of its own with them; Updraft leaves those alone)"
    )
    for part in (["apt-get", "update", "-qq"], command):
        done = subprocess.run([*sudo, "env", "DEBIAN_FRONTEND=noninteractive", *part], capture_output=True, text=True, check=False)
    if done.returncode:
        say("scaled", f"could not be installed: {done.stderr.strip()[-500:]}")
    return done.returncode


def monitoring() -> int:
    """Unpack Prometheus and Alertmanager where they are not installed; 1, with what to do, where they cannot be fetched."""
    wanted = {"prometheus": "promtool", "prometheus-alertmanager": "amtool"}
    for package, program in wanted.items():
        if shutil.which(program) or (TOOLS / "debian" / "usr" / "bin" / program).exists():
            continue
        say("monitoring", f"fetching Debian's {package}")
        if not debian(package, program):
            say("monitoring", f"{package} cannot be fetched here: apt-get install {' '.join(wanted)}, as root")
            return 1
    return place_templates(TOOLS / "debian")


def place_templates(unpacked: Path) -> int:
    """Put the two files where Debian's Alertmanager looks for them, whatever it is told: that takes root. 1, with what to do, without.

    The package itself would start a Prometheus and an Alertmanager of its own, open to every machine.
    """
    if all(path.exists() for path in TEMPLATES):
        return 0
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not sudo or shutil.which("sudo"):
        found = [str(unpacked / path.relative_to("/")) for path in TEMPLATES]
        command = [*sudo, "install", "-D", "-m", "644", "-t", str(TEMPLATES[0].parent), *found]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return 0
    say(
        "monitoring",
        f"this user may not write {TEMPLATES[0].parent}: apt-get install prometheus-alertmanager, as root",
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
