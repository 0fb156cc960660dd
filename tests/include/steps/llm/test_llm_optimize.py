"""The step `llm.optimize`: a model becomes GGUF files that llama.cpp reads as transformers does, or the step says why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.taught import Taught

pytestmark = pytest.mark.integration
Teach = Callable[..., Taught]


@pytest.fixture
def teach(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> Teach:
    return lambda name="one", **given: Taught.make(tmp_path / name, llm, mlflow, **given)


@pytest.mark.parametrize("kind", ["Qwen2", "Llama"])
def test_every_form_is_written_and_is_smaller_than_the_one_before(teach: Teach, kind: str) -> None:
    model = teach(kind=kind)
    done = model.optimize()
    assert done.result, done.log
    folder = Path(done.result["folder"])
    candidates = {one["name"]: folder / one["file"] for one in json.loads((folder / "candidates.json").read_text())}
    assert list(candidates) == ["f16", "q8_0", "q4_0"]
    sizes = [path.stat().st_size for path in candidates.values()]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    assert {path.name for path in folder.iterdir()} == {"candidates.json", "f16.gguf", "q8_0.gguf", "q4_0.gguf"}


def test_only_the_methods_asked_for_are_tried(teach: Teach) -> None:
    done = teach(optimize={"methods": ["q4_0"]}).optimize()
    assert [one["name"] for one in json.loads((done.out / "candidates.json").read_text())] == ["f16", "q4_0"]


def changed(model: Taught, file: str, change: Callable[[dict], None]) -> str:
    folder = model.home / "changed"
    shutil.copytree(model.base, folder)
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    return str(folder)


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("config.json", lambda c: c.update(rope_scaling={"rope_type": "yarn", "factor": 4.0}), "rope scaling 'yarn'"),
        ("config.json", lambda c: c.update(use_sliding_window=True), "sliding window"),
        ("config.json", lambda c: c.update(architectures=["GPT2LMHeadModel"]), "architecture ['GPT2LMHeadModel']"),
    ],
    ids=["rope", "window", "architecture"],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(teach: Teach, file: str, change: Callable[[dict], None], expected: str) -> None:
    model = teach()
    done = model.step("optimize", model=changed(model, file, change))
    assert done.error["kind"] == "input" and expected in done.message, done.log
    assert not list(done.out.glob("*.gguf"))


def test_a_base_that_could_not_be_served_is_refused_before_it_is_trained(teach: Teach) -> None:
    model = teach()
    model.spec(base=changed(model, "config.json", lambda c: c.update(use_sliding_window=True)))
    done = model.step("base")
    assert done.error["kind"] == "input" and "sliding window" in done.message, done.log


def test_a_tokenizer_that_cuts_words_in_a_way_of_its_own_is_refused(teach: Teach) -> None:
    def cut(tokenizer: dict) -> None:
        tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\s+|\w+|[^\w\s]+"

    model = teach(kind="Llama")
    done = model.step("optimize", model=changed(model, "tokenizer.json", cut))
    assert done.error["kind"] == "input" and "no such pre-tokenizer" in done.message, done.log


def test_a_tokenizer_that_changes_the_text_first_is_found_out(teach: Teach) -> None:
    def lower(tokenizer: dict) -> None:
        tokenizer["normalizer"] = {"type": "Lowercase"}

    model = teach(kind="Llama")
    done = model.step("optimize", model=changed(model, "tokenizer.json", lower))
    assert done.error["kind"] == "input" and "its normaliser (Lowercase) changes texts" in done.message, done.log


def test_a_template_that_llama_cpp_fills_in_otherwise_is_found_out(teach: Teach) -> None:
    model = teach()
    folder = model.home / "changed"
    shutil.copytree(model.base, folder)
    template = folder / "chat_template.jinja"
    template.write_text("{{ 0.1 + 0.2 }}" + template.read_text())
    done = model.step("optimize", model=str(folder))
    assert done.error["kind"] == "input" and "writes a prompt otherwise" in done.message, done.log
