"""What servers report: read from their logs, kept, used.

The lines are of real logs (bench/estimator/data/public_logs.csv has the sources).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import InputError
from include.estimate.__main__ import main
from include.estimate.engines import gpu
from include.estimate.model import known_model
from include.estimate.observed import MAX_LOG_BYTES, Observation, Observations, apply, parse_log
from include.estimate.serving import Serving, estimate, how_sure
from include.estimate.weights import Parallel

V1 = """(Worker_TP1 pid=1806414) INFO 10-23 15:14:18 [gpu_model_runner.py:2392] Model loading took 74.2812 GiB and 215.969277 seconds
(Worker_TP1 pid=1806414) INFO 10-23 15:14:30 [gpu_worker.py:298] Available KV cache memory: 44.59 GiB
(EngineCore_DP0 pid=1805889) INFO 10-23 15:14:30 [kv_cache_utils.py:1028] GPU KV cache size: 973,760 tokens
(Worker_TP1 pid=1806414) INFO 10-23 15:14:56 [gpu_worker.py:391] Free memory on device (139.21/139.81 GiB) on startup. Desired GPU memory \
utilization is (0.9, 125.83 GiB). Actual usage is 74.28 GiB for weight, 5.58 GiB for peak activation, 1.38 GiB for non-torch memory, and \
2.37 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=45175492096` to fit into requested memory.
"""
CONSUMED = """(Worker_TP0 pid=223) INFO [gpu_model_runner.py:5405] Model loading took 14.21 GiB memory and 6.35 seconds
(Worker_TP0 pid=223) INFO 08-22 04:42:13 [gpu_worker.py:789] Free memory on device (30.27/31.4 GiB) on startup. Desired GPU memory \
utilization is (0.92, 28.88 GiB). Actual usage is 15.03 GiB for consumed memory (weights + non-torch), 1.59 GiB for peak activation, and \
0.09 GiB for CUDAGraph memory. Current kv cache memory in use is 12.26 GiB.
(Worker_TP0 pid=223) INFO [gpu_worker.py:460] Available KV cache memory: 12.26 GiB
"""
V0 = """INFO 05-07 22:17:23 [model_runner.py:1140] Model loading took 15.6841 GiB and 17.586636 seconds
INFO 05-07 22:17:25 [worker.py:287] the current vLLM instance can use total_gpu_memory (23.56GiB) x gpu_memory_utilization (0.90) = 21.20GiB
INFO 05-07 22:17:25 [worker.py:287] model weights take 15.68GiB; non_torch_memory takes 0.06GiB; PyTorch activation peak memory takes \
0.12GiB; the rest of the memory reserved for KV Cache is 5.34GiB.
"""
LLAMA_CPP = """load_tensors: offloaded 33/33 layers to GPU
load_tensors:        CUDA0 model buffer size =  4403.49 MiB
load_tensors:   CPU_Mapped model buffer size =   281.81 MiB
llama_kv_cache:      CUDA0 KV buffer size =     8.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    30.00 MiB
llama_context:      CUDA0 compute buffer size =   258.50 MiB
llama_context:  CUDA_Host compute buffer size =    24.01 MiB
[12714] llama_kv_cache:      CUDA0 KV buffer size =    30.00 MiB
"""
H200, MODEL = gpu("H200-141GB"), known_model("Qwen/Qwen3-Next-80B-A3B-Instruct")
SERVING = Serving(context=8192, parallel=Parallel(2), engine="vllm==0.10.2")


@pytest.mark.parametrize(
    ("log", "gib"),
    [
        (V1, {"weights": 74.2812, "activation": 5.58, "non_torch": 1.38, "graphs": 2.37, "kv_pool": 44.59, "device": 139.81}),
        (CONSUMED, {"weights": 14.21, "activation": 1.59, "non_torch": None, "graphs": 0.09, "kv_pool": 12.26, "device": 31.4}),
        (V0, {"weights": 15.6841, "activation": 0.12, "non_torch": 0.06, "graphs": None, "kv_pool": 5.34, "device": 23.56}),
        (LLAMA_CPP, {"weights": 4403.49 / 1024, "activation": 258.5 / 1024, "kv_pool": 38 / 1024, "device": None}),
    ],
)
def test_a_log_is_read(log: str, gib: dict[str, float | None]) -> None:
    seen = parse_log(f"a line before\n{log}one behind\n")
    assert seen
    found = {name: getattr(seen, name) for name in gib}
    assert {name: None if size is None else pytest.approx(size / 1024) for name, size in found.items()} == gib


def test_of_several_ranks_the_fullest_counts() -> None:
    seen = parse_log(V1 + "Available KV cache memory: 43.00 GiB\nGPU KV cache size: 900,000 tokens\n")
    assert seen and (seen.kv_pool, seen.kv_tokens) == (pytest.approx(43 * 1024), 900_000)


@pytest.mark.parametrize("log", ["", "INFO started\n", "Available KV cache memory: 3 GiB", "Model loading took many GiB", "\x00" * 100])
def test_a_log_that_says_nothing_is_no_observation(log: str) -> None:
    assert parse_log(log) is None


def test_a_log_without_end_is_refused() -> None:
    with pytest.raises(InputError, match="over"):
        parse_log("x" * (MAX_LOG_BYTES + 1))


def test_what_was_reported_takes_the_place_of_what_was_reckoned(tmp_path: Path) -> None:
    seen, kept = parse_log(V1), Observations(tmp_path)
    assert seen
    kept.keep(MODEL, H200, SERVING, seen)
    reckoned = estimate(MODEL, H200, SERVING)
    found = kept.find(MODEL, H200, SERVING)
    assert found == seen
    learned = apply(reckoned, found)
    assert (learned.weights, learned.activation, learned.non_torch) == (seen.weights, seen.activation, seen.non_torch)
    assert learned.kv_pool / 1024 == pytest.approx(44.59, abs=0.02)
    assert learned.kv_need == reckoned.kv_need
    assert "reported" in how_sure(learned) and any("learned" in why for why in learned.reasons)


def test_what_lies_outside_is_what_the_rest_of_the_share_is() -> None:
    seen = parse_log(CONSUMED)
    assert seen
    found = apply(estimate(known_model("Qwen3-14B"), gpu("RTX-5090"), Serving(engine="vllm==0.25.0", parallel=Parallel(2))), seen)
    assert found.non_torch / 1024 == pytest.approx(31.4 * 0.92 - 12.26 - 14.21 - 1.59)


@pytest.mark.parametrize(
    ("model", "card", "serving"),
    [
        (known_model("Qwen3-8B"), H200, SERVING),
        (MODEL, gpu("H100-80GB"), SERVING),
        (MODEL, H200, replace(SERVING, engine="vllm==0.19.0")),
        (MODEL, H200, replace(SERVING, parallel=Parallel(4))),
        (MODEL, H200, replace(SERVING, batch_tokens=512)),
    ],
)
def test_another_model_card_or_setting_is_another_matter(tmp_path: Path, model, card, serving) -> None:  # type: ignore[no-untyped-def]
    kept = Observations(tmp_path)
    kept.keep(MODEL, H200, SERVING, Observation(weights=1.0, device=139.81 * 1024))
    assert kept.find(model, card, serving) is None


def test_the_same_model_under_another_name_with_another_context_is_the_same(tmp_path: Path) -> None:
    kept = Observations(tmp_path)
    kept.keep(MODEL, H200, SERVING, Observation(weights=1.0, device=139.81 * 1024))
    renamed = replace(MODEL, name="mine", architecture=replace(MODEL.architecture, name="mine"))  # type: ignore[type-var]
    assert kept.find(renamed, H200, replace(SERVING, context=100, concurrency=7))


def test_the_latest_counts_and_what_is_no_observation_is_passed_over(tmp_path: Path) -> None:
    kept = Observations(tmp_path)
    for weights in (1.0, 2.0):
        kept.keep(MODEL, H200, SERVING, Observation(weights=weights, device=139.81 * 1024))
    assert [path.name for path in tmp_path.iterdir()] and len(list(tmp_path.iterdir())) == 1
    assert kept.find(MODEL, H200, SERVING) == Observation(weights=2.0, device=139.81 * 1024)
    next(tmp_path.iterdir()).write_text('{"seen": {"weights": "many"}}')
    assert kept.find(MODEL, H200, SERVING) is None


def test_on_whichever_card_the_fullest_counts(tmp_path: Path) -> None:
    kept = Observations(tmp_path)
    kept.keep(MODEL, H200, SERVING, Observation(weights=5.0, device=80.0 * 1024))
    kept.keep(MODEL, H200, SERVING, Observation(weights=7.0, device=140.0 * 1024))
    assert kept.fullest(MODEL, H200, SERVING) == Observation(weights=7.0, device=140.0 * 1024)
    assert Observations(tmp_path / "none").fullest(MODEL, H200, SERVING) is None


def test_the_command_learns_from_a_log_and_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path / "home"))
    asked = ["meta-llama/Llama-3.1-8B", "--gpu", "RTX-3090", "--engine", "llama.cpp", "--dtype", "q4_k_m", "--json"]
    (tmp_path / "server.log").write_text(LLAMA_CPP)
    for arguments, learned in ((asked, False), ([*asked, "--log", str(tmp_path / "server.log")], True), (asked, True)):
        assert main(arguments) == 0
        said = capsys.readouterr().out
        assert ("reported 4.30 GiB of weights" in said) == learned


@pytest.mark.parametrize("content", [None, "", "nothing of memory"])
def test_a_log_that_says_nothing_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path / "home"))
    if content is not None:
        (tmp_path / "server.log").write_text(content)
    assert main(["Qwen3-8B", "--gpu", "H100", "--log", str(tmp_path / "server.log")]) == 2
    assert "server.log" in capsys.readouterr().err
    assert not (tmp_path / "home" / "observations").exists()
