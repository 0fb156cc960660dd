import json
from pathlib import Path

import pytest

from include.backends.vllm.backend import Vllm
from include.backends.vllm.model import check
from include.backends.vllm.spec import VllmServe
from include.bundles.adapter import BASE, CONFIG, WEIGHTS
from include.bundles.chat import ADAPTER, FOLDER
from include.errors import InputError
from include.runtime.settings import Settings
from include.serving.gpu_ask import gpu_ask
from include.serving.host import ProcessHost
from include.serving.revision import Revision

QWEN_7B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "config.json").write_text(json.dumps(QWEN_7B))
    return tmp_path


def served(**resources: object) -> VllmServe:
    return VllmServe.model_validate({"backend": "vllm", "context": 8192, "parallel": 8, "resources": resources or None})


def test_nothing_is_asked_for_what_needs_no_gpu(bundle: Path) -> None:
    assert gpu_ask(served(), bundle) is None


def test_auto_is_what_the_served_model_its_context_and_its_conversations_take(bundle: Path) -> None:
    asked = gpu_ask(served(memory="auto", priority=7), bundle)
    assert asked is not None and asked.priority == 7
    least = (
        7.6e9 * 2 / 2**20 + 8 * 8192 * 57_344 / 2**20
    )  # weights, and the cache of each token (28 layers, 4 heads of 128, keys and values)
    assert least < asked.memory_mib < least * 1.2
    longer = gpu_ask(served(memory="auto").model_copy(update={"context": 16384}), bundle)
    assert longer is not None and longer.memory_mib > asked.memory_mib + 3000


def test_auto_of_an_adapter_is_its_base_with_room_for_all_adapters(bundle: Path, tmp_path: Path) -> None:
    (bundle / ADAPTER).mkdir()
    (bundle / ADAPTER / CONFIG).write_text(json.dumps({"r": 16}))
    (bundle / ADAPTER / WEIGHTS).write_bytes(b"weights")
    (bundle / ADAPTER / BASE).write_text(json.dumps({"folder": str(bundle / FOLDER), "digest": "1"}))
    plain, adapters = served(memory="auto"), served(memory="auto").model_copy(update={"adapters": True})
    without = gpu_ask(plain, bundle)
    found = [gpu_ask(adapters.model_copy(update={"arguments": {"max-loras": count}}), bundle) for count in (2, 4)]
    assert without is not None and found[0] is not None and found[1] is not None
    # Rank 16 on the seven matrices of 28 layers, embedding and head: 2 bytes each.
    sizes = ((3584, 3584), (3584, 512), (3584, 512), (3584, 3584), (3584, 18944), (3584, 18944), (18944, 3584))
    one = 16 * (28 * sum(a + b for a, b in sizes) + 2 * (152064 + 3584)) * 2 / 2**20
    assert found[0].memory_mib - without.memory_mib == pytest.approx(2 * one, abs=1.5)
    assert found[1].memory_mib - without.memory_mib == pytest.approx(4 * one, abs=1.5)


def test_a_size_is_taken_as_it_is_said(bundle: Path) -> None:
    asked = gpu_ask(served(memory="20GiB"), bundle)
    assert asked is not None and asked.memory_mib == 20 * 1024


LOG = """(EngineCore pid=79) INFO [gpu_model_runner.py:6120] Model loading took 14.80 GiB memory and 6.35 seconds
(EngineCore pid=79) INFO [gpu_worker.py:440] Available KV cache memory: 6.10 GiB
(EngineCore pid=79) INFO [gpu_worker.py:857] Free memory on device (23.3/23.5 GiB) on startup. Desired GPU memory utilization is \
(0.95, 22.33 GiB). Actual usage is 14.8 GiB for weight, 0.83 GiB for peak activation, 0.6 GiB for non-torch memory, and 0.0 GiB for \
CUDAGraph memory. Current kv cache memory in use is 6.1 GiB.
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path / "home"))
    return Settings.load()


def test_auto_is_what_a_server_of_the_same_model_reported(bundle: Path, home: Settings) -> None:
    serve = served(memory="auto")
    before = gpu_ask(serve, bundle)
    Vllm().learn(bundle, serve, LOG, home.observations)
    after, longer = gpu_ask(serve, bundle), gpu_ask(serve.model_copy(update={"context": 16_384}), bundle)
    cache = 8 * 8192 * 57_344 / 2**20
    assert before is not None and after is not None and longer is not None
    assert after.memory_mib == pytest.approx((14.80 + 0.83 + 0.6) * 1024 + cache, abs=2) != before.memory_mib
    assert longer.memory_mib - after.memory_mib == pytest.approx(cache, abs=2)


@pytest.mark.parametrize("log", ["", "Model loading took 1.5 GiB memory and 6 seconds\n", LOG.replace("14.80", "many")])
def test_a_log_that_tells_of_no_gpu_changes_nothing(bundle: Path, home: Settings, log: str) -> None:
    before = gpu_ask(served(memory="auto"), bundle)
    Vllm().learn(bundle, served(memory="auto"), log, home.observations)
    assert gpu_ask(served(memory="auto"), bundle) == before


def test_a_server_on_no_gpu_teaches_nothing(bundle: Path, home: Settings) -> None:
    Vllm().learn(bundle, served(), LOG, home.observations)
    assert not home.observations.exists()


def test_what_a_server_logged_at_this_start_is_read_and_no_more(home: Settings) -> None:
    revision, host = Revision("m", "1", "127.0.0.1", 1, 0, 0, "d", backend="vllm"), ProcessHost(home)
    assert host.start_log(revision, 0) == ""
    home.logs.mkdir(parents=True)
    host.log(revision).write_text("an earlier start\nthis start\n")
    assert host.start_log(revision, len("an earlier start\n")) == "this start\n"


@pytest.mark.parametrize(
    ("resources", "gib"),
    [
        ({"memory": "20GB"}, 20e9 / 2**30),
        ({"gpus": 1, "models": ["H100-80GB", "RTX-4090"]}, 24_115 / 1024),
        ({"gpus": 1, "models": ["H100-94GB"]}, 94),
        ({"fraction": 0.5, "models": ["H100-80GB"]}, 81_090 / 2048),
        ({"mig": "3g.40gb"}, 40),
    ],
)
def test_a_model_is_held_against_the_memory_that_the_lease_gives(bundle: Path, resources: dict[str, object], gib: float) -> None:
    """The Qwen 7B needs 20 GiB and a half; asked for a context that does not fit, it is told what there is."""
    serve = served(**resources).model_copy(update={"context": 32_768, "parallel": 64})
    with pytest.raises(InputError, match=f"has <= {gib * 0.9:.2f} GiB"):
        check(bundle / FOLDER, serve)
