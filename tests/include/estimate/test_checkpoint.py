"""safetensors headers: true bytes of good files, a clear refusal of bad ones."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.estimate.checkpoint import INDEX, file_tensors, folder_tensors

SIZES = {"F32": 4, "BF16": 2, "I8": 1}


def write(path: Path, tensors: dict[str, tuple[str, list[int]]]) -> Path:
    """A real safetensors file: header, then zeros."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = SIZES[dtype]
        for dim in shape:
            size *= dim
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return raw(path, header, at)


def raw(path: Path, header: object, data: int = 0, length: int | None = None) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(data))
    return path


def test_bytes_are_those_of_the_data(tmp_path: Path) -> None:
    file = write(tmp_path / "a.safetensors", {"x.weight": ("BF16", [3, 5]), "y": ("F32", [7]), "z": ("I8", [2, 2, 2])})
    assert sum(t.bytes for t in file_tensors(file)) == 3 * 5 * 2 + 7 * 4 + 8
    assert sum(t.params for t in file_tensors(file)) == 15 + 7 + 8


def test_shards_of_an_index_are_read_together(tmp_path: Path) -> None:
    write(tmp_path / "1.safetensors", {"a": ("BF16", [4])})
    write(tmp_path / "2.safetensors", {"b": ("BF16", [6])})
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    assert {t.name: t.bytes for t in folder_tensors(tmp_path)} == {"a": 8, "b": 12}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write(tmp_path / "1.safetensors", {"a": ("BF16", [4])})
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    with pytest.raises(InputError, match=r"1 of 2 shards are missing: 2\.safetensors"):
        folder_tensors(tmp_path)


def test_a_tensor_that_no_shard_holds_is_named(tmp_path: Path) -> None:
    write(tmp_path / "1.safetensors", {"a": ("BF16", [4])})
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "1.safetensors", "lost": "1.safetensors"}}))
    with pytest.raises(InputError, match="in no shard: lost"):
        folder_tensors(tmp_path)


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", "", ".."])
def test_an_index_cannot_lead_outside_its_folder(tmp_path: Path, shard: str) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(InputError, match="weight_map"):
        folder_tensors(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "{" * 100_000])
def test_a_malformed_index_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(InputError, match=INDEX):
        folder_tensors(tmp_path)


def test_the_same_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "1.safetensors", {"a": ("BF16", [4])})
    write(tmp_path / "2.safetensors", {"a": ("BF16", [4])})
    with pytest.raises(InputError, match="several files"):
        folder_tensors(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**40, 2**63, 2**64 - 1])
def test_a_header_length_beyond_the_file_is_refused_without_reading_it(tmp_path: Path, length: int) -> None:
    with pytest.raises(InputError, match=r"a\.safetensors"):
        file_tensors(raw(tmp_path / "a.safetensors", {}, length=length))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "BF16", "shape": [-1, 4], "data_offsets": [0, 8]},
        {"dtype": "BF16", "shape": [True], "data_offsets": [0, 2]},
        {"dtype": "BF16", "shape": [2.0], "data_offsets": [0, 4]},
        {"dtype": "BF16", "shape": "4", "data_offsets": [0, 8]},
        {"dtype": "BF16", "shape": [2**62, 2**62], "data_offsets": [0, 8]},
        {"dtype": "BF16", "shape": [4], "data_offsets": [0, 6]},
        {"dtype": "BF16", "shape": [4], "data_offsets": [8, 0]},
        {"dtype": "BF16", "shape": [4], "data_offsets": [0, 10**9]},
        {"dtype": "BF16", "shape": [4]},
        {"dtype": "X9", "shape": [4], "data_offsets": [0, 8]},
        {"shape": [4], "data_offsets": [0, 8]},
        [],
        None,
    ],
)
def test_a_malformed_tensor_is_named(tmp_path: Path, entry: object) -> None:
    with pytest.raises(InputError, match=r"a\.safetensors: w"):
        file_tensors(raw(tmp_path / "a.safetensors", {"w": entry}, 16))


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_give_tensors_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "a.safetensors"
    file.write_bytes(struct.pack("<Q", max(0, len(content) - 2)) + content)
    try:
        file_tensors(file)
    except InputError as error:
        assert "a.safetensors" in str(error)
