"""The same champions before a real Prometheus and a real Alertmanager: when an alert about their errors reaches the webhook.

Counters of simulated requests are scraped as the platform's are (every 5 s), rules are looked at as often, and the alert comes by
Alertmanager's own webhook. How often rules fire without harm is asked of Prometheus about days that were written into its database.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.watch.simulate import World
from include.alerting import serving
from include.alerting.rule import Alert
from include.platform import alerting
from include.runtime.settings import Settings

EVERY_S = 5
CALM_S = 310.0
"""Champions are well for so long before they go bad: the longest window of the rules is then full."""
LIMIT_S = 300.0
ACTS_S = 2.0 + 0.5
"""From the webhook until traffic has moved: the responder's pace, and the gateway's."""
DAY_S, STEP_S = 86_400, 15
_TOTAL = "envoy_cluster_upstream_rq_xx"
_OURS = {rule.name: rule for rule in serving.RULES}
_RATIO = f'sum by (model, case) (rate({_TOTAL}{{envoy_response_code_class="5"}}[%s])) / sum by (model, case) (rate({_TOTAL}[%s]))'
Json = dict[str, Any]


def published() -> dict[str, tuple[str, int]]:
    """Return rules by name: the expression, and for how long it must hold (seconds).

    The first is this platform's own, by the table that it was given; the second the threshold of the usual collections of rules for
    proxies; the third two windows of a budget of 1 % that burns 14.4 times too fast (SRE Workbook, chapter 5), its long window cut
    from an hour to five minutes, so that it is faster than published.
    """
    high = _OURS["ErrorRateHigh"]
    assert isinstance(high, Alert) and high.held == "1m" and "> 0.01 " in high.expression
    five, short = _RATIO % ("5m", "5m"), _RATIO % ("1m", "1m")
    return {
        "over 1 %, 5 min, for 1 min": (f"{five} > 0.01", 60),
        "over 5 %, 5 min, for 1 min": (f"{five} > 0.05", 60),
        "over 14.4 %, 5 and 1 min": (f"({five} > 0.144) and ({short} > 0.144)", 0),
    }


def programs() -> dict[str, Path]:
    """Return Prometheus' and Alertmanager's programs. Raises SystemExit where they are not installed."""
    found = {name: alerting.find(name, Settings.load()) for name in ("prometheus", "prometheus-alertmanager", "promtool")}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise SystemExit(f"{', '.join(missing)} not found: {alerting.REMEDY}")
    return {name: path for name, path in found.items() if path}


class Champions(ThreadingHTTPServer):
    """Counters for Prometheus (GET), and the webhook of Alertmanager (POST), of ``number`` champions a case.

    ``arrived``: seconds from going bad to the webhook, by rule, case and champion.
    """

    daemon_threads = True

    def __init__(self, cases: Mapping[str, World], number: int, rng: np.random.Generator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cases, self.number, self.rng = cases, number, rng
        self.counts = {name: np.zeros((2, number)) for name in cases}
        self.begun = self.last = time.monotonic()
        self.arrived: dict[tuple[str, str, int], float] = {}
        self.early: set[tuple[str, str, int]] = set()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def since_bad(self) -> float:
        return time.monotonic() - self.begun - CALM_S

    def text(self) -> str:
        with self.lock:
            now = time.monotonic()
            for name, world in self.cases.items():
                share = world.bad if self.since_bad > 0 else world.good
                asked = self.rng.poisson(world.rate * (now - self.last), self.number)
                bad = self.rng.binomial(asked, share)
                self.counts[name] += np.stack([asked - bad, bad])
            self.last = now
            return "".join(
                f'{_TOTAL}{{model="m{model}",case="{name}",envoy_response_code_class="{code}"}} {int(value)}\n'
                for name, counts in self.counts.items()
                for code, row in zip("25", counts, strict=True)
                for model, value in enumerate(row)
            )

    def told(self, message: Json) -> None:
        for alert in message["alerts"]:
            labels = alert["labels"]
            key = (labels["alertname"], labels["case"], int(labels["model"][1:]))
            if alert["status"] != "firing":
                continue
            with self.lock:
                if self.since_bad < 0:
                    self.early.add(key)
                else:
                    self.arrived.setdefault(key, self.since_bad)


class _Handler(BaseHTTPRequestHandler):
    server: Champions

    def do_GET(self) -> None:
        self._answer(self.server.text().encode())

    def do_POST(self) -> None:
        self.server.told(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def bad_seconds(cases: Mapping[str, World], number: int, rng: np.random.Generator) -> Json:
    """Return, by rule and case, how long callers got bad answers (``p50``, ``p95``: seconds), how many were not ``found`` within five
    minutes, and how many had alarmed ``before`` they went bad (they aren't counted among the others)."""
    champions = Champions(cases, number, rng)
    try:
        with tempfile.TemporaryDirectory(prefix="updraft-rules-") as folder, _running(Path(folder), champions.server_port):
            while champions.since_bad < LIMIT_S:
                time.sleep(1)
    finally:
        champions.shutdown()
        champions.server_close()
    rows: Json = {}
    for rule in published():
        for case in cases:
            early = {model for name, where, model in champions.early if (name, where) == (rule, case)}
            found = {model: at for (name, where, model), at in champions.arrived.items() if (name, where) == (rule, case)}
            seconds = [at + ACTS_S for model, at in found.items() if model not in early]
            quantiles = [round(float(np.quantile(seconds, q)), 1) if seconds else None for q in (0.5, 0.95)]
            missed = number - len(early) - len(seconds)
            rows.setdefault(rule, {})[case] = {"p50": quantiles[0], "p95": quantiles[1], "missed": missed, "before": len(early)}
    return rows


def false_alarms(world: World, days: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often each rule fires in 1,000 champion-days without harm, of ``days`` that real Prometheus looks at."""
    with tempfile.TemporaryDirectory(prefix="updraft-rules-") as place:
        folder, end = Path(place), int(time.time()) // DAY_S * DAY_S - DAY_S
        _days(folder / "figures.txt", world, days, end, rng)
        subprocess.run(
            [programs()["promtool"], "tsdb", "create-blocks-from", "openmetrics", folder / "figures.txt", folder / "data"],
            check=True,
            capture_output=True,
        )
        with _running(folder, None) as url:
            return {rule: 1000 * _firings(url, query, held, end) / days for rule, (query, held) in published().items()}


def _days(path: Path, world: World, days: int, end: int, rng: np.random.Generator) -> None:
    """A day of each of so many champions, read every 15 s, as OpenMetrics."""
    steps = DAY_S // STEP_S
    asked = rng.poisson(world.rate * STEP_S, (days, steps))
    bad = rng.binomial(asked, world.good)
    counts = {"2": (asked - bad).cumsum(axis=1), "5": bad.cumsum(axis=1)}
    with path.open("w") as lines:
        lines.write(f"# TYPE {_TOTAL} unknown\n")
        for model in range(days):
            for code, values in counts.items():
                name = f'{_TOTAL}{{model="m{model}",case="calm",envoy_response_code_class="{code}"}}'
                lines.writelines(f"{name} {value} {end - DAY_S + step * STEP_S}\n" for step, value in enumerate(values[model].tolist()))
        lines.write("# EOF\n")


def _firings(url: str, query: str, held: int, end: int) -> int:
    """How often an alert would begin to fire: true at every look for as long as it must hold."""
    asked = urllib.parse.urlencode({"query": query, "start": end - DAY_S + 600, "end": end, "step": STEP_S})
    with urllib.request.urlopen(f"{url}/api/v1/query_range", asked.encode(), timeout=300) as answer:
        series = json.load(answer)["data"]["result"]
    firings = 0
    for one in series:
        times = np.array([float(at) for at, _ in one["values"]])
        for run in np.split(times, np.flatnonzero(np.diff(times) > STEP_S * 1.5) + 1):
            firings += bool(len(run)) and run[-1] - run[0] >= held
    return int(firings)


@contextmanager
def _running(folder: Path, target: int | None) -> Iterator[str]:
    """Prometheus at the address that is given, and with a ``target`` to be scraped Alertmanager before it."""
    found, ports, begun = programs(), (_free(), _free()), []
    rules = [
        {"alert": name, "expr": query, "for": f"{held}s", "labels": {"severity": "critical"}} for name, (query, held) in published().items()
    ]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "errors", "rules": rules}]}))
    every = f"{EVERY_S}s"
    told: Json = {"global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}}
    if target is not None:
        told["rule_files"] = ["rules.yml"]
        told["scrape_configs"] = [{"job_name": "gateway", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}]
        told["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports[1]}"]}]}]}
        own = alerting.alertmanager_configuration(f"http://127.0.0.1:{target}", folder)
        own["route"]["group_by"] = ["alertname", "model", "case"]
        own["receivers"][0]["webhook_configs"][0].pop("http_config")
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(own))
        command = [str(found["prometheus-alertmanager"]), f"--config.file={folder / 'alertmanager.yml'}"]
        command += [f"--web.listen-address=127.0.0.1:{ports[1]}", f"--storage.path={folder / 'am'}", "--cluster.listen-address="]
        begun.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(folder / "alertmanager.log").open("w")))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(told))
    command = [str(found["prometheus"]), f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{ports[0]}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=10y"]
    begun.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(folder / "prometheus.log").open("w")))
    url = f"http://127.0.0.1:{ports[0]}"
    try:
        _wait(f"{url}/-/ready")
        yield url
    finally:
        for process in begun:
            process.kill()
            process.wait()


def _wait(url: str, limit_s: float = 120.0) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"{url} does not answer") from None
            time.sleep(0.2)


def _free() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
