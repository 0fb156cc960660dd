"""Grafana's pages: as the code writes them, whole, and each query answered by a real Prometheus."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from include.alerting import files
from include.dashboards import __main__ as written
from include.dashboards.pages import PAGES
from include.platform import alerting
from include.platform.bcrypt import bcrypt
from include.runtime.settings import Settings
from tests.ports import free_base
from tests.waiting import until

MODEL = 'model="digits",revision="3"'
GPU = 'gpu="0",UUID="GPU-1",Hostname="node1"'
CALLER = 'client="ann",model="digits"'
FIGURES = {
    **{
        f"DCGM_FI_DEV_{name}{{{GPU}}}": 50.0
        for name in ("GPU_UTIL", "GPU_TEMP", "FB_USED", "FB_FREE", "POWER_USAGE", "SM_CLOCK", "MEM_CLOCK")
    },
    **{f"DCGM_FI_{name}{{{GPU}}}": 1.0 for name in ("PROF_PCIE_RX_BYTES", "PROF_PCIE_TX_BYTES", "DEV_XID_ERRORS")},
    **{f'updraft_gpu_device_{name}_milli{{node="node1",gpu="0"}}': 500.0 for name in ("leased", "capacity")},
    'updraft_gpu_requests_waiting{team="a",priority="5"}': 2.0,
    'updraft_gpu_team_gpus{team="a"}': 2.0,
    "updraft_gpu_oldest_wait_seconds": 2.0,
    f"vllm:kv_cache_usage_perc{{{MODEL}}}": 0.5,
    f"vllm:num_requests_waiting{{{MODEL}}}": 5.0,
    f"updraft_champion_up{{{MODEL}}}": 0.0,
    'updraft_runs_total{model="digits",dag="lifecycle",state="success"}': 3.0,
    'updraft_run_last_duration_seconds{model="digits",dag="lifecycle",state="success"}': 30.0,
    'updraft_verdicts_total{model="digits",kind="gate",decision="PASS"}': 3.0,
    'updraft_verdict_last_seconds{model="digits",kind="gate",decision="PASS"}': 3.0,
    'updraft_verdicts_total{model="digits",kind="drift",decision="ALARM"}': 1.0,
    'updraft_verdict_last_seconds{model="digits",kind="drift",decision="ALARM"}': 3.0,
    'updraft_revision_state{model="digits",version="3",state="RUNNING"}': 1.0,
    'updraft_airflow_component_up{component="scheduler"}': 1.0,
    'updraft_disk_free_bytes{folder="home"}': 1.0,
    'updraft_disk_size_bytes{folder="home"}': 2.0,
    'updraft_certificate_ends_seconds{name="gateway"}': 1.0,
    "updraft_budget_usd_per_day": 10.0,
    "updraft_gateway_up": 0.0,
}
GROWING = (
    *(f'envoy_cluster_upstream_rq_xx{{{MODEL},envoy_response_code_class="{digit}"}}' for digit in (2, 5)),
    *(
        f'{name}_bucket{{{MODEL},le="{bar}"}}'
        for name in ("envoy_cluster_upstream_rq_time", "vllm:time_to_first_token_seconds", "vllm:request_time_per_output_token_seconds")
        for bar in ("1", "+Inf")
    ),
    f"updraft_llm_cost_usd_total{{{CALLER}}}",
    f'updraft_llm_tokens_total{{{CALLER},kind="completion"}}',
    f"updraft_llm_server_seconds_total{{{CALLER}}}",
)
QUERIES = [(page.title, panel.title, query.expression) for page in PAGES for panel in page.panels for query in panel.queries]


def openmetrics(now: float, minutes: int = 20, step_s: int = 15) -> str:
    """Some minutes of all the figures, until now: constant ones, and counters that grow by one at each step."""
    lines = []
    for number in range(minutes * 60 // step_s + 1):
        at = now - minutes * 60 + number * step_s
        lines += [f"{series} {value} {at:.3f}" for series, value in FIGURES.items()]
        lines += [f"{series} {number} {at:.3f}" for series in GROWING]
    return "\n".join(sorted(lines, key=lambda line: line.split(" ")[0])) + "\n# EOF\n"


class Prometheus:
    """A real one, with a login, its rules, and what stands in its database."""

    def __init__(self, folder: Path, programs: dict[str, Path]) -> None:
        port = free_base() + 70
        self.url = f"http://127.0.0.1:{port}"
        self.login = ("admin", "secret-of-the-test")
        (folder / "rules.yml").write_text(files.rule_file())
        (folder / "web.yml").write_text(yaml.safe_dump({"basic_auth_users": {"admin": bcrypt(self.login[1], folder / "web.yml")}}))
        (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": {"evaluation_interval": "1s"}, "rule_files": ["rules.yml"]}))
        self.begun = time.time()
        (folder / "figures.txt").write_text(openmetrics(self.begun))
        command = [programs["promtool"], "tsdb", "create-blocks-from", "openmetrics", folder / "figures.txt", folder / "data"]
        subprocess.run(command, check=True, capture_output=True)
        command = [programs["prometheus"], f"--config.file={folder / 'prometheus.yml'}", f"--web.config.file={folder / 'web.yml'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder / 'data'}"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"))
        try:
            until(lambda: self.process.poll() is not None or self.ready(), 120)
            assert self.process.poll() is None, (folder / "log").read_text()
        except BaseException:
            self.close()
            raise

    def ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", auth=self.login, timeout=5).ok
        except requests.RequestException:
            return False

    def ask(self, query: str, at: float | None = None) -> list[dict[str, Any]]:
        asked = {"query": query} | ({} if at is None else {"time": str(at)})
        answer = requests.post(f"{self.url}/api/v1/query", data=asked, auth=self.login, timeout=60)
        assert answer.ok, answer.text
        return list(answer.json()["data"]["result"])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    found = {name: path for name in ("prometheus", "promtool") if (path := alerting.find(name, Settings.load()))}
    if len(found) < 2:
        pytest.skip(f"Prometheus is not installed: {alerting.REMEDY}")
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), found)
    yield server
    server.close()


@pytest.mark.integration
def test_every_query_has_an_answer_of_a_real_prometheus(prometheus: Prometheus):
    # Recorded figures and alerts stand there once the rules have been looked at.
    until(lambda: prometheus.ask("ALERTS{alertstate='firing'}") or prometheus.ask("ALERTS"), 120)
    silent = []
    for page, panel, query in QUERIES:
        query = query.replace("alertstate='firing'", "alertstate=~'firing|pending'")
        if not any(prometheus.ask(query, at) for at in (None, prometheus.begun)):
            silent.append(f"{page}: {panel}: {query}")
    assert not silent
    assert not prometheus.ask("DCGM_FI_DEV_GPU_TEMPERATURE"), "a figure that there isn't has no answer: the test can fail"


@pytest.mark.integration
def test_a_stranger_gets_nothing_of_prometheus(prometheus: Prometheus):
    for path in ("/-/ready", "/metrics", "/api/v1/query?query=up", "/api/v1/status/config", "/graph"):
        assert requests.get(prometheus.url + path, timeout=30).status_code == 401
    wrong = base64.b64encode(b"admin:wrong").decode()
    assert (
        requests.get(f"{prometheus.url}/api/v1/query?query=up", headers={"Authorization": f"Basic {wrong}"}, timeout=30).status_code == 401
    )


def test_the_files_are_as_the_code_writes_them(capsys: pytest.CaptureFixture[str]):
    assert written.main(["--check"]) == 0, f"python -m include.dashboards: {capsys.readouterr().out}"


def test_a_page_is_what_grafana_imports():
    for page in PAGES:
        made = json.loads(json.dumps(page.to_json()))
        assert re.fullmatch(r"[a-z-]{1,40}", made["uid"])
        ids = [panel["id"] for panel in made["panels"]]
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made["panels"]]
        assert len(set(ids)) == len(ids) and len(set(places)) == len(places)
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in made["panels"])
        assert all(target["expr"] and panel["title"] for panel in made["panels"] for target in panel["targets"])
        assert made["templating"]["list"][0]["name"] == "source"


def test_what_the_gpu_page_must_show_is_there():
    titles = {panel.title for panel in PAGES[0].panels}
    assert {"Utilisation", "Memory in use", "Temperature", "Power", "SM clock", "Memory clock", "PCIe, to the device"} <= titles
