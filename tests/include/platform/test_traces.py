"""Airflow's own traces: on where an endpoint is set, and sent by its own exporter."""

from __future__ import annotations

import pytest

from include.platform import airflow
from include.runtime.credentials import Credentials
from include.runtime.settings import TRACES, Settings
from tests.dags.conftest import Parsing
from tests.otlp_receiver import OtlpReceiver
from tests.waiting import until

SPANS = """
from airflow import settings
settings.initialize()
from airflow._shared.observability.traces import new_dagrun_trace_carrier
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
carrier = new_dagrun_trace_carrier()
for task in ("train", "promote"):
    with trace.get_tracer("t").start_as_current_span(task, context=TraceContextTextMapPropagator().extract(carrier)):
        pass
trace.get_tracer_provider().force_flush()
print("{}")
"""


def test_airflow_sends_the_tasks_of_a_run_as_one_trace(tmp_path, monkeypatch: pytest.MonkeyPatch):
    receiver = OtlpReceiver()
    monkeypatch.setenv(TRACES, receiver.endpoint)
    try:
        Parsing(tmp_path).ask(SPANS)
        until(lambda: len(receiver.spans) >= 2, 30, "the spans", seen=lambda: receiver.spans)
    finally:
        receiver.close()
    assert {span.name for span in receiver.spans} >= {"train", "promote"} and len({span.trace for span in receiver.spans}) == 1
    assert {span.service for span in receiver.spans} == {"updraft-airflow"}


def test_without_an_endpoint_nothing_is_sent(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(TRACES, raising=False)
    settings = Settings.load()
    assert airflow.traces(settings) == {}
    assert airflow.options(settings, Credentials.load_or_create(tmp_path))["traces"] == {"otel_on": "False"}
