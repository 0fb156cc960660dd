"""Files that appear whole or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from include import atomic


def test_threads_that_write_one_file_at_once_leave_one_of_their_texts(tmp_path):
    path = tmp_path / "below" / "told.json"
    texts = [str(number) * 5000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            list(pool.map(lambda text: atomic.write(path, text), texts))
            assert path.read_text() in texts
    assert [one.name for one in path.parent.iterdir()] == ["told.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "told.json"
    atomic.write(path, "before")
    with pytest.raises(UnicodeEncodeError):
        atomic.write(path, "\udc80")
    assert path.read_text() == "before" and [one.name for one in tmp_path.iterdir()] == ["told.json"]


def test_a_file_for_others_is_readable_by_them_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        atomic.write(tmp_path / "open", "for all", mode=0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o644
