"""A run's parameters: the form's schema, the check at the trigger, and the spec of the run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.kinds.load import load
from include.kinds.run_params import apply, check_conf, run_params
from include.spec.params import PROMPTS_PARAMS, check_against
from include.spec.schema import ModelSpec, OnInconclusive

MORE = """
train:
  params:
    depth: {default: 3, minimum: 1, maximum: 9, description: How deep.}
    rate: 0.5
    kind: {default: gini, choices: [gini, entropy]}
    fast: true
serve:
  params: {error_rate: {default: 0.0, minimum: 0, maximum: 1}}
gate: {min_score: 0.9}
canary: {step_s: 60, look_s: 5}
"""


@pytest.fixture
def spec(write: Callable[..., Path]) -> ModelSpec:
    return load(write(MORE))


def test_every_parameter_is_typed_and_explained_with_the_specs_default(spec: ModelSpec) -> None:
    params = run_params(spec)
    assert params["depth"] | {"section": ""} == {
        "type": "integer",
        "default": 3,
        "title": "Depth",
        "description": "How deep.",
        "minimum": 1,
        "maximum": 9,
        "section": "",
    }
    assert {name: params[name]["type"] for name in ("rate", "kind", "fast", "error_rate")} == {
        "rate": "number",
        "kind": "string",
        "fast": "boolean",
        "error_rate": "number",
    }
    assert params["kind"]["enum"] == ["gini", "entropy"]
    assert (params["min_score"]["default"], params["canary_step_s"]["default"], params["canary_steps"]["default"]) == (
        0.9,
        60,
        [10, 25, 50],
    )
    assert params["data_source"]["default"] is None
    assert all(params[name]["description"] for name in params if params[name]["section"] in ("Gate", "Canary", "Run"))


def test_every_default_is_valid_by_its_own_json_schema(spec: ModelSpec) -> None:
    for schema in run_params(spec).values():
        jsonschema.validate(schema["default"], schema)


def test_the_defaults_are_an_acceptable_conf(spec: ModelSpec) -> None:
    assert check_conf(spec, {name: schema["default"] for name, schema in run_params(spec).items()}) == []
    assert check_conf(spec, None) == check_conf(spec, {}) == []


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ({"dept": 3}, "dept: unknown parameter. Did you mean `depth`?"),
        ({"qqqqqq": 3}, "qqqqqq: unknown parameter. Known: depth, "),
        ({"depth": "3"}, 'depth: must be a whole number, not "3".'),
        ({"depth": 3.0}, "depth: must be a whole number, not 3.0."),
        ({"depth": True}, "depth: must be a whole number, not true."),
        ({"depth": None}, "depth: must be a whole number, not null."),
        ({"depth": 10}, "depth: 10 is above the maximum 9."),
        ({"depth": 0}, "depth: 0 is below the minimum 1."),
        ({"rate": "fast"}, 'rate: must be a number, not "fast".'),
        ({"kind": "log"}, 'kind: "log" is not allowed. Allowed: gini, entropy.'),
        ({"fast": 1}, "fast: must be true or false, not 1."),
        ({"data_source": 5}, "data_source: must be null or a text, not 5."),
        ({"data_source": "x" * 5000}, "data_source: is longer than 4096 characters."),
        ({"data_source": "a\0b"}, "data_source: holds a NUL character."),
        ({"canary_steps": 10}, "canary_steps: must be a list, not 10."),
        ({"canary_steps": []}, "canary_steps: must have 1 to 20 items, not 0."),
        ({"canary_steps": [10, "x"]}, 'canary_steps: item 2: must be a whole number, not "x".'),
        ({"canary_steps": [10, 100]}, "canary_steps: item 2: 100 is above the maximum 99."),
        ({"canary_steps": [50, 10]}, "canary_steps: [50, 10] does not rise."),
        ({"canary_step_s": 0}, "canary_step_s: 0 must be above 0."),
        ({"canary_look_s": 61}, "canary_look_s: 61 s is longer than a step (60 s)."),
        ({"canary_on_inconclusive": "wait"}, 'canary_on_inconclusive: "wait" is not allowed. Allowed: rollback, hold, promote.'),
        ({"approval": "yes"}, 'approval: must be true or false, not "yes".'),
        ({"kind": "x" * 70_000}, "conf: 700"),
        ({"rate": float("nan")}, "conf: is no plain JSON"),
        ({"rate": {1, 2}}, "conf: is no plain JSON"),
        ([1], "conf: must be a mapping of parameters, not [1]."),
        ("depth=3", "conf: must be a mapping"),
    ],
)
def test_a_wrong_conf_is_refused_with_the_fields_name(spec: ModelSpec, conf: object, expected: str) -> None:
    faults = check_conf(spec, conf)
    assert len(faults) == 1 and faults[0].startswith(expected), faults


def test_every_wrong_field_is_named_at_once(spec: ModelSpec) -> None:
    assert len(check_conf(spec, {"depth": 0, "nope": 1, "fast": "x"})) == 3


_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=4)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_the_check_lets_through_fits_the_json_schema_and_the_spec(spec: ModelSpec, data: st.DataObject) -> None:
    params = run_params(spec)
    conf: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from(sorted(params)), _values, max_size=4))
    if not check_conf(spec, conf):
        for name, value in conf.items():
            jsonschema.validate(value, params[name])
        apply(spec, conf)


def test_a_run_changes_what_it_names_and_nothing_else(spec: ModelSpec) -> None:
    changed = apply(spec, {"min_score": 0.5, "canary_steps": [5, 99], "canary_on_inconclusive": "hold", "depth": 7})
    assert (changed.gate.min_score, changed.canary.steps, changed.canary.on_inconclusive) == (0.5, (5, 99), OnInconclusive.HOLD)
    assert changed.train == spec.train and changed.canary.step_s == 60
    assert apply(spec, {}) == spec


@pytest.mark.parametrize(
    ("params", "field"),
    [({"canary_steps": [9, 3]}, "canary_steps"), ({"min_score": "x"}, "min_score"), ({"canary_step_s": -1}, "canary_step_s")],
)
def test_a_run_that_contradicts_itself_is_refused_by_its_parameters_name(spec: ModelSpec, params: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        apply(spec, params)
    assert caught.value.where == field


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ({}, ""),
        ({"input": "a.jsonl", "output": None, "shards": 3, "concurrency": 2, "temperature": 0.5}, ""),
        ({"inptu": "a"}, "inptu: unknown parameter. Did you mean `input`?"),
        ({"input": None}, "input: must be a text, not null."),
        ({"shards": 0}, "shards: 0 is below the minimum 1"),
        ({"shards": 1.5}, "shards: must be a whole number"),
        ({"temperature": 3}, "temperature: 3 is above the maximum 2"),
    ],
)
def test_a_batchs_parameters_are_checked_alike(conf: dict[str, Any], says: str) -> None:
    found = check_against(PROMPTS_PARAMS, conf)
    assert found[0].startswith(says) if says else found == []


def test_a_run_may_have_another_number_of_workers_where_training_has_several(spec: ModelSpec, write: Callable[..., Path]) -> None:
    assert "train_workers" not in run_params(spec) and "unknown" in check_conf(spec, {"train_workers": 2})[0]
    several = load(write("train: {runtime: llm, workers: 4, resources: {gpus: 4}}\n"))
    shown = run_params(several)["train_workers"]
    assert (shown["default"], shown["section"], shown["type"]) == (4, "Train", "integer") and "torchrun" in shown["description"]
    assert apply(several, {"train_workers": 2}).train.workers == 2
    assert check_conf(several, {"train_workers": 2}) == []
    assert check_conf(several, {"train_workers": 8})[0].startswith("train_workers: 8 are more than the 4 GPUs")
