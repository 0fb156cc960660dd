"""Records outlive their writer, whole lines only; nobody writes beside another."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from include.batch.ledger import Ledger, records
from tests.waiting import until


def write_until_killed(path: Path) -> None:
    with Ledger(path) as ledger:
        for number in range(1_000_000):
            ledger.add({"number": number, "answer": "x" * 100})


def test_a_record_is_there_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.add({"number": 3, "answer": "a"})
        ledger.add({"number": 1, "answer": "ü"})
        ledger.add({"number": 3, "answer": "b"})
        assert ledger.numbers == {1, 3}
    assert records(tmp_path / "l") == [{"number": 1, "answer": "ü"}, {"number": 3, "answer": "a"}]
    assert records(tmp_path / "none") == []


@pytest.mark.parametrize("torn", [b'{"number": 2, "answ', b"\xff\xfe", b'{"number": 2}'])
def test_a_line_that_was_not_finished_is_asked_again(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "l"
    path.write_bytes(b'{"number": 1}\n' + torn)
    with Ledger(path) as ledger:
        assert ledger.numbers == {1}
        ledger.add({"number": 2, "answer": "again"})
    assert records(path) == [{"number": 1}, {"number": 2, "answer": "again"}]


def test_killed_at_any_moment_no_record_is_lost_or_doubled(tmp_path: Path) -> None:
    path, last = tmp_path / "l", 0
    for _ in range(3):
        writer = multiprocessing.get_context("fork").Process(target=write_until_killed, args=(path,))
        writer.start()
        until(lambda last=last: len(records(path)) >= last + 20)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        found = [int(record["number"]) for record in records(path)]
        assert found == list(range(len(found))) and len(found) >= last + 20
        last = len(found)


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    path = tmp_path / "l"
    first = multiprocessing.get_context("fork").Process(target=write_until_killed, args=(path,))
    first.start()
    until(lambda: records(path))
    assert first.pid
    killer = multiprocessing.get_context("fork").Process(target=kill_later, args=(first.pid,))
    killer.start()
    with Ledger(path) as ledger:
        first.join(5)
        assert not first.is_alive(), "it had ended when the file was ours"
        assert len(ledger.numbers) == len(records(path))
    killer.join()


def kill_later(process: int) -> None:
    time.sleep(0.5)
    os.kill(process, signal.SIGKILL)
