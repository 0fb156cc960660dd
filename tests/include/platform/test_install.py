"""What sets up the runtimes: which by default, from which locks, and with pip's own settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.runtime import install, lock


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The runtimes that would be installed, in their order; nothing is."""
    found: list[str] = []
    monkeypatch.setattr(install, "HOME", tmp_path / "runtimes")
    monkeypatch.setattr(install, "find_uv", lambda: tmp_path / "uv")
    monkeypatch.setattr(install, "install", lambda uv, name: found.append(name))
    return found


def test_language_models_are_installed_on_demand_only(installed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert install.main([]) == 0
    assert installed == ["airflow", "trainer", "triton"]
    assert "installs airflow, trainer, triton into" in capsys.readouterr().out
    assert install.main(["llm"]) == 0
    assert installed[3:] == ["llm"]


def test_the_lock_of_torch_names_no_build_and_none_of_cuda_s_packages() -> None:
    locked = lock.blocks(install.RUNTIMES["llm"].read_text())
    packages = {line.partition("==")[0]: line.partition("==")[2] for line in locked}
    assert "+" not in packages["torch"]
    assert not [name for name in packages if name.startswith("nvidia")]


def test_runtimes_share_mlflow_s_version() -> None:
    """A model that one logs, another loads."""
    found = {line for path in install.RUNTIMES.values() for line in lock.blocks(path.read_text()) if line.startswith("mlflow==")}
    assert len(found) == 1


def test_uv_looks_where_pip_is_told_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", "/one /two")
    assert install.find_links() == {"UV_FIND_LINKS": "/one,/two"}
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    assert install.find_links() == {}


def test_pip_s_configuration_file_counts_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(sys, "executable", str(Path(sys.executable).resolve()))  # the runtime's own has no pip
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("this Python has no pip")
    settings = tmp_path / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[global]\nfind-links = /three\n")
    assert install.find_links() == {"UV_FIND_LINKS": "/three"}


def test_a_build_of_torch_that_lies_in_a_folder_of_pip_s_is_named_as_uv_looks_for_its_hash(tmp_path: Path) -> None:
    text = "torch==2.13.0 \\\n    --hash=sha256:00\ntorchao==0.17.0 \\\n    --hash=sha256:11\n"
    assert install.offered_build(text, str(tmp_path)) == ""
    (tmp_path / "torch-2.12.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    (tmp_path / "torchao-0.17.0+cpu-cp310-abi3-manylinux_2_28_x86_64.whl").touch()
    assert install.offered_build(text, str(tmp_path)) == ""
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    assert install.offered_build(text, f"https://packages.example.org/torch,file://{tmp_path}") == "+cpu"
    assert install.of_build(text, "+cpu") == text.replace("torch==2.13.0", "torch==2.13.0+cpu")
    assert install.of_build(text, "") == text


@pytest.mark.integration
@pytest.mark.parametrize("runtime", ["llm", "quantise"])
def test_each_build_of_torch_is_installed_with_hashes_for_all_that_it_needs(runtime: str, tmp_path: Path) -> None:
    """uv's plan of an empty environment: with the index's build, for GPUs, and with the one for processors where this machine has it."""
    uv = install.find_uv()
    subprocess.run([uv, "venv", "-q", "--python", "3.11", tmp_path / "venv"], check=True)
    text, links = install.RUNTIMES[runtime].read_text(), install.find_links().get("UV_FIND_LINKS", os.environ.get("UV_FIND_LINKS", ""))
    plain = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
    for build, environment in (("", plain), (install.offered_build(text, links), plain | {"UV_FIND_LINKS": links})):
        told = tmp_path / "requirements.lock"
        told.write_text(install.of_build(text, build))
        command = [uv, "pip", "install", "--dry-run", "--require-hashes", "--python", tmp_path / "venv", "-r", told, "-c", install.CUDA]
        planned = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert planned.returncode == 0, planned.stderr
        assert ("nvidia-cudnn" in planned.stderr) == (build != "+cpu"), planned.stderr


def test_servers_that_are_there_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "SERVERS", {"postgresql": lambda: True})
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be installed"))
    assert install.main(["--scaled"]) == 0


def test_missing_servers_are_named_where_nobody_may_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "SERVERS", {"postgresql": lambda: False, "redis-server": lambda: False})
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.main(["--scaled"]) == 1
    assert "apt-get install postgresql redis-server" in capsys.readouterr().out
