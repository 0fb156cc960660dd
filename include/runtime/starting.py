"""What a browser is shown at an address while the server of that address starts: a page that asks again by itself, instead of a refused
connection. Everybody else is told 503, and when to come back.

Standard library only, and nothing of what is asked is looked at but whether a browser asks.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

AGAIN_S = 2
HEAD_BYTES, HEAD_S = 16 * 1024, 2.0
"""A caller's first lines are no longer than this, and have come within this (seconds), however steadily they come."""
BACKLOG = 128
LOOK_S = 0.2
SENTENCES = (
    ("en", "Starting", "Updraft is starting. This page shows it as soon as it is there."),
    ("zh-CN", "正在启动", "Updraft 正在启动，就绪后本页会自动显示。"),
)
JSON = b'{"detail": "It is starting. Ask again in a few seconds."}'


class StartingPage:
    """Answers on ``listener``, a socket that is bound, in a thread of its own, until :meth:`stop`."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="starting", daemon=True)

    def start(self) -> None:
        """Take connections from now on."""
        self._listener.listen(BACKLOG)
        self._listener.settimeout(LOOK_S)
        self._thread.start()

    def stop(self) -> None:
        """Answer who has come, and leave the address to the server: within a few seconds, whoever keeps silent."""
        self._ended.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._ended.is_set():
            with suppress(OSError):  # nobody has come meanwhile
                self._answer(self._listener.accept()[0], time.monotonic() + HEAD_S)
        self._listener.settimeout(0)
        until = time.monotonic() + HEAD_S  # for all of them: the server waits
        with suppress(OSError):
            while time.monotonic() < until:
                self._answer(self._listener.accept()[0], until)
        self._listener.close()

    @staticmethod
    def _answer(caller: socket.socket, until: float) -> None:
        with caller, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
                caller.settimeout(max(until - time.monotonic(), 0.001))
                part = caller.recv(4096)
                if not part:
                    return
                head += part
            caller.sendall(answer(head))


def answer(head: bytes) -> bytes:
    """Return what a request with these first lines is answered: 503 with a page for a browser, with a sentence for everybody else. Pure."""
    lines = head.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    browser = lines[0].startswith(b"get ") and any(line.startswith(b"accept:") and b"text/html" in line for line in lines)
    kind, body = (b"text/html; charset=utf-8", page()) if browser else (b"application/json", JSON)
    fields = b"Content-Type: %b\r\nContent-Length: %d\r\nRetry-After: %d\r\nCache-Control: no-store\r\nConnection: close\r\n"
    return b"HTTP/1.1 503 Service Unavailable\r\n" + fields % (kind, len(body), AGAIN_S) + b"\r\n" + body


def page() -> bytes:
    """Return the page, in English and Simplified Chinese, in the colours of the reader's system. Pure."""
    words = "".join(f'<p lang="{language}"><strong>{title}</strong><br>{text}</p>' for language, title, text in SENTENCES)
    style = (
        ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;display:grid;place-content:center;min-height:100vh;margin:0;"
        "background:Canvas;color:CanvasText}p{margin:.5rem 1rem}"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="{AGAIN_S}">'
        f'<meta name="viewport" content="width=device-width"><title>{SENTENCES[0][1]} · Updraft</title><style>{style}</style></head>'
        f"<body>{words}</body></html>"
    ).encode()
