"""Live prompts recorded through the real Envoy, and asked again of both arms."""

import asyncio
import json
import stat

import pytest

from include.canary.asked import Asked
from include.canary.observations import Sample
from include.gateway.recorder import MAX_BODY_BYTES, WAITING, Recorded, Recorder, socket_of
from include.gateway.table import Split, Tap
from include.release.chat_questions import ChatQuestions
from include.release.examiner import Examiner
from tests.include.gateway.talker import Talker
from tests.waiting import until

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def arms(stage):
    servers = {revision: Talker() for revision in ("1", "2")}
    for revision, server in servers.items():
        stage.gateway.add_revision(server.endpoint("tapped", revision))
    yield servers
    stage.gateway.retire("tapped")
    for server in servers.values():
        server.close()


@pytest.fixture
def tap(stage, arms):
    """All copies of the model's traffic, which is on revision 1."""
    tap = Tap(str(socket_of(stage.settings.trials, "tapped")), 100)
    stage.gateway.set_split("tapped", {"1": 100}, tap=tap)
    for server in arms.values():
        server.asked.clear()
        server.says = {}
    return tap


def ask(stage, text: str, **fields):
    body = {"model": "tapped", "messages": [{"role": "user", "content": text}], **fields}
    answer = stage.client.post(CHAT, json=body)
    assert answer.status_code == 200, answer.text


def chats(socket, known=()) -> Recorder[Recorded]:
    return Recorder(socket, CHAT, Recorded.parse, known)


async def recorded(stage, recorder: Recorder[Recorded], work) -> list[Recorded]:
    await recorder.start()
    try:
        await asyncio.to_thread(work)
        await asyncio.sleep(0.5)
        found = []
        while (one := recorder.take()) is not None:
            found.append(one)
        return found
    finally:
        await recorder.stop()


def test_a_tap_is_part_of_the_split_and_goes_with_it(stage, tap):
    assert stage.gateway.split("tapped") == Split({"1": 100}, None, tap)
    stage.gateway.set_split("tapped", {"1": 100})
    assert stage.gateway.split("tapped") == Split({"1": 100})


def test_live_prompts_arrive_once_each_and_callers_notice_nothing(stage, tap):
    recorder = chats(socket_of(stage.settings.trials, "tapped"), known={"0" * 16})

    def work():
        for text in ("one", "two", "one"):
            ask(stage, text)
        ask(stage, "x" * MAX_BODY_BYTES)
        ask(stage, "parts", messages=[{"role": "user", "content": [{"type": "text", "text": "part"}]}])

    found = asyncio.run(recorded(stage, recorder, work))
    assert [one.body["messages"][0]["content"] for one in found] == ["one", "two"]
    assert not socket_of(stage.settings.trials, "tapped").exists()


def test_only_the_owner_may_listen_or_send(stage, tap):
    socket = socket_of(stage.settings.trials, "tapped")

    async def modes():
        recorder = chats(socket)
        await recorder.start()
        try:
            return [stat.S_IMODE(path.stat().st_mode) for path in (socket.parent, socket)]
        finally:
            await recorder.stop()

    assert asyncio.run(modes()) == [0o700, 0o600]


def test_with_nobody_listening_callers_are_answered(stage, tap):
    ask(stage, "anybody there?")


def test_no_more_than_a_bounded_number_waits(stage, tap):
    recorder = chats(socket_of(stage.settings.trials, "tapped"))
    found = asyncio.run(recorded(stage, recorder, lambda: [ask(stage, f"prompt {number}") for number in range(WAITING + 6)]))
    assert len(found) == WAITING
    assert found[-1].body["messages"][0]["content"] == f"prompt {WAITING + 5}"


def test_what_is_asked_again_is_counted_by_who_was_right(stage, arms, tap):
    """Revision 2 has the second answer wrong, refuses the third, and is down for the fourth."""
    arms["1"].says = {"1 + 1": "2", "2 + 2": "4", "3 + 3": "6", "4 + 4": "8"}
    arms["2"].says = {"1 + 1": "2.", "2 + 2": "5", "3 + 3": "I'm sorry, I can't do that."}
    right = {"1 + 1": ["2"], "2 + 2": ["4"]}
    socket = socket_of(stage.settings.trials, "tapped")

    async def trial() -> tuple[Asked, int]:
        recorder = chats(socket)
        await recorder.start()
        ids = {}
        headers = [stage.credentials.probe_headers("demo", revision) for revision in ("1", "2")]
        questions = ChatQuestions(lambda key: right.get(ids.get(key), []))
        examiner = Examiner(recorder, questions, stage.settings.gateway_url, *headers, most=4, pause_s=0)
        task = asyncio.create_task(examiner.run())
        try:
            for text in arms["1"].says:
                found = Recorded.parse(json.dumps({"messages": [{"role": "user", "content": text}]}).encode())
                ids[found.id] = text
                await asyncio.to_thread(ask, stage, text, temperature=1.5, stream=False, max_tokens=9)
            await asyncio.wait_for(task, 30)
            found, prompts = examiner.drain()
            assert examiner.drain() == (Sample(), [])
            return found.asked, len(prompts)
        finally:
            task.cancel()
            await recorder.stop()

    found, prompts = asyncio.run(trial())
    assert prompts == 4
    counts = {name: getattr(found, name) for name in ("prompts", "known", "right", "lost", "gained", "unlike", "fell", "rose")}
    assert counts == {"prompts": 3, "known": 2, "right": 1, "lost": 1, "gained": 0, "unlike": 2, "fell": 1, "rose": 0}
    assert next((one.prompt, one.reference, one.canary) for one in found.examples) == ("2 + 2", "4", "5")
    sent = arms["2"].asked[0]["body"]
    assert (sent["temperature"], sent["max_tokens"], "stream" in sent) == (0, 9, False)
    until(lambda: '"kind":"probe"' in stage.gateway.access_log.read_text().replace(" ", ""))
