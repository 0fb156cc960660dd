"""The judge's figures out of a real Prometheus that scrapes a real Envoy, as a cluster's own gateway would be."""

import json
import math
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml

from include.canary.observations import Look
from include.canary.plan import TrialPlan
from include.canary.trial import Trial
from include.errors import ComponentError, InputError
from include.gateway.prometheus import Prometheus, envoy, ingress_nginx, latencies
from include.verdict import Decision
from tests.ports import free_port
from tests.waiting import until

needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed: apt-get install prometheus")
STABLE, CANARY = (f"httproute/updraft/revision-duo/rule/0/backend/{index}" for index in (0, 1))


class Server:
    """Answers 200, and with ``bad`` every fifth request 500, every tenth 404; counts what it answered."""

    def __init__(self, *, bad: bool = False, metrics: str = "") -> None:
        self.answered: Counter[int] = Counter()
        self.metrics, self._bad, self._lock, self._asked = metrics, bad, threading.Lock(), 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _status(self) -> int:
        with self._lock:
            self._asked += 1
            status = 200 if not self._bad else 404 if self._asked % 10 == 0 else 500 if self._asked % 5 == 0 else 200
            self.answered[status] += 1
            return status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status = 200 if self.path == "/metrics" else server._status()
                if server._bad:
                    time.sleep(0.01)
                body = server.metrics.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


class Scraped:
    """A Prometheus that scrapes one port every second."""

    def __init__(self, folder: Path, target: int, path: str) -> None:
        self._folder, self.port = folder, free_port()
        folder.mkdir()
        scrape = {"job_name": "gateway", "metrics_path": path, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        told = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(told))
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self._ready() or self._process.poll() is not None, 60)
        assert self._process.poll() is None

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def scraped(self) -> None:
        """Whatever has happened is scraped, and its histograms were told."""
        begun = time.time()
        until(lambda: self._last() > begun + 2, 60, 0.2)

    def _last(self) -> float:
        found = httpx.get(f"{self.url}/api/v1/query", params={"query": "timestamp(up)"}, timeout=10).json()["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


class Door:
    """An Envoy with a weighted route to two clusters."""

    def __init__(self, folder: Path, stable: int, canary: int) -> None:
        import envoy as package

        self.port, self.admin = free_port(), free_port()
        router = {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
        weights = {"clusters": [{"name": STABLE, "weight": 50}, {"name": CANARY, "weight": 50}]}
        route = {"match": {"prefix": "/"}, "route": {"weighted_clusters": weights}}
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "door",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [router],
        }
        chain = {"filters": [{"name": "http", "typed_config": manager}]}
        told = {
            "admin": {"address": self._at(self.admin)},
            "stats_flush_interval": "0.5s",  # until then histograms are not told
            "static_resources": {
                "listeners": [{"name": "door", "address": self._at(self.port), "filter_chains": [chain]}],
                "clusters": [self._cluster(STABLE, stable), self._cluster(CANARY, canary)],
            },
        }
        (folder / "envoy.json").write_text(json.dumps(told))
        binary = Path(package.__file__).parent / "_bin" / "envoy"
        self._command = [str(binary), "-c", str(folder / "envoy.json"), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)
        until(lambda: self._ask(self.admin, "/ready") == 200, 60)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def call(self, times: int) -> None:
        with httpx.Client() as client:
            for _ in range(times):
                client.get(f"http://127.0.0.1:{self.port}/", timeout=20)

    @staticmethod
    def _ask(port: int, path: str) -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code
        except httpx.HTTPError:
            return 0

    @staticmethod
    def _at(port: int) -> dict:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def _cluster(self, name: str, port: int) -> dict:
        endpoint = {"endpoint": {"address": self._at(port)}}
        return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}}


@pytest.fixture
def stable() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def canary() -> Iterator[Server]:
    server = Server(bad=True)
    yield server
    server.close()


@pytest.fixture
def door(tmp_path, stable, canary) -> Iterator[Door]:
    door = Door(tmp_path, stable.port, canary.port)
    yield door
    door.stop()


@pytest.fixture
def scraped(tmp_path, door) -> Iterator[Scraped]:
    found = Scraped(tmp_path / "prometheus", door.admin, "/stats/prometheus")
    yield found
    found.stop()


