"""Marks are kept by content, and not without bound."""

import os
from pathlib import Path

from include.judge.cache import Cache


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    Cache(tmp_path).put("ab12", {"place": 1, "said": "ä"})
    assert Cache(tmp_path).get("ab12") == {"place": 1, "said": "ä"} and Cache(tmp_path).get("ab13") is None


def test_half_a_file_is_no_mark(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("ab12", {"place": 1})
    next(tmp_path.glob("*/*.json")).write_text('{"pla')
    assert cache.get("ab12") is None


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most=2)
    for number, key in enumerate(("aa", "bb", "cc")):
        cache.put(key, {"place": number})
        os.utime(next(tmp_path.glob(f"{key}/*")), (number, number))
    cache.get("aa")
    cache.prune()
    assert [cache.get(key) is None for key in ("aa", "bb", "cc")] == [False, True, False]
