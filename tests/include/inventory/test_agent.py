"""The agent's beats against an HTTP server; its process is tests/plugins/gpu_pool/test_agent.py's."""

import pytest

from include.errors import ComponentError, InputError
from include.inventory.agent import Agent
from include.inventory.door import Door
from include.inventory.sequence import Sequence
from include.pool.state import Device, NodeReport, Process
from tests.include.inventory.pool_server import PoolServer

DEVICE = Device("GPU-1", 0, "T4", 15360, processes=(Process(7, "python", 90, "1ea5e"),), readings={"power_w": 31.66666})


class Machine:
    """An inventory of one node; ``broken`` is raised instead."""

    source = "nvml"
    cluster = False

    def __init__(self):
        self.broken = None

    def read(self):
        if self.broken:
            raise self.broken
        return [NodeReport("rack1", {"zone": "a"}, (DEVICE,))]


class Stage:
    def __init__(self, folder):
        self.server = PoolServer()
        self.token = folder / "token"
        self.token.write_text("right\n")
        self.machine, self.said = Machine(), []
        self.sequence = folder / "sequence"
        self.agent = self.new()

    def new(self):
        door = Door(self.server.url, self.token, "rack1")
        return Agent(self.machine, door, "rack1", Sequence(self.sequence), every_s=5.0, say=self.said.append)


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    yield stage
    stage.server.close()


def sequences(stage):
    return [body["sequence"] for _, body in stage.server.reports]


def test_a_report_holds_what_was_read(stage):
    assert stage.agent.beat()
    ((path, body),) = stage.server.reports
    assert path == "/gpu-pool/v1/reports/rack1"
    assert body["source"] == "nvml"
    assert isinstance(body["sequence"], int) and isinstance(body["clock"], float)
    (node,) = body["nodes"]
    assert (node["name"], node["labels"]) == ("rack1", {"zone": "a"})
    assert node["devices"] == [
        {
            "uuid": "GPU-1",
            "index": 0,
            "model": "T4",
            "memory_mib": 15360,
            "processes": [{"pid": 7, "name": "python", "memory_mib": 90, "lease": "1ea5e"}],
            "readings": {"power_w": 31.67},
        }
    ]


def test_a_clusters_nodes_bear_its_reporters_name(stage):
    stage.machine.cluster = True
    stage.agent.beat()
    assert stage.server.reports[0][1]["nodes"][0]["name"] == "rack1/rack1"


def test_the_sequence_grows_over_restarts_and_over_a_clock_that_is_set_back(stage, monkeypatch):
    stage.agent.beat()
    monkeypatch.setattr("time.time_ns", lambda: 1_000)
    stage.agent.beat()
    stage.new().beat()
    first, second, third = sequences(stage)
    assert first < second < third


def test_a_sequence_file_that_is_damaged_or_cannot_be_written_stops_nothing(stage):
    stage.sequence.mkdir()
    assert stage.new().beat()
    stage.sequence.rmdir()
    stage.sequence.write_text("not a number")
    assert stage.new().beat()
    assert sequences(stage) == sorted(sequences(stage))


def test_a_replaced_token_is_read_at_the_first_refusal(stage):
    stage.agent.beat()
    stage.server.token = "fresh"
    stage.token.write_text("fresh")
    assert stage.agent.beat()
    assert (len(stage.server.reports), stage.server.refused) == (2, 1)


def test_a_token_that_comes_late_is_found(stage):
    stage.token.unlink()
    assert not stage.agent.beat()
    assert "token" in stage.said[0]
    stage.token.write_text("right")
    assert stage.agent.beat()


@pytest.mark.parametrize("answer", [401, 403, 409, 413, 422, 500, 503, 307])
def test_a_refusal_is_told_and_the_next_beat_is_made(stage, answer):
    stage.server.answers = [answer]
    stage.token.write_text("right")
    assert not stage.agent.beat()
    assert str(answer) in stage.said[-1]
    assert stage.agent.beat()


def test_the_token_goes_to_nobody_else(stage):
    stage.server.answers = [307]
    stage.agent.beat()
    assert (stage.server.reports, stage.server.refused) == ([], 1)  # it was not sent on to where the answer pointed


@pytest.mark.parametrize("error", [ComponentError("is gone.", where="NVML"), ValueError("odd"), KeyError("items")])
def test_a_reading_that_fails_is_no_report_and_not_the_end(stage, error):
    stage.machine.broken = error
    assert not stage.agent.beat()
    assert stage.server.reports == []
    stage.machine.broken = None
    assert stage.agent.beat()


