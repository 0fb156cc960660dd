import pytest

from include.gates.refusal import refused, usable


@pytest.mark.parametrize(
    "answer",
    ["I'm sorry, but I can't help with that.", "I cannot answer this.", "Sorry! As an AI model I have no opinion.", "I’m unable to say."],
)
def test_refusals_are_known_by_how_they_open(answer):
    assert refused(answer) and not usable(answer, ended=True)


@pytest.mark.parametrize("answer", ["Paris", "The song is called “Sorry”.", "7", "It can not be divided by 3, so it is prime."])
def test_answers_are_not(answer):
    assert not refused(answer) and usable(answer, ended=True)


def test_what_is_said_late_is_no_refusal():
    assert not refused("The letter went on for pages. " * 8 + "I'm sorry, he wrote.")


@pytest.mark.parametrize(("answer", "ended"), [("", True), ("  \n", True), ("Par", False)])
def test_nothing_or_half_an_answer_is_no_use(answer, ended):
    assert not usable(answer, ended=ended)
