"""What callers send and get through the real gateway is in the log, and whatever becomes of the log, callers are answered."""

from __future__ import annotations

import json
import stat

import pytest

from include.gateway.exchanges import MOST_BODY_BYTES
from include.predictions import read
from include.predictions.known import answers, moment
from tests.waiting import until

pytestmark = pytest.mark.integration


def label(answer) -> list[int]:
    return next(tensor["data"] for tensor in answer.json()["outputs"] if tensor["name"] == "label")


@pytest.fixture
def before(logged) -> int:
    return len(read(logged.stage.settings, "digits"))


def test_an_answer_tells_the_id_of_its_row(logged, before):
    request = logged.stage.golden_request()
    answer = logged.stage.client.post("/v2/models/digits/infer", json=request, headers={"x-request-id": "mine"})
    (row,) = logged.rows(before, 1).to_dict("records")
    assert row["id"] == answer.headers["x-request-id"] != "mine"
    assert abs(moment(row["id"]).timestamp() - row["time"].timestamp()) < 5
    assert (row["key"], row["kind"], row["status"], row["version"]) == ("demo", "live", 200, 1) and row["latency_ms"] > 0
    assert row["inputs.input"] == request["inputs"][0]["data"]
    assert [row["outputs.label"]] == label(answer) and "outputs.probabilities" not in row
    assert answers(logged.stage.settings, "digits", [row["id"]]) == {row["id"]: row["outputs.label"]}


def test_several_rows_of_a_request_are_several_rows(logged, before):
    answer = logged.stage.client.post("/v2/models/digits/infer", json=logged.stage.golden_request(3))
    frame = logged.rows(before, 3)
    assert list(frame["id"]) == [f"{answer.headers['x-request-id']}.{number}" for number in range(3)]
    assert list(frame["outputs.label"]) == label(answer)


def test_a_canarys_copy_has_the_id_of_its_original(logged, before):
    logged.stage.gateway.set_split("digits", {"1": 100}, mirror="2")
    try:
        logged.stage.infer("digits")
        frame = logged.rows(before, 2)
    finally:
        logged.stage.gateway.set_split("digits", {"1": 100})
    assert frame["id"].nunique() == 1 and sorted(zip(frame["kind"], frame["version"], strict=True)) == [("live", 1), ("mirror", 2)]


def test_refusals_and_what_is_too_long_are_logged_as_such(logged, before):
    for body in (b"{}", b"[" + b" " * MOST_BODY_BYTES):
        assert logged.stage.client.post("/v2/models/digits/infer", content=body).status_code == 400
    frame = logged.rows(before, 2)
    assert list(frame["status"]) == [400, 400] and not frame.filter(like="inputs.").notna().any(axis=None)
    until(lambda: "bodies too long" in logged.output.read_text())


def test_probes_and_other_models_are_not_logged(logged, before):
    logged.stage.infer("digits", headers=logged.stage.credentials.probe_headers("demo", "2"))
    assert logged.stage.infer("nobody").status_code == 404
    logged.stage.infer("digits")
    assert len(logged.rows(before, 1)) == 1


def test_the_socket_is_its_owners_alone(logged):
    socket = logged.stage.settings.prediction_socket
    assert [stat.S_IMODE(path.stat().st_mode) for path in (socket.parent, socket)] == [0o700, 0o600]


def test_callers_notice_nothing_of_a_log_that_was_killed_and_it_goes_on(logged, before):
    """What comes while nobody listens is lost, and counted by Envoy."""
    gateway, dropped = logged.stage.gateway, "access_logs.open_telemetry_access_log.prediction-log.logs_dropped"
    logged.stage.infer("digits")
    assert len(logged.rows(before, 1)) == 1
    logged.process.kill()
    logged.process.wait()
    was = gateway.admin.counters(f"^{dropped}$")[dropped]
    assert [logged.stage.infer("digits").status_code for _ in range(5)] == [200] * 5
    until(lambda: gateway.admin.counters(f"^{dropped}$")[dropped] == was + 5)
    logged.start()
    logged.stage.infer("digits")
    assert len(logged.rows(before, 2)) == 2


def test_when_it_ends_all_is_parquet_and_counted(logged, before):
    logged.stage.infer("digits")
    assert len(logged.rows(before, 1)) == 1
    logged.process.terminate()
    assert logged.process.wait(30) == 0
    home = logged.stage.settings.prediction_log
    assert not list(home.glob("*.jsonl")) and json.loads((home / "counts.json").read_text())["kept"] >= 1
    assert len(read(logged.stage.settings, "digits")) == before + 1
    logged.start()
