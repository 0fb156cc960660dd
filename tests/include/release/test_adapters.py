"""LoRA adapters in production: real vLLM with one base of two layers for all of them, Envoy and MLflow."""

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from include.backends.vllm.spec import VllmServe
from include.bundles.adapter import Adapter
from include.bundles.chat_golden import ChatGolden, Prompt
from include.errors import ComponentError, InputError
from include.gateway.observe import read_entries
from include.serving.gpu_ask import lease_key
from include.serving.host import networks
from include.serving.revision import RevisionState
from include.verdict import Decision
from tests.include.serving.stage import KEY, Stage, children, listening, processes
from tests.include.steps.llm.conftest import TOKENIZER
from tests.include.steps.llm.taught import MAKE, PAIRS
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SERVE = VllmServe(adapters=True, context=256, parallel=4, threads=1, drain_s=20, arguments={"max-lora-rank": 8})
SHAPE = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256, "tie_word_embeddings": True}
START_S = 400.0
LONG = {"max_tokens": 120, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def base(stage: Stage) -> Path:
    for runtime in ("llm", "vllm"):
        if not stage.settings.python(runtime).exists():
            pytest.skip(f"runtime {runtime} is not installed: make install-{runtime}")
    code = stage.bundles / "adapters-code"
    code.mkdir()
    (code / "base.py").write_text(MAKE.format(kind="Qwen2", pairs=PAIRS, more=SHAPE))
    (code / "tiny_tokenizer.py").write_text(TOKENIZER)
    folder = stage.bundles / "base"
    command = [str(stage.settings.python("llm")), "-c", f"from base import make; make({str(folder)!r})"]
    subprocess.run(command, cwd=code, check=True)
    return folder


@pytest.fixture(scope="module")
def bundles(stage: Stage, base: Path) -> dict[str, Path]:
    """By the word that its adapter answers: a bundle."""
    out = stage.bundles / "adapters"
    maker = Path(__file__).parents[1] / "serving" / "make_adapters.py"
    environment = os.environ | {"PYTHONPATH": str(stage.settings.repo)}
    words = ("yes", "no", "maybe")
    subprocess.run([str(stage.settings.python("llm")), str(maker), str(base), str(out), "8", *words], check=True, env=environment)
    found = {}
    for word in words:
        found[word] = stage.bundles / f"says-{word}"
        shutil.copytree(out / word, found[word] / "adapter")
        ChatGolden((Prompt(({"role": "user", "content": "What is 3?"},), 8, word),)).save(found[word] / "golden.json")
        (found[word] / "chat.json").write_text(json.dumps({"context": 256, "forms": "adapter"}))
    return found


@pytest.fixture(scope="module")
def keeper(stage: Stage, bundles: dict[str, Path]):
    """A revision of another model on the same base: it is there throughout, so that the base starts once."""
    revision = stage.backend.start(bundles["maybe"], "keeper", "1", SERVE)
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("keeper", {"1": 100})
    yield revision
    stage.backend.stop(revision)


def ask(stage: Stage, model: str, **body) -> httpx.Response:
    asked = {"messages": [{"role": "user", "content": "What is 3?"}], "max_tokens": 8, "temperature": 0, "model": model}
    return httpx.post(f"{stage.settings.gateway_url}/v1/chat/completions", json=asked | body, headers={"x-api-key": KEY}, timeout=120)


def said(stage: Stage, model: str) -> str:
    answer = ask(stage, model)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == model
    return answer.json()["choices"][0]["message"]["content"]


def test_versions_are_deployed_tried_promoted_and_rolled_back_on_one_server(room, keeper, bundles):
    stage = room.stage
    server = stage.supervisor.info(keeper.program)
    first = room.register(1, bundles["yes"], SERVE)
    assert room.deploy(first).decision is Decision.PASS
    room.site.promote(first, 2)
    second = room.register(2, bundles["no"], SERVE)
    assert room.deploy(second).decision is Decision.PASS
    room.site.challenge(second)
    stage.gateway.set_split(room.model, {str(first): 50, str(second): 50})
    heard = [ask(stage, room.model) for _ in range(24)]
    by_version = {(one.headers["x-updraft-revision"], one.json()["choices"][0]["message"]["content"]) for one in heard}
    assert by_version == {(str(first), "yes"), (str(second), "no")}
    assert {one.json()["model"] for one in heard} == {room.model}
    assert said(stage, "keeper") == "maybe"
    room.site.rollback(second, 5)
    assert said(stage, room.model) == "yes"
    assert room.serving == ({str(first): 100}, {str(first)}, {str(first)})
    room.deploy(second)
    room.site.promote(second, 5, standby_s=600)
    assert said(stage, room.model) == "no"
    assert room.told[-1] == (first, RevisionState.STANDBY)
    assert room.deploy(first).decision is Decision.PASS
    room.site.promote(first, 5)
    assert said(stage, room.model) == "yes"
    assert stage.supervisor.info(keeper.program) == server
    assert [name for name in stage.supervisor.programs() if name.startswith("revision-")] == [keeper.program]


def test_the_base_listens_in_the_machines_network_for_callers_alone(stage, keeper):
    """torch's store and gloo's sockets ask for no password: the engine has a network of its own for them."""
    assert listening(stage, keeper) == {(keeper.host, keeper.http_port)}
    assert (len({Path(f"/proc/{process}/ns/net").readlink() for process in children(stage, keeper)}) > 1) is networks()


def test_a_version_that_answers_wrongly_gets_no_traffic_and_is_unloaded(room, keeper, bundles, tmp_path):
    spoilt = shutil.copytree(bundles["no"], tmp_path / "spoilt")
    shutil.copy(bundles["yes"] / "golden.json", spoilt / "golden.json")
    verdict = room.deploy(room.register(1, spoilt, SERVE))
    assert verdict.decision is Decision.FAIL
    assert "(wanted: 'yes')" in verdict.reasons[0]
    assert room.serving == ({}, set(), set())
    assert said(room.stage, "keeper") == "maybe"


def test_an_answer_under_way_ends_whole_when_its_adapter_is_taken_away_and_others_go_on(room, keeper, bundles):
    stage, backend = room.stage, room.stage.backend
    revision = backend.start(bundles["yes"], room.model, "1", SERVE)
    begun, ended = [threading.Event(), threading.Event()], {}

    def listen(index: int, one) -> None:
        body = {"model": "any", "messages": [{"role": "user", "content": "What is 3?"}], **LONG}
        with httpx.stream("POST", f"{one.url}/v1/chat/completions", json=body, headers=stage.key(one), timeout=120) as answer:
            lines = []
            for line in answer.iter_lines():
                lines.append(line)
                begun[index].set()
        ended[index] = [line for line in lines if line]

    threads = [threading.Thread(target=listen, args=(index, one)) for index, one in enumerate((revision, keeper))]
    for thread in threads:
        thread.start()
    assert all(one.wait(60) for one in begun)
    backend.stop(revision)
    for thread in threads:
        thread.join()
    assert [ended[index][-1] for index in (0, 1)] == ["data: [DONE]"] * 2
    models = {json.loads(line.removeprefix("data: "))["model"] for line in ended[0] if line.startswith("data: {")}
    assert models == {room.model}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{revision.url}/health", timeout=5)
    assert not (stage.settings.revisions / room.model / "1").exists()
    assert said(stage, "keeper") == "maybe"


def test_streams_are_metered(stage, keeper):
    cursor = stage.mark()
    body = {"model": "keeper", "messages": [{"role": "user", "content": "What is 3?"}], **LONG, "max_tokens": 20}
    url = f"{stage.settings.gateway_url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers={"x-api-key": KEY}, timeout=120) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    found = []

    def logged() -> bool:
        nonlocal cursor
        entries, cursor = read_entries(stage.gateway.access_log, cursor)
        found.extend(entry for entry in entries if entry.model == "keeper")
        return bool(found)

    until(logged)
    assert (found[0].completion_tokens, found[0].finish_reason) == (20, "length")


def test_an_adapters_port_has_its_own_model_and_no_way_to_load_others(stage, keeper):
    key = stage.key(keeper)
    assert httpx.get(f"{keeper.url}/v1/models", timeout=20).status_code == 401
    listed = httpx.get(f"{keeper.url}/v1/models", headers=key, timeout=20).json()["data"]
    assert [one["id"] for one in listed] == ["keeper"]
    for path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/invocations", "/v1/responses"):
        assert httpx.post(f"{keeper.url}{path}", json={}, headers=key, timeout=20).status_code == 404
    headers = key | {"content-type": "application/json"}
    bad = httpx.post(f"{keeper.url}/v1/chat/completions", content=b"no json", headers=headers, timeout=20)
    assert bad.status_code == 400


def test_an_adapter_of_too_high_a_rank_is_refused_before_the_server_hears_of_it(stage, keeper, bundles, tmp_path):
    low = SERVE.model_copy(update={"arguments": {"max-lora-rank": 1}})
    with pytest.raises(InputError, match="has rank 8, and the server takes 1 at most"):
        stage.backend.start(bundles["yes"], "steep", "1", low)
    assert stage.backend.find("steep", "1") is None


def test_an_adapter_of_another_base_is_refused_by_the_matrix_that_does_not_fit(stage, keeper, bundles, tmp_path):
    other = shutil.copytree(bundles["yes"], tmp_path / "other")
    config, weights = (other / "adapter" / name for name in ("adapter_config.json", "adapter_model.safetensors"))
    told = config.read_text()
    config.write_text(json.dumps(json.loads(told) | {"r": 4}))
    with pytest.raises(InputError, match=r"does not fit its base .*lora_A.weight is 8 x \d+, and must be 4 x \d+"):
        stage.backend.start(other, "stranger", "1", SERVE)
    config.write_text(told)
    weights.write_bytes(weights.read_bytes().replace(b"layers.1.", b"layers.7."))
    with pytest.raises(InputError, match=r"the base has nothing that .*layers.7.* could be added to"):
        stage.backend.start(other, "stranger", "1", SERVE)
    assert stage.backend.find("stranger", "1") is None


def test_what_the_engine_cannot_load_fails_alone_with_its_sentence(stage, keeper, bundles, tmp_path):
    odd = shutil.copytree(bundles["yes"], tmp_path / "odd")
    config = odd / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    with pytest.raises(ComponentError, match="vLLM does not yet support DoRA"):
        stage.backend.start(odd, "odd", "1", SERVE)
    assert stage.backend.find("odd", "1") is None
    assert said(stage, "keeper") == "maybe"
    good = stage.backend.start(bundles["no"], "odd", "1", SERVE)  # nothing is left of the one before
    assert stage.backend.state(good) is RevisionState.RUNNING
    stage.backend.stop(good)


def test_revisions_share_a_server_and_its_lease_when_base_and_options_are_the_same(keeper, bundles):
    yes, no = (lease_key("one", 1, SERVE, bundles[word]) for word in ("yes", "no"))
    assert yes == no == lease_key("another", 7, SERVE, bundles["yes"])
    assert yes != lease_key("one", 1, SERVE.model_copy(update={"context": 128}), bundles["yes"])
    assert keeper.program.endswith(yes.rpartition("/")[2])


def test_a_killed_base_comes_back_with_all_its_adapters(room, keeper, bundles):
    stage = room.stage
    revision = stage.backend.start(bundles["yes"], room.model, "1", SERVE)
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split(room.model, {"1": 100})
    process = stage.supervisor.info(keeper.program)[1]
    os.kill(process, signal.SIGKILL)
    until(lambda: stage.supervisor.info(keeper.program)[1] not in (0, process), 60)
    until(lambda: stage.backend.ready(revision) and stage.backend.ready(keeper), START_S)
    until(lambda: ask(stage, room.model).status_code == ask(stage, "keeper").status_code == 200, 30)
    assert (said(stage, room.model), said(stage, "keeper")) == ("yes", "maybe")


def test_a_base_that_has_changed_is_not_started_with_adapters_of_the_old_one(stage, bundles, base, tmp_path):
    """And the last adapter takes the server along. The last test of the module."""
    changed = shutil.copytree(base, tmp_path / "base")
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    bundle = shutil.copytree(bundles["yes"], tmp_path / "bundle")
    known = Adapter.read(bundle / "adapter")
    (bundle / "adapter" / "base.json").write_text(json.dumps({"folder": str(changed), "digest": known.digest}))
    alone = SERVE.model_copy(update={"parallel": 1})  # so on no server that runs
    with pytest.raises(InputError, match="the base has changed since the adapter was trained on it"):
        stage.backend.start(bundle, "drifted", "1", alone)
    shutil.rmtree(changed)
    with pytest.raises(InputError, match=r"base is not at .* any more"):
        stage.backend.start(bundle, "drifted", "1", alone)
    for revision in stage.backend.list():
        stage.backend.stop(revision)
    assert not [name for name in stage.supervisor.programs() if name.startswith("revision-")]
    assert not list((stage.settings.revisions / ".shared").iterdir())
    assert not processes(str(stage.settings.revisions / ".shared"))
