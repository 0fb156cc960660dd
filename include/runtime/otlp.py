"""Where spans go: a receiver of OpenTelemetry's protocol (OTLP) over plain HTTP. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from include.errors import InputError
from include.runtime.settings import TRACES, Settings

PATH = "/v1/traces"


@dataclass(frozen=True)
class Receiver:
    """An address that spans are sent to."""

    host: str
    port: int
    path: str

    @classmethod
    def of(cls, endpoint: str) -> Receiver:
        """Make it from what OTEL_EXPORTER_OTLP_ENDPOINT says. Raises InputError for another address than http://host:port."""
        remedy = "Write http://host:4318, of a collector near by, which may send them on by TLS."
        try:
            found = urlsplit(endpoint)
            host, port = found.hostname, found.port
        except ValueError:
            host, port = None, None
        if not host or found.scheme != "http" or found.username or found.query or found.fragment:
            raise InputError(f"{endpoint!r:.200} is no address that spans are sent to.", where=TRACES, remedy=remedy)
        return cls(host, port or 80, f"{found.path.rstrip('/')}{PATH}")

    @property
    def url(self) -> str:
        """The whole address."""
        return f"http://{self.host}:{self.port}{self.path}"


def of_servers(settings: Settings) -> Receiver | None:
    """Return where model servers send spans of their own; None where they send none.

    They do where every request is traced: Triton heeds the trace that a request comes with, and not the mark by which the gateway says that
    it is not sampled.
    """
    return Receiver.of(settings.traces) if settings.traces and settings.trace_share == 1 else None