@needs_prometheus
@pytest.mark.integration
def test_what_the_judge_reads_is_what_the_gateway_did(door, scraped, stable, canary):
    door.call(50)  # before the trial
    scraped.scraped()
    source = Prometheus(scraped.url, envoy(STABLE), envoy(CANARY))
    mark, before = source.mark(), (stable.answered.copy(), canary.answered.copy())
    door.call(400)
    scraped.scraped()
    good, bad, mark = source.since(json.loads(json.dumps(mark)))
    assert (good.requests, good.errors) == (stable.answered[200] - before[0][200], 0)
    answered = canary.answered - before[1]
    assert (bad.requests, bad.errors) == (answered[200] + answered[500], answered[500])
    assert good.latencies.n == good.requests and bad.latencies.quantile(0.5) > 5 > good.latencies.quantile(0.1)
    plan = TrialPlan(steps=(50,), step_s=60, look_s=10)
    verdict = Trial.start(plan).observe(Look(10, 0, 50, good, bad)).verdict()
    assert verdict.decision is Decision.ROLLBACK, verdict.reasons

    assert source.since(mark)[:2] == (type(good)(), type(good)())
    door.stop()  # its counters begin anew
    door.start()
    again = stable.answered[200]
    door.call(40)
    scraped.scraped()
    good, _, mark = source.since(mark)
    assert good.requests == stable.answered[200] - again
    scraped.stop()
    with pytest.raises(ComponentError, match=r"Prometheus at http://127.0.0.1:.* gives no answer"):
        source.since(mark)
    scraped.start()
    door.call(10)
    scraped.scraped()
    assert source.since(mark)[0].requests == stable.answered[200] - again - good.requests


@needs_prometheus
@pytest.mark.integration
def test_the_arms_of_an_ingress_are_told_apart(tmp_path):
    """The lines are those that ingress-nginx's collector writes."""
    stable = 'ingress="revision-duo",service="revision-duo-1",canary=""'
    canary = 'ingress="revision-duo",service="revision-duo-1",canary="updraft-revision-duo-2-http"'

    def lines(good: int, bad: int) -> str:
        name = "nginx_ingress_controller_request"
        return "\n".join(
            [
                f'{name}s{{{stable},status="200"}} {good}',
                f'{name}s{{{canary},status="200"}} {bad}',
                f'{name}s{{{canary},status="502"}} {bad}',
                *(f'{name}_duration_seconds_bucket{{{stable},status="200",le="{edge}"}} {good}' for edge in ("0.1", "+Inf")),
                *(f'{name}_duration_seconds_bucket{{{canary},status="502",le="{edge}"}} {bad}' for edge in ("0.1", "+Inf")),
                "",
            ]
        )

    server = Server(metrics=lines(5, 7))
    scraped = Scraped(tmp_path / "prometheus", server.port, "/metrics")
    try:
        scraped.scraped()
        source = Prometheus(scraped.url, ingress_nginx("revision-duo", ""), ingress_nginx("revision-duo", "updraft-revision-duo-2-http"))
        mark = source.mark()
        server.metrics = lines(105, 27)
        scraped.scraped()
        good, bad, _ = source.since(mark)
    finally:
        scraped.stop()
        server.close()
    assert (good.requests, good.errors, good.latencies.n) == (100, 0, 100)
    assert (bad.requests, bad.errors, bad.latencies.n) == (40, 20, 0)


def test_a_buckets_requests_are_spread_over_it():
    found = latencies({10.0: 100, 100.0: 300, math.inf: 310})
    assert found.n == 310
    assert 5 <= found.quantile(0.01) <= found.quantile(0.32) <= 10.3 and 28 < found.quantile(0.66) < 36
    assert 100 < found.quantile(0.99) <= 200
    assert latencies({10.0: 0, math.inf: 0}).n == 0


def test_copies_are_not_judged():
    source = Prometheus("http://127.0.0.1:1", envoy(STABLE), envoy(CANARY))
    with pytest.raises(InputError, match=r"canary\.mirror_s"):
        source.since({"counters": {}}, mirrored=True)
