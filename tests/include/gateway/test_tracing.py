"""Traces of callers' requests: the real Envoy, and a receiver of OTLP."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from include.errors import InputError
from include.gateway import exchanges
from include.gateway.gateway import Credentials, Gateway
from include.gateway.tracing import SERVICE
from include.predictions import segments
from include.runtime.otlp import Receiver
from include.runtime.settings import TRACE_SHARE, TRACES, Settings
from tests.include.gateway.talker import Talker
from tests.include.predictions.rows import row
from tests.otlp_receiver import OtlpReceiver
from tests.ports import free_base
from tests.waiting import until

KEY = "k" * 32
CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, OtlpReceiver, Talker]]:
    """An Envoy that was started with an endpoint set, with one model behind it."""
    receiver, server = OtlpReceiver(), Talker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRACES, receiver.endpoint)
        settings = replace(Settings.load(), home=tmp_path_factory.mktemp("traced"), port_base=free_base())
        gateway = Gateway(settings, Credentials({"demo": KEY}, "s" * 32))
        gateway.prepare()
    with (settings.home / "envoy.txt").open("w") as log:
        envoy = subprocess.Popen(gateway.command(1), stdout=log, stderr=log)
    try:
        until(gateway.admin.running, 60)
        gateway.wait_applied()
        gateway.add_revision(server.endpoint("traced", "7"))
        gateway.set_split("traced", {"7": 100})
        yield settings, receiver, server
    finally:
        envoy.terminate()
        envoy.wait(20)
        receiver.close()
        server.close()


def ask(settings: Settings, **headers: str) -> None:
    body = {"model": "traced", "messages": [{"role": "user", "content": "hello"}]}
    answer = requests.post(f"{settings.gateway_url}/v1/chat/completions", json=body, headers={"x-api-key": KEY, **headers}, timeout=20)
    assert answer.status_code == 200, answer.text


def sent_on(server: Talker, number: int) -> str:
    """The trace that the server's request of that number came with."""
    return {name.lower(): value for name, value in server.asked[number]["headers"].items()}["traceparent"]


def logged(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in settings.gateway_log.read_text().splitlines()]


@pytest.mark.integration
def test_one_trace_from_the_caller_to_the_server_and_the_log(traced: tuple[Settings, OtlpReceiver, Talker]):
    settings, receiver, server = traced
    before = len(server.asked)
    ask(settings, traceparent=CALLERS)
    trace = CALLERS.split("-")[1]
    until(lambda: len([span for span in receiver.spans if span.trace == trace]) >= 2, 30, "the spans")
    inner = [span for span in receiver.spans if span.trace == trace]
    assert {span.service for span in inner} == {SERVICE} and CALLERS.split("-")[2] in {span.parent for span in inner}
    assert {"traced"} == {span.tags["updraft.model"] for span in inner} and "7" in {span.tags.get("updraft.revision") for span in inner}
    sent = sent_on(server, before)
    assert sent.split("-")[1] == trace and sent.split("-")[2] in {span.id for span in inner}
    until(lambda: trace in {line["trace_id"] for line in logged(settings)}, 30, "the log's line")


@pytest.mark.integration
def test_a_request_without_a_trace_gets_one(traced: tuple[Settings, OtlpReceiver, Talker]):
    settings, receiver, server = traced
    before = len(server.asked)
    ask(settings)
    trace = sent_on(server, before).split("-")[1]
    assert trace != CALLERS.split("-")[1]
    until(lambda: trace in {span.trace for span in receiver.spans}, 30, "the trace's spans")


def test_the_prediction_log_is_told_the_trace_and_a_frame_without_any_has_no_column(tmp_path: Path):
    assert "%TRACE_ID%" in json.dumps(exchanges.access_log())
    with_one = segments.from_parquet(segments.to_parquet([row(1, inputs={}, outputs={}, trace_id="ab"), row(2, inputs={}, outputs={})]))
    assert with_one["trace_id"].tolist() == ["ab", None]
    assert "trace_id" not in segments.to_frame([row(1, inputs={}, outputs={})]).columns


@pytest.mark.parametrize("endpoint", ["localhost:4318", "https://x:4318", "http://", "http://a:b", "http://u:p@x:4318", "ftp://x"])
def test_an_endpoint_that_is_none_is_named(endpoint: str):
    with pytest.raises(InputError, match=TRACES):
        Receiver.of(endpoint)


def test_a_share_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch):
    for wrong in ("-1", "2", "half", "nan"):
        monkeypatch.setenv(TRACE_SHARE, wrong)
        with pytest.raises(InputError, match=TRACE_SHARE):
            Settings.load().trace_share  # noqa: B018
