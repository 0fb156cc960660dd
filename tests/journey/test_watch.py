"""A champion that goes bad on a whole platform, with callers: the watch takes production back; Prometheus and Alertmanager say so."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from include.backends.triton.spec import TritonServe
from include.release import bundle as bundles
from include.release.production import Production
from include.runtime.credentials import ADMIN, SERVICE
from include.serving.revision import RevisionState
from include.serving.traffic import Traffic
from include.verdict import Decision
from tests.journey import newcomer
from tests.journey.site import Site
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.soak, pytest.mark.timeout(900)]
MAKER = Path(__file__).parents[1] / "include" / "serving" / "make_bundles.py"
MODEL = "souring"
MONITOR = "monitor: {watch: rollback, on_alert: {ChampionHarmed: rollback}}\n"
SERVE = TritonServe(wrapper="serving:Wrapper", standby_s=3600, drain_s=5)
ODD = -999.0
"""First value of the request that no trial had."""
SERVING = f"""\
class Wrapper:
    def __init__(self, params):
        self.spoils, self.spoilt = params["spoils"], False

    def before(self, inputs):
        self.spoilt = self.spoilt or (self.spoils and {ODD} in next(iter(inputs.values())))
        if self.spoilt:
            raise RuntimeError("spoilt")
        return inputs

    def after(self, outputs):
        return outputs
