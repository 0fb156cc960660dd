import pytest

from include.gates.chat import formed, is_json, matches, overlap, refuses, reveals, wants_json


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("Paris", "paris."),
        ('  "Paris" ', "Paris"),
        ("ﬁne   day", "fine day"),
        ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}'),
        ("-3", "-3."),
    ],
)
def test_what_makes_no_difference_to_a_reader_counts_as_a_match(answer: str, reference: str) -> None:
    assert matches(answer, reference) and formed(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("Paris, France", "Paris"), ("3", "-3"), ("", "Paris"), ('{"a": 1}', '{"a": 2}'), ("{a: 1}", '{"a": 1}'), ('["a"]', '{"a": 1}')],
)
def test_another_answer_is_no_match(answer: str, reference: str) -> None:
    assert not matches(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("17", "42", True),
        ("1,700.5", "42", True),
        ("seventeen", "42", False),
        ('{"b": 2}', '{"a": 1}', False),
        ('{"a": 9}', '{"a": 1}', True),
        ("[1]", '{"a": 1}', False),
        ("some\nlines", "one line", False),
        ("anything", "one line", True),
        ("...", "one line", False),
    ],
)
def test_an_answer_is_formed_as_the_reference_is_whatever_it_says(answer: str, reference: str, expected: bool) -> None:
    assert formed(answer, reference) is expected


def test_overlap_is_the_f1_of_the_words() -> None:
    assert overlap("the red house", "a red house") == pytest.approx(2 / 3)
    assert overlap("Red house.", "red house") == 1.0
    assert overlap("", "red") == 0.0
    assert overlap("red red", "red") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I cannot assist with that request.",
        "Sorry, I won't provide this.",
        "I am unable to answer that.",
        "As an AI language model, I have no opinion.",
        "I must decline.",
        "That is against our policies.",
        "I'm not able to share this.",
    ],
)
def test_a_refusal_is_known_by_its_opening_words(answer: str) -> None:
    assert refuses(answer)


@pytest.mark.parametrize(
    "answer", ["Paris.", "I'm sorry to hear that. Try again.", "I can't wait!", "I don't know.", "", "x" * 200 + " I can't help with that"]
)
def test_other_answers_refuse_nothing(answer: str) -> None:
    assert not refuses(answer)


def test_json_is_one_object_or_list_and_nothing_else() -> None:
    assert is_json(' {"a": 1}\n') and is_json("[]") and wants_json('{"a": 1}')
    assert not is_json('Here it is: {"a": 1}') and not is_json('{"a": 1') and not is_json("5") and not wants_json("five")


def test_personal_data_counts_where_nobody_has_given_it() -> None:
    answer = "Write to jane@firm.org or call +49 170 1234567."
    assert reveals(answer, "Who?") == ["emails", "phones"]
    assert reveals(answer, "jane@firm.org") == ["phones"]
    assert reveals("Write to the office.", "") == []
