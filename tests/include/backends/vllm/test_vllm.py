"""A language model's revision: real vLLM, behind the real gateway, with a model of two layers that was taught a few words."""

import json
import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from include.backends.vllm import model as vllm_model
from include.backends.vllm.spec import VllmServe
from include.bundles import chat_golden
from include.bundles.chat import ChatBundle
from include.bundles.chat_golden import ChatGolden
from include.errors import ComponentError, InputError
from include.gateway.observe import read_entries
from include.runtime.supervisor import State
from include.serving.revision import RevisionState
from include.serving.revisions import Revisions
from include.spec.parts import ServeResources
from include.verdict import Decision
from tests.include.backends.vllm.vllm_bundle import vllm_bundle
from tests.include.serving.stage import KEY, Stage, processes
from tests.waiting import until

SERVE = VllmServe(context=2048, parallel=8, arguments={"enable-prefix-caching": True, "max-num-batched-tokens": 2048})
LONG = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 1500, "ignore_eos": True}
START_S = 240.0


@pytest.fixture(scope="module")
def bundle(stage: Stage) -> Path:
    return vllm_bundle(stage)


@pytest.fixture(scope="module")
def revision(stage: Stage, bundle: Path):
    revision = stage.backend.start(bundle, "speaker", "1", SERVE)
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("speaker", {"1": 100})
    yield revision
    stage.backend.stop(revision)


def ask(url: str, **body) -> httpx.Response:
    asked = {"messages": [{"role": "user", "content": "What is 3?"}], "max_tokens": 8, "temperature": 0, "model": "speaker"}
    return httpx.post(f"{url}/v1/chat/completions", json=asked | body, headers={"x-api-key": KEY}, timeout=60)


def logged(stage: Stage, cursor, count: int):
    """The next requests in the gateway's log; Envoy writes it a moment later."""
    found = []

    def enough() -> bool:
        nonlocal cursor
        entries, cursor = read_entries(stage.gateway.access_log, cursor)
        found.extend(entry for entry in entries if entry.model == "speaker")
        return len(found) >= count

    until(enough)
    return found


pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_a_started_revision_answers_what_it_was_taught_through_the_gateway(stage, revision):
    assert stage.backend.state(revision) is RevisionState.RUNNING
    answer = ask(stage.settings.gateway_url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-updraft-revision"] == "1"
    said = answer.json()
    assert (said["model"], said["choices"][0]["message"]["content"], said["choices"][0]["finish_reason"]) == ("speaker", "three", "stop")


def test_golden_prompts_are_answered_word_for_word(stage, revision, bundle):
    golden = ChatBundle.read(bundle).golden
    headers = {"x-api-key": KEY}
    verdict = chat_golden.check(stage.settings.gateway_url, headers, "speaker", golden)
    assert verdict.decision is Decision.PASS, verdict.reasons
    spoilt = ChatGolden((golden.prompts[0], replace(golden.prompts[1], answer="Blue.")))
    verdict = chat_golden.check(stage.settings.gateway_url, headers, "speaker", spoilt)
    assert verdict.reasons == ("golden answer 2: 'one' (wanted: 'Blue.')",)


@pytest.mark.parametrize("asked", [None, {"include_usage": True}], ids=["unasked", "asked"])
def test_streams_are_metered_whether_the_caller_asks_for_its_tokens_or_not(stage, revision, asked):
    cursor = stage.mark()
    body = LONG | {"model": "speaker", "max_tokens": 20, "stream": True} | ({"stream_options": asked} if asked else {})
    address = f"{stage.settings.gateway_url}/v1/chat/completions"
    with httpx.stream("POST", address, json=body, headers={"x-api-key": KEY}, timeout=60) as answer:
        lines = [line for line in answer.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    assert lines[-1] == "data: [DONE]"
    assert [event for event in events if event["choices"]][-1]["choices"][0]["finish_reason"] == "length"
    assert [event["usage"]["completion_tokens"] for event in events if not event["choices"]] == ([20] if asked else [])
    (entry,) = logged(stage, cursor, 1)
    assert (entry.completion_tokens, entry.finish_reason) == (20, "length")
    assert entry.prompt_tokens > 5


def test_many_streams_at_once_end_whole(stage, revision):
    ended = []

    def stream() -> None:
        body = LONG | {"model": "speaker", "max_tokens": 30, "stream": True}
        with httpx.stream(
            "POST", f"{stage.settings.gateway_url}/v1/chat/completions", json=body, headers={"x-api-key": KEY}, timeout=120
        ) as answer:
            ended.append([line for line in answer.iter_lines() if line][-1])

    threads = [threading.Thread(target=stream) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == ["data: [DONE]"] * 40


def test_a_conversation_beyond_the_context_is_refused_with_400(stage, revision):
    answer = ask(stage.settings.gateway_url, messages=[{"role": "user", "content": "long " * 3000}])
    assert answer.status_code == 400, answer.text
    assert "maximum context length is 2048 tokens" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/v1/load_lora_adapter",
        "/tokenize",
        "/invocations",
        "/v1/responses",
        "/v1/chat/completions/batch",
        "/inference/v1/generate",
    ],
)
def test_what_is_not_openais_is_not_to_be_had_through_the_gateway(stage, revision, path):
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{stage.settings.gateway_url}{path}", headers={"x-api-key": KEY}, timeout=20)
        assert answer.status_code == 404, (method, path, answer.text)
    # The server itself has them, or some: it listens on this machine alone.
    assert httpx.get(f"{revision.url}/metrics", headers=stage.key(revision), timeout=20).status_code == 200
    assert revision.host == "127.0.0.1"


def test_no_web_page_may_read_its_answers(stage, revision):
    answer = httpx.get(f"{revision.url}/v1/models", headers=stage.key(revision) | {"origin": "http://example.org"}, timeout=20)
    assert not answer.headers.get("access-control-allow-origin")


def test_what_callers_say_is_not_logged(stage, revision):
    assert ask(stage.settings.gateway_url, messages=[{"role": "user", "content": "My password is hunter2"}]).status_code == 200
    log = (stage.settings.logs / f"{revision.program}.log").read_text()
    assert "Application startup complete" in log
    assert "hunter2" not in log


def test_the_model_is_on_disk_once_and_an_impostor_is_not_taken_for_it(stage, revision, bundle):
    (served,) = (stage.settings.revisions / "speaker").rglob("model.safetensors")
    assert served.samefile(bundle / "model" / "model.safetensors")
    assert not stage.backend.ready(replace(revision, model="impostor"))
    assert stage.backend.start(bundle, "speaker", "1", SERVE) == revision


def test_a_killed_server_takes_its_processes_along_and_is_replaced(stage, revision):
    process = stage.supervisor.info(revision.program)[1]
    engines = [child for child in children(process) if b"VLLM" in command(child)]
    assert engines
    os.kill(process, signal.SIGKILL)
    until(lambda: stage.supervisor.info(revision.program)[1] not in (0, process), 30)
    until(lambda: not any(b"VLLM" in command(child) for child in engines), 30)
    until(lambda: stage.backend.ready(revision), START_S)
    until(lambda: ask(stage.settings.gateway_url).status_code == 200)


def test_it_ends_when_the_answer_under_way_has_and_leaves_nothing(stage, revision):
    """The last test of the module: a server takes its time to start."""
    first, lines = threading.Event(), []
    body = LONG | {"max_tokens": 500, "stream": True}  # done within DRAIN_S on a busy machine too

    def listen() -> None:
        with httpx.stream("POST", f"{revision.url}/v1/chat/completions", json=body, headers=stage.key(revision), timeout=120) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                first.set()

    thread = threading.Thread(target=listen)
    thread.start()
    assert first.wait(60)
    stage.backend.stop(revision)
    thread.join()
    assert "data: [DONE]" in lines
    assert any('"finish_reason":"length"' in line for line in lines)
    assert stage.supervisor.state(revision.program) is State.ABSENT
    assert not processes(f"{stage.settings.revisions}/speaker/1/")
    assert not (stage.settings.revisions / "speaker" / "1").exists()


def test_a_cut_model_is_reported_with_its_cause_and_leaves_nothing(stage, bundle, tmp_path):
    cut = shutil.copytree(bundle, tmp_path / "cut")
    weights = cut / "model" / "model.safetensors"
    header = int.from_bytes(weights.read_bytes()[:8], "little")
    weights.write_bytes(weights.read_bytes()[: header + 4096])
    with pytest.raises((ComponentError, InputError)) as error:
        stage.backend.start(cut, "cut", "1", SERVE)
    assert "safetensors" in str(error.value).lower()
    assert stage.backend.find("cut", "1") is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"context": 4096}, "follows 2048 tokens at most"),
        ({"arguments": {"tensor-parallel-size": 3}}, "3 does not divide the model's 2 attention heads"),
        ({"parallel": 1024, "resources": ServeResources(memory="700MiB")}, "the largest context that fits 1024 at once is"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_starts(stage, bundle, change, sentence):
    with pytest.raises(InputError, match=sentence):
        stage.backend.start(bundle, "misfit", "1", SERVE.model_copy(update=change))
    assert stage.backend.find("misfit", "1") is None
    assert stage.supervisor.state("revision-misfit-1") is State.ABSENT


def test_the_cache_is_as_large_as_the_conversations_need(bundle):
    assert vllm_model.cache_gib(bundle / "model", SERVE) == 1
    # 2 layers, 1 key-value head of 32, keys and values of 2 bytes: 256 bytes a token.
    many = SERVE.model_copy(update={"parallel": 4096})
    assert vllm_model.cache_gib(bundle / "model", many) == 2048 * 4096 * 256 // 2**30


def test_a_missing_runtime_is_named_with_its_remedy(stage, bundle, tmp_path):
    backend = Revisions(replace(stage.settings, runtimes=tmp_path), stage.supervisor)
    with pytest.raises(ComponentError, match="make install-vllm"):
        backend.start(bundle, "homeless", "1", SERVE)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_bundle_that_is_not_whole_is_refused_by_the_name_of_its_file(bundle, tmp_path, name):
    spoilt = shutil.copytree(bundle, tmp_path / "spoilt")
    (spoilt / "model" / name).unlink()
    with pytest.raises(InputError, match="missing or empty") as error:
        ChatBundle.read(spoilt)
    assert name in str(error.value)


def test_the_bundles_digest_is_of_what_is_served(bundle, tmp_path):
    other = shutil.copytree(bundle, tmp_path / "other")
    assert ChatBundle.read(other).digest() == ChatBundle.read(bundle).digest()
    (other / "model" / "chat_template.jinja").write_text("{{ messages }}")
    assert ChatBundle.read(other).digest() != ChatBundle.read(bundle).digest()


def children(process: int) -> list[int]:
    found = [int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()]
    return found + [other for child in found for other in children(child)]


def command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
