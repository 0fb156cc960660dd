"""The spec of a language model: what a minimal one means, and how each mistake is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from include.errors import InputError
from include.kinds.load import load, load_as
from include.kinds.run_params import apply, check_conf, run_params
from include.spec.llm import HYPERPARAMETERS, LlmSpec, Method, Quantization
from include.spec.problem import SpecError
from include.spec.schema import ModelSpec, Task

MINIMAL = "kind: llm\nname: wine\nbase: base:make\ndata: {source: chats.jsonl}\n"
Write = Callable[[str], Path]


@pytest.fixture
def llm(folder: Path) -> Write:
    """Write a minimal spec with more YAML behind it; a line of that replaces the minimal's of the same name."""
    (folder / "base.py").write_text("def make(folder):\n    ...\n")
    (folder / "chats.jsonl").touch()

    def llm(more: str = "") -> Path:
        given = {line.partition(":")[0] for line in more.splitlines()}
        kept = [line for line in MINIMAL.splitlines() if line.partition(":")[0] not in given]
        path = folder / "model.yaml"
        path.write_text("\n".join([*kept, more]))
        return path

    return llm


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load(path)
    return str(caught.value)


def test_a_minimal_spec_has_a_default_for_everything_else(llm: Write) -> None:
    spec = load(llm())
    assert isinstance(spec, LlmSpec)
    assert (spec.task, spec.train.method, spec.serve.backend) == (Task.CHAT, Method.LORA, "llamacpp")
    assert spec.quantizations == (Quantization.Q8_0, Quantization.Q4_0)
    assert spec.param_defaults("train") == {name: param.default for name, param in HYPERPARAMETERS.items()}


def test_what_is_tried_is_what_the_backend_serves(llm: Write) -> None:
    assert load_as(llm("serve: {backend: vllm}"), LlmSpec).quantizations == (Quantization.AWQ,)
    given = load_as(llm("serve: {backend: vllm}\noptimize: {methods: [w8a8, gptq]}"), LlmSpec)
    assert given.quantizations == (Quantization.W8A8, Quantization.GPTQ)
    assert load_as(llm("serve: {backend: vllm}\noptimize: {methods: []}"), LlmSpec).quantizations == ()


def test_an_adapter_is_quantised_by_nothing(llm: Write) -> None:
    spec = load_as(llm("serve: {backend: vllm, adapters: true}"), LlmSpec)
    assert spec.serve.adapters and spec.quantizations == ()


