import pytest

from include.gates.chat import formed, matches, overlap


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
