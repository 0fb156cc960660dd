"""``python -m include.estimate``: what people and scripts see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.estimate.__main__ import main


def test_what_fits_prints_its_breakdown_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["Llama-3.1-8B-Instruct", "--gpu", "H100-80GB", "--context", "4096", "--concurrency", "16"]) == 0
    out = capsys.readouterr().out
    assert "FITS" in out and "kv_need" in out and "the largest context that fits 16 at once" in out


def test_what_does_not_fit_says_why_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["Llama-3.3-70B-Instruct", "--gpu", "H100-80GB"]) == 1
    assert "DOES NOT FIT" in capsys.readouterr().out


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["Qwen3-8B", "--gpu", "L40S", "--json", "--dtype", "fp8", "--tp", "2"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["decision"] == "PASS"
    assert content["evidence"]["estimate"]["weights"] > 0


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_has_its_own_breakdown(capsys: pytest.CaptureFixture[str], method: str) -> None:
    assert main(["Qwen3-0.6B", "--gpu", "H100", "--train", method]) == 0
    assert "optimiser" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody/none", "--gpu", "H100"], "known model"),
        (["/no/such/config.json", "--gpu", "H100"], "no such file"),
        (["Qwen3-8B", "--gpu", "Z80"], "unknown GPU"),
        (["Qwen3-8B", "--gpu", "H100", "--tp", "3"], "cannot be split over 3"),
        (["Qwen3-8B", "--gpu", "H100", "--context", "-1"], "context is -1"),
        (["Qwen3-8B", "--gpu", "H100", "--context", "0", "--train", "full"], "context is 0"),
        (["Qwen3-8B", "--gpu", "H100", "--dtype", "nope"], "unknown dtype"),
        (["Qwen3-8B", "--gpu", "H100", "--kv-dtype", "nope"], "unknown dtype"),
        (["Qwen3-8B", "--gpu", "H100", "--engine", "==="], "no engine"),
        (["Qwen3-8B", "--gpu", "H100", "--train", "full", "--pp", "2"], "without pipeline"),
    ],
)
def test_bad_input_is_one_sentence_and_ends_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_a_config_alone_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 8, "num_hidden_layers": 2, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main([str(tmp_path / "config.json"), "--gpu", "T4", "--context", "512"]) == 0
    assert "config.json" in capsys.readouterr().out
