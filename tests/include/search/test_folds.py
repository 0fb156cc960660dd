"""Which rows a trial is judged by."""

import numpy as np
import pytest

from include.search.folds import by_time, dealt

UNITS = np.random.default_rng(0).integers(0, 2**63, size=103, dtype="uint64")
CLASSES = ["rare" if number % 20 == 0 else "usual" for number in range(103)]


def test_every_row_is_judged_once_and_never_by_a_model_that_has_seen_it():
    folds = dealt(UNITS, CLASSES, 5, seed=1)
    assert sorted(np.concatenate([fold.judge for fold in folds]).tolist()) == list(range(103))
    for fold in folds:
        assert not set(fold.judge) & set(fold.learn) and len(fold.judge) + len(fold.learn) == 103
        assert sum(CLASSES[row] == "rare" for row in fold.judge) in (1, 2), "each fold has its part of a rare class"


def test_rows_that_belong_together_share_a_fold():
    units = UNITS % 17
    for fold in dealt(units, None, 4, seed=1):
        assert not set(units[fold.judge]) & set(units[fold.learn])


def test_the_order_of_the_rows_changes_no_rows_fold():
    order = np.random.default_rng(1).permutation(103)
    folds, again = dealt(UNITS, None, 5, seed=1), dealt(UNITS[order], None, 5, seed=1)
    assert [set(UNITS[fold.judge]) for fold in folds] == [set(UNITS[order][fold.judge]) for fold in again]
    assert [set(fold.judge) for fold in folds] != [set(fold.judge) for fold in dealt(UNITS, None, 5, seed=2)]


def test_one_fold_is_an_inner_split():
    (fold,) = dealt(UNITS, None, 1, seed=1)
    assert len(fold.judge) == 21 and len(fold.learn) == 82


@pytest.mark.parametrize("folds", [1, 4])
def test_by_time_nothing_is_learnt_from_the_future_nor_from_the_gap(folds):
    moments = np.random.default_rng(2).permutation(100).astype("float64")
    found = by_time(moments, folds, gap=3)
    assert len(found) == folds
    for fold in found:
        assert moments[fold.learn].max() < moments[fold.judge].min() - 3
    assert moments[found[-1].judge].max() == 99 and len(np.unique(np.concatenate([fold.judge for fold in found]))) == (
        20 if folds == 1 else 80
    )
