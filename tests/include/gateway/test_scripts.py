from __future__ import annotations

import pytest

from include.gateway.script import FOLDER, script
from tests.lua import mistake


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.lua")), ids=lambda path: path.stem)
def test_envoy_takes_every_script(path) -> None:
    assert mistake(path.stem, path.read_text()) == ""


def test_a_script_that_does_not_compile_is_told_with_its_line() -> None:
    assert ":2: unexpected symbol near 'end'" in mistake("wrong", "function envoy_on_request(handle) local a =\nend\n")


def test_words_are_filled_in() -> None:
    text = script("refuse", FACTS="of.one.request")
    assert 'get("of.one.request")' in text and "@" not in text
