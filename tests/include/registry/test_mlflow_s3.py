"""What a real MLflow on S3 said of an artifact that its bucket does not have, and of a bucket that is away."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from include.errors import ComponentError, InputError
from include.registry.mlflow import Mlflow

MISSING = (
    "The following failures occurred while downloading one or more artifacts from s3://mlflow:\n##### File 1/f/artifacts/a.json #####\n"
    "An error occurred (404) when calling the HeadObject operation: Not Found"
)
AWAY = 'Could not connect to the endpoint URL: "http://127.0.0.1:8090/mlflow"'


@pytest.fixture
def server():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        said = MISSING

        def do_GET(self) -> None:
            asked.append(self.path)
            run = {"run": {"info": {"artifact_uri": "mlflow-artifacts:/1/f/artifacts"}}}
            found = run if "/runs/get" in self.path else {"error_code": "INTERNAL_ERROR", "message": Handler.said}
            body = json.dumps(found).encode()
            self.send_response(200 if "/runs/get" in self.path else 500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    server.client, server.asked, server.handler = (
        Mlflow(f"http://127.0.0.1:{server.server_address[1]}", "admin", "x", retries=1),
        asked,
        Handler,
    )
    yield server
    server.shutdown()
    server.server_close()


def test_an_artifact_that_the_bucket_lacks_is_the_callers_fault_and_not_asked_for_again(server):
    with pytest.raises(InputError, match="404"):
        server.client.read("f", "a.json")
    assert sum("a.json" in path for path in server.asked) == 1


def test_a_bucket_that_is_away_is_a_component_s_fault(server):
    server.handler.said = AWAY
    with pytest.raises(ComponentError, match="Could not connect"):
        server.client.read("f", "a.json")
    assert sum("a.json" in path for path in server.asked) == 2
