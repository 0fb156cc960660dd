"""One trace from a caller's request through the gateway and Triton to the prediction log: all of them real, and a receiver of OTLP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from include.backends.triton.backend import SERVICE, traced
from include.gateway import tracing
from include.gateway.gateway import Gateway
from include.predictions import read
from include.runtime import otlp
from include.runtime.settings import REPO, TRACE_SHARE, TRACES, Settings
from include.runtime.supervisor import Program
from tests.include.predictions.conftest import Logged
from tests.include.serving.stage import KEY, OTHER_KEY, SECRET, Stage
from tests.otlp_receiver import OtlpReceiver
from tests.ports import free_base
from tests.waiting import until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Site:
    """A gateway that sends spans, before a Triton that does, and the prediction log's process."""

    def __init__(self, stage: Stage, folder: Path, receiver: OtlpReceiver) -> None:
        self.stage, self.receiver = stage, receiver
        self.settings = replace(stage.settings, home=folder / "home", port_base=free_base())
        self.settings.home.mkdir()
        self.revision = stage.serve("digits", "5")
        # The gateway of this test knows the keys of the other one's servers.
        shutil.copy(stage.settings.home / "revision-key", self.settings.home)
        (self.settings.home / "credentials.json").write_text(
            json.dumps({"api_keys": {"demo": KEY, "other": OTHER_KEY}, "probe_secret": SECRET})
        )
        self.gateway = Gateway(self.settings, stage.credentials)
        self.gateway.prepare()
        log = self.settings.home / "envoy.txt"
        stage.supervisor.start_program(Program("traced-envoy", self.gateway.command(1), self.settings.envoy, log))
        until(self.gateway.admin.running, 60)
        self.gateway.wait_applied()
        shutil.copytree(REPO / "include/models/digits", folder / "models/digits")
        with (folder / "models/digits/model.yaml").open("a") as spec:
            spec.write("\nmonitor: {log: {share: 1}}\n")
        own = SimpleNamespace(settings=self.settings, gateway=self.gateway)
        self.log = Logged(cast(Stage, own), folder / "models", folder / "log.txt")
        self.log.start()
        self.gateway.add_revision(self.revision.endpoint())
        self.gateway.set_split("digits", {"5": 100})

    def ask(self, **headers: str) -> None:
        url = f"{self.settings.gateway_url}/v2/models/digits/infer"
        answer = requests.post(url, json=self.stage.golden_request(), headers={"x-api-key": KEY, **headers}, timeout=20)
        assert answer.status_code == 200, answer.text

    def close(self) -> None:
        self.log.process.kill()
        self.log.process.wait()
        self.stage.supervisor.stop_program("traced-envoy")
        self.stage.backend.stop(self.revision)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    receiver, stage = OtlpReceiver(), Stage.acquire()
    monkeypatch.setenv(TRACES, receiver.endpoint)
    found = Site(stage, tmp_path, receiver)
    yield found
    found.close()
    Stage.release()
    receiver.close()


@pytest.mark.integration
def test_one_trace_from_a_caller_through_triton_to_the_prediction_log(site: Site):
    site.ask(traceparent=f"00-{TRACE}-{PARENT}-01")

    def of(service: str) -> list[Any]:
        return [span for span in site.receiver.spans if span.trace == TRACE and span.service == service]

    until(lambda: len(of(SERVICE)) >= 3 and len(of(tracing.SERVICE)) >= 2, 30, "the spans of gateway and server")
    request = next(span for span in of(SERVICE) if span.name == "InferRequest")
    assert request.parent in {span.id for span in of(tracing.SERVICE)}
    assert {"InferRequest", "digits", "compute"} <= {span.name for span in of(SERVICE)}
    until(lambda: len(read(site.settings, "digits")) == 1, 30, "the row")
    assert read(site.settings, "digits")["trace_id"].tolist() == [TRACE]


def test_a_server_sends_spans_where_every_request_is_traced_and_nowhere_else(monkeypatch: pytest.MonkeyPatch):
    settings = Settings.load()
    assert otlp.of_servers(settings) is None
    monkeypatch.setenv(TRACES, "http://collector:4318")
    receiver = otlp.of_servers(settings)
    assert receiver is not None and "--trace-config=opentelemetry,url=http://collector:4318/v1/traces" in traced(receiver.url)
    monkeypatch.setenv(TRACE_SHARE, "0.5")
    assert otlp.of_servers(settings) is None
