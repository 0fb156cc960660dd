"""A language model's way: fine-tuned, judged, quantised, served by llama.cpp, tried with real conversations, promoted."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from include.batch.ledger import records
from include.errors import InputError
from include.serving.traffic import ChatTraffic
from include.targets.target import step_of
from tests.journey import talker
from tests.journey.killing import task_process
from tests.journey.site import JUDGED, TALKER, Site
from tests.waiting import until

pytestmark = [
    pytest.mark.journey,
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("journey"),
]


@pytest.fixture
def spoken(site: Site) -> int:
    """The version that answers chats; there is one."""
    champion = site.mlflow.aliases(TALKER).get("champion")
    if champion is None:
        ended = site.end(site.trigger(TALKER), timeout_s=600)
        assert ended.state == "success", ended
        champion = site.mlflow.aliases(TALKER)["champion"]
    return champion


def ask(site: Site, **more: Any) -> requests.Response:
    body = {"model": TALKER, "messages": talker.QUESTION, "max_tokens": 8, "temperature": 0, **more}
    key = site.credentials.api_keys["demo"]
    return requests.post(
        f"{site.settings.gateway_url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60
    )


@pytest.fixture
def traffic(site: Site, spoken: int) -> Iterator[ChatTraffic]:
    sender = ChatTraffic(site.settings.gateway_url, site.credentials.api_keys["demo"], TALKER, [talker.QUESTION], 8, max_tokens=8)
    sender.start()
    yield sender
    sender.stop()


def test_the_first_version_answers_through_the_gateway_by_its_name(site: Site, spoken: int):
    answer = ask(site)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["choices"][0]["message"]["role"] == "assistant"
    assert said["usage"]["completion_tokens"] > 0
    assert answer.headers["x-updraft-revision"] == str(spoken)
    assert site.gateway.split(TALKER).weights == {str(spoken): 100}


def test_a_second_version_is_tried_with_real_conversations_and_promoted_without_a_failed_one(site: Site, spoken: int, traffic: ChatTraffic):
    ended = site.run(TALKER, seed=1)
    assert ended.state == "success", ended
    report = traffic.stop()
    assert report.failed == 0, report.failures
    assert report.by_revision[str(site.version(ended))].requests > 0
    verdicts = site.verdicts(ended)
    asked = verdicts["canary"]["body"]["evidence"]["asked"]
    assert (asked["prompts"], asked["known"]) == (1, 1)  # callers have one question, and it is among the chats
    assert not list(site.settings.trials.iterdir())
    decisions = [verdicts[kind]["decision"] for kind in ("data", "gate", "verify", "deploy", "canary")]
    assert decisions == ["PASS"] * 4 + ["PROMOTE"], verdicts["canary"]
    site.settled(site.version(ended), TALKER, standby=spoken)
    run_id = site.xcom(ended.dag_id, ended.run_id, "validate_data")["mlflow_run"]
    assert len(site.mlflow.history(run_id, "loss")) > 5


def test_production_returns_to_the_version_that_stands_by_without_a_start(site: Site, spoken: int):
    aliases = site.mlflow.aliases(TALKER)
    before = site.supervisor.info(f"revision-{TALKER}-{aliases['previous']}")[1]
    ended = site.end((f"{TALKER}_rollback", site.api.trigger(f"{TALKER}_rollback", {})))
    assert ended.state == "success", ended
    assert site.supervisor.info(f"revision-{TALKER}-{aliases['previous']}")[1] == before
    site.settled(aliases["previous"], TALKER, standby=aliases["champion"])


@pytest.mark.soak
def test_a_training_that_is_killed_goes_on_from_its_checkpoint(site: Site, spoken: int):
    run = site.trigger(TALKER, seed=2, epochs=20.0, min_score=2.0)
    site.wait(run, "train", "running")
    step = step_of(site.settings, f"{run[0]}/{run[1]}", "llm.train")
    checkpoints = step.folder.parent / "checkpoints"
    until(lambda: list(checkpoints.glob("*/checkpoint-*/trainer_state.json")), 120, "a checkpoint")
    os.kill(site.supervisor.info(step.name)[1], signal.SIGKILL)
    ended = site.end(run)
    assert ended.tasks["train"] == "success" and ended.tasks["gate"] == "failed", ended
    assert "Going on from checkpoint-" in site.log(ended, "train", 2)
    losses = site.mlflow.history(site.xcom(*run, "validate_data")["mlflow_run"], "loss")
    assert losses[-1][1] < losses[0][1]
    aliases = site.mlflow.aliases(TALKER)
    site.settled(aliases["champion"], TALKER, standby=aliases["previous"])


@pytest.mark.soak
def test_a_new_version_is_load_tested_before_it_has_traffic(site: Site, spoken: int):
    rows = site.api.get("/lifecycle/v1/verdicts", params={"model": TALKER})
    tested = [row for row in rows if row["kind"] == "load_test"]
    assert tested and all(row["decision"] == "PASS" for row in tested)
    for row in tested:
        first = row["body"]["evidence"]["load_test"]["rates"][0]
        assert (first["rate"], first["failed"]) == (1, 0) and first["ttft_ms"]["p99"] > 0 and first["tokens_per_s"] > 0
    run_id = site.mlflow.version(TALKER, spoken)["run_id"]
    assert b'"best_rate"' in site.mlflow.read(run_id, "load_test.json")


def put(site: Site, name: str, lines: str) -> None:
    """Write a batch's input, for the platform's owner alone."""
    site.settings.batch.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = site.settings.batch / name
    path.write_text(lines)
    path.chmod(0o600)


@pytest.mark.soak
def test_a_batch_whose_task_is_killed_ends_with_one_answer_a_line(site: Site, spoken: int):
    prompts = [f"Which colour has thing number {number}?" for number in range(300)]
    prompts[7] = "far too long " * 200
    put(site, "things.jsonl", "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    run = f"{TALKER}_batch", site.api.trigger(f"{TALKER}_batch", {"input": "things.jsonl", "output": "told", "shards": 2, "max_tokens": 40})
    output = site.settings.batch / "told"
    until(lambda: len(records(output / ".work" / "0000.jsonl")) > 5, 240, "the first answers")
    task_process(site, "answer", str(spoken))
    ended = site.end(run, timeout_s=400)
    assert ended.state == "success", ended
    answers, errors = (
        [json.loads(line) for line in (output / name).read_text().splitlines()] for name in ("answers.jsonl", "errors.jsonl")
    )
    assert sorted(line["line"] for line in (*answers, *errors)) == list(range(1, 301)), "each line once"
    assert [line["line"] for line in errors] == [8] and errors[0]["error"].startswith("400: ")
    champion = site.mlflow.aliases(TALKER)["champion"]
    assert {line["revision"] for line in answers} == {str(champion)}
    report = site.xcom(*run, "collect")
    assert report["answered"] == 299 and report["tokens_per_s"] > 0 and report["usd"] > 0
    assert "299 of 300 lines answered" in site.api.get(f"/api/v2/dags/{run[0]}/dagRuns/{run[1]}")["note"]


def test_a_snapshot_is_answered_and_bad_input_is_named(site: Site, spoken: int):
    dag_id = f"{TALKER}_batch"
    with pytest.raises(InputError, match=r"inptu: unknown parameter\. Did you mean `input`\?"):
        site.api.trigger(dag_id, {"inptu": "x.jsonl"})
    put(site, "bad.jsonl", '{"prompt": "fine"}\n{"prompts": "not"}\n')
    failed = site.end((dag_id, site.api.trigger(dag_id, {"input": "bad.jsonl"})))
    assert failed.state == "failed" and "bad.jsonl:2: prompts: unknown field. Did you mean `prompt`?" in site.log(failed, "prepare")
    whole = site.end((dag_id, site.api.trigger(dag_id, {"shards": 1, "max_tokens": 16})))
    assert whole.state == "success", whole
    report = site.xcom(dag_id, whole.run_id, "collect")
    assert report["answered"] == report["compared"] == 30 and report["input"] == "snapshot"


@pytest.mark.soak
def test_a_judge_is_asked_by_its_connection_and_counts_for_nothing_until_it_is_trusted(site: Site, spoken: int):
    early = site.end(site.trigger(JUDGED), timeout_s=600)
    assert early.tasks["base"] == "failed" and early.tasks["validate_data"] == "upstream_failed", early
    assert "evaluate.judge.connection: 'judge_default' can't be used" in site.log(early, "base")
    key = site.credentials.api_keys["demo"]
    model = {"model": f"openai-chat:{TALKER}"}  # whose conversations are too short for any question
    body = {"connection_id": "judge_default", "conn_type": "pydanticai", "host": f"{site.settings.gateway_url}/v1", "password": key}
    site.api.call("POST", "/api/v2/connections", json=body | {"extra": json.dumps(model)})
    ended = site.end(site.trigger(JUDGED, min_score=2.0), timeout_s=600)
    assert (ended.tasks["judge"], ended.tasks["gate"]) == ("success", "failed"), ended
    assert not site.xcom(ended.dag_id, ended.run_id, "judge")["trusted"]
    rules = {rule["name"]: rule for rule in site.verdicts(ended)["gate"]["body"]["rules"]}
    assert rules["judge"]["passed"] is None and "20 of 20 labelled answers got no mark" in rules["judge"]["detail"]
    run_id = site.xcom(ended.dag_id, ended.run_id, "validate_data")["mlflow_run"]
    assert b"Not trusted: 20 of 20 labelled answers got no mark" in site.mlflow.read(run_id, "report.html")