"""


class Timed(Traffic):
    """Knows when each answer came (seconds), and whether it was good."""

    def start(self) -> None:
        self.answers: list[tuple[float, bool]] = []
        super().start()

    def _count(self, revision: str, status: int, problem: str, latency_ms: float) -> None:
        super()._count(revision, status, problem, latency_ms)
        self.answers.append((time.monotonic(), not problem))


@pytest.fixture(scope="module")
def watched(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, list[dict[str, Any]]]]:
    """The platform with Prometheus and Alertmanager, the second version of a watched model in production, and a request to it."""
    folder = newcomer.write(site.models, MODEL)
    (folder / "model.yaml").write_text((folder / "model.yaml").read_text() + MONITOR)
    (folder / "serving.py").write_text(SERVING)
    site.environment["UPDRAFT_MONITORING"] = "1"
    site.up()
    yield site, put_in_production(site, tmp_path_factory.mktemp("bundles"))
    site.command("include.release", "retire", MODEL)
    site.environment["UPDRAFT_MONITORING"] = "0"
    site.up()


def put_in_production(site: Site, made: Path) -> list[dict[str, Any]]:
    """Leave versions 1 and 2 behind as two lifecycles do, without the minutes that these take, and return the inputs of a request."""
    subprocess.run([str(site.settings.python("trainer")), str(MAKER), str(made)], check=True)
    service = site.client(SERVICE)

    def record(version: int, state: RevisionState, message: str) -> None:
        service.call("PUT", "/lifecycle/v1/revisions", json={"model": MODEL, "version": version, "state": state.value, "message": message})

    production = Production(MODEL, site.settings, site.mlflow, record, gateway=site.gateway, backend=site.backend)
    for number, params in enumerate(({"spoils": 0}, {"spoils": 1}), 1):
        bundle, key = shutil.copytree(made / "good", made / str(number)), f"{MODEL}_lifecycle/by_hand_{number}"
        bundles.complete(bundle, site.models / MODEL, SERVE, params)
        run = site.mlflow.ensure_run(f"updraft/{MODEL}", key, key)
        bundles.store(site.mlflow, run, bundle)
        source = f"{site.mlflow.run(run)['info']['artifact_uri']}/{bundles.FOLDER}"
        version = site.mlflow.ensure_version(MODEL, run_id=run, source=source, run_key=key, tags={})
        verdict = production.deploy(version, bundle, SERVE, params)
        assert verdict.decision is Decision.PASS, verdict
        production.promote(version, SERVE.drain_s, SERVE.standby_s)
    assert site.mlflow.aliases(MODEL) == {"champion": 2, "previous": 1}
    return [json.loads((made / "good" / "golden.json").read_text())["inputs"][0]]


def test_a_champion_that_goes_bad_is_taken_back_and_an_alert_says_so(watched: tuple[Site, list[dict[str, Any]]]):
    site, inputs = watched
    key, tensor = site.credentials.api_keys["demo"], inputs[0]
    one = [{**tensor, "shape": [1, 8], "data": tensor["data"][:8]}]
    until(lambda: site.api.get(f"/api/v2/dags/{MODEL}_rollback", missing_ok=True), 120, "the rollback DAG of the new model")
    traffic = Timed(site.settings.gateway_url, key, MODEL, [one], site.rate, timeout_s=30)
    traffic.start()
    try:
        until(lambda: watched_version(site) == 2, 120, "the watch of version 2", seen=lambda: site.settings.watch.read_text()[:1000])
        until(lambda: traffic.report().total > 250, 120, "calm requests")
        assert traffic.report().failed == 0, traffic.report().failures
        spoil(site, key, one[0])
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
    assert found["watch"]["decision"] == "ROLLBACK" and "by the watch" in found["return"]["body"]["reasons"][0], found
    assert site.mlflow.aliases(MODEL) == {"champion": 1, "previous": 2}

    def asked() -> list[tuple[str, str]]:
        return [(row["name"], row["state"]) for row in site.api.get("/lifecycle/v1/acts", params={"model": MODEL})]

    # The alert comes by Prometheus, Alertmanager and the webhook, and asks for a return: to the version that was just taken out.
    until(asked, 180, "the act that Alertmanager's alert asks for", seen=asked)
    assert set(asked()) == {("ChampionHarmed", "REFUSED")} and site.mlflow.aliases(MODEL)["champion"] == 1
    assert "ChampionHarmed" in {row["name"] for row in site.api.get("/lifecycle/v1/alerts", params={"model": MODEL})}


def test_every_source_tells_its_figures(watched: tuple[Site, list[dict[str, Any]]]):
    site, _ = watched

    def down() -> list[str]:
        targets = prometheus(site, "targets", state="active")["activeTargets"]
        return [f"{one['scrapeUrl']}: {one['health']} {one['lastError']}" for one in targets if one["health"] != "up"]

    until(lambda: not down(), 120, "every target up", seen=down)
    asked = {"gateway": "envoy_cluster_upstream_rq", "lifecycle": "updraft_verdicts_total", "platform": "updraft_airflow_component_up"}
    for job, name in asked.items():
        query = f'{{__name__=~"{name}.*",job="{job}"}}'
        until(lambda query=query: prometheus(site, "query", query=query)["result"], 60, f"{job} to tell {name}")
    components = prometheus(site, "query", query="updraft_airflow_component_up")["result"]
    assert {one["metric"]["component"]: one["value"][1] for one in components}.items() >= {"scheduler": "1", "triggerer": "1"}.items()


def prometheus(site: Site, path: str, **params: Any) -> Any:
    """What Prometheus' API answers."""
    address = f"http://{site.settings.host}:{site.settings.prometheus_port}/api/v1/{path}"
    answer = requests.get(address, params=params, auth=(ADMIN, site.credentials.prometheus_password), timeout=10)
    answer.raise_for_status()
    return answer.json()["data"]


def watched_version(site: Site) -> int | None:
    """The version of the model that the watch looks at, as it has last written down."""
    known = json.loads(site.settings.watch.read_text())["models"].get(MODEL) or {}
    return (known.get("life") or {}).get("version")


def spoil(site: Site, key: str, tensor: dict[str, Any]) -> None:
    """Send the odd request, until each of the server's instances has had it."""
    body = {"inputs": [{**tensor, "data": [ODD, *tensor["data"][1:]]}]}
    for _ in range(20):
        requests.post(f"{site.settings.gateway_url}/v2/models/{MODEL}/infer", json=body, headers={"x-api-key": key}, timeout=30)
