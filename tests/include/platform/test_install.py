"""What sets up the runtimes: which by default, from which locks, and with pip's own settings."""

import subprocess
import sys
from pathlib import Path

import pytest

from include.runtime import install, lock


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The runtimes that would be installed, in their order; nothing is."""
    found: list[str] = []
    monkeypatch.setenv("UPDRAFT_RUNTIMES", str(tmp_path / "runtimes"))
    monkeypatch.setattr(install, "find_uv", lambda tools: tools / "uv")
    monkeypatch.setattr(install, "install", lambda uv, name, folder: found.append(name))
    return found


def test_language_models_are_installed_on_demand_only(installed: list[str]) -> None:
    assert install.main([]) == 0
    assert installed == ["airflow", "trainer", "triton"]
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
