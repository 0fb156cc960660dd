import time

import pytest

from include.serving.traffic import UNKNOWN, Traffic, streamed
from tests.include.serving.stage import KEY
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(stage):
    revision = stage.serve("busy", "1")
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("busy", {"1": 100})
    yield "busy"
    stage.gateway.retire("busy")
    stage.backend.stop(revision)


def traffic(stage, model, rate=100, key=KEY, **options):
    return Traffic(stage.settings.gateway_url, key, model, [stage.golden_request(rows)["inputs"] for rows in (1, 3)], rate, **options)


def test_it_keeps_its_rate_and_counts_by_revision(stage, served):
    sender = traffic(stage, served)
    sender.start()
    begun = time.monotonic()
    until(lambda: sender.report().total >= 200, 60)
    assert time.monotonic() - begun > 1.9, "never more than a hundred a second"
    report = sender.stop()
    assert report.failed == 0, report.failures
    assert report.by_revision["1"].requests == report.total == len(report.by_revision["1"].latencies_ms)


def test_what_is_in_flight_at_the_end_is_counted(stage, served):
    sender = traffic(stage, served, rate=500)
    sender.start()
    until(lambda: sender.report().total >= 50)
    assert sender.stop().failed == 0


@pytest.mark.parametrize(("model", "key", "status"), [("nobody", KEY, 404), ("busy", "wrong", 401)])
def test_a_refused_request_is_a_failure_of_no_revision(stage, served, model, key, status):
    sender = traffic(stage, model, key=key)
    sender.start()
    until(lambda: sender.report().total >= 5)
    report = sender.stop()
    assert report.failed_by_revision == {UNKNOWN: report.total}
    assert report.by_status[status] == report.total
    assert str(status) in report.failures[0]


def test_a_closed_port_is_a_failure_without_a_status(stage):
    sender = Traffic("http://127.0.0.1:9", KEY, "busy", [stage.golden_request()["inputs"]], 50, timeout_s=1)
    sender.start()
    until(lambda: sender.report().total >= 3)
    report = sender.stop()
    assert report.by_status[0] == report.failed == report.total


def test_an_answer_with_the_wrong_form_is_a_failure_of_its_revision(stage, served):
    sender = traffic(stage, served, check=lambda answer: None if len(answer["outputs"]) > 9 else "too few outputs")
    sender.start()
    until(lambda: sender.report().total >= 5)
    report = sender.stop()
    assert report.failed_by_revision == {"1": report.total}
    assert "too few outputs" in report.failures[0]


def test_traffic_without_rows_is_refused(stage):
    with pytest.raises(ValueError, match="needs requests"):
        Traffic(stage.settings.gateway_url, KEY, "busy", [], 10)


def test_a_streamed_answer_is_put_together():
    events = 'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n\ndata: {"choices":[{"delta":{"content":"7 "}}]}\n\n'
    more = 'data: {"choices":[{"delta":{"content":"März"}}]}\n\ndata: {"choices":[]}\n\n'
    assert streamed(f"{events}{more}data: [DONE]\n\n".encode()) == "7 März"


def test_a_stream_without_its_end_is_a_fault():
    with pytest.raises(ValueError, match="no end"):
        streamed(b'data: {"choices":[{"delta":{"content":"7"}}]}\n\n')
