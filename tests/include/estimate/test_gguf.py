"""GGUF headers: tensors by type, the architecture, what is hostile or cut off; and llama.cpp's buffers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from include.errors import InputError
from include.estimate.engines import gpu
from include.estimate.gguf import TYPES, mix_tensors, read_gguf
from include.estimate.llamacpp import cache_bytes, gpu_tensors
from include.estimate.model import known_model, read_model
from include.estimate.serving import Serving, estimate, fits, largest_context
from include.estimate.weights import MIB
from include.verdict import Decision

NUMBER = {name: number for number, (name, _, _) in TYPES.items()}
FIELDS: dict[str, Any] = {
    "general.architecture": "llama", "llama.block_count": 2, "llama.embedding_length": 256, "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2, "llama.feed_forward_length": 512, "llama.context_length": 2048,
    "tokenizer.ggml.tokens": ["a", "b", "c"], "tokenizer.ggml.scores": [0.5, 1.5], "general.quantization_version": 2,
}  # fmt: skip
TENSORS = {
    "token_embd.weight": ((1000, 256), "q4_k"), "output.weight": ((1000, 256), "q6_k"), "output_norm.weight": ((256,), "float32"),
    **{f"blk.{n}.{name}.weight": (shape, "q4_k") for n in range(2) for name, shape in {
        "attn_q": (256, 256), "attn_k": (128, 256), "attn_v": (128, 256), "attn_output": (256, 256),
        "ffn_gate": (512, 256), "ffn_up": (512, 256), "ffn_down": (256, 512)}.items()},
}  # fmt: skip


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def value(item: Any) -> bytes:
    if isinstance(item, str):
        return struct.pack("<I", 8) + text(item)
    if isinstance(item, list):
        kind = 8 if isinstance(item[0], str) else 6
        body = b"".join(text(one) if kind == 8 else struct.pack("<f", one) for one in item)
        return struct.pack("<IIQ", 9, kind, len(item)) + body
    return struct.pack("<II", 4, item)


def header(fields: dict[str, Any] = FIELDS, tensors: dict[str, tuple[tuple[int, ...], str]] = TENSORS) -> bytes:
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields))
    out += b"".join(text(name) + value(item) for name, item in fields.items())
    for name, (shape, kind) in tensors.items():
        sizes = struct.pack(f"<{len(shape)}Q", *reversed(shape))
        out += text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", NUMBER[kind], 0)
    return out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(header())
    return path


def test_each_tensor_has_the_bytes_of_its_type(file: Path) -> None:
    config, tensors = read_gguf(file)
    sizes = {tensor.name: tensor.bytes for tensor in tensors}
    assert sizes["model.embed_tokens.weight"] == 1000 * 144
    assert sizes["lm_head.weight"] == 1000 * 210
    assert sizes["model.layers.1.mlp.down_proj.weight"] == 256 * 2 * 144
    assert (config["vocab_size"], config["num_hidden_layers"], config["tie_word_embeddings"]) == (1000, 2, False)


def test_llama_cpp_keeps_the_embedding_in_host_memory_and_a_tied_head_on_the_gpu(file: Path) -> None:
    model = read_model(str(file))
    found = estimate(model, gpu("RTX-4090"), Serving(context=512, engine=model.engine))
    assert model.engine == "llama.cpp"
    assert found.weights * MIB == sum(t.bytes for t in model.stored) - 1000 * 144
    tied = [tensor for tensor in model.stored if tensor.name != "lm_head.weight"]
    assert sum(t.bytes for t in gpu_tensors(model.architecture, tied, None)) == sum(t.bytes for t in tied)


def test_vllm_takes_the_file_too(file: Path) -> None:
    found = estimate(read_model(str(file)), gpu("RTX-4090"), Serving(context=512, engine="vllm==0.19.0"))
    assert found.parameters * MIB == pytest.approx(sum(t.bytes for t in read_gguf(file)[1]), rel=0.08)  # the vocabulary is padded


@pytest.mark.parametrize(
    ("name", "mix", "mib"),
    [
        ("meta-llama/Llama-3.1-8B", "q4_k_m", 4403.49),
        ("meta-llama/Llama-2-7b-hf", "q4_0", 3577.56),
        ("SpectraSuite/TriLM_3.9B_Unpacked", "f16", 7317.71),
    ],
)
def test_a_mixs_name_gives_the_buffer_that_llama_cpp_reports(name: str, mix: str, mib: float) -> None:
    assert sum(t.bytes for t in gpu_tensors(known_model(name).architecture, (), mix)) / MIB == pytest.approx(mib, abs=0.02)


def test_the_cache_has_cells_in_steps_and_windows_stay_small() -> None:
    llama, gemma = known_model("Llama-2-7b-hf").architecture, known_model("gemma-3-27b-it").architecture
    assert llama and gemma
    assert cache_bytes(llama, None, 512, 1, 512) == 256 * MIB
    assert cache_bytes(llama, None, 513, 1, 512) == 384 * MIB
    assert cache_bytes(llama, "q8_0", 512, 2, 512) == 2 * 256 * MIB * 34 / 64
    long = cache_bytes(gemma, None, 102_400, 1, 512) - cache_bytes(gemma, None, 51_200, 1, 512)
    assert long == 10 * 51_200 * 2 * 16 * 128 * 2


def test_llama_cpps_largest_context_fits() -> None:
    model, device = known_model("Llama-3.1-8B"), gpu("RTX-3090")
    serving = Serving(context=1, engine="llama.cpp", mix="q4_k_m")
    best = largest_context(estimate(model, device, serving))
    assert fits(model, device, Serving(context=best, engine="llama.cpp", mix="q4_k_m")).decision is Decision.PASS
    assert fits(model, device, Serving(context=best + 512, engine="llama.cpp", mix="q4_k_m")).decision is Decision.FAIL


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "ends within"),
        (b"GGML" + bytes(20), "no GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version"),
        (header()[:-20], "ends within"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 1), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**40), "fields"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**62), "characters"),
        (header({**FIELDS, "x": ["a"]}, {"odd.weight": ((3, 100), "q4_k")}), "whole blocks"),
        (header({"general.name": "m"}), "general.architecture"),
    ],
)
def test_what_is_no_whole_file_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_model(str(tmp_path / "bad.gguf"))
    assert "bad.gguf" in str(caught.value)


def test_an_unknown_mix_is_refused() -> None:
    arch = known_model("Llama-3.1-8B").architecture
    assert arch
    with pytest.raises(InputError, match="unknown mix"):
        mix_tensors(arch, "q9_z")
