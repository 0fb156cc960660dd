"""What anybody on this machine, without the revision's key, gets of a server's own port: nothing."""

import json
import socket
from pathlib import Path

import httpx
import pytest

from tests.include.serving.stage import children, listening

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def revision(stage):
    revision = stage.serve("closed", "1")
    yield revision
    stage.backend.stop(revision)


READY = ("/v2/health/live", "/v2/health/ready", "/v2/models/closed/ready", "/v2/models/closed/versions/1/ready")
KEYED = (
    ("GET", "/v2"),
    ("GET", "/v2/models/closed"),
    ("GET", "/v2/models/closed/config"),
    ("GET", "/v2/models/closed/stats"),
    ("GET", "/v2/models/stats"),
    ("POST", "/v2/models/closed/infer"),
    ("POST", "/v2/models/closed/versions/1/infer"),
    ("POST", "/v2/models/closed/generate"),
    ("POST", "/v2/models/closed/generate_stream"),
)
CLOSED = (
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/closed/load"),
    ("POST", "/v2/repository/models/closed/unload"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("POST", "/v2/systemsharedmemory/unregister"),
    ("GET", "/v2/cudasharedmemory/status"),
    ("POST", "/v2/cudasharedmemory/region/x/register"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/trace/setting"),
    ("POST", "/v2/models/closed/trace/setting"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
)


def asked(revision, method, path, headers):
    return httpx.request(method, revision.url + path, headers=headers, content=b"{}" if method == "POST" else None, timeout=20)


@pytest.mark.parametrize("path", READY)
def test_that_it_is_ready_is_told_to_everybody_and_nothing_with_it(revision, path):
    answer = asked(revision, "GET", path, {})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize("headers", [{}, {"x-updraft-key": ""}, {"x-updraft-key": "guess"}, {"authorization": "Bearer guess"}])
def test_without_the_key_nothing_is_answered(revision, method, path, headers):
    assert asked(revision, method, path, headers).status_code == 403


def test_another_revisions_key_opens_nothing(stage, revision):
    from include.runtime.revision_key import key_headers

    assert asked(revision, "GET", "/v2/models/closed", key_headers(stage.settings, "revision-closed-2")).status_code == 403
    assert asked(revision, "GET", "/v2/models/closed", stage.key(revision)).status_code == 200


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_models_memory_files_and_logs_are_nobodys_to_change(stage, revision, method, path):
    for headers in ({}, stage.key(revision), {"updraft": "never"}, {"updraft": "closed=never"}, {"updraft": ":closed=never"}):
        assert asked(revision, method, path, headers).status_code == 403


def test_no_header_can_be_sent_that_opens_them(revision):
    """By hand: no client lets a colon into a header's name."""
    head = b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n"
    for line in (b"updraft:closed: never", b"updraft:closed=never", b"updraft\\:closed: never", b"updraft%3Aclosed: never"):
        with socket.create_connection((revision.host, revision.http_port), timeout=10) as peer:
            peer.sendall(head + line + b"\r\n\r\n")
            assert peer.recv(200).split(b"\r\n")[0] == b"HTTP/1.1 403 Forbidden"


def test_it_listens_on_its_one_port_alone(stage, revision):
    assert listening(stage, revision) == {(revision.host, revision.http_port)}


def test_the_key_is_on_no_command_line_and_in_no_file_of_others(stage, revision):
    key = stage.key(revision)["x-updraft-key"]
    processes = children(stage, revision)
    assert len(processes) >= 3
    assert not [process for process in processes if key.encode() in Path(f"/proc/{process}/cmdline").read_bytes()]
    holders = [path for path in stage.settings.home.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert not [path for path in holders if path.stat().st_mode & 0o077]


def test_a_live_requests_values_are_its_servers_alone(stage, revision):
    """They pass through shared memory."""
    answer = httpx.post(f"{revision.url}/v2/models/closed/infer", json=stage.golden_request(), headers=stage.key(revision), timeout=20)
    assert answer.status_code == 200, json.dumps(answer.json())
    regions = set()
    for process in children(stage, revision):  # each as it sees it: a server may have a /dev/shm of its own
        lines = Path(f"/proc/{process}/maps").read_text().splitlines()
        regions |= {Path(f"/proc/{process}/root{line.split(maxsplit=5)[5]}") for line in lines if "/dev/shm/updraft_" in line}
    assert regions and not [path for path in regions if path.stat().st_mode & 0o077]


@pytest.fixture(scope="module")
def talker(stage, chat_bundle):
    from include.backends.llamacpp.spec import LlamaCppServe

    revision = stage.backend.start(chat_bundle, "hushed", "1", LlamaCppServe(context=256, parallel=2, drain_s=2))
    yield revision
    stage.backend.stop(revision)


LLAMA = ("/v1/models", "/models", "/props", "/slots", "/metrics", "/", "/index.html", "/v1/health", "/health/", "/health?x", "/api/tags")


@pytest.mark.parametrize("path", LLAMA)
@pytest.mark.parametrize("headers", [{}, {"x-updraft-key": "guess"}, {"authorization": "Bearer guess"}])
def test_llama_cpp_tells_nothing_without_the_key(talker, path, headers):
    answer = asked(talker, "GET", path, headers)
    assert answer.status_code == 401 and "model" not in answer.text
    assert asked(talker, "POST", "/v1/chat/completions", headers).status_code == 401


def test_llama_cpp_tells_everybody_that_it_is_up_and_nothing_with_it(talker):
    answer = asked(talker, "GET", "/health", {})
    assert (answer.status_code, answer.content) == (200, b"")


def test_what_follows_a_health_check_on_its_connection_is_not_answered(talker):
    with socket.create_connection((talker.host, talker.http_port), timeout=10) as peer:
        peer.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /props HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b""
        while data := peer.recv(65536):
            said += data
    assert said.count(b"HTTP/1.1") == 1 and b"model" not in said


def test_llama_cpp_listens_on_its_one_port_and_a_socket_of_its_owner(stage, talker):
    assert listening(stage, talker) == {(talker.host, talker.http_port)}
    (socket_file,) = (stage.settings.revisions / "hushed").rglob("llama.sock")
    assert socket_file.stat().st_mode & 0o077 == 0
