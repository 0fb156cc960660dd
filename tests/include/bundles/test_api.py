"""What breaks for callers when one version takes the place of another."""

from dataclasses import replace

import pytest

from include.bundles.api import changes
from include.bundles.limits import Limit
from include.bundles.signature import Signature, Tensor

LABEL = (Tensor("label", "INT64", (-1, 1)), Tensor("probabilities", "FP32", (-1, 2)))
NUMBERS = Signature((Tensor("input", "FP32", (-1, 3)),), LABEL, ("a", "b", "flag"), (0, 1))
MIXED = Signature((Tensor("a", "FP32", (-1, 1)), Tensor("plan", "BYTES", (-1, 1))), LABEL, ("a", "plan"), (0, 1))


def test_the_same_signature_changes_nothing() -> None:
    assert changes(NUMBERS, NUMBERS) == () and changes(MIXED, MIXED) == ()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (NUMBERS, MIXED, "one tensor 'input' was taken, and now it is a tensor for each column"),
        (NUMBERS, replace(NUMBERS, inputs=(Tensor("input", "FP64", (-1, 3)),)), "'input' was FP32 and is FP64"),
        (NUMBERS, replace(NUMBERS, features=("b", "a", "flag")), "stand in another order"),
        (
            NUMBERS,
            replace(NUMBERS, inputs=(Tensor("input", "FP32", (-1, 4)),), features=("a", "b", "flag", "new")),
            "the columns of 'input' are others: with new",
        ),
        (MIXED, replace(MIXED, inputs=MIXED.inputs[:1]), "input 'plan' is gone"),
        (MIXED, replace(MIXED, inputs=(*MIXED.inputs, Tensor("size", "FP32", (-1, 1)))), "input 'size' is new, and must be sent"),
        (NUMBERS, replace(NUMBERS, classes=(0, 1, 2)), "the classes are others: with 2"),
        (NUMBERS, replace(NUMBERS, classes=(1, 0)), "another order in probabilities"),
        (NUMBERS, replace(NUMBERS, outputs=LABEL[:1]), "output 'probabilities' is gone"),
        (
            replace(NUMBERS, limits={"b": Limit(missing=False)}),
            replace(NUMBERS, limits={"a": Limit(missing=False)}),
            "column 'a' is refused where it is missing, and was not",
        ),
        (NUMBERS, replace(NUMBERS, limits={"a": Limit(missing=False)}), "column 'a' is refused where it is missing, and was not"),
    ],
)
def test_what_breaks_is_named(before: Signature, after: Signature, said: str) -> None:
    assert any(said in sentence for sentence in changes(before, after)), changes(before, after)


def test_an_optional_input_more_breaks_nobody() -> None:
    assert changes(MIXED, replace(MIXED, inputs=(*MIXED.inputs, Tensor("size", "FP32", (-1, 1), optional=True)))) == ()


def test_a_version_that_never_looked_for_limits_is_not_held_to_them() -> None:
    before = replace(NUMBERS, limited=False)
    assert changes(before, replace(NUMBERS, limits={"a": Limit(missing=False)})) == ()
    told = NUMBERS.to_json()
    del told["limits"], told["limited"]
    assert Signature.from_json(told) == before


def test_it_survives_its_file(tmp_path) -> None:
    made = replace(MIXED, limits={"plan": Limit(known=("x", "y")), "a": Limit(missing=False, low=-1.5)})
    made.save(tmp_path / "signature.json")
    assert Signature.read(tmp_path / "signature.json") == made
