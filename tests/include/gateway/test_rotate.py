import json
import threading
import time

import pytest

from include.gateway.observe import Cursor, read_entries
from include.gateway.rotate import _shift, rotate
from tests.waiting import until

pytestmark = pytest.mark.integration

NAMES = ("kind", "model", "revision", "served_by", "client", "path", "status", "flags", "attempts", "upstream_us")
LINE = dict.fromkeys(NAMES)


def test_readers_lose_no_line_and_few_files_stay(stage, duo):
    log, admin = stage.gateway.access_log, stage.gateway.admin
    cursor, done = stage.mark(), threading.Event()
    found, turns = [], []

    def turn():
        while not done.is_set():
            if rotate(log, admin, max_bytes=2000, keep=3):
                turns.append(len(found))
            done.wait(0.3)

    turner = threading.Thread(target=turn)
    turner.start()
    sent, deadline = 0, time.monotonic() + 60
    while sent < 300 or (len(turns) < 2 and time.monotonic() < deadline):  # a quick machine sends 300 before the log is first flushed
        sent += 10
        for _ in range(10):
            stage.infer("duo")
        entries, cursor = read_entries(log, cursor)
        found += entries
    done.set()
    turner.join()

    def rest():
        nonlocal cursor
        entries, cursor = read_entries(log, cursor)
        found.extend(entries)
        return len(found) >= sent

    until(rest)
    assert len(found) == sent
    assert 1 <= len(list(log.parent.glob(f"{log.name}.[0-9]"))) <= 3


def test_a_rotation_cut_short_is_finished_by_the_next(stage, duo):
    """Killed after the rename, Envoy still writes to the old file."""
    log = stage.gateway.access_log
    cursor = stage.mark()
    log.rename(log.with_name(f"{log.name}.1"))
    stage.infer("duo")
    assert rotate(log, stage.gateway.admin)
    stage.infer("duo")
    until(lambda: len(read_entries(log, cursor)[0]) == 2)


def test_a_small_log_is_left_alone(stage, duo):
    assert not rotate(stage.gateway.access_log, stage.gateway.admin)


def test_a_reader_is_not_confused_by_renames(tmp_path):
    """Files are renamed all the time while it reads; each line is read once, in order."""
    log, done, lines = tmp_path / "log", threading.Event(), 4000
    log.touch()

    def write():
        for number in range(lines):
            with log.open("a") as handle:
                handle.write(json.dumps(LINE | {"time": number}) + "\n")
            if number % 20 == 19:
                _shift(log, 1000)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    cursor, found = Cursor(), []
    while not done.is_set():
        entries, cursor = read_entries(log, cursor)
        found += entries
    writer.join()
    found += read_entries(log, cursor)[0]
    assert [int(entry.time_s) for entry in found] == list(range(lines))