def test_a_given_hyperparameter_keeps_the_limits_and_the_type_of_the_default(llm: Write) -> None:
    epochs = load(llm("train: {params: {epochs: 2, lora_rank: {default: 4, maximum: 8}}}")).train.params
    assert (epochs["epochs"].default, type(epochs["epochs"].default), epochs["epochs"].maximum) == (2.0, float, 1000)
    assert (epochs["lora_rank"].default, epochs["lora_rank"].minimum, epochs["lora_rank"].maximum) == (4, 1, 8)
    assert epochs["epochs"].description


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("kind: lm", "kind: 'lm' is not allowed. Did you mean `llm`? Allowed: table, llm, tensor."),
        ("kind: [llm]", "kind: a list is not allowed."),
        ("task: chat", "task: unknown field."),
        ("data: {source: chats.jsonl, max_token: 9}", "data.max_token: unknown field. Did you mean `max_tokens`?"),
        ("data: {source: chats.csv}", "data.source: 'chats.csv' is neither a function nor JSON Lines."),
        ("data: {source: chat.jsonl}", "data.source: there is no file 'chat.jsonl' in the model's folder. Did you mean `chats.jsonl`?"),
        ("data: {source: ../chats.jsonl}", "data.source: '../chats.jsonl' leaves the model's folder."),
        ("data: {source: 'base:loud'}", "data.source: base.py defines no function `loud`."),
        ("data: {source: chats.jsonl, expectations: e.yaml}", "data.expectations: there is no file 'e.yaml'"),
        ("evaluate: {harness: [tasks/a.yaml]}", "evaluate.harness[0]: there is no file 'tasks/a.yaml'"),
        ("evaluate: {harnes: []}", "evaluate.harnes: unknown field. Did you mean `harness`?"),
        ("data: {source: chats.jsonl, max_tokens: 4096}", "data.max_tokens: is 4096, and the server's `serve.context` 2048"),
        ("serve: {adapters: true}", "serve.adapters: is no field of this backend. Only vllm has it"),
        ("serve: {backend: vllm, adapters: true}\ntrain: {method: full}", "serve.adapters: `method: full` trains none."),
        (
            "serve: {backend: vllm, adapters: true}\noptimize: {methods: [awq]}",
            "optimize.methods: quantise a merged model, and adapters are served on the base as it is.",
        ),
        (
            "serve: {backend: vllm, adapters: true}\ntrain: {params: {lora_rank: 32}}",
            "train.params.lora_rank: is 32, and the server takes adapters of rank 16 at most.",
        ),
        (
            "serve: {backend: vllm, adapters: true, arguments: {max-cpu-loras: 2}}",
            "serve.arguments.max-cpu-loras: is below max-loras (4)",
        ),
        (
            "serve: {backend: vllm, arguments: {enable-lora: true}}",
            "serve.arguments.enable-lora: is not yours to set. Set `serve.adapters`.",
        ),
        ("train: {params: {epoch: 3}}", "train.params.epoch: is no hyperparameter of fine-tuning. Did you mean `epochs`?"),
        ("train: {params: {lora_rank: 16.5}}", "train.params.lora_rank: must be a whole number, not 16.5."),
        ("train: {params: {epochs: many}}", "train.params.epochs: must be a number, not 'many'."),
        ("train: {params: {batch_size: 0}}", "train.params.batch_size.default: 0 is below the minimum 1."),
        ("train: {params: {batch_size: [1]}}", "train.params.batch_size: must be true or false, a whole number, a number or a text"),
        ("train: {resources: {gpu: 1}}", "train.resources.gpu: unknown field. Did you mean `gpus`?"),
        (
            "optimize: {methods: [q4_k]}",
            "optimize.methods[0]: 'q4_k' is not allowed. Did you mean `q4_0`? Allowed: q8_0, q4_0, awq, gptq, w8a8.",
        ),
        (
            "optimize: {methods: [q8_0, awq]}",
            "optimize.methods[1]: llamacpp does not serve awq. That is for `serve.backend: vllm`. Allowed: q8_0",
        ),
        (
            "optimize: {methods: [q8_0]}\nserve: {backend: vllm}",
            "optimize.methods[0]: vllm does not serve q8_0. That is for `serve.backend: llamacpp`. Allowed: awq, gptq, w8a8.",
        ),
        ("train: {method: distill}", "train.teacher: is missing. Name the model to learn from"),
        ("train: {teacher: 'base:make'}", "train.teacher: is not used by `method: lora`. Leave it out, or use `distill`."),
        ("train: {method: distill, teacher: 'base:mak'}", "train.teacher: base.py defines no function `mak`. Did you mean `make`?"),
        ("optimize: {methods: [q8_0, q8_0]}", "optimize.methods: names 'q8_0' twice. Keep one."),
        ("optimize: {calibration_chats: 0}", "optimize.calibration_chats: "),
        ("serve: {backend: triton}", "serve.backend: 'triton' is not allowed."),
        ("serve: {params: {x: 1}}", "serve.params: dictionary should have at most 0 items"),
        ("serve: {wrapper: 'a:B'}", "serve.wrapper: unknown field."),
        ("gate: {metric: exactmatch}", "gate.metric: 'exactmatch' is no metric of chat. Did you mean `exact_match`?"),
        ("gate: {metric: perplexity}", "gate.metric: less is better in 'perplexity'. Bound it in `gate.bars` instead."),
        ("gate: {bars: [{metric: accuracy, min: 1}]}", "gate.bars[0].metric: 'accuracy' is no metric of chat."),
        ("load_test: {rates: [4, 2]}", "load_test.rates: [4.0, 2.0] does not rise."),
        ("load_test: {rates: [0]}", "load_test.rates[0]: "),
        ("load_test: {rates: [1, 2], min_rate: 3}", "load_test.min_rate: 3 is above every rate that is tried."),
        ("load_test: {rate: [1]}", "load_test.rate: unknown field. Did you mean `rates`?"),
        ("serve: {slo: {ttft: 5}}", "serve.slo.ttft: unknown field. Did you mean `ttft_ms`?"),
        ("gate: {slices: [age]}", "gate.slices[0]: 'age' is not allowed."),
    ],
)
def test_each_mistake_is_named_with_its_field(llm: Write, more: str, expected: str) -> None:
    assert expected in refusal(llm(more))


@pytest.mark.parametrize("base", ["base:make", "models:/wine/3", "Qwen/Qwen2.5-7B-Instruct", "weights", "{folder}/weights"])
def test_a_base_is_a_function_a_folder_a_registered_model_or_a_hub_id(llm: Write, folder: Path, base: str) -> None:
    (folder / "weights").mkdir()
    (folder / "weights" / "config.json").touch()
    wanted = base.format(folder=folder)
    assert load_as(llm(f"base: '{wanted}'"), LlmSpec).base == wanted


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("base:mak", "base.py defines no function `mak`. Did you mean `make`?"),
        ("other:make", "there is no other.py in the model's folder."),
        ("models:/wine", "'models:/wine' names no version of a model. Write `models:/<name>/<version>`."),
        ("models:/wine/0", "names no version of a model"),
        ("weight", "'weight' is no base model. Did you mean `weights`?"),
        ("weights", "there is no config.json in 'weights'."),
        ("/nowhere/at/all", "there is no config.json in '/nowhere/at/all'."),
        ("./other", "there is no config.json in './other'."),
        ("a/b/c", "'a/b/c' is no base model."),
        ("", "base: string should have at least 1 character."),
    ],
)
def test_a_base_that_can_be_none_is_refused(llm: Write, folder: Path, base: str, expected: str) -> None:
    (folder / "weights").mkdir()
    assert expected in refusal(llm(f"base: '{base}'"))


