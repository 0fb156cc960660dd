"""The tests' own host of steps."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from tests.include.steps.conftest import Trainer

CRASHED, BUSY = "70", "75"


def test_who_gave_up_waiting_leaves_no_answer_to_the_next(tmp_path: Path) -> None:
    """A test that times out in the middle of a step: the host answers it later."""
    host = Trainer("", "airflow", ())
    without_request, busy = tmp_path / "without", tmp_path / "busy"
    without_request.mkdir()
    busy.mkdir()
    with FileLock(busy / "lock"):
        host.send(without_request, {})
        assert host.answer(host.send(busy, {})) == BUSY
        assert host.answer(host.send(without_request, {})) == CRASHED
    host.close()
