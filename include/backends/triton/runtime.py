"""Triton as the PyPI wheel lays it out: where its server, its stub and the stub's libpython are."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from include.errors import ComponentError

SERVER = "UPDRAFT_TRITON"
"""Names the folder of another Triton server, one with GPU backends, say (``/opt/tritonserver`` in NVIDIA's image). Its Python backend finds
its models' packages by the ``python3`` of the usual places."""
_STUB = "triton_python_backend_stub"
_PLACE = "pytriton/tritonserver"


@dataclass(frozen=True)
class TritonRuntime:
    """The `triton` runtime of this machine, or of its image, ready to be started."""

    python: Path
    root: Path
    library_path: str
    """Folder of libpython for LD_LIBRARY_PATH; empty when the system's linker finds one."""

    own: bool = True
    """Whether it is the wheel's server, whose models have this runtime's packages."""

    @classmethod
    def in_image(cls, python: Path, root: Path | None = None) -> TritonRuntime:
        """As `make images` lays it out, its stub in place, or where another image has it; the image knows where its libraries are."""
        return cls(python, root or python.parent.parent / "lib" / "python3.11" / "site-packages" / _PLACE, "", own=root is None)

    @property
    def server(self) -> Path:
        return self.root / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        return self.root / "backends"

    def environment(self) -> dict[str, str]:
        """Of the server's process: its stub takes the first ``python3`` on PATH for the environment of the models."""
        first = self.python.parent if self.own else "/usr/local/bin"
        paths = {"PATH": f"{first}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        return paths | ({"LD_LIBRARY_PATH": self.library_path} if self.library_path else {})


def find_runtime(python: Path) -> TritonRuntime:
    """Locate the runtime of this interpreter and put its stub in place; ComponentError that names what is missing."""
    if server := os.environ.get(SERVER):
        root = Path(server)
        if not (root / "bin" / "tritonserver").is_file():
            raise ComponentError(f"there is no bin/tritonserver in {server}.", where=SERVER, remedy="Name the folder that holds it.")
        return TritonRuntime(python, root, "", own=False)
    lib = python.parent.parent / "lib"
    found = next(lib.glob(f"python*/site-packages/{_PLACE}"), None)
    if found is None:
        raise ComponentError("the triton runtime is not installed.", where=str(lib), remedy="Run `make install`.")
    place_stub(found)
    return TritonRuntime(python, found, _libpython(str(python)))


def place_stub(root: Path, version: str = "3.11") -> None:
    """The wheel ships a stub for each Python; the server wants the right one beside its backend. Atomic, and a no-op when it is there."""
    target = root / "backends" / "python" / _STUB
    source = root / "python_backend_stubs" / version / _STUB
    if target.exists():
        return
    if not source.exists():
        raise ComponentError(f"has no stub for Python {version}.", where=str(source.parent), remedy="Reinstall the triton runtime.")
    temporary = target.with_name(f".{_STUB}.{os.getpid()}")
    shutil.copy2(source, temporary)
    temporary.rename(target)


@cache
def _libpython(python: str) -> str:
    """Where the stub's libpython3.11.so.1.0 is: ``UPDRAFT_LIBPYTHON``, what the runtime's installation has put beside it, the interpreter's
    own library folder, or the system."""
    beside = Path(python).parents[1] / "libpython"
    code = "import sysconfig; print(sysconfig.get_config_var('LIBDIR') or '')"
    own = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    for folder in filter(None, (os.environ.get("UPDRAFT_LIBPYTHON"), str(beside), own)):
        if (Path(folder) / "libpython3.11.so.1.0").exists():
            return folder
    loader = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    if "libpython3.11.so.1.0" in loader:
        return ""
    raise ComponentError(
        "Triton's Python backend needs libpython3.11.so.1.0, which is nowhere to be found.",
        where="triton runtime",
        remedy="Install the package libpython3.11, or set UPDRAFT_LIBPYTHON to the folder that holds it.",
    )
