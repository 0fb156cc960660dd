"""Live requests of a table's model recorded through the real Envoy, and asked again of both arms."""

import asyncio
import time

import pytest

from include.canary.observations import Sample
from include.gateway.recorder import Recorder, socket_of
from include.gateway.table import Tap
from include.release.examiner import Examiner
from include.release.row_questions import LiveRow, RowQuestions
from tests.include.gateway.row_server import RowServer

pytestmark = pytest.mark.integration

MODEL = "rows"
INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture
def arms(stage):
    """Revision 1 has all the traffic, revision 2 takes every number for half of what it is."""
    servers = {"1": RowServer(), "2": RowServer(scale=0.5)}
    for revision, server in servers.items():
        stage.gateway.add_revision(server.endpoint(MODEL, revision))
    stage.gateway.set_split(MODEL, {"1": 100}, tap=Tap(str(socket_of(stage.settings.trials, MODEL)), 100))
    yield servers
    stage.gateway.retire(MODEL)
    for server in servers.values():
        server.close()


def body(*rows: list[float], **more):
    return {"inputs": [{"name": "input", "datatype": "FP32", "shape": [len(rows), 2], "data": [x for row in rows for x in row]}], **more}


def test_one_row_of_each_request_is_compared_and_callers_notice_nothing(stage, arms):
    """Sums 2, 12 and 30: the middle one alone is answered differently. The fourth request, revision 2 has no answer to."""
    arms["2"].refuses = {9.0}
    sent = [
        body([1, 1], id="callers", outputs=[{"name": "label"}]),
        body([6, 6], [6, 6], [6, 6], parameters={"binary_data_output": True, "priority": 1}),
        body([15, 15]),
        body([9, 3]),
        body([6, 6]),  # a row that was counted
    ]
    socket = socket_of(stage.settings.trials, MODEL)

    async def trial() -> tuple[Sample, int]:
        recorder = Recorder(socket, INFER, LiveRow.parse)
        await recorder.start()
        headers = [stage.credentials.probe_headers("demo", revision) for revision in ("1", "2")]
        examiner = Examiner(recorder, RowQuestions(MODEL, None), stage.settings.gateway_url, *headers, most=4, pause_s=0)
        task = asyncio.create_task(examiner.run())
        try:
            for one in sent:
                answer = await asyncio.to_thread(stage.client.post, INFER, json=one)
                assert answer.status_code == 200, answer.text
            await asyncio.to_thread(stage.client.get, f"/v2/models/{MODEL}/ready")
            await asyncio.wait_for(task, 30)
            found, ids = examiner.drain()
            assert examiner.drain() == (Sample(), [])
            return found, len(set(ids))
        finally:
            task.cancel()
            await recorder.stop()

    began = time.monotonic()
    found, ids = asyncio.run(trial())
    assert ids == 4, time.monotonic() - began
    assert (found.compared.rows, found.compared.differ) == (3, 1)
    [pair] = found.compared.examples
    assert (pair.row, pair.stable, pair.canary) == ("input [6, 6]", "1", "0")
    again = arms["2"].asked[:2]
    assert "id" not in again[0] and "outputs" not in again[0]
    assert again[1]["parameters"] == {"priority": 1} and again[1]["inputs"][0]["shape"] == [3, 2]  # whole, as its caller asked
