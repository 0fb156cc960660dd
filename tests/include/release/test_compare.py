"""Two versions side by side."""

from dataclasses import replace

from include.release.compare import MOST_LINES, Side, compare, diff

F1 = {"value": 0.9, "low": 0.8, "high": 0.95}
A = Side(1, {"metric": "f1", "scores": {"f1": F1}}, {"rows": 10}, {"name": "m"}, {"c": "1"}, "aa", {"train.py": "x\n"})
SCORES = {"f1": {"value": 0.92}, "loss": {"value": 1}}
B = replace(A, version=2, evaluation={"metric": "f1", "scores": SCORES}, params={"c": "2"}, code={"train.py": "y\n"})


def test_what_both_have_stands_side_by_side() -> None:
    both = compare(A, B)
    f1 = {"name": "f1", "a": [0.9, 0.8, 0.95], "b": [0.92, None, None]}
    assert both["scores"] == [f1, {"name": "loss", "a": None, "b": [1, None, None]}]
    assert both["params"] == [{"name": "c", "a": "1", "b": "2"}] and both["data"]["md5"] == ["aa", "aa"]
    assert both["spec"] == [] and both["code"] == ["--- v1/train.py", "+++ v2/train.py", "@@ -1 +1 @@", "-x", "+y"]


def test_what_nobody_could_tell_is_no_difference() -> None:
    both = compare(replace(A, params=None, data=None, code=None), B)
    assert both["params"] is None and both["data"]["md5"] is None and both["code"] is None
    assert compare(replace(A, code={}), B)["code"] is None, "code that was not kept is not all new"


def test_a_long_difference_is_cut_and_says_so() -> None:
    lines = diff({}, {"a.py": "line\n" * (MOST_LINES * 2)}, 1, 2)
    assert len(lines) == MOST_LINES + 1 and "lines more" in lines[-1]
