"""A champion that goes bad on a whole platform, with callers: the watch takes production back; Prometheus and Alertmanager say so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from include.runtime.credentials import ADMIN
from include.serving.traffic import Traffic
from tests.journey import newcomer
from tests.journey.site import Site
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.soak, pytest.mark.timeout(900)]
MODEL = "souring"
MONITOR = "monitor: {watch: rollback}\n"
PARAM = "    spoils: {default: 0, minimum: 0, maximum: 1, description: An odd request breaks this version for good.}\n"
ODD = -999.0
"""First value of the request that no trial had."""
SERVING = f"""\
class Wrapper:
    def __init__(self, params):
        self.spoils, self.spoilt = params["spoils"], False

    def before(self, inputs):
        self.spoilt = self.spoilt or (self.spoils and float(inputs["input"].ravel()[0]) == {ODD})
        if self.spoilt:
            raise RuntimeError("spoilt")
        return inputs

    def after(self, outputs):
        return outputs
"""


class Timed(Traffic):
    """Knows when each answer came (seconds), and whether it was good."""

    answers: list[tuple[float, bool]]

    def start(self) -> None:
        self.answers = []
        super().start()

    def _count(self, revision: str, status: int, problem: str, latency_ms: float) -> None:
        super()._count(revision, status, problem, latency_ms)
        self.answers.append((time.monotonic(), not problem))


@pytest.fixture(scope="module")
def watched(site: Site) -> Iterator[Site]:
    """The platform with Prometheus and Alertmanager, and a model whose champion is watched."""
    folder = newcomer.write(site.models, MODEL, serve="standby_s: 3600") / "model.yaml"
    folder.write_text(folder.read_text().replace("  params:\n    error_rate", f"  params:\n{PARAM}    error_rate") + MONITOR)
    folder.with_name("serving.py").write_text(SERVING)
    site.environment["UPDRAFT_MONITORING"] = "1"
    site.up()
    yield site
    site.environment["UPDRAFT_MONITORING"] = "0"
    site.up()


def prometheus(site: Site, path: str, **params: Any) -> Any:
    address = f"http://{site.settings.host}:{site.settings.prometheus_port}/api/v1/{path}"
    answer = requests.get(address, params=params, auth=(ADMIN, site.credentials.prometheus_password), timeout=10)
    answer.raise_for_status()
    return answer.json()["data"]


def test_a_champion_that_goes_bad_is_taken_back_and_an_alert_says_so(watched: Site):
    site = watched
    until(lambda: site.api.get(f"/api/v2/dags/{MODEL}_lifecycle", missing_ok=True), 120, "the DAG of the new model")
    assert site.run(MODEL).state == "success"
    key, rows = site.credentials.api_keys["demo"], newcomer.requests()
    traffic = Timed(site.settings.gateway_url, key, MODEL, rows, site.rate, check=newcomer.wrong, timeout_s=30)
    traffic.start()
    try:
        assert site.run(MODEL, spoils=1).state == "success"
        assert site.mlflow.aliases(MODEL) == {"champion": 2, "previous": 1}
        until(lambda: watched_version(site) == 2, 120, "the watch of version 2", seen=lambda: site.settings.watch.read_text()[:1000])
        assert traffic.report().failed == 0, traffic.report().failures
        spoil(site, key)
        until(lambda: site.mlflow.aliases(MODEL)["champion"] == 1, 300, "the return")
        (run,) = site.api.get(f"/api/v2/dags/{MODEL}_rollback/dagRuns")["dag_runs"]
        assert run["dag_run_id"].startswith("watch__v2__")
        ended = site.end((f"{MODEL}_rollback", run["dag_run_id"]))
        assert ended.state == "success", ended
        settled = time.monotonic()
        until(lambda: sum(at > settled for at, _ in traffic.answers) > 5 * site.rate, 60, "answers after the return")
    finally:
        traffic.stop()
    bad = [at for at, good in traffic.answers if not good]
    assert bad and max(bad) < settled
    print(f"{len(bad)} bad answers of {len(traffic.answers)}, first to last {max(bad) - min(bad):.2f} s")
    found = site.verdicts(ended)
    assert found["watch"]["decision"] == "ROLLBACK" and found["return"], found
    assert site.mlflow.aliases(MODEL) == {"champion": 1, "previous": 2}

    def firing() -> list[str]:
        return [row["name"] for row in site.api.get("/lifecycle/v1/alerts", params={"model": MODEL, "firing": True})]

    until(lambda: "ChampionHarmed" in firing(), 120, "the alert by Alertmanager's webhook", seen=firing)


def test_every_source_tells_its_figures(watched: Site):
    def down() -> list[str]:
        targets = prometheus(watched, "targets", state="active")["activeTargets"]
        return [f"{one['scrapeUrl']}: {one['health']} {one['lastError']}" for one in targets if one["health"] != "up"]

    until(lambda: not down(), 120, "every target up", seen=down)
    asked = {"gateway": "envoy_cluster_upstream_rq", "lifecycle": "updraft_verdicts_total", "platform": "updraft_airflow_component_up"}
    for job, name in asked.items():
        assert prometheus(watched, "query", query=f'{{__name__=~"{name}.*",job="{job}"}}')["result"], f"{job} tells no {name}"
    components = prometheus(watched, "query", query="updraft_airflow_component_up")["result"]
    assert {one["metric"]["component"]: one["value"][1] for one in components}.items() >= {"scheduler": "1", "triggerer": "1"}.items()


def watched_version(site: Site) -> int | None:
    """The version of the model that the watch looks at, as it has last written down."""
    known = json.loads(site.settings.watch.read_text())["models"].get(MODEL) or {}
    return (known.get("life") or {}).get("version")


def spoil(site: Site, key: str) -> None:
    """Send the odd request, until each of the server's instances has had it."""
    tensor = newcomer.requests()[0][0]
    body = {"inputs": [{**tensor, "data": [ODD, *tensor["data"][1:]]}]}
    for _ in range(20):
        requests.post(f"{site.settings.gateway_url}/v2/models/{MODEL}/infer", json=body, headers={"x-api-key": key}, timeout=30)
