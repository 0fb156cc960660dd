"""A language model's revision: real llama.cpp, a random model."""

import shutil
import threading
import time
from dataclasses import replace

import httpx
import pytest

from include.backends.llamacpp.spec import LlamaCppServe
from include.bundles import chat_golden
from include.bundles.chat import ChatBundle
from include.errors import ComponentError, InputError
from include.runtime.supervisor import State
from include.serving.revision import RevisionState
from include.serving.revisions import Revisions
from include.verdict import Decision
from tests.include.serving.stage import processes
from tests.waiting import until

pytestmark = pytest.mark.integration

SERVE = LlamaCppServe(context=256, parallel=2, drain_s=2)
LONG = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 100_000, "ignore_eos": True}


@pytest.fixture(scope="module")
def revision(stage, chat_bundle):
    revision = stage.backend.start(chat_bundle, "talker", "1", SERVE)
    yield revision
    stage.backend.stop(revision)


def nothing_left(stage, model):
    return (
        stage.backend.find(model, "1") is None
        and stage.supervisor.state(f"revision-{model}-1") is State.ABSENT
        and not processes(f"{stage.settings.revisions}/{model}/1/")
    )


def ask(stage, revision, **body):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4} | body
    return httpx.post(f"{revision.url}/v1/chat/completions", json=body, headers=stage.key(revision), timeout=20)


