"""What the command line says of models and versions that there are not."""

import pytest

from include.errors import InputError
from include.release import __main__ as command


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("digit", "MODEL: there is no model 'digit'. Did you mean digits? Known: diabetes, digits."),
        ("", "MODEL: no model is named. Known: diabetes, digits."),
    ],
)
def test_a_wrong_model_is_named_with_the_known_ones(model: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        command.check_model(model, ["diabetes", "digits"])
    assert str(refused.value) == words


def test_a_wrong_version_is_named_with_the_registered_ones() -> None:
    with pytest.raises(InputError) as refused:
        command.check_version("digits", 7, [3, 2, 1])
    assert str(refused.value) == "VERSION: digits has no version 7. Registered, newest first: 3, 2, 1."
    command.check_version("digits", 2, [3, 2, 1])
