"""The step `llm.base`: a base is made, found, fetched, and refused with a sentence when it can't be built on."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.include.steps.conftest import Mlflow
from tests.include.steps.llm.conftest import Language
from tests.ports import free_port

pytestmark = pytest.mark.integration
Make = Callable[..., Language]


def edit(path: Path, **fields: Any) -> None:
    kept = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in kept.items() if value is not None}))


def more_tokens(path: Path) -> None:
    kept = json.loads(path.read_text())
    kept["added_tokens"].append(kept["added_tokens"][-1] | {"id": 300, "content": "<|more|>"})
    path.write_text(json.dumps(kept))


def test_a_base_that_code_makes_is_made_once_and_again_when_any_of_its_code_changes(language: Make) -> None:
    model = language()
    first, second = model.step("base"), model.step("base")
    # An embedding of 300 tokens, 64 wide, used as the head too; two layers; a norm at the end.
    attention = 64 * 64 * 2 + 64 * 32 * 2 + 64 + 32 + 32
    assert first.result["parameters"] == 300 * 64 + 2 * (attention + 3 * 64 * 128 + 2 * 64) + 64
    assert first.result["architecture"] == "Qwen2ForCausalLM"
    assert "Making the base" in first.log and "Making the base" not in second.log
    assert {name: value for name, value in first.result.items() if name != "work_s"} == {
        name: value for name, value in second.result.items() if name != "work_s"
    }
    tokenizer = model.folder / "tiny_tokenizer.py"
    tokenizer.write_text(tokenizer.read_text().replace("vocab_size=300", "vocab_size=280"))
    third = model.step("base")
    assert "Making the base" in third.log
    assert third.result["model"] != first.result["model"] and third.result["digest"] != first.result["digest"]
    assert third.result["parameters"] == first.result["parameters"] - 20 * 64


def test_a_run_may_fine_tune_another_base_than_the_specs(language: Make, tiny: Path) -> None:
    model = language()
    model.params["base_model"] = str(tiny)
    done = model.step("base")
    assert done.result["model"] == str(tiny) and "Making the base" not in done.log


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "def make(folder):\n    (folder / 'config.json').write_text('{}')\n    raise OSError('no room')\n",
            "make() raised OSError: no room",
        ),
        ("import no_such_library\ndef make(folder):\n    pass\n", "Use what docker/llm/requirements.txt installs"),
        ("def make(folder):\n    pass\n", "config.json is missing."),
    ],
)
def test_code_that_fails_leaves_nothing_behind(language: Make, code: str, said: str) -> None:
    model = language()
    (model.folder / "base.py").write_text(code)
    done = model.step("base")
    assert done.error["kind"] == "input" and said in done.message
    assert not [path for path in (model.home.parent / "bases").rglob("*") if path.is_file()]


def test_what_a_killed_step_left_is_thrown_away_and_what_another_writes_is_not(language: Make) -> None:
    model = language()
    made = Path(model.step("base").result["model"])
    shutil.rmtree(made)
    killed, alive = (made.with_name(f".{made.name}-{pid}") for pid in (2**30, os.getpid()))
    for folder in (killed, alive):
        folder.mkdir()
    assert model.step("base").result["model"] == str(made)
    assert sorted(made.parent.iterdir()) == [alive, made]


def test_a_folder_is_used_where_it_lies(language: Make, tiny: Path) -> None:
    model = language(base="mine")
    shutil.copytree(tiny, model.folder / "mine")
    done = model.step("base")
    assert done.result["model"] == str(model.folder / "mine")
    assert not (model.home.parent / "bases").exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda base: (base / "model.safetensors").unlink(), "there are no weights."),
        (lambda base: (base / "model.safetensors").rename(base / "pytorch_model.bin"), "pickles are never opened"),
        (lambda base: (base / "tokenizer.json").unlink(), "tokenizer.json is missing."),
        (lambda base: edit(base / "config.json", architectures=["GPT2LMHeadModel"]), "GPT2LMHeadModel is not supported"),
        (lambda base: edit(base / "config.json", auto_map={"AutoModel": "own.Model"}), "Code from a model is never run"),
        (lambda base: edit(base / "config.json", tie_word_embeddings=False), "there is no lm_head.weight"),
        (lambda base: edit(base / "config.json", vocab_size=17), "vocab_size is 17"),
        (lambda base: edit(base / "config.json", num_hidden_layers=3), "tensors are missing: model.layers.2."),
        (lambda base: edit(base / "config.json", num_hidden_layers=10**12), "num_hidden_layers is 1000000000000"),
        (lambda base: edit(base / "config.json", architectures={"of": "mine"}), "is not supported"),
        (lambda base: (base / "tokenizer.json").write_text("{}"), "is no tokenizer"),
        (lambda base: more_tokens(base / "tokenizer.json"), "has token 300, but the model knows only 300"),
        (lambda base: (base / "config.json").write_text("{"), "config.json"),
        (lambda base: (base / "config.json").write_text("[]"), "config.json"),
        (lambda base: (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:2000]), "model.safetensors"),
    ],
    ids=[
        "no weights",
        "pickle",
        "no tokenizer",
        "architecture",
        "own code",
        "untied",
        "vocabulary",
        "layers",
        "many layers",
        "odd architecture",
        "odd tokenizer",
        "tokens",
        "torn",
        "list",
        "cut",
    ],
)
def test_a_base_that_cannot_be_built_on_is_refused(language: Make, tiny: Path, spoil: Callable[[Path], Any], said: str) -> None:
    model = language(base="mine")
    base = model.folder / "mine"
    shutil.copytree(tiny, base)
    spoil(base)
    done = model.step("base")
    assert done.error["kind"] == "input" and said in done.message


def wider(base: Path) -> None:
    """A config that makes the feed-forward layers wider than their weights are."""
    edit(base / "config.json", intermediate_size=160)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            lambda base: edit(base / "config.json", quantization_config={"quant_method": "awq", "bits": 4}),
            "quantised already (awq, 4 bits)",
        ),
        (lambda base: edit(base / "config.json", quantization_config={"quant_method": "fp8"}), "quantised already (fp8)"),
        (lambda base: edit(base / "config.json", quantization_config={"load_in_4bit": True}), "quantised already (bitsandbytes)"),
        (lambda base: edit(base / "config.json", compression_config={"quant_method": "compressed-tensors"}), "(compressed-tensors)"),
        (lambda base: (base / "quantize_config.json").write_text("{}"), "quantize_config.json the base is quantised already (GPTQ or AWQ)"),
        (wider, "mlp.down_proj.weight is (64, 128), and config.json makes it (64, 160)."),
        (lambda base: edit(base / "tokenizer_config.json", eos_token="<|endoftext|>"), "ends an answer with '<|im_end|>', but evaluation"),
        (
            lambda base: (base / "chat_template.jinja").write_text("{{ messages[0]['content'] }}"),
            "no beginning|leaves out or changes the answer",
        ),
    ],
    ids=["awq", "fp8", "bnb", "compressed", "gptq file", "shapes", "end", "template"],
)
def test_a_base_that_would_fail_or_be_served_otherwise_later_is_refused_now(
    language: Make, tiny: Path, spoil: Callable[[Path], Any], expected: str
) -> None:
    model = language(base="mine")
    base = model.folder / "mine"
    shutil.copytree(tiny, base)
    spoil(base)
    done = model.step("base")
    assert done.error["kind"] == "input" and any(part in done.message for part in expected.split("|")), done.message


def test_a_context_that_the_model_can_not_follow_is_refused_and_the_default_lowered_aloud(language: Make, tiny: Path) -> None:
    done = language(base=str(tiny)).step("base")
    assert any("the model follows 128 tokens: 128 are served" in note for note in done.result["notes"]) and "128 are served" in done.log
    refused = language("two", base=str(tiny), data={"source": "chats.jsonl", "max_tokens": 100}, serve={"context": 1000}).step("base")
    assert "serve.context" in refused.message and "the model follows 128 tokens at most" in refused.message


def test_a_template_that_refuses_system_messages_is_refused_where_the_chats_have_them(language: Make, tiny: Path) -> None:
    model = language(base="mine")
    base = model.folder / "mine"
    shutil.copytree(tiny, base)
    template = base / "chat_template.jinja"
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    template.write_text(refuses + template.read_text())
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    lines = [chat, {"messages": [{"role": "system", "content": "s"}, *chat["messages"]]}]
    file = model.folder / "chats.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "chats.jsonl has one in line 2" in model.step("base").message
    file.write_text(json.dumps(chat) + "\n")
    assert any("system message would be refused" in note for note in model.step("base").result["notes"])


def test_a_base_without_a_chat_template_is_refused(language: Make, tiny: Path) -> None:
    model = language(base="mine")
    base = model.folder / "mine"
    shutil.copytree(tiny, base)
    (base / "chat_template.jinja").unlink()
    edit(base / "tokenizer_config.json", chat_template=None)
    assert "has no chat_template" in model.step("base").message


def test_a_version_in_mlflow_is_fetched_once(language: Make, tiny: Path, mlflow: Mlflow) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(mlflow.url, mlflow.url)
    run = mlflow.new_run()
    client.log_artifacts(run, str(tiny), "model")
    source = f"{mlflow.run(run)['info']['artifact_uri']}/model"
    client.create_registered_model("elder")
    client.create_model_version("elder", source, run)
    model = language(base="models:/elder/1")
    first, second = model.step("base"), model.step("base")
    assert first.result, first.log
    assert Path(first.result["model"]).parent.parent == model.home.parent / "bases"
    assert first.result["model"] == second.result["model"]
    assert sorted(path.name for path in Path(first.result["model"]).iterdir()) == sorted(path.name for path in tiny.iterdir())
    model.spec(base="models:/elder/7")
    assert model.step("base").error["kind"] == "input"


def test_a_hub_that_is_away_is_said_and_may_be_tried_again(language: Make) -> None:
    model = language(base="someone/something")
    done = model.llm.step(*model.request("base"), **model.environment(), HF_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert done.error["kind"] == "component" and "the Hub cannot be reached" in done.message
    assert "name its folder" in done.message
