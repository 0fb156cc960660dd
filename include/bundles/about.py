"""What a caller has to know of a table's model, as the body of ``GET /v2/models/<name>``: KServe's metadata, and an example that works."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from include.bundles.golden import Golden
from include.bundles.signature import INPUT, Signature, Tensor

MAX_BYTES = 64 * 1024
"""A longer text loses its examples, then its limits: it lies in the gateway's routes."""


def describe(bundle: Path, model: str, version: str) -> str:
    """JSON; empty for a bundle without a table's signature. Inputs stand in order, with the columns behind `input`, and `parameters` has
    the classes in the order of `probabilities`, what the model does not take of a column, and which columns have truth values."""
    if not (bundle / "signature.json").is_file() or not (bundle / "golden.json").is_file():
        return ""
    signature = Signature.read(bundle / "signature.json")
    about = {
        "name": model,
        "versions": [version],
        "platform": "updraft",
        "inputs": [_tensor(tensor, signature) for tensor in signature.inputs],
        "outputs": [_tensor(tensor, signature) for tensor in signature.outputs],
        "parameters": {"classes": list(signature.classes), "limits": _limits(signature), **_truths(signature), **_images(signature)},
    }
    if example := _example(Golden.read(bundle / "golden.json")):
        about |= {"example": example, "example_rows": {"instances": [_row(example, signature)]}}
    for spare in ("example_rows", "example", "parameters"):
        if len(text := json.dumps(about, ensure_ascii=False)) <= MAX_BYTES:
            return text
        about.pop(spare, None)
    return json.dumps(about, ensure_ascii=False)


def _images(signature: Signature) -> dict[str, Any]:
    """The inputs that are pictures: JSON has them as Base64."""
    return {"images": {name: asdict(picture) for name, picture in signature.images.items()}} if signature.images else {}


def _limits(signature: Signature) -> dict[str, Any]:
    """The columns' limits as callers meet them: a whole number has no way to be missing, a missing text is an empty one."""
    limits: dict[str, Any] = signature.to_json()["limits"]
    whole = {tensor.name for tensor in signature.inputs if tensor.datatype.startswith(("INT", "UINT", "BOOL"))}
    return {name: {**limit, "missing": False} if name in whole else limit for name, limit in limits.items()}


def _truths(signature: Signature) -> dict[str, Any]:
    return {} if signature.truths is None else {"truths": list(signature.truths)}


def truths(about: str) -> tuple[list[str], list[str]] | None:
    """Return, of what :func:`describe` has said, the columns of truth values and those behind `input`; None where it doesn't say them."""
    told = json.loads(about) if about else {}
    found = told.get("parameters", {}).get("truths")
    return None if found is None else (found, next((tensor["columns"] for tensor in told["inputs"] if "columns" in tensor), []))


def _tensor(tensor: Tensor, signature: Signature) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    found |= {"optional": True} if tensor.optional else {}
    return found | ({"columns": list(signature.features)} if tensor.name == INPUT else {})


def _example(golden: Golden) -> dict[str, Any] | None:
    """The body of an inference request with one golden row: one that JSON can hold."""
    for row in range(golden.rows):
        inputs = [_one(tensor, row) for tensor in golden.inputs]
        if all(value == value for tensor in inputs for value in tensor["data"]):
            return {"inputs": inputs}
    return None


def _row(example: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """The same row as values by column, as ``POST /v1/models/<name>:predict`` takes it."""
    named = {tensor["name"]: tensor["data"] for tensor in example["inputs"]}
    return dict(zip(signature.features, named[INPUT], strict=False)) if INPUT in named else {name: data[0] for name, data in named.items()}


def _one(tensor: Mapping[str, Any], row: int) -> dict[str, Any]:
    shape = list(tensor["shape"])
    width = len(tensor["data"]) // shape[0]
    return {**tensor, "shape": [1, *shape[1:]], "data": list(tensor["data"][row * width : (row + 1) * width])}