def test_a_making_function_takes_one_folder(llm: Write, folder: Path) -> None:
    (folder / "base.py").write_text("def make():\n    ...\n")
    assert "base: `make` in base.py can't be called with 1 positional arguments." in refusal(llm())


def test_who_wants_one_kind_is_not_given_the_other(llm: Write) -> None:
    with pytest.raises(SpecError, match="is of kind llm"):
        load_as(llm(), ModelSpec)


def test_a_run_s_form_has_the_hyperparameters_and_the_platform_s_own(llm: Write) -> None:
    params = run_params(load(llm("train: {params: {epochs: 2}}")))
    assert (params["epochs"]["type"], params["epochs"]["default"], params["lora_rank"]["type"]) == ("number", 2.0, "integer")
    assert "JSON Lines" in params["data_source"]["description"] and params["min_score"]["default"] == 0.85


def test_a_run_s_params_are_checked_and_put_into_the_spec(llm: Write) -> None:
    spec = load_as(llm(), LlmSpec)
    assert check_conf(spec, {"epochs": 1.5, "min_score": 0.5}) == []
    assert check_conf(spec, {"epochs": 0})[0].startswith("epochs: 0 is below the minimum 0.01")
    changed = apply(spec, {"min_score": 0.5, "epochs": 1.5})
    assert isinstance(changed, LlmSpec) and changed.gate.min_score == 0.5
    with pytest.raises(InputError, match="does not rise"):
        apply(spec, {"canary_steps": [50, 10]})


def test_a_run_may_name_another_base(llm: Write, folder: Path) -> None:
    spec = load_as(llm(""), LlmSpec)
    assert run_params(spec)["base_model"]["default"] is None
    assert check_conf(spec, {"base_model": "Qwen/Qwen2.5-7B-Instruct"}) == []
    assert apply(spec, {"base_model": "Qwen/Qwen2.5-7B-Instruct"}).base == "Qwen/Qwen2.5-7B-Instruct"
    assert apply(spec, {"base_model": None}).base == spec.base
    assert "base_model: must be null or a text" in check_conf(spec, {"base_model": 5})[0]


@pytest.mark.parametrize("part", ["tpot", "finish"])
def test_a_tolerance_of_the_canary_is_above_its_margin(llm: Write, part: str) -> None:
    said = refusal(llm(f"canary: {{{part}_margin: 0.5, {part}_tolerance: 0.5}}"))
    assert f"canary.{part}_tolerance: 0.5 is not above {part}_margin (0.5)" in said


@pytest.fixture
def judge(llm: Write, folder: Path) -> Write:
    """Write a spec with a judge; what is given goes into ``evaluate.judge``."""
    (folder / "rubric.md").write_text("Good: right.")
    lines = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": str(number)}]} for number in range(20)]
    texts = [json.dumps(line | {"mark": "good" if number % 2 else "bad"}) for number, line in enumerate(lines)]
    (folder / "labels.jsonl").write_text("\n".join(texts))
    return lambda more="model: other": llm(f"evaluate: {{judge: {{{more}}}}}")


def test_a_judge_is_asked_through_the_gateway_unless_a_connection_says_otherwise(judge: Write) -> None:
    found = load_as(judge(), LlmSpec).evaluate.judge
    assert (found.connection, found.model, found.min_kappa, found.max_prompts, found.margin) == (None, "other", 0.6, 200, 0.05)
    assert load_as(judge("connection: judge_default"), LlmSpec).evaluate.judge.model is None
    assert load_as(judge("connection: judge_default, model: wine"), LlmSpec).evaluate.judge.model == "wine", "another server's"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", "evaluate.judge: names neither `model` nor `connection`."),
        ("model: wine", "evaluate.judge.model: is the model that is judged."),
        (
            "model: other, rubric: rubrik.md",
            "evaluate.judge.rubric: there is no file 'rubrik.md' in the model's folder. Did you mean `rubric.md`?",
        ),
        ("model: other, labels: ../labels.jsonl", "evaluate.judge.labels: '../labels.jsonl' leaves the model's folder."),
        ("model: other, labels: chats.jsonl", "evaluate.judge.labels: chats.jsonl: holds 0 marked answers. Mark 20 to 2000 answers"),
        ("model: other, min_kappa: 1.0", "evaluate.judge.min_kappa: "),
        ("model: other, kappa: 0.5", "evaluate.judge.kappa: unknown field. Did you mean `min_kappa`?"),
    ],
)
def test_each_mistake_about_the_judge_is_named_with_its_field(judge: Write, more: str, expected: str) -> None:
    assert expected in refusal(judge(more))


def test_a_wrong_label_is_named_by_its_line_when_the_spec_is_read(judge: Write, folder: Path) -> None:
    with (folder / "labels.jsonl").open("a") as labels:
        labels.write('\n{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "x"}], "mark": "fine"}\n[')
    told = refusal(judge())
    assert "evaluate.judge.labels: labels.jsonl:21: mark: 'fine' is no mark. Write good or bad, or a number from 1 to 5." in told
    assert "evaluate.judge.labels: labels.jsonl:22: is not JSON" in told
