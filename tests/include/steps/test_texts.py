"""Models that read texts: the tokenizer runs in the server by the code of training, and what is no text for it is refused by name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from include.kinds.load import load
from include.kinds.registry import kind_of
from include.release.bundle import complete
from include.runtime.settings import Settings
from include.verdict import Decision
from tests.include.serving.stage import Stage
from tests.include.steps.test_tensor_steps import brought, files, refused, through

__all__ = ["brought", "files"]
pytestmark = pytest.mark.integration

WORDS = {"[UNK]": 0, "red": 1, "green": 2, "blue": 3, "very": 4}
CODE = """
    from pathlib import Path

    import numpy as np
    from tokenizers import Tokenizer

    class Wrapper:
        def __init__(self, params):
            self.tokenizer = Tokenizer.from_file(str(Path(__file__).with_name("tokenizer.json")))
            self.tokenizer.enable_truncation(6)
            self.tokenizer.enable_padding(length=6)

        def before(self, inputs):
            found = self.tokenizer.encode_batch(inputs["text"].ravel().tolist())
            return {"ids": np.array([one.ids for one in found], dtype=np.int64)}

        def after(self, outputs):
            return {name: outputs[name] for name in ("label", "probabilities")}
"""
LIMITS = {"texts": {"text": {"max_characters": 100}}, "classes": ["red", "green", "blue"]}


@pytest.fixture(scope="module", autouse=True)
def _tokenizers() -> None:
    for runtime in ("trainer", "triton"):
        done = subprocess.run([str(Settings.load().python(runtime)), "-c", "import tokenizers"], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"runtime {runtime} is older than its lock, and lacks tokenizers: make install")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    yield Stage.acquire()
    Stage.release()


def tokenizer(words: dict[str, int]) -> str:
    model = {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}
    parts = {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}, "model": model, "added_tokens": []}
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "post_processor": None, "decoder": None} | parts)


def table() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    colours = chance.choice(["red", "green", "blue"], 60)
    return pd.DataFrame(
        {"text": [f"a{'very ' * int(chance.integers(3))} {name} thing {n}" for n, name in enumerate(colours)], "y": colours}
    )


def reader(brought: Any, rows: pd.DataFrame, words: dict[str, int] = WORDS, **data: Any) -> Any:
    model = brought("words", rows, CODE, data=LIMITS | data)
    (model.home / "thing" / "tokenizer.json").write_text(tokenizer(words))
    return model


def test_texts_are_read_in_the_server_as_they_were_judged(brought: Any, stage: Stage) -> None:
    model = reader(brought, table())
    evaluation, bundle = through(model)
    assert evaluation["scores"]["accuracy"]["value"] == 1
    spec = load(model.home / "thing" / "model.yaml")
    complete(bundle, model.home / "thing", spec.serve, {})
    revision = stage.backend.start(bundle, "thing", "1", spec.serve, {})

    def ask(body: str | bytes, **headers: str) -> httpx.Response:
        return httpx.post(f"{revision.url}/v2/models/thing/infer", content=body, headers=stage.key(revision) | headers, timeout=20)

    def said(*texts: str) -> httpx.Response:
        return ask(json.dumps({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [len(texts), 1], "data": texts}]}))

    def raw(text: bytes) -> httpx.Response:
        data = len(text).to_bytes(4, "little") + text
        head = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(data)}}
        told = json.dumps({"inputs": [head]}).encode()
        return ask(told + data, **{"Inference-Header-Content-Length": str(len(told))})

    try:
        verdict = kind_of(spec).probe(revision.url, stage.key(revision), "thing", bundle, spec.serve)
        assert verdict.decision is Decision.PASS, verdict.reasons
        answer = said("Blue, very very blue", "GREEN \u4f60\u597d \U0001f600")
        assert {one["name"]: one["data"] for one in answer.json()["outputs"]}["label"] == ["blue", "green"], answer.text
        for response, why in (
            (said("red", "x" * 1_000_000), "(row 1) has 1000000 characters, and 100 are allowed"),
            (said(""), "empty"),
            (said("red", " \n\t"), "(row 1) holds nothing to read"),
            (raw(b"\xed\xa0\x80 red"), "no UTF-8"),
        ):
            assert response.status_code == 400 and why in response.text, response.text[:300]
        assert said("red").status_code == 200
    finally:
        stage.backend.stop(revision)


def test_a_tokenizer_of_another_model_is_found_out(brought: Any) -> None:
    rows = table()
    rows["text"] += " maroon"
    message = refused(reader(brought, rows, WORDS | {"maroon": 5}))
    assert "gives the number 5, and the graph's table of them ends at 4: it is not the tokenizer of this model" in message


@pytest.mark.parametrize(
    ("text", "why"),
    [("red " * 30, "row 4 has 120 characters, and 100 are allowed"), (" ", "row 4 holds nothing to read"), (None, "row 4 is NoneType")],
)
def test_what_the_server_would_refuse_is_refused_in_the_data(brought: Any, text: Any, why: str) -> None:
    rows = table()
    rows.loc[3, "text"] = text
    assert why in refused(reader(brought, rows))


def test_half_a_character_in_the_data_is_told_by_its_row(brought: Any) -> None:
    model = reader(brought, table())
    (model.home / "thing" / "data.py").write_text(
        "import pandas as pd\n"
        "def load():\n"
        "    table = pd.read_parquet(__file__.replace('data.py', 'rows.parquet'))\n"
        "    table.loc[3, 'text'] = 'red \\ud83d'\n"
        "    return table\n"
    )
    spec = model.home / "thing" / "model.yaml"
    spec.write_text(spec.read_text().replace("rows.parquet", "data:load"))
    assert "row 4 holds half a character (\\ud83d at 4)" in refused(model)
