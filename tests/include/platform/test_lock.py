"""The locks name every file that may be installed by its hash, and what has another is not installed."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from include.runtime import install, lock

UNHASHED = {"tensorrt": {"tensorrt-cu12-libs", "tensorrt-cu12"}}


@pytest.mark.parametrize("runtime", sorted(install.RUNTIMES))
def test_every_package_of_every_lock_has_its_hashes(runtime: str) -> None:
    known = lock.blocks(install.RUNTIMES[runtime].read_text())
    assert known and all("==" in name for name in known)
    assert {name.partition("==")[0] for name, hashes in known.items() if not hashes} == UNHASHED.get(runtime, set())
    assert lock.render(known) == install.RUNTIMES[runtime].read_text()


def test_torch_is_locked_in_whatever_build() -> None:
    known = {"torch==2.1.0+cpu": ["--hash=sha256:b"], "torchmetrics==1": ["--hash=sha256:d"]}
    indexed = {"torch==2.1.0": ["--hash=sha256:a", "--hash=sha256:b"]}
    assert lock.any_build(known, indexed) == {
        "torch==2.1.0": ["--hash=sha256:a", "--hash=sha256:b"],
        "torchmetrics==1": ["--hash=sha256:d"],
    }


def test_nvidias_own_packages_stand_behind_the_one_that_the_index_has() -> None:
    assert list(lock.beside({"a==1": [], "x-bindings==2": ["h"], "z==3": []}, "x-bindings", ("x-libs", "x"))) == [
        "a==1", "x-bindings==2", "x-libs==2", "x==2", "z==3",
    ]  # fmt: skip


def wheel(folder: Path, text: str) -> str:
    """A package of one module; its hash."""
    path = folder / "small-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("small.py", text)
        file.writestr("small-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1\n")
        file.writestr("small-1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("small-1.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_package_that_is_not_the_locked_one_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "offered").mkdir()
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "offered"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(install, "REPO", tmp_path)
    monkeypatch.setitem(install.RUNTIMES, "node-agent", tmp_path / "lock")
    (tmp_path / "lock").write_text(lock.render({"small==1": [f"--hash=sha256:{wheel(tmp_path / 'offered', 'good = True')}"]}))
    uv = install.find_uv()
    monkeypatch.setattr(install, "HOME", tmp_path / "good")
    install.install(uv, "node-agent")
    assert list((tmp_path / "good").rglob("small.py"))
    wheel(tmp_path / "offered", "good = False")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another"))
    monkeypatch.setattr(install, "HOME", tmp_path / "bad")
    with pytest.raises(subprocess.CalledProcessError):
        install.install(uv, "node-agent")
    assert not list((tmp_path / "bad").rglob("small.py"))
