"""A receiver of OpenTelemetry's traces over HTTP, as a collector is one: it keeps the spans that it is sent."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


@dataclass(frozen=True)
class Received:
    """One span: ids in hexadecimal digits, ``parent`` empty for a root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    tags: dict[str, str]


class OtlpReceiver(ThreadingHTTPServer):
    """Listens on a free port from when it is made until it is closed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Received] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: OtlpReceiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.spans += _of_json(body) if self.headers.get("content-type") == "application/json" else _of_protobuf(body)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _body(self) -> bytes:
        """The request's body; Envoy sends it in chunks."""
        if "content-length" in self.headers:
            return self.rfile.read(int(self.headers["content-length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *_: Any) -> None:
        pass


def _of_protobuf(body: bytes) -> list[Received]:
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = next((pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"), "")
        found += [_received(service, span) for scope in resource.scope_spans for span in scope.spans]
    return found


def _of_json(body: bytes) -> list[Received]:
    """In OTLP's JSON ids are hexadecimal digits, and not base64 as in protobuf's."""
    found = []
    for resource in json.loads(body)["resourceSpans"]:
        service = _tags(resource["resource"]["attributes"]).get("service.name", "")
        for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
            tags = _tags(span.get("attributes", ()))
            found.append(Received(service, span["name"], span["traceId"], span["spanId"], span.get("parentSpanId", ""), tags))
    return found


def _tags(pairs: Iterable[Any]) -> dict[str, str]:
    return {pair["key"]: pair["value"].get("stringValue", "") for pair in pairs}


def _received(service: str, span: Any) -> Received:
    tags = {pair.key: pair.value.string_value for pair in span.attributes}
    return Received(service, span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), tags)
