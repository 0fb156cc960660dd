"""What a spec may say of a search."""

from pathlib import Path

import pytest

from include.kinds import frozen
from include.kinds.load import contradictions, load
from include.kinds.run_params import check_conf
from include.kinds.searched import search_plan
from include.spec.document import dotted
from include.spec.problem import SpecError
from include.spec.schema import ModelSpec

PARAMS = {
    "c": 1.0,
    "depth": 4,
    "kind": "a",
    "flag": True,
    "few": {"default": 1, "choices": [1, 2]},
    "tight": {"default": 1.0, "maximum": 2},
}
GOOD = {"params": {"c": {"low": 0.01, "high": 10, "log": True}, "depth": {"low": 2, "high": 10}, "kind": {"choices": ["a", "b"]}}}


def spec(search: dict, task: str = "classification", **gate) -> ModelSpec:
    params = {name: value if isinstance(value, dict) else {"default": value} for name, value in PARAMS.items()}
    body = {"name": "wine", "task": task, "data": {"source": "data:load", "target": "y"}, "gate": gate}
    import json

    return ModelSpec.model_validate_json(json.dumps(body | {"train": {"params": params, "search": search}}), strict=True)


def said(search: dict, **more) -> list[str]:
    return [f"{dotted(at)}: {message} {words.get('remedy', '')}" for at, message, words in contradictions(spec(search, **more))]


def test_a_good_one_is_taken_and_comes_back_from_the_runs_own_copy():
    assert said(GOOD) == []
    assert frozen.thaw(frozen.freeze(spec(GOOD))) == spec(GOOD)
    assert check_conf(spec(GOOD), {"c": 2.0}) == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"c": {"low": 10, "high": 0.01}}, "train.search.params.c.low: 10 is above the end 0.01. Swap them."),
        ({"c": {"low": 1, "high": 1}}, "train.search.params.c.low: begins and ends at 1."),
        ({"c": {"low": 0.1}}, "train.search.params.c: has no whole range."),
        ({"c": {"low": 0, "high": 1, "log": True}}, "train.search.params.c.low: 0 has no logarithm."),
        ({"c": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}, "train.search.params.c.step: stands beside `log`."),
        ({"c": {"low": 0.5, "high": 1, "step": 2}}, "train.search.params.c.step: 2 is longer than the range."),
        ({"c": {"low": 2, "high": 3}}, "train.search.params.c: leaves out the default 1.0."),
        ({"depth": {"low": 1.5, "high": 9}}, "train.search.params.depth: holds 1.5, and the default 4 is a whole number."),
        ({"kind": {"low": 1, "high": 9}}, "train.search.params.kind: has a range, and the default 'a' is a text. Give `choices`."),
        ({"kind": {"choices": ["a", 1]}}, "train.search.params.kind.choices: mixes types: int, str. Give all as str"),
        ({"flag": {"choices": [1, 0]}}, "train.search.params.flag.choices: is of int, and the default True is bool."),
        ({"kind": {"choices": ["a"]}}, "train.search.params.kind.choices: leaves nothing to choose."),
        ({"kind": {"choices": ["a", "b", "a"]}}, "train.search.params.kind.choices: names a value twice."),
        ({"kind": {"choices": ["b", "c"]}}, "train.search.params.kind.choices: leaves out the default 'a'."),
        ({"few": {"choices": [1, 3]}}, "train.search.params.few.choices: names 3, which the parameter does not allow."),
        ({"tight": {"low": 0.5, "high": 3}}, "train.search.params.tight: is wider than the parameter's own"),
        ({"depht": {"low": 1, "high": 9}}, "train.search.params.depht: is no parameter of `train.params`."),
    ],
)
def test_a_range_that_cannot_be(params, expected):
    (found,) = said({"params": params})
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"parallel": 40}, "train.search.parallel: 40 at once are more than the 30 trials."),
        ({"metric": "acuracy"}, "train.search.metric: 'acuracy' is no metric of classification."),
        ({"metric": "log_loss", "direction": "maximize"}, "train.search.direction: maximizes log_loss, of which less is better."),
        ({"direction": "minimize"}, "train.search.direction: minimizes the gate's score, of which more is better."),
        ({"folds": 1, "pruning": {}}, "train.search.pruning: has no second fold to leave out."),
        ({"sampler": "cmaes"}, "train.search.params.kind.choices: can't be searched by CMA-ES"),
    ],
)
def test_fields_that_do_not_fit_together(more, expected):
    assert any(found.startswith(expected) for found in said(GOOD | more)), said(GOOD | more)


def test_a_grid_needs_steps():
    found = said(GOOD | {"sampler": "grid"})
    assert [line.split(":")[0] for line in found] == ["train.search.params.c", "train.search.params.depth"]
    assert said({"params": {"depth": {"low": 2, "high": 10, "step": 2}}, "sampler": "grid"}) == []


def test_ten_thousand_trials_are_refused_by_name(tmp_path: Path):
    folder = tmp_path / "wine"
    folder.mkdir()
    body = "name: wine\ntask: classification\ndata: {source: 'data:load', target: y}\n"
    body += "train: {params: {c: 1.0}, search: {trials: 10000, params: {c: {low: 0.1, high: 2}}}}\n"
    (folder / "model.yaml").write_text(body)
    with pytest.raises(SpecError, match=r"model.yaml:4: train.search.trials: .*1000"):
        load(folder / "model.yaml")


def test_a_runs_own_value_outside_the_range_is_refused_when_the_search_begins():
    with pytest.raises(Exception, match=r"train.search.params.c: 99.0 lies outside"):
        search_plan(spec(GOOD), {"c": 99.0})
    plan = search_plan(spec(GOOD | {"metric": "log_loss"}), {"c": 2.0, "depth": 6})
    assert plan.first == {"c": 2.0, "depth": 6, "kind": "a"} and not plan.maximize
    assert plan.axes["depth"].whole and not plan.axes["c"].whole


def test_such_a_run_is_refused_when_it_is_triggered():
    (said_of_it,) = check_conf(spec(GOOD), {"c": 99.0})
    assert "train.search.params.c: 99.0 lies outside" in said_of_it
