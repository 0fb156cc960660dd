"""What the report says of a search."""

import pytest

from include.report.collect import together
from include.report.search import Told, told
from include.search.plan import Axis, Plan, SearchState, Trial

PLAN = Plan({"c": Axis(0.01, 10, log=True), "kind": Axis(choices=("a", "<b>"))}, {"c": 1.0, "kind": "a"}, 6, 2, "tpe", 0, "", True, 5)
TRIALS = [
    Trial(0, {"c": 1.0, "kind": "a"}, SearchState.COMPLETE, 0.80),
    Trial(1, {"c": 0.5, "kind": "<b>"}, SearchState.COMPLETE, 0.90),
    Trial(2, {"c": 0.1, "kind": "a"}, SearchState.FAILED, message="it diverged"),
    Trial(3, {"c": 5.0, "kind": "a"}, SearchState.PRUNED, steps={1: 0.2}),
]
VALUE = {"naive": 0.9, "corrected": 0.87, "low": 0.8, "high": 0.93}
GAIN = {"naive": 0.1, "corrected": 0.06, "low": 0.01, "high": 0.12}


def kept(trials=TRIALS, gain=GAIN, **more) -> dict:
    worth = {"metric": "accuracy", "value": VALUE, "gain": gain}
    return {
        "plan": PLAN.to_json(),
        "trials": [trial.to_json() for trial in trials],
        "gain": worth,
        "importance": {"c": 0.7, "kind": 0.3},
    } | more


def test_it_says_what_to_expect_and_not_only_what_was_seen():
    said = " ".join(Told(kept()).sentences())
    assert "Of 4 trials (2 complete, 1 given up, 1 failed) number 1 is the best: accuracy 0.9." in said
    assert "0.87 is to be expected [0.8, 0.93]" in said and "by 0.1; 0.06 is to be expected [0.01, 0.12]." in said
    assert "chance" not in said


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (kept(gain=GAIN | {"low": -0.02}), "It may be chance."),
        (kept(gain=None), "What it gained is not known"),
        (kept([TRIALS[0]]), "The run's own parameters were the best."),
    ],
)
def test_it_says_where_nothing_was_gained(changed, says):
    assert says in " ".join(Told(changed).sentences())


def test_its_pictures_hold_no_markup_of_a_spec():
    found = Told(kept())
    titles = [figure.title for figure in found.figures()]
    assert len(titles) == 3 and "accuracy by trial" in titles
    assert all("<b>" not in figure.wide for figure in found.figures())
    assert found.rows() == [("c", "1", "0.5"), ("kind", "a", "<b>")]


@pytest.mark.parametrize("wrong", [None, {}, {"plan": 1}, kept([TRIALS[2]]), kept(gain=3) | {"gain": []}])
def test_what_is_no_search_is_left_out(wrong):
    assert told(wrong) is None


def test_a_mapped_task_is_one_on_the_page_and_fails_only_where_all_of_it_did():
    rows = [{"task_id": "train", "state": "success", "map_index": -1, "start_date": "3", "end_date": "4", "try_number": 1}]
    rows += [
        {
            "task_id": "search_trial",
            "state": state,
            "map_index": number,
            "start_date": str(number),
            "end_date": end,
            "try_number": 1 + number,
        }
        for number, (state, end) in enumerate([("failed", "2"), ("success", "3")])
    ]
    (whole,) = [row for row in together(rows) if row["task_id"] == "search_trial"]
    assert (whole["state"], whole["start_date"], whole["end_date"], whole["try_number"]) == ("success", "0", "3", 2)
    assert len(together(rows)) == 2 and together(rows[:2])[1]["state"] == "failed"
