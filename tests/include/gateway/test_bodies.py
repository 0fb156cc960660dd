"""What a request's body may be: as long as the bound says when it is unpacked, sent within its time, on either version of HTTP."""

import gzip
import json
import shutil
import socket
import struct
import subprocess
import zlib

import httpx
import pytest

from include.gateway import listener
from include.gateway.listener import MAX_BODY_BYTES
from tests.include.serving.stage import KEY

pytestmark = pytest.mark.integration

BOMB = gzip.compress(b'{"inputs": [{"data": [' + b"0," * (MAX_BODY_BYTES * 4), compresslevel=9)


@pytest.mark.parametrize("path", ["/v2/models/duo/infer", "/v1/chat/completions", "/v1/completions", "/v2/models/nobody/infer"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x-gzip", "GZIP"])
def test_a_compressed_body_is_refused_before_anybody_unpacks_it(stage, duo, path, encoding):
    assert len(BOMB) < MAX_BODY_BYTES
    answer = stage.client.post(path, content=BOMB, headers={"content-encoding": encoding})
    assert answer.status_code == 415
    said = answer.json()["error"]
    assert "content-encoding" in (said["message"] if path.startswith("/v1") else said)


def test_a_compressed_body_without_a_key_is_not_even_that(stage, duo):
    answer = httpx.post(f"{stage.settings.gateway_url}/v2/models/duo/infer", content=BOMB, headers={"content-encoding": "gzip"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "part", ['"data":[null],', '{"data":[null],', '"data":[true]}', "{" * 100 + '"data":[null]', '"data" ', "[", '"\\"']
)
def test_a_body_made_to_be_looked_through_for_ever_is_answered(stage, duo, part):
    """The quarter of this took a minute and more, and one of the gateway's two threads with it. Brackets alone ended the server."""
    body = (part * (1024 * 1024 // len(part))).encode() + b'"data":[null]'
    answer = stage.client.post("/v2/models/duo/infer", content=body, timeout=30)
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("head", ["1048576", "0x10", "+1048576", "1e9", "nan", "-1"])
def test_brackets_before_binary_tensors_are_refused_alike(stage, duo, head):
    answer = stage.client.post(
        "/v2/models/duo/infer", content=b"[" * 1024 * 1024, headers={"inference-header-content-length": head}, timeout=30
    )
    assert answer.status_code == 400 and "nests deeper" in answer.text


@pytest.mark.parametrize("encoding", ["identity"])
def test_one_that_is_said_to_be_as_it_is_is_taken(stage, duo, encoding):
    assert stage.infer("duo", headers={"content-encoding": encoding}).status_code == 200


def test_a_body_that_is_compressed_and_does_not_say_so_is_no_request(stage, duo):
    assert stage.client.post("/v2/models/duo/infer", content=zlib.compress(b"{}")).status_code == 400


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, chunked", "identity, chunked"])
def test_no_coding_of_its_transfer_hides_a_body(stage, duo, coding):
    head = f"POST /v2/models/duo/infer HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\nTransfer-Encoding: {coding}\r\n\r\n"
    assert sent(stage, head.encode() + b"0\r\n\r\n").split(b" ")[1] in (b"400", b"501")


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
    ],
)
def test_no_second_request_is_smuggled_behind_a_first(stage, duo, lines):
    """What two servers in a row could read differently: one answer comes, and it is a refusal."""
    hidden = b"GET /v2/models/duo/ready HTTP/1.1\r\nHost: x\r\nx-api-key: " + KEY.encode() + b"\r\n\r\n"
    head = b"POST /v2/models/duo/infer HTTP/1.1\r\nHost: x\r\nx-api-key: " + KEY.encode() + b"\r\n" + lines + b"\r\n0\r\n\r\n"
    said = sent(stage, head + hidden)
    assert said.count(b"HTTP/1.1 ") <= 1 and b" 200 " not in said


@pytest.fixture
def hurried(stage, duo, monkeypatch):
    """The gateway with little patience."""
    monkeypatch.setattr(listener, "REQUEST_S", 1)
    stage.gateway.prepare()
    stage.gateway.wait_applied()
    yield
    monkeypatch.undo()
    stage.gateway.prepare()
    stage.gateway.wait_applied()


def test_a_body_that_drips_in_for_ever_is_ended(stage, hurried):
    """It never idles."""
    head = f"POST /v2/models/duo/infer HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\nContent-Length: 100000\r\n\r\n"
    said = dripped(stage, head.encode(), b" ")
    assert said.startswith(b"HTTP/1.1 408 ") and b"not sent in time" in said


def test_so_is_one_in_chunks(stage, hurried):
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert dripped(stage, head.encode(), b"1\r\n \r\n").startswith(b"HTTP/1.1 408 ")


def curl(stage, *more, data):
    """A request by HTTP/2; the status."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed, and httpx has no HTTP/2 here")
    url = f"{stage.settings.gateway_url}/v2/models/duo/infer"
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--http2-prior-knowledge", "-m", "30"]
    command += ["-H", f"x-api-key: {KEY}", *more, "--data-binary", "@-", url]
    return subprocess.run(command, input=data, capture_output=True, check=False).stdout.decode()


def test_http_2_is_answered_and_bounded_alike(stage, duo):
    assert curl(stage, data=json.dumps(stage.golden_request()).encode()) == "200 2"
    assert curl(stage, "-H", "content-encoding: gzip", data=BOMB) == "415 2"
    assert curl(stage, data=b"x" * (MAX_BODY_BYTES + 1)) == "413 2"


def test_a_slow_body_by_http_2_is_ended(stage, hurried):
    fields = {":method": "POST", ":scheme": "http", ":path": "/v2/models/duo/infer", ":authority": "x", "x-api-key": KEY}
    block = b"".join(b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields.items())
    head = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, block)
    said = dripped(stage, head, frame(0, 0, 1, b" "), until=b"not sent in time")
    assert b"408" in said and b"200" not in said


def frame(kind, flags, stream, data):
    """HTTP/2's (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data


def sent(stage, data):
    """All that is answered to what is sent, until the gateway closes the connection or has nothing more to say."""
    said = b""
    with socket.create_connection((stage.settings.host, stage.settings.gateway_port), timeout=10) as peer:
        peer.sendall(data)
        try:
            while part := peer.recv(65536):
                said += part
                peer.settimeout(0.5)
        except (TimeoutError, ConnectionResetError):
            pass
    return said


def dripped(stage, head, piece, until=b""):
    """The answer to a body that comes piece by piece, as long as it is not answered."""
    said = b""
    with socket.create_connection((stage.settings.host, stage.settings.gateway_port)) as peer:
        peer.sendall(head)
        peer.settimeout(0.1)
        for _ in range(300):
            try:
                said += peer.recv(65536)
            except TimeoutError:
                peer.sendall(piece)
            if said and until in said:
                return said
    raise AssertionError("nothing was answered")
