"""The step `llm.verify`: the fastest form that answers as well is chosen, and its bundle is what a server needs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from include.bundles.chat import ChatBundle
from include.data import chats
from include.errors import InputError
from include.gates.evaluation import Comparison
from include.kinds.forms.speed import Speed
from include.kinds.llm.steps.verify import Judged, decide
from include.spec.llm import LlmSpec
from include.steps.bars import Bars
from include.verdict import Verdict
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.taught import PAIRS, Taught

Teach = Callable[..., Taught]
FEW = {"optimize": {"methods": ["q4_0"], "golden_prompts": 4}}


@pytest.fixture
def teach(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> Teach:
    return lambda name="one", **given: Taught.make(tmp_path / name, llm, mlflow, **{"serve": {"parallel": 2}, **FEW, **given})


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["Qwen2", "Llama"])
def test_the_16_bit_form_answers_as_the_model_does_and_the_bundle_is_whole(teach: Teach, mlflow: Mlflow, kind: str) -> None:
    model = teach(kind=kind, optimize={"golden_prompts": 4} if kind == "Qwen2" else FEW["optimize"])
    done = model.bundle()
    table = {row["name"]: row for row in done.result["candidates"]}
    assert table["f16"]["same"] == 1.0 and table["f16"]["accurate"] and table["f16"]["speedup"] == [1, 1, 1]
    assert all(row["tokens_per_s"]["1"] > 0 and row["tokens_per_s"]["2"] > 0 for row in table.values())
    bundle = Path(done.result["bundle"])
    assert {path.name for path in bundle.iterdir()} == {"model.gguf", "chat.json", "golden.json", "optimization.json", "manifest.json"}
    chosen = done.result["chosen"]
    assert table[chosen]["accurate"] and table[chosen]["size_bytes"] == (bundle / "model.gguf").stat().st_size
    chat = json.loads((bundle / "chat.json").read_text())
    assert chat == {"context": 128, "forms": chosen, "architecture": f"{kind}ForCausalLM", "parameters": chat["parameters"], "tools": False}
    assert 50_000 < chat["parameters"] < 200_000
    golden = ChatBundle.read(bundle).golden.prompts
    known = dict(PAIRS)
    assert len(golden) == 4 and all(one.answer == known[one.messages[0]["content"]] for one in golden)
    verdict = Verdict.from_json(json.loads((bundle / "optimization.json").read_text())["verdict"])
    assert verdict == Verdict.from_json(done.result["verdict"]) and verdict.evidence["chosen"] == chosen
    assert "bundle/model.gguf" in mlflow.artifacts(model.run_id, "bundle")
    assert mlflow.metrics(model.run_id)["forms/q4_0_size_bytes"] == table["q4_0"]["size_bytes"]
    assert mlflow.tags(model.run_id)["updraft.served_form"] == chosen
    version = mlflow.call("registered-models/create", name=f"{model.run_id}") and mlflow.call(
        "model-versions/create", name=model.run_id, source=done.result["model_uri"], run_id=model.run_id
    )
    assert version["model_version"]["source"].endswith("/bundle")


@pytest.mark.integration
def test_the_stretched_positions_of_llama_3_are_kept(teach: Teach) -> None:
    stretched = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "original_max_position_embeddings": 16}
    scaling = {"rope_parameters": {**stretched, "low_freq_factor": 1.0, "high_freq_factor": 4.0}}
    model = teach(kind="Llama", config=scaling)
    assert model.bundle().result["candidates"][0]["same"] == 1.0
    config = json.loads((Path(model.base) / "config.json").read_text())
    assert config["rope_parameters"]["rope_type"] == "llama3"


@pytest.mark.integration
def test_a_form_that_answers_worse_is_not_served_whatever_its_speed(teach: Teach) -> None:
    model, other = teach(), teach("other", pairs=[(asked, "no idea") for asked, _ in PAIRS])
    optimized = model.optimize()
    shutil.copyfile(other.optimize().out / "q4_0.gguf", optimized.out / "q4_0.gguf")
    done = model.step("verify", model=model.base, optimized=str(optimized.out))
    row = next(row for row in done.result["candidates"] if row["name"] == "q4_0")
    lost = len(chats.table(model.table, "eval"))
    assert row["accurate"] is False and row["same"] == 0 and row["score"]["method"].endswith(f"0 rows gained, {lost} lost")
    assert done.result["chosen"] != "q4_0"
    failed = [rule for rule in Verdict.from_json(done.result["verdict"]).rules if rule.passed is False]
    assert "q4_0: score" in [rule.name for rule in failed]


@pytest.mark.integration
def test_a_conversion_that_answers_worse_than_the_model_ends_the_run(teach: Teach) -> None:
    model, other = teach(), teach("other", pairs=[(asked, "no idea") for asked, _ in PAIRS])
    done = model.step("verify", model=model.base, optimized=str(other.optimize().out))
    assert done.error["kind"] == "input" and "llama.cpp does not answer as the model does" in done.message


@pytest.mark.integration
def test_a_file_that_is_no_model_ends_the_run_with_what_llama_cpp_says(teach: Teach) -> None:
    model = teach()
    optimized = model.optimize()
    (optimized.out / "q4_0.gguf").write_bytes((optimized.out / "q4_0.gguf").read_bytes()[:2000])
    done = model.step("verify", model=model.base, optimized=str(optimized.out))
    assert done.error["kind"] == "component" and done.error["where"].endswith("q4_0.gguf"), done.log
    assert done.error["what"] == "gguf_init_from_reader: failed to read key-value pairs"


def judged(name: str, difference: float | None, speedup: float, low: float) -> Judged:
    score = Comparison("exact_match", 100, difference, difference, difference, 1.0, 0.01, "McNemar, exact")
    return Judged(name, 1000, score, 1.0, Speed({1: 1000.0}, speedup, low, speedup + 0.1))


def chosen(*others: Judged, **limits: float) -> str:
    spec = LlmSpec.model_validate({"kind": "llm", "name": "m", "base": "b:m", "data": {"source": "a:b"}, "optimize": limits})
    bars = Bars(spec.optimize.max_score_drop, spec.optimize.min_speedup)
    return decide([judged("f16", 0.0, 1.0, 1.0), *others], bars, "llamacpp").evidence["chosen"]


def test_the_fastest_form_within_the_limits_is_chosen() -> None:
    good, better, worse = judged("q8_0", 0.0, 1.5, 1.4), judged("q4_0", -0.01, 2.0, 1.9), judged("q4_0", -0.02, 2.0, 1.9)
    assert chosen(good, better) == "q4_0" and chosen(good, worse) == "q8_0" and chosen(worse) == "f16"
    assert chosen(good, worse, max_score_drop=0.05) == "q4_0"
    assert chosen(judged("q8_0", 0.0, 0.8, 0.7)) == "f16" and chosen(judged("q8_0", 0.0, 0.8, 0.7), min_speedup=0.5) == "q8_0"
    assert chosen(good, min_speedup=1.45) == "f16" and chosen(judged("q8_0", None, 9.0, 9.0)) == "f16"


def test_a_16_bit_form_that_is_not_the_model_is_the_users_to_know() -> None:
    with pytest.raises(InputError, match=r"does not answer as the model does: -0\.2"):
        decide([judged("f16", -0.2, 1.0, 1.0)], Bars(0.01, 1.0), "llamacpp")
