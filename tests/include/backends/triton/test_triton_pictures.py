"""Pictures in the server: the same code gives the same tensors as in training, and what is no picture is its sender's error."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from include.backends.triton.spec import TritonTensorServe
from include.bundles.pictures import Picture, opened
from include.kinds.tensor import wrapper
from tests.include.bundles.test_pictures import bomb, file, solid

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def revision(stage):
    options = TritonTensorServe(batch_delay_us=0, wrapper="serving:Wrapper")
    revision = stage.backend.start(stage.bundles / "pictures", "photos", "1", options, {})
    yield revision
    stage.backend.stop(revision)


def ask(stage: Any, revision: Any, *sent: bytes) -> httpx.Response:
    data = [base64.b64encode(one).decode() for one in sent]
    body = {"inputs": [{"name": "photo", "datatype": "BYTES", "shape": [len(data), 1], "data": data}]}
    return httpx.post(f"{revision.url}/v2/models/photos/infer", json=body, headers=stage.key(revision), timeout=20)


def test_a_row_is_to_the_server_what_it_is_to_training(stage, revision):
    noise = np.random.default_rng(0).integers(0, 256, (37, 23, 4), dtype=np.uint8)
    sent = [file(Image.fromarray(noise)), file(Image.fromarray(noise[:, :, :3]), "JPEG"), file(solid("L", 9))]
    code = wrapper.load(Path(stage.bundles / "pictures" / "code"), "serving:Wrapper", {})
    column = np.array([[one] for one in sent], dtype=object)
    trained = code.before(opened({"photo": Picture("RGB", 25)}, {"photo": column}))["pixels"]
    [seen] = ask(stage, revision, *sent).json()["outputs"]
    assert np.array_equal(np.array(seen["data"], dtype=np.float32).reshape(seen["shape"]), trained)
    assert "serving" not in sys.modules


def test_files_go_as_they_are_too(stage, revision):
    import struct

    sent = file(solid("RGB", (255, 0, 0)))
    tensor = {"name": "photo", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(sent) + 4}}
    import json

    head = json.dumps({"inputs": [tensor]}).encode()
    headers = stage.key(revision) | {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    body = head + struct.pack("<I", len(sent)) + sent
    answer = httpx.post(f"{revision.url}/v2/models/photos/infer", content=body, headers=headers, timeout=20)
    assert answer.json()["outputs"][0]["data"][:3] == [1, 0, 0]


@pytest.mark.parametrize(
    ("sent", "says"),
    [(b"", "0 bytes"), (b"no picture", "is no picture"), (bomb(60_000, 60_000), "60000 x 60000"), (bomb(10_000, 5_000), "50 megapixels")],
    ids=["nothing", "text", "bomb", "50-megapixels"],
)
def test_what_is_no_picture_is_a_400_that_names_the_input(stage, revision, sent, says):
    answer = ask(stage, revision, sent)
    assert answer.status_code == 400 and says in answer.json()["error"] and "input 'photo'" in answer.json()["error"]
