"""The steps of a language model whose adapter is served on its base: real training, real vLLM, two layers that know a few words."""

import json
from pathlib import Path

import pytest

from include.bundles.adapter import FILES, Adapter, digest
from include.bundles.chat import ChatBundle
from include.runtime.settings import Settings
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.taught import PAIRS, Taught

SHAPE = {"num_attention_heads": 2, "num_key_value_heads": 1}
SPEC = {
    "data": {"source": "chats.jsonl", "max_tokens": 128},
    "train": {"method": "lora", "params": {"epochs": 4, "learning_rate": 2e-3, "lora_rank": 8}},
    "serve": {"backend": "vllm", "adapters": True, "context": 128, "parallel": 2, "arguments": {"max-lora-rank": 8}},
    "optimize": {"golden_prompts": 4, "max_score_drop": 0.1},
}


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.soak
def test_an_adapter_is_trained_verified_bundled_and_compared_as_champion_on_its_base(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    if not Settings.load().python("vllm").exists():
        pytest.skip("runtime vllm is not installed: make install-vllm")
    model = Taught.make(tmp_path / "one", llm, mlflow, config=SHAPE, **SPEC)
    trained = model.step("train", base=model.base)
    assert trained.result, trained.log
    kept = Path(trained.result["adapter"])
    assert sorted(path.name for path in kept.iterdir()) == sorted(FILES)
    adapter = Adapter.read(kept)
    assert (adapter.rank, adapter.base, adapter.digest) == (8, Path(model.base), digest(Path(model.base)))
    adapter.check(8)
    assert trained.result["model_uri"].endswith("/artifacts/adapter")
    assert sorted(mlflow.artifacts(model.run_id, "adapter")) == sorted(f"adapter/{name}" for name in FILES)
    whole = {"model": trained.result["model"]}  # merged: what the gate judges
    optimized = model.step("optimize", adapter=str(kept), **whole)
    assert optimized.result, optimized.log
    done = model.step("verify", optimized=optimized.result["folder"], **whole)
    assert done.result, done.log
    (only,) = done.result["candidates"]
    assert (only["name"], only["accurate"], only["size_bytes"]) == ("adapter", True, (kept / FILES[1]).stat().st_size)
    assert only["same"] > 0.8 and only["tokens_per_s"]["2"] > 0
    assert done.result["verdict"]["reasons"] == ["adapter is served: it is the only form."]
    folder = Path(done.result["bundle"])
    bundle = ChatBundle.read(folder)
    assert bundle.model == folder / "adapter"
    assert not list(folder.rglob("model*.safetensors"))  # the base is not in it
    known = dict(PAIRS)
    assert sum(one.answer == known[one.messages[0]["content"]] for one in bundle.golden.prompts) >= 3
    assert "bundle/adapter/base.json" in mlflow.artifacts(model.run_id, "bundle/adapter")
    compared = model.step("evaluate", champion=str(folder), champion_version="1", **whole)
    assert compared.result, compared.log
    champion = json.loads(Path(compared.result["evaluation"]).read_text())["champion"]
    assert champion["scores"]["exact_match"]["value"] == pytest.approx(compared.result["score"], abs=0.15)
    assert compared.result["score"] > 0.4


@pytest.mark.integration
def test_a_rank_that_the_server_does_not_take_is_refused_before_it_is_trained(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    model = Taught.make(tmp_path / "one", llm, mlflow, config=SHAPE, **SPEC)
    model.params["lora_rank"] = 64
    done = model.step("base")
    assert done.error["kind"] == "input"
    assert "lora_rank is 64, and the server takes adapters of rank 8 at most." in done.message.replace("\n", " ")
