"""Programs that the setup itself needs: uv from the Python package index, files out of Debian's packages.

Standard library only, for Python 3.9 and later.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("UPDRAFT_RUNTIMES", REPO / ".updraft" / "runtimes"))
"""Where the runtimes' environments are."""
TOOLS = HOME.parent / "tools"
UV = "uv==0.13.8"


def find_uv() -> Path:
    """The pinned uv, installed on first use by whatever pip there is."""
    uv = TOOLS / UV.replace("==", "-") / "bin" / "uv"
    if not uv.exists():
        say("uv", f"installing {UV}")
        target = uv.parents[1]
        shutil.rmtree(target, ignore_errors=True)
        command = [*pip(), "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore", "--target", str(target), UV]
        subprocess.run(command, check=True)
    return uv


def pip() -> list[str]:
    """A command that is pip: this Python's own, the wheel that it would install, or Debian's in python3-pip-whl, unpacked without root."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return [sys.executable, "-m", "pip"]
    folders = (Path(os.__file__).parent / "ensurepip" / "_bundled", Path("/usr/share/python-wheels"))
    wheels = [wheel for folder in folders for wheel in folder.glob("pip-*.whl")] or debian("python3-pip-whl", "pip-*.whl")
    if not wheels:
        sys.exit("This Python has no pip, and Debian's python3-pip-whl cannot be fetched. Install python3-pip and try again.")
    return [sys.executable, f"{wheels[0]}/pip"]


def debian(package: str, pattern: str) -> list[Path]:
    """Files of a Debian package, downloaded and unpacked below ``TOOLS``: nothing is installed, no root is needed."""
    folder = TOOLS / "debian"
    if not list(folder.rglob(pattern)) and shutil.which("apt-get"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            # apt's lists and cache in a folder of our own: that needs no root, and a machine whose lists are empty or old does not matter.
            (Path(work) / "partial").mkdir()
            apt = ["apt-get", "-qq", f"-oDir::State::Lists={work}", f"-oDir::Cache={work}", "-oAPT::Sandbox::User=", "-oDebug::NoLocking=1"]
            for command in (["update"], ["download", package]):
                subprocess.run([*apt, *command], cwd=work, capture_output=True, check=False)
            for archive in Path(work).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    return sorted(folder.rglob(pattern))


def say(what: str, text: str) -> None:
    print(f"  {what:<9} {text}", flush=True)
