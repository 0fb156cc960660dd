"""What a server that nobody here wrote may answer a batch's prompt: an error of that prompt, and never the task's end."""

import pytest

from include.batch.client import _sentence
from include.batch.items import Item
from include.batch.prompts import Prompts

ODD = [b"", b"null", b"[]", b"7", b'{"choices": []}', b'{"choices": [1]}', b'{"choices": [{"message": {}}]}', b"[" * 100_000]
ODD += [
    b'{"choices": [{"message": {"content": "x"}}], "usage": "many"}',
    b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": []}}',
]


@pytest.mark.parametrize("body", ODD, ids=lambda body: body[:40].decode())
def test_an_odd_answer_is_an_error_of_its_prompt(body: bytes) -> None:
    item = Item(1, "1", [{"role": "user", "content": "x"}])
    assert "no chat's answer" in Prompts().record(body, {}, item)["error"]
    assert len(_sentence(body)) <= 400
