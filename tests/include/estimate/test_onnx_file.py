"""ONNX initialisers from the protobuf's framing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.estimate.engines import gpu
from include.estimate.model import read_model
from include.estimate.onnx_file import onnx_tensors
from include.estimate.serving import Serving, estimate
from include.estimate.weights import Parallel


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, dims: list[int], kind: int, data: bytes = b"", *, packed: bool = False) -> bytes:
    shape = field(1, b"".join(map(varint, dims))) if packed else b"".join(b"\x08" + varint(dim) for dim in dims)
    return shape + b"\x10" + varint(kind) + field(8, name.encode()) + field(9, data)


def model(*tensors: bytes) -> bytes:
    graph = field(2, b"graph") + b"".join(field(5, one) for one in tensors)
    return b"\x08\x0a" + field(2, b"producer") + field(7, graph)


@pytest.mark.parametrize("packed", [True, False])
def test_initialisers_count_by_shape_and_type(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(tensor("w", [30, 20], 1, bytes(2400), packed=packed), tensor("q", [8, 200], 3, packed=packed)))
    assert {t.name: (t.shape, t.bytes) for t in onnx_tensors(path)} == {"w": ((30, 20), 2400), "q": ((8, 200), 1600)}


def test_a_graph_is_estimated_and_said_to_be_a_guess(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model(tensor("w", [1024, 1024], 1)))
    found = estimate(read_model(str(tmp_path)), gpu("T4"), Serving())
    assert found.weights == 4
    assert any("guess" in reason for reason in found.reasons)


def test_a_graph_is_not_split(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model(tensor("w", [4], 1)))
    with pytest.raises(InputError, match="not split"):
        estimate(read_model(str(tmp_path)), gpu("T4"), Serving(parallel=Parallel(2)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a protobuf at all",
        model(tensor("w", [4], 1))[:-3],
        model(tensor("w", [2**64 - 1], 1)),
        model(tensor("w", [1] * 65, 1)),
        model(tensor("w", [4], 8)),
        field(7, field(5, b"\x08" + b"\xff" * 11)),
        b"\x3a\xff\xff\xff\xff\x7f",
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"m\.onnx"):
        onnx_tensors(path)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 60), byte=st.integers(0, 255))
def test_a_damaged_byte_gives_tensors_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    good = bytearray(model(tensor("w", [30, 20], 1, bytes(16)), tensor("q", [8], 3)))
    good[at % len(good)] = byte
    path = tmp_path_factory.mktemp("any") / "m.onnx"
    path.write_bytes(bytes(good))
    try:
        assert all(t.bytes >= 0 for t in onnx_tensors(path))
    except InputError as error:
        assert "m.onnx" in str(error)
