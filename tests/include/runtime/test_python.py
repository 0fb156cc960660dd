"""The Python that everything runs on: found where there is one, else brought by uv, else an error that says what to do."""

from __future__ import annotations

import hashlib
import json
import platform
import runpy
import sys
import tarfile
from pathlib import Path

import pytest

from include.runtime import python
from include.runtime.settings import REPO

OTHER = "#!/bin/sh\necho 3.13\n"
SHIM = '#!/bin/sh\necho "pyenv: python3.11: command not found" >&2\nexit 127\n'


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose own Python is 3.13, with a PATH that the test fills."""
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / "own" / "python3", OTHER)))
    monkeypatch.setattr(python, "PLACE", tmp_path / "python")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'bin'}")
    return tmp_path


def works() -> str:
    return f'#!/bin/sh\nexec {sys.base_prefix}/bin/python3.11 "$@"\n'


def test_one_on_path_is_taken_and_a_shim_that_runs_nothing_is_not(elsewhere: Path) -> None:
    program(elsewhere / "shims" / "python3.11", SHIM)
    wanted = program(elsewhere / "bin" / "python3.11", works())
    assert python.find() == wanted


def test_one_that_was_brought_before_is_taken(elsewhere: Path) -> None:
    program(elsewhere / "python" / "cpython-3.11.9-linux-x86_64-gnu" / "bin" / "python3.11", OTHER)
    wanted = program(elsewhere / "python" / "cpython-3.11.18-linux-x86_64-gnu" / "bin" / "python3.11", works())
    assert python.find() == wanted


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the archive below is named for x86-64")
def test_uv_brings_one(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "cpython-3.11.18-linux-x86_64-gnu"
    program(elsewhere / "made" / "python" / "bin" / "python3.11", works())
    library = elsewhere / "made" / "python" / "lib" / "python3.11"
    library.mkdir(parents=True)
    header = "# system configuration generated and used by the sysconfig module"
    (library / "_sysconfigdata__linux_x86_64-linux-gnu.py").write_text(f"{header}\nbuild_time_vars = {{}}\n")
    archive = elsewhere / "cpython.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(elsewhere / "made" / "python", "python")
    build = {"name": "cpython", "arch": {"family": "x86_64", "variant": None}, "os": "linux", "libc": "gnu", "variant": None, "build": "1"}
    build |= {"major": 3, "minor": 11, "patch": 18, "prerelease": "", "url": archive.as_uri()}
    build["sha256"] = hashlib.sha256(archive.read_bytes()).hexdigest()
    listed = elsewhere / "builds.json"
    listed.write_text(json.dumps({name: build}))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(listed))
    assert python.find() == elsewhere / "python" / name / "bin" / "python3.11"


def test_where_none_can_be_fetched_the_remedy_is_said(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = elsewhere / "builds.json"
    listed.write_text("{}")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(listed))
    with pytest.raises(SystemExit, match=r"(?s)apt-get install python3.11.*PYTHON=.*UV_PYTHON_INSTALL_MIRROR"):
        python.find()


@pytest.mark.parametrize("name", ["install", "lock", "python"])
def test_a_setup_that_is_imported_leaves_the_path_as_it_is(name: str):
    """DAG files reach it, by the runtimes' locks."""
    before = list(sys.path)
    runpy.run_path(str(REPO / "include" / "runtime" / f"{name}.py"), run_name="imported")
    assert sys.path == before
