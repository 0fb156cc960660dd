"""What an address answers while its server starts."""

import asyncio
import http.client
import socket
import threading
import time
from contextlib import suppress

import pytest
import uvicorn

from include.runtime import reuse_port, starting
from include.runtime.reuse_port import bound, show_starting, teach_uvicorn
from include.runtime.starting import AGAIN_S, StartingPage, answer
from tests.waiting import until


def test_a_browser_is_shown_a_page_that_asks_again_and_all_others_a_sentence():
    page = answer(b"GET /dags HTTP/1.1\r\nHost: x\r\nAccept: text/html,*/*\r\n\r\n")
    assert page.startswith(b"HTTP/1.1 503 ") and b"text/html" in page and "正在启动".encode() in page
    assert f'http-equiv="refresh" content="{AGAIN_S}"'.encode() in page
    for head in (b"GET /api/v2/version HTTP/1.1\r\nAccept: application/json\r\n\r\n", b"POST / HTTP/1.1\r\nAccept: text/html\r\n\r\n", b""):
        told = answer(head)
        assert told.startswith(b"HTTP/1.1 503 ") and b"application/json" in told and b"Retry-After: 2" in told


@pytest.fixture
def own_uvicorn(monkeypatch):
    """uvicorn as it was, when the test has ended."""
    monkeypatch.setattr(uvicorn.Server, "startup", uvicorn.Server.startup)
    monkeypatch.setattr(uvicorn.Server, "run", uvicorn.Server.run)


def status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()


def test_nobody_is_refused_from_the_first_moment_until_the_server_answers(own_uvicorn):
    with bound("127.0.0.1", 0) as held:  # as supervisord holds it
        port = held.getsockname()[1]
        show_starting(f"127.0.0.1:{port}")
        teach_uvicorn()
        found = [status(port)]

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_level="error"))
        server.install_signal_handlers = lambda: None
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        # For a moment both listen, and either answers.
        until(lambda: found.append(status(port)) or found[-20:] == [200] * 20, 20)
        server.should_exit = True
        thread.join(10)
    assert found[0] == 503 and set(found) == {503, 200}


def test_callers_that_never_finish_hold_no_server_up(monkeypatch):
    monkeypatch.setattr(starting, "HEAD_S", 0.4)
    listener = bound("127.0.0.1", 0)
    page = StartingPage(listener)
    page.start()
    callers = [socket.create_connection(listener.getsockname()) for _ in range(4)]
    ended = threading.Event()

    def drip():
        while not ended.wait(0.1):
            for caller in callers:
                with suppress(OSError):
                    caller.sendall(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    began = time.monotonic()
    stopping = threading.Thread(target=page.stop)
    stopping.start()
    stopping.join(3)  # the one that is answered, and all others together
    alive, took = stopping.is_alive(), time.monotonic() - began
    ended.set()
    dripping.join()
    for caller in callers:
        caller.close()
    assert not alive, took


def test_an_address_that_is_taken_is_the_server_s_own_to_complain_of(monkeypatch, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            show_starting(f"127.0.0.1:{other.getsockname()[1]}")
    assert asyncio.iscoroutinefunction(uvicorn.Server.startup) and reuse_port.STARTING == "UPDRAFT_STARTING"