def test_a_failure_that_goes_on_is_told_once_and_its_end_once(stage):
    stage.agent.beat()
    stage.server.answers = [503] * 10
    for _ in range(10):
        stage.agent.beat()
    stage.agent.beat()
    stage.agent.beat()
    assert [line.split(":")[0] for line in stage.said] == [
        "Reporting 1 node(s) with 1 device(s), from nvml.",
        "No report",
        "Reporting 1 node(s) with 1 device(s), from nvml.",
    ]


def test_another_failure_is_told(stage):
    stage.server.answers = [403, 409, 409]
    for _ in range(3):
        stage.agent.beat()
    assert ["403" in stage.said[0], "409" in stage.said[1], len(stage.said)] == [True, True, 2]


def test_no_line_holds_the_token(stage):
    stage.token.write_text("s3cr3t-token")
    for answer in ([], [403], [500]):
        stage.server.answers = answer
        stage.agent.beat()
    stage.server.close()
    stage.agent.beat()
    assert len(stage.said) >= 3
    assert "s3cr3t" not in "".join(stage.said)


def test_pauses_grow_with_failures_and_stay_under_the_silence_that_costs_a_node(stage):
    assert stage.agent.pause_s() == 5.0
    stage.server.answers = [500] * 6
    pauses = []
    for _ in range(6):
        stage.agent.beat()
        pauses.append(stage.agent.pause_s())
    assert 5.0 < pauses[0] <= 10.0
    assert all(12.0 <= pause <= 15.0 for pause in pauses[1:])
    stage.agent.beat()
    assert stage.agent.pause_s() == 5.0


def test_it_beats_until_it_is_told_to_end(stage, monkeypatch):
    agent = Agent(stage.machine, Door(stage.server.url, stage.token, "rack1"), "rack1", Sequence(stage.sequence), every_s=0.01)

    class Enough(BaseException):
        pass

    beats = iter(range(3))

    def beat():
        if next(beats, None) is None:
            raise Enough
        return Agent.beat(agent)

    monkeypatch.setattr(agent, "beat", beat)
    with pytest.raises(Enough):
        agent.run()
    assert len(stage.server.reports) == 3


@pytest.mark.parametrize("server", ["", "airflow", "ftp://a", "http://", "https://u:p@a", "https://a/?q=1", "https://a/#f"])
def test_what_is_no_address_is_refused(tmp_path, server):
    with pytest.raises(InputError, match="--server"):
        Door(server, tmp_path / "token", "rack1")


@pytest.mark.parametrize("server", ["http://airflow.example", "http://10.0.0.1:8080", "http://127.0.0.1.example.com"])
def test_a_token_does_not_leave_this_machine_in_clear(tmp_path, server):
    with pytest.raises(InputError, match="--plain-http"):
        Door(server, tmp_path / "token", "rack1")
    Door(server, tmp_path / "token", "rack1", plain_http=True)


@pytest.mark.parametrize("server", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80", "https://airflow.example/"])
def test_this_machine_and_tls_are_fine(tmp_path, server):
    Door(server, tmp_path / "token", "rack1")


@pytest.mark.parametrize("text", ["", "\n", "a\nb", "ünïcode"])
def test_a_file_that_holds_no_token_is_named_with_the_remedy(stage, text):
    stage.token.write_text(text)
    assert not stage.agent.beat()
    assert str(stage.token) in stage.said[-1] and "POST /gpu-pool/v1/agents" in stage.said[-1]


def test_a_cut_that_the_pool_asks_for_is_done_and_one_that_fails_is_said(stage):
    wanted = {"node": "rack1", "parent": "GPU-1", "destroy": ["MIG-1"], "create": [["3g.40gb", 1]]}
    stage.server.cuts = [wanted]
    assert stage.agent.beat()
    assert "can't be cut anew" in stage.said[-1]
    done = []
    stage.machine.cut = lambda node, cut: done.append((node, cut.parent, cut.destroy, cut.create))
    assert stage.agent.beat()
    assert done == [("rack1", "GPU-1", ("MIG-1",), (("3g.40gb", 1),))]
    stage.server.cuts = [{"node": "rack1"}]
    assert stage.agent.beat()
    assert "No cut" in stage.said[-1]
