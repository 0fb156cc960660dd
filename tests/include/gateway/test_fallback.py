"""Another model that answers under a model's name: through real Envoy, with real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.backends.llamacpp.spec import LlamaCppServe
from include.errors import InputError
from include.gateway.metering import Meter
from include.gateway.observe import FALLBACK, end_of, read_entries
from tests.include.serving.conftest import chat_bundle
from tests.include.serving.stage import SECRET, Stage
from tests.waiting import until

__all__ = ["chat_bundle"]


@pytest.fixture
def spare(stage: Stage) -> Iterator[str]:
    """A model that serves, and another of no server, `real`, for which it stands in."""
    revision = stage.serve("spare", "7")
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("spare", {"7": 100})
    yield "spare"
    for model in ("real", "spare"):
        stage.gateway.retire(model)
    stage.backend.stop(revision)


def test_callers_of_a_model_that_is_not_there_get_anothers_answer_and_are_told_whose(stage: Stage, spare: str) -> None:
    assert stage.infer("real").status_code == 404
    stage.gateway.set_fallback("real", spare)
    since = end_of(stage.gateway.access_log)
    answer, own = stage.infer("real"), stage.infer(spare)
    assert answer.status_code == 200 and answer.json()["outputs"] == own.json()["outputs"]
    assert answer.headers["x-updraft-fallback"] == spare and "x-updraft-fallback" not in own.headers
    assert stage.client.get("/v2/models/real/ready").status_code == 200

    def logged() -> list[tuple[str | None, str | None, int]]:
        entries, _ = read_entries(stage.gateway.access_log, since)
        return [(entry.model, entry.client, entry.status) for entry in entries if entry.kind == FALLBACK and entry.inference]

    until(lambda: logged() == [("real", "demo", 200)])
    stage.gateway.set_fallback("real", None)
    assert stage.infer("real").status_code == 404


def test_its_own_split_comes_back_as_it_was(stage: Stage, spare: str) -> None:
    revision = stage.serve("real", "1")
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("real", {"1": 100})
    before = stage.gateway.split("real")
    stage.gateway.set_fallback("real", spare)
    assert stage.infer("real").headers["x-updraft-fallback"] == spare
    probe = {"x-updraft-probe": SECRET, "x-updraft-revision": "1"}
    assert stage.infer("real", headers=probe).headers["x-updraft-revision"] == "1"  # it can be tried meanwhile
    stage.gateway.set_fallback("real", None)
    assert stage.gateway.split("real") == before and "x-updraft-fallback" not in stage.infer("real").headers
    stage.gateway.retire("real")
    stage.backend.stop(revision)


def test_who_does_not_serve_or_speaks_otherwise_is_no_fallback(stage: Stage, spare: str) -> None:
    before = stage.gateway.table()
    for model, other in (("real", "nobody"), (spare, spare)):
        with pytest.raises(InputError, match="no live revision"):
            stage.gateway.set_fallback(model, other)
    assert stage.gateway.table() == before


def test_a_language_model_is_asked_by_its_own_name_and_its_tokens_count_for_the_model_that_was_named(
    stage: Stage, chat_bundle: Path, tmp_path: Path
) -> None:
    revision = stage.backend.start(chat_bundle, "small", "1", LlamaCppServe(context=64, parallel=1), {})
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("small", {"1": 100})
    stage.gateway.set_fallback("large", "small")
    text = 'say \\"model\\": \\"large\\"'
    body = f'{{"messages": [{{"role": "user", "content": "{text}"}}], "model" : "large", "max_tokens": 4}}'
    answer = stage.client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-updraft-fallback"] == "small" and answer.json()["usage"]["completion_tokens"] > 0
    listed = [row["id"] for row in stage.client.get("/v1/models").json()["data"]]
    assert {"small", "large"} <= set(listed)
    meter = Meter(stage.gateway.access_log, tmp_path / "usage.json")
    tokens = answer.json()["usage"]["completion_tokens"]
    until(lambda: [(row.client, row.completion_tokens) for row in meter.update() if row.model == "large"] == [("demo", tokens)])
    assert json.loads(body)["model"] == "large"
    for model in ("large", "small"):
        stage.gateway.retire(model)
    stage.backend.stop(revision)
