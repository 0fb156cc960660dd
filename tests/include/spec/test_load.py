"""Loading a spec: what a minimal one means, and how each mistake is named."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.kinds.load import find, load
from include.spec.problem import SpecError
from include.spec.schema import Task

Write = Callable[..., Path]


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load(path)
    return str(caught.value)


def test_a_minimal_spec_has_a_default_for_everything_else(write: Write) -> None:
    spec = load(write())
    assert (spec.name, spec.task, spec.gate.min_score, spec.canary.steps) == ("wine", Task.CLASSIFICATION, 0.85, (10, 25, 50))


def test_a_target_and_its_limits_are_named_by_one_word_each(write: Write) -> None:
    spec = load(write("target: docker\nlimits: {memory: 8GiB, cpus: 2.5}\n"))
    assert (spec.target, spec.limits.memory, spec.limits.cpus) == ("docker", "8GiB", 2.5)
    assert load(write()).target is None and load(write()).limits.memory is None


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("target: dokcer\n", "target"),
        ("limits: {memory: lots}\n", "limits.memory"),
        ("limits: {memory: 8}\n", "limits.memory"),
        ("limits: {cpus: 0}\n", "limits.cpus"),
        ("limits: {ram: 8GiB}\n", "ram"),
    ],
)
def test_a_wrong_target_or_limit_is_named(write: Write, more: str, field: str) -> None:
    assert field in refusal(write(more))


def test_a_bare_parameter_is_short_for_its_default(write: Write) -> None:
    spec = load(write("train: {params: {depth: 3, rate: 1e-3, kind: gini}}\n"))
    assert spec.param_defaults("train") == {"depth": 3, "rate": 0.001, "kind": "gini"}
    assert spec.train.params["depth"].default == 3


def test_a_problem_says_file_line_column_field_and_the_nearest_name(write: Write) -> None:
    path = write("gate:\n  min_scor: 0.9\n")
    with pytest.raises(SpecError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line, problem.column, problem.field, problem.nearest) == (path, 7, 3, "gate.min_scor", "min_score")
    assert "min_score" in problem.allowed
    assert str(caught.value).startswith(f"{path}:7: gate.min_scor: unknown field. Did you mean `min_score`?")
    assert isinstance(caught.value, InputError)


def test_every_problem_is_reported_at_once_in_the_order_of_the_file(write: Write) -> None:
    with pytest.raises(SpecError) as caught:
        load(write("owner: 3\ngate: {approval: 1}\ncanary: {step_s: -1}\n"))
    assert [problem.field for problem in caught.value.problems] == ["owner", "gate.approval", "canary.step_s"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("serve: {max_batch_size: '64'}\n", "serve.max_batch_size: must be a whole number, not '64'."),
        ("serve: {instances: 1.5}\n", "serve.instances: must be a whole number, not 1.5."),
        ("canary: {step_s: true}\n", "canary.step_s: must be a number, not true."),
        ("canary: {steps: 10}\n", "canary.steps: must be a list, not 10."),
        ("canary: {steps: [10, x]}\n", "canary.steps[1]: must be a whole number, not 'x'."),
        ("gate: 3\n", "gate: must be a mapping, not 3."),
        ("owner:\n", "owner: must be a text, not empty."),
        (
            "train: {params: {depth: [1]}}\n",
            "train.params.depth: must be true or false, a whole number, a number or a text, not a list.",
        ),
        ("train: {params: {Depth: 1}}\n", "train.params.Depth: must be lower-case letters"),
        ("canary: {steps: [0]}\n", "canary.steps[0]: must be at least 1, not 0."),
        (
            "optimize: {methods: [grapf]}\n",
            "optimize.methods[0]: 'grapf' is not allowed. Did you mean `graph`? Allowed: graph, int8, tensorrt_fp32",
        ),
        ("gate: {min_score: .nan}\n", "gate.min_score: .nan is not a finite number."),
        ("gate: {min_score: 1e999}\n", "gate.min_score: 1e999 is not a finite number."),
    ],
)
def test_a_wrong_type_or_value_is_named_with_what_is_allowed(write: Write, more: str, expected: str) -> None:
    assert expected in refusal(write(more))


def test_a_missing_field_is_named_with_its_meaning(write: Write) -> None:
    text = refusal(write("name: wine\ntask: regression\ndata:\n  source: data:load\n", whole=True))
    assert "model.yaml:3: data.target: is missing. The column to predict." in text


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("train: {entry: 'train:fit'}\n", "train.entry: train.py defines no function `fit`."),
        ("train: {entry: 'trian:train'}\n", "train.entry: there is no trian.py in the model's folder. Did you mean `train`?"),
        ("train: {entry: train}\n", "train.entry: must be `module:name`"),
        ("train: {entry: 'data:load'}\n", "train.entry: `load` in data.py can't be called with 3 positional arguments."),
        ("serve: {wrapper: 'data:load'}\n", "serve.wrapper: `load` in data.py is no class."),
        ("serve: {wrapper: 'serving:Wraper'}\n", "Did you mean `Wrapper`?"),
    ],
)
def test_an_entry_point_must_exist_and_fit(write: Write, more: str, expected: str) -> None:
    assert expected in refusal(write(more))


def test_user_code_is_parsed_and_never_run(write: Write, folder: Path) -> None:
    (folder / "train.py").write_text("raise SystemExit('imported')\ndef train(X, y, params): ...\n")
    assert load(write()).train.entry == "train:train"


def test_code_that_is_no_python_is_named_with_its_line(write: Write, folder: Path) -> None:
    (folder / "train.py").write_text("x = 1\ndef train(:\n")
    assert "train.entry: train.py is no valid Python: invalid syntax (line 2)." in refusal(write())


@pytest.mark.parametrize("path", ["../other/data.csv", "/etc/data.csv", "a/../../b.csv", "~/data.csv", "a\\b.csv"])
def test_a_path_may_not_leave_the_models_folder(write: Write, path: str) -> None:
    text = refusal(write(f"name: wine\ntask: regression\ndata: {{source: '{path}', target: kind}}\n", whole=True))
    assert "data.source" in text and ("leaves the model's folder" in text or "is no usable path" in text)


def test_a_path_may_not_leave_through_a_symbolic_link(write: Write, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a,b\n")
    (folder / "table.csv").symlink_to(tmp_path / "secret.csv")
    text = refusal(write("name: wine\ntask: regression\ndata: {source: table.csv, target: kind}\n", whole=True))
    assert "data.source: 'table.csv' is a symbolic link." in text


def test_a_missing_expectations_file_is_named(write: Write, folder: Path) -> None:
    (folder / "expectations.yaml").rename(folder / "expectation.yaml")
    assert "data.expectations: there is no file 'expectations.yaml' in the model's folder. Did you mean `expectation.yaml`?" in refusal(
        write()
    )


def test_a_name_other_than_the_folders_is_refused_so_that_no_two_models_share_one(write: Write) -> None:
    text = refusal(write("name: beer\ntask: regression\ndata: {source: 'data:load', target: kind}\n", whole=True))
    assert "model.yaml:1: name: is 'beer', but the folder is 'wine'." in text and "no two models can share a name" in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty."),
        (b"# only a comment\n", "is empty."),
        (b"- a\n- b\n", "is not a mapping."),
        (b"just text\n", "is not a mapping."),
        (b"name: wine\nname: beer\n", "model.yaml:2: name: is given twice (first on line 1)."),
        (b"name: wine\ndescription: caf\xe9\n", "model.yaml:2: is not UTF-8: byte 0xe9 at offset 27."),
        (b"name: !!python/object/apply:os.system ['true']\n", "is not allowed. Write plain values."),
        (b"name: wine\nschedule: @daily\n", "Quote texts that begin with a special character."),
        (b"name: [wine\n", "is no valid YAML"),
        (b"a: " + b"[" * 50 + b"]" * 50, "nested deeper than 20 levels."),
        (b"[" * 200_000, "nested deeper than 20 levels."),
        (b"#" * (256 * 1024 + 1), "is larger than 256 KiB."),
        (b"name: a\n---\nname: b\n", "a second document begins here."),
        (b"? [a, b]\n: c\n", "a key must be a plain text."),
        (b"a: &a [*a]\n", "names nothing complete above it."),
        (b"name: *nowhere\n", "names nothing complete above it."),
        (b"name: w\0ine\n", "is no valid YAML"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:30],
)
def test_a_file_that_is_no_plain_configuration_is_refused(folder: Path, content: bytes, expected: str) -> None:
    path = folder / "model.yaml"
    path.write_bytes(content)
    assert expected in refusal(path)


def test_a_yaml_bomb_is_refused_before_it_goes_off(folder: Path) -> None:
    """The billion laughs: each line names the one before ten times. Read, it would fill the memory."""
    lines = ["a0: &a0 [" + "x," * 10 + "]"] + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = folder / "model.yaml"
    path.write_text("\n".join(lines))
    assert "more than 16 aliases" in refusal(path)


def test_a_bomb_within_the_alias_bound_is_refused_by_its_size(folder: Path) -> None:
    lines = ["a0: &a0 [" + "x," * 5000 + "]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 8)]
    path = folder / "model.yaml"
    path.write_text("\n".join(lines))
    assert "more than 20000 values" in refusal(path)


def test_an_alias_may_repeat_a_value(write: Write) -> None:
    spec = load(write("train: {params: {a: &n 7, b: *n}}\n"))
    assert spec.param_defaults("train") == {"a": 7, "b": 7}


def test_a_missing_file_is_named(folder: Path) -> None:
    assert "can't be read: No such file or directory." in refusal(folder / "model.yaml")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), st.text(alphabet="ab:-[]{}&*!?|>'\"#%@\n 1.~,", max_size=80).map(str.encode)))
def test_arbitrary_bytes_never_raise_anything_but_a_spec_error(folder: Path, content: bytes) -> None:
    path = folder / "model.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError):
        load(path)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_fields = ("task", "data", "train", "gate", "optimize", "serve", "canary", "schedule", "tags", "target", "owner", "description")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from(_fields), _json, min_size=1, max_size=4))
def test_arbitrary_values_load_or_raise_a_spec_error(write: Write, values: dict[str, object]) -> None:
    import yaml

    whole = {"name": "wine", "task": "regression", "data": {"source": "data:load", "target": "kind"}} | values
    try:
        load(write(yaml.safe_dump(whole), whole=True))
    except SpecError as error:
        assert all(problem.line >= 1 and problem.message for problem in error.problems)


def test_find_lists_the_model_folders_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden", "__pycache__", "no_spec"):
        (tmp_path / name).mkdir()
        if name != "no_spec":
            (tmp_path / name / "model.yaml").touch()
    assert [path.parent.name for path in find(tmp_path)] == ["a", "b"]


def test_find_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is no folder of models"):
        find(tmp_path / "nowhere")


def test_two_hundred_specs_load_well_under_a_second(tmp_path: Path) -> None:
    for n in range(200):
        folder = tmp_path / f"m{n:03}"
        folder.mkdir()
        (folder / "data.py").write_text("def load(): ...\n")
        (folder / "train.py").write_text("def train(X, y, params): ...\n")
        (folder / "expectations.yaml").touch()
        (folder / "model.yaml").write_text(
            f"name: m{n:03}\ntask: regression\ndata: {{source: 'data:load', target: y}}\ntrain: {{params: {{a: 1, b: 2.5}}}}\n"
        )
    started = time.process_time()
    assert len([load(path) for path in find(tmp_path)]) == 200
    assert time.process_time() - started < 1


def test_loading_imports_nothing_heavy() -> None:
    heavy = "pandas numpy mlflow sklearn great_expectations dvc scipy airflow"
    code = f"import sys, include.kinds.load, include.spec.params; print([m for m in {heavy.split()} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."}, check=True)
    assert answer.stdout.strip() == "[]"


LOADS = "import sys; from pathlib import Path; from include.kinds.load import load; load(Path(sys.argv[1]))"


def test_a_pipe_in_place_of_a_spec_is_refused_and_not_waited_for(write: Write) -> None:
    path = write()
    path.unlink()
    os.mkfifo(path)
    done = subprocess.run([sys.executable, "-c", LOADS, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert f"{path}:1: can't be read: it is a pipe or a device, and no plain file." in done.stderr


def test_a_device_in_place_of_a_spec_is_refused(write: Write) -> None:
    path = write()
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "can't be read: it is a pipe or a device" in refusal(path)