def test_a_started_revision_answers_chats_under_the_models_name(stage, revision):
    assert stage.backend.state(revision) is RevisionState.RUNNING
    assert revision.endpoint().protocol == "openai"
    answer = ask(stage, revision, model="talker").json()
    assert (answer["model"], answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == ("talker", 4, "length")


def test_other_options_are_another_server_in_its_place(stage, chat_bundle):
    first = stage.backend.start(chat_bundle, "changed", "1", SERVE)
    second = stage.backend.start(chat_bundle, "changed", "1", SERVE.model_copy(update={"parallel": 1}))
    assert second.digest != first.digest
    assert stage.backend.list("changed") == [second]
    stage.backend.stop(second)


def test_golden_prompts_are_answered_word_for_word(stage, revision, chat_bundle):
    verdict = chat_golden.check(revision.url, stage.key(revision), "talker", ChatBundle.read(chat_bundle).golden)
    assert verdict.decision is Decision.PASS, verdict.reasons
    assert verdict.evidence["prompts"] == 3


def test_golden_prompts_are_answered_so_while_others_ask(stage, revision, chat_bundle):
    """Other conversations share its batches."""
    done = threading.Event()

    def others():
        while not done.is_set():
            ask(stage, revision, max_tokens=50, temperature=1)

    threads = [threading.Thread(target=others) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        verdict = chat_golden.check(revision.url, stage.key(revision), "talker", ChatBundle.read(chat_bundle).golden)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert verdict.decision is Decision.PASS, verdict.reasons


def test_a_wrong_answer_fails_and_is_shown_beside_the_right_one(stage, revision, chat_bundle):
    golden = ChatBundle.read(chat_bundle).golden
    spoilt = chat_golden.ChatGolden((golden.prompts[0], replace(golden.prompts[1], answer="Blue.")))
    verdict = chat_golden.check(revision.url, stage.key(revision), "talker", spoilt)
    assert verdict.decision is Decision.FAIL
    assert verdict.reasons == (f"golden answer 2: {golden.prompts[1].answer!r} (wanted: 'Blue.')",)


def test_a_conversation_beyond_the_context_is_refused_with_400(stage, revision):
    answer = ask(stage, revision, messages=[{"role": "user", "content": "long " * 500}])
    assert answer.status_code == 400, answer.text
    assert "context" in answer.json()["error"]["message"]


def test_answers_stream_token_by_token(stage, revision):
    with httpx.stream(
        "POST",
        f"{revision.url}/v1/chat/completions",
        json=LONG | {"max_tokens": 20, "stream": True},
        headers=stage.key(revision),
        timeout=20,
    ) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert len(lines) > 20
    assert lines[-1] == "data: [DONE]"


def test_no_web_page_may_read_its_answers(stage, revision):
    answer = httpx.get(f"{revision.url}/v1/models", headers=stage.key(revision) | {"origin": "http://example.org"})
    assert not answer.headers.get("access-control-allow-origin")


def test_what_callers_say_is_not_logged(stage, revision):
    for _ in range(2):
        assert ask(stage, revision, messages=[{"role": "user", "content": "My password is hunter2"}]).status_code == 200
    log = (stage.settings.logs / f"{revision.program}.log").read_text()
    assert "is served at" in log
    assert "hunter2" not in log
    assert len(log.splitlines()) < 20


def test_the_model_is_on_disk_once(stage, revision, chat_bundle):
    (served,) = (stage.settings.revisions / "talker").rglob("model.gguf")
    assert served.samefile(chat_bundle / "model.gguf")


def test_it_stops_at_once_with_a_request_under_way(stage, chat_bundle):
    """Closing the server in the regular way would wait for ever."""
    revision = stage.backend.start(chat_bundle, "busy", "1", SERVE.model_copy(update={"context": 32768}))
    failed = []

    def caller():
        try:
            httpx.post(f"{revision.url}/v1/chat/completions", json=LONG, headers=stage.key(revision), timeout=60)
        except httpx.HTTPError as error:
            failed.append(error)

    thread = threading.Thread(target=caller)
    thread.start()
    metrics = f"{revision.url}/metrics"
    until(lambda: "llamacpp:requests_processing 1" in httpx.get(metrics, headers=stage.key(revision), timeout=20).text)
    begun = time.monotonic()
    stage.backend.stop(revision)
    assert time.monotonic() - begun < 5
    thread.join()
    assert failed
    assert nothing_left(stage, "busy")


@pytest.mark.parametrize("size", [100, 300_000], ids=["header", "tensors"])
def test_a_cut_model_is_reported_with_its_cause_and_leaves_nothing(stage, chat_bundle, tmp_path, size):
    cut = shutil.copytree(chat_bundle, tmp_path / "cut")
    (cut / "model.gguf").write_bytes((chat_bundle / "model.gguf").read_bytes()[:size])
    cause = {100: "failed to read key-value pairs", 300_000: "not within the file bounds"}[size]
    with pytest.raises(ComponentError, match=cause):
        stage.backend.start(cut, "cut", "1", SERVE)
    assert nothing_left(stage, "cut")


def test_a_missing_runtime_is_named_with_its_remedy(stage, chat_bundle, tmp_path):
    backend = Revisions(replace(stage.settings, runtimes=tmp_path), stage.supervisor)
    with pytest.raises(ComponentError, match="make install-llm"):
        backend.start(chat_bundle, "homeless", "1", SERVE)
    assert nothing_left(stage, "homeless")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("model.gguf", b"", "missing or empty"),
        ("model.gguf", b"<html>404</html>", "no GGUF file"),
        ("chat.json", b"{", "no JSON"),
        ("chat.json", b"[]", "no facts"),
        ("golden.json", b'{"prompts": []}', "no golden prompts"),
        ("golden.json", b'{"prompts": [{"messages": []}]}', "no golden prompts"),
    ],
)
def test_a_spoilt_bundle_is_refused_by_the_name_of_its_file(chat_bundle, tmp_path, name, content, sentence):
    spoilt = shutil.copytree(chat_bundle, tmp_path / "spoilt")
    (spoilt / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence) as error:
        ChatBundle.read(spoilt)
    assert name in str(error.value)


def test_the_bundles_digest_is_of_what_is_served(chat_bundle, tmp_path):
    other = shutil.copytree(chat_bundle, tmp_path / "other")
    (other / "optimization.json").write_text("{}")
    assert ChatBundle.read(other).digest() == ChatBundle.read(chat_bundle).digest()
    with (other / "model.gguf").open("ab") as model:
        model.write(b"\0")
    assert ChatBundle.read(other).digest() != ChatBundle.read(chat_bundle).digest()
