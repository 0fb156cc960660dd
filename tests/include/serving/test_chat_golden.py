"""Golden prompts without a server: ties, and callers' troubles."""

import pytest

from include.bundles import chat_golden
from include.bundles.chat_golden import ChatGolden, Prompt, is_tie
from include.verdict import Decision


def token(text, logprob, *others):
    top = [(text, logprob), *others]
    return {"bytes": list(text.encode()), "logprob": logprob, "top_logprobs": [{"bytes": list(t.encode()), "logprob": p} for t, p in top]}


def test_an_answer_that_goes_on_with_a_token_as_likely_is_a_tie():
    assert is_tie("Bonn is", [token("Bo", -0.1), token("ston", -0.69, ("nn", -0.70)), token(" was", -0.1)])


@pytest.mark.parametrize(
    "tokens",
    [
        [token("Bo", -0.1), token("ston", -0.2, ("nn", -1.7))],
        [token("Bo", -0.1), token("ston", -0.69, ("xx", -0.70))],
        [token("Bo", -0.1)],
        [],
    ],
    ids=["less likely", "another token", "stopped early", "no tokens"],
)
def test_any_other_difference_is_none(tokens):
    assert not is_tie("Bonn is", tokens)


def test_characters_of_several_tokens_are_compared_by_their_bytes():
    first, last = "é".encode()
    head = {"bytes": [first], "logprob": -0.1, "top_logprobs": []}
    tail = {"bytes": [0xA8], "logprob": -0.7, "top_logprobs": [{"bytes": [last], "logprob": -0.71}]}
    assert is_tie("é", [head, tail])


def test_what_is_saved_is_read_again(tmp_path):
    golden = ChatGolden((Prompt(({"role": "user", "content": "Größe?"},), 4, "12 µm"),))
    golden.save(tmp_path / "golden.json")
    assert ChatGolden.read(tmp_path / "golden.json") == golden


def test_without_an_answer_the_check_gives_up_in_time():
    golden = ChatGolden((Prompt(({"role": "user", "content": "Hi"},), 4, "x"),))
    verdict = chat_golden.check("http://127.0.0.1:9", {}, "talker", golden, timeout_s=0.3)
    assert verdict.decision is Decision.FAIL
    assert "no answer" in verdict.reasons[0]
