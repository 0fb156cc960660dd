from pathlib import Path

import pytest

from include.registry.mlflow import Mlflow
from lifecycle.api.live import AWAY_S, KEPT_S, Aliases, split
from tests.plugins.lifecycle.ui.conftest import Served
from tests.ports import free_port


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Asked:
    """The registry, with a count of how often it was asked and where it is to be found."""

    def __init__(self, url: str) -> None:
        self.url, self.times = url, 0

    def __call__(self) -> Mlflow:
        self.times += 1
        return Mlflow(self.url, timeout_s=2)


def test_a_registry_that_is_away_is_said_once_and_not_asked_at_every_poll() -> None:
    clock, asked = Clock(), Asked(f"http://127.0.0.1:{free_port()}")
    aliases = Aliases(asked, clock)
    found, problem = aliases.of(["digits"])
    assert found == {"digits": {}} and "does not answer" in problem
    clock.now_s += AWAY_S - 1
    aliases.of(["digits"])
    assert asked.times == 1
    clock.now_s += 1
    aliases.of(["digits"])
    assert asked.times == 2


def test_what_was_known_is_given_while_the_registry_is_away(served: Served, mlflow_url: str) -> None:
    clock, asked = Clock(), Asked(mlflow_url)
    aliases = Aliases(asked, clock)
    known, problem = aliases.of(["digits"])
    assert known["digits"]["champion"] == 2 and not problem
    aliases.of(["digits"])
    assert asked.times == 1, "within KEPT_S the registry is left in peace"
    asked.url, clock.now_s = f"http://127.0.0.1:{free_port()}", clock.now_s + KEPT_S
    again, problem = aliases.of(["digits"])
    assert again == known and "does not answer" in problem


def test_without_a_gateway_there_is_no_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    assert split("digits") is None
