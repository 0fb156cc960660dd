"""A shard's prompts and what becomes of each: with a server that misbehaves, and with llama.cpp behind the real Envoy."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from include.backends.llamacpp.spec import LlamaCppServe
from include.batch import client, room
from include.batch.client import BatchTarget
from include.batch.items import read
from include.batch.job import Job, output_of, place
from include.batch.ledger import Ledger, records
from include.batch.prompts import Prompts
from include.errors import ComponentError, InputError
from include.gateway.metering import Meter
from tests.include.serving.stage import KEY
from tests.waiting import until

OPTIONS = {"max_tokens": 6, "temperature": 0}


class Moody(ThreadingHTTPServer):
    """Answers by what ``status`` says of the prompt and how often it was asked; 0 hangs up."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = Counter()
        self.status = lambda prompt, time: 200
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def target(self, **options):
        url = f"http://127.0.0.1:{self.server_port}"
        return BatchTarget(Prompts(), url, {}, "m", OPTIONS, slots=4, active=lambda: 0, **options)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][-1]["content"]
        self.server.asked[prompt] += 1
        status = self.server.status(prompt, self.server.asked[prompt])
        if not status:
            self.close_connection = True
            return
        said = {
            "choices": [{"message": {"content": prompt.upper()}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        }
        body = json.dumps(said if status == 200 else {"error": {"message": f"mood {status}"}}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-updraft-revision", "9")
        if status == 429:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def moody(monkeypatch):
    monkeypatch.setattr(client, "PAUSE_S", 0.01)
    monkeypatch.setattr(room, "POLL_S", 0.02)
    server = Moody()
    yield server
    server.shutdown()
    server.server_close()


def lay_out(folder, prompts, shards=1, **options):
    source = folder / "in.jsonl"
    source.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    return Job.lay_out(folder / "out", source, model="m", named="in.jsonl", options=OPTIONS | options, shards=shards, form=Prompts())


def answer(job, target, shard=0, most=None):
    with Ledger(job.ledger(shard)) as ledger:
        client.run(target, read(job.items, *job.bounds(shard)), ledger, most, lambda _: None)
    return records(job.ledger(shard))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_prompt_is_answered_once_and_the_report_adds_up(moody, tmp_path):
    job = lay_out(tmp_path, [f"p{number}" for number in range(23)], shards=4)
    for shard in range(job.shards):
        answer(job, moody.target(), shard)
    report = job.collect(Prompts(), "g4dn.xlarge")
    found = lines(job.folder / "answers.jsonl")
    assert [line["line"] for line in found] == list(range(1, 24))
    assert [line["answer"] for line in found] == [f"P{number}" for number in range(23)]
    assert set(moody.asked.values()) == {1} and not (job.folder / "errors.jsonl").read_text()
    said = report.to_json()
    assert (said["answered"], said["errors"], said["completion_tokens"], said["revisions"]) == (23, 0, 46, {"9": 23})
    assert said["usd"] == pytest.approx(said["busy_s"] / 3600 * 0.53, rel=0.01, abs=1e-6)
    assert said["tokens_per_s"] == pytest.approx(46 / said["busy_s"], rel=0.05)
    assert "| answered | 23 |" in (job.folder / "report.md").read_text()
    assert json.loads((job.folder / "report.json").read_text()) == said


def test_what_the_server_refuses_is_an_error_by_line_and_the_rest_goes_on(moody, tmp_path):
    moody.status = lambda prompt, _: 400 if prompt == "b" else 200
    job = lay_out(tmp_path, ["a", "b", "c"])
    answer(job, moody.target())
    report = job.collect(Prompts(), "g4dn.xlarge").to_json()
    assert lines(job.folder / "errors.jsonl") == [{"line": 2, "id": "2", "error": "400: mood 400"}]
    assert moody.asked["b"] == 1 and report["answered"] == 2 and report["problems"] == {"400: mood 400": 1}


@pytest.mark.parametrize("status", [500, 503, 429, 0])
def test_what_passes_is_tried_again(moody, tmp_path, status):
    moody.status = lambda prompt, time: status if prompt == "b" and time < 4 else 200
    assert [record["answer"] for record in answer(lay_out(tmp_path, ["a", "b", "c"]), moody.target())] == ["A", "B", "C"]
    assert moody.asked["b"] == 4


def test_one_that_breaks_the_server_each_time_is_an_error_while_others_are_answered(moody, tmp_path):
    moody.status = lambda prompt, _: 500 if prompt == "b" else (time.sleep(0.05) or 200)
    found = answer(lay_out(tmp_path, ["a", "b", *"cdefghijklmnopqrstuvwxyz"]), moody.target())
    assert found[1]["error"] == f"500: mood 500 ({client.TRIES} times)"
    assert sum("answer" in record for record in found) == 25


class Words(Prompts):
    """Prompts that may be asked word by word."""

    def parts(self, item):
        words = item.messages[-1]["content"].split()
        return [replace(item, messages=[{"role": "user", "content": word}]) for word in words]

    def joined(self, records):
        return {"answer": " ".join(record.get("answer", "?") for record in records)}


def test_of_many_that_are_asked_at_once_only_the_one_that_breaks_the_server_is_lost(moody, tmp_path):
    moody.status = lambda prompt, _: 500 if "bad" in prompt.split() else (time.sleep(0.05) or 200)
    target = replace(moody.target(), form=Words())
    found = answer(lay_out(tmp_path, ["bad b c", *"defghijklmnopqrstuvwxyz"]), target)
    assert found[0]["answer"] == "? B C" and moody.asked["b"] == moody.asked["c"] == 1
    (tmp_path / "away").mkdir()
    moody.status = lambda prompt, _: 500
    with pytest.raises(ComponentError, match="500: mood 500"):
        answer(lay_out(tmp_path / "away", ["a b"]), target)


def test_a_server_that_is_away_fails_the_try_and_loses_nothing(moody, tmp_path):
    job = lay_out(tmp_path, [f"p{number}" for number in range(8)])
    moody.status = lambda prompt, _: 200 if prompt in ("p0", "p1") else 503
    with pytest.raises(ComponentError, match="503: mood 503"):
        answer(job, moody.target(), most=1)
    assert [record["line"] for record in records(job.ledger(0))] == [1, 2]
    with pytest.raises(ComponentError, match="does not hold every line once"):
        job.collect(Prompts(), "g4dn.xlarge")
    moody.status = lambda prompt, _: 200
    assert len(answer(job, moody.target())) == 8
    assert moody.asked["p0"] == moody.asked["p1"] == 1


def test_who_is_not_let_in_is_told_at_once(moody, tmp_path):
    moody.status = lambda prompt, _: 401
    with pytest.raises(InputError, match="401"):
        answer(lay_out(tmp_path, ["a", "b"]), moody.target(), most=1)
    assert moody.asked.total() == 1


def test_an_output_is_gone_on_with_by_the_same_batch_alone(tmp_path):
    job = lay_out(tmp_path, ["a", "b"], shards=2)
    assert lay_out(tmp_path, ["a", "b"], shards=7) == job, "and its shards stay as they are"
    with pytest.raises(InputError, match=r"holds the answers of another batch.*Name another output"):
        lay_out(tmp_path, ["a", "c"])
    with pytest.raises(InputError, match="another batch"):
        lay_out(tmp_path, ["a", "b"], temperature=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(InputError, match="holds other files"):
        Job.lay_out(tmp_path / "mine", tmp_path / "in.jsonl", model="m", named="in.jsonl", options={}, shards=1, form=Prompts())


def test_shards_are_no_more_than_lines_and_hold_each_line_once(tmp_path):
    assert lay_out(tmp_path, ["a"], shards=5).shards == 1
    job = Job(tmp_path, "m", "i", "0", {}, lines=103, shards=10)
    covered = [number for shard in range(10) for number in range(*job.bounds(shard))]
    assert covered == list(range(103))


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("../x.jsonl", "input: '../x.jsonl' leaves"),
        ("/etc/passwd", "leaves"),
        ("~/x", "leaves"),
        ("link/x", "'link' is a symbolic link."),
        ("a\0b", "is no usable path"),
    ],
)
def test_paths_stay_in_the_folder_of_batches(tmp_path, named, expected):
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(InputError, match=expected.replace("(", r"\(")):
        place(named, tmp_path, "input")


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.jsonl: there is no such file"):
        Job.lay_out(tmp_path / "out", tmp_path / "nothing.jsonl", model="m", named="x", options={}, shards=1, form=Prompts())
    assert not (tmp_path / "out").exists()


def test_a_runs_own_output_is_a_plain_path():
    assert output_of("chat", "manual__2026-11-21T02:40:17+00:00/..") == "chat/manual__2026-11-21T02_40_17_00_00_.."


# The real server, behind the real gateway


@pytest.fixture(scope="module")
def served(stage):
    """Revisions 1 and 2 of the model `batched`; 1 is live."""
    serve = LlamaCppServe(context=4096, parallel=4, threads=1)
    revisions = [stage.backend.start(stage.chat_bundle(), "batched", version, serve, {}) for version in ("1", "2")]
    for revision in revisions:
        stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("batched", {"2": 100})
    yield
    stage.gateway.retire("batched")
    for revision in revisions:
        stage.backend.stop(revision)


def real(stage):
    """Revision 1, which has no live traffic."""
    headers = stage.credentials.batch_headers("demo", "1")
    active = lambda: stage.gateway.admin.at_revision("batched-1")  # noqa: E731
    return BatchTarget(Prompts(), stage.settings.gateway_url, headers, "batched", OPTIONS, slots=4, active=active, timeout_s=60)


@pytest.mark.integration
def test_killed_and_tried_again_every_line_has_one_answer(stage, served, tmp_path):
    job = lay_out(tmp_path, [f"Question {number}?" for number in range(60)], shards=1)
    for reached in (5, 25):
        child = multiprocessing.get_context("fork").Process(target=answer, args=(job, real(stage)))
        child.start()
        until(lambda reached=reached: len(records(job.ledger(0))) >= reached, 60)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert len(records(job.ledger(0))) < 60, "it was killed on its way"
    before = records(job.ledger(0))
    after = answer(job, real(stage))
    assert len(after) == 60 and [record for record in after if record in before] == before
    report = job.collect(Prompts(), "g4dn.xlarge").to_json()
    assert report["answered"] == 60 and report["revisions"] == {"1": 60}, "one version answers, whatever the split"
    assert report["completion_tokens"] == 6 * 60 and report["prompt_tokens"] > 60


@pytest.mark.integration
def test_a_prompt_longer_than_the_context_is_an_error_with_the_servers_words(stage, served, tmp_path):
    job = lay_out(tmp_path, ["Hi", "x " * 6000])
    answer(job, real(stage))
    job.collect(Prompts(), "g4dn.xlarge")
    (error,) = lines(job.folder / "errors.jsonl")
    assert error["line"] == 2 and error["error"].startswith("400: ") and "context" in error["error"]


@pytest.mark.integration
def test_it_waits_while_others_fill_the_server_and_is_metered(stage, served, tmp_path):
    job = lay_out(tmp_path, [f"Question {number}?" for number in range(3)])
    stop = threading.Event()

    def caller():
        headers = {"x-api-key": KEY} | stage.credentials.probe_headers("demo", "1")
        body = {"model": "batched", "messages": [{"role": "user", "content": "Tell."}], "max_tokens": 4000, "stream": True}
        with httpx.stream("POST", f"{stage.settings.gateway_url}/v1/chat/completions", json=body, headers=headers, timeout=60) as said:
            for _ in said.iter_raw():
                if stop.is_set():
                    return

    callers = [threading.Thread(target=caller, daemon=True) for _ in range(4)]
    for thread in callers:
        thread.start()
    until(lambda: real(stage).active() == 4, 30)
    looks: list[int] = []
    target = replace(real(stage), active=lambda: looks.append(real(stage).active()) or looks[-1])
    batch = threading.Thread(target=answer, args=(job, target), daemon=True)
    batch.start()
    until(lambda: len(looks) >= 4, 30)
    assert records(job.ledger(0)) == [], "no prompt is asked beside four callers"
    stop.set()
    batch.join(60)
    assert len(records(job.ledger(0))) == 3
    meter = Meter(stage.gateway.access_log, Path(tmp_path) / "usage.json")
    until(lambda: sum(row.requests for row in meter.update() if row.model == "batched") >= 3)
    (row,) = [row for row in meter.update() if row.model == "batched"]
    assert row.client == "demo" and row.completion_tokens >= 18
