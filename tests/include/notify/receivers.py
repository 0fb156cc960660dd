"""Who is told: a real HTTP server and a real SMTP server, on loopback, that keep what they get."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any


@dataclass
class Web:
    """Answers with ``status``; ``got`` [path, headers, body]."""

    port: int = 0
    status: int = 200
    got: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@dataclass
class Mailbox:
    """Refuses senders while ``refuses``; ``got`` are mails with the recipients of their envelopes."""

    port: int = 0
    refuses: bool = False
    got: list[tuple[list[str], EmailMessage]] = field(default_factory=list)


@contextmanager
def web() -> Iterator[Web]:
    """A webhook's server."""
    found = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(found.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as found.port:
        yield found


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A mail server (RFC 5321, as much as a sender needs of it)."""
    found = Mailbox()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 mailbox")
            to: list[str] = []
            while line := self.rfile.readline().decode().strip():
                verb = line[:4].upper()
                if verb == "MAIL" and found.refuses:
                    self.say("451 come again")
                elif verb == "RCPT":
                    to.append(line.partition("<")[2].partition(">")[0])
                    self.say("250 ok")
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (part := self.rfile.readline()) != b".\r\n":
                        lines.append(part.removeprefix(b".") if part.startswith(b"..") else part)
                    found.got.append((to, message_from_bytes(b"".join(lines), policy=policy.default)))  # type: ignore[arg-type]
                    self.say("250 kept")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with _serving(ThreadingTCPServer(("127.0.0.1", 0), Handler)) as found.port:
        yield found


@contextmanager
def _serving(server: ThreadingTCPServer) -> Iterator[int]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
