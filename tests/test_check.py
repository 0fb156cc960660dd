from __future__ import annotations

from include.runtime.settings import REPO
from tests.check import starts, unit_tests

INCLUDE = REPO / "tests" / "include"


def test_what_starts_a_server_by_a_fixture_or_a_program_by_itself_is_left_out() -> None:
    assert starts(INCLUDE / "gateway" / "test_split.py")  # by the folder's fixture `stage`
    assert starts(INCLUDE / "targets" / "test_process.py")  # by itself
    assert starts(INCLUDE / "backends" / "test_contract.py")  # by another module of the tests


def test_what_computes_only_is_run_whatever_its_neighbours_start() -> None:
    assert not starts(INCLUDE / "canary" / "test_progress.py")
    assert not starts(INCLUDE / "steps" / "test_split.py")  # its folder's conftest starts MLflow for others


def test_there_are_many() -> None:
    assert len(unit_tests()) > 80
