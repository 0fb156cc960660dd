"""Prometheus and Alertmanager beside the platform: chosen, kept, told what to read, and closed to strangers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import requests
import yaml

from include.errors import InputError
from include.platform import airflow, alerting
from include.platform.bcrypt import bcrypt
from include.platform.health import answers
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from tests.waiting import until


@pytest.fixture
def installed() -> None:
    if None in [alerting.find(name, Settings.load()) for name in ("prometheus", "prometheus-alertmanager")]:
        pytest.skip(f"Prometheus is not installed: {alerting.REMEDY}")


def test_a_choice_of_before_counts_and_a_folder_of_that_name_is_none(fresh: Settings):
    before = fresh.home / "monitoring"
    before.write_text("1\n")
    assert alerting.chosen(fresh)
    before.unlink()
    before.mkdir()
    assert not alerting.chosen(fresh)


def test_it_is_chosen_kept_and_given_up(fresh: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alerting, "find", lambda name, settings: Path("/bin/true"))
    monkeypatch.delenv(alerting.VARIABLE, raising=False)
    assert not alerting.choose(fresh)
    for word, wanted in (("1", True), ("", True), ("0", False), ("", False)):
        monkeypatch.setenv(alerting.VARIABLE, word)
        assert alerting.choose(fresh) is alerting.chosen(fresh) is wanted


@pytest.mark.parametrize(
    ("name", "value"), [(alerting.VARIABLE, "yes"), ("UPDRAFT_BUDGET_USD_PER_DAY", "much"), ("UPDRAFT_CERTIFICATES", "x.pem")]
)
def test_what_makes_no_sense_is_named_and_changes_nothing(fresh: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setattr(alerting, "find", lambda name, settings: Path("/bin/true"))
    monkeypatch.setenv(alerting.VARIABLE, "1")
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name):
        alerting.choose(fresh)
    assert not alerting.chosen(fresh)


def test_missing_programs_are_named_with_what_to_do(fresh: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alerting, "find", lambda name, settings: None)
    monkeypatch.setenv(alerting.VARIABLE, "1")
    with pytest.raises(InputError, match="make install-monitoring"):
        alerting.choose(fresh)
    assert not alerting.chosen(fresh)


def test_a_kept_hash_stays_as_long_as_the_password_does(tmp_path: Path):
    kept = tmp_path / "web.yml"
    first = bcrypt("secret", kept)
    kept.write_text(yaml.safe_dump({"basic_auth_users": {ADMIN: first}}))
    assert bcrypt("secret", kept) == first
    assert bcrypt("another", kept) != first
    kept.write_text("no: yaml: at: all")
    assert bcrypt("secret", kept).startswith("$2")


def test_no_secret_stands_in_a_configuration_and_a_server_cannot_speak_in_the_platforms_name(tmp_path: Path):
    settings, secrets = Settings.load(), Credentials()
    alerting.write(settings, secrets, tmp_path)
    for name in ("prometheus.yml", "alertmanager.yml", "rules.yml", "web.yml"):
        text = (tmp_path / name).read_text()
        assert not [value for value in (secrets.prometheus_password, secrets.alerts_token, secrets.exporter_token) if value in text]
        assert not (tmp_path / name).stat().st_mode & 0o077
    jobs = {job["job_name"]: job for job in yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]}
    assert set(jobs) == {"platform", "gateway", "lifecycle", "gpu-pool", "servers", "prometheus", "alertmanager"}
    assert jobs["servers"]["metric_relabel_configs"] == [{"source_labels": ["__name__"], "regex": alerting.FOREIGN, "action": "drop"}]
    assert jobs["servers"]["sample_limit"] and not any(job.get("honor_labels") for job in jobs.values())
    told = alerting.prometheus_configuration(settings, tmp_path, "node1:9400, node2:9400")["scrape_configs"][-1]
    assert told == {"job_name": "dcgm", "static_configs": [{"targets": ["node1:9400", "node2:9400"]}]}


@pytest.mark.integration
def test_they_run_read_the_exporter_and_let_nobody_in(installed: None, settings: Settings, supervisor: Supervisor, tmp_path: Path):
    credentials = Credentials.load_or_create(settings.home)
    airflow.write(settings, credentials)
    programs = alerting.programs(settings, credentials)
    home = settings.home / "prometheus"
    for tool, *words in (("promtool", "check", "config", home / "prometheus.yml"), ("amtool", "check-config", home / "alertmanager.yml")):
        done = subprocess.run([str(alerting.find(tool, settings)), *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for program in programs:
        supervisor.start_program(program)
    for question in alerting.questions(settings, credentials).values():
        until(lambda question=question: answers(question), 200)
    login, url = (ADMIN, credentials.prometheus_password), f"http://{settings.host}:{settings.prometheus_port}"

    def up() -> dict[str, str]:
        found = requests.get(f"{url}/api/v1/query", params={"query": "up"}, auth=login, timeout=30).json()["data"]["result"]
        return {one["metric"]["job"]: one["value"][1] for one in found}

    # Neither the gateway nor Airflow runs here: that is told, and the platform's own figures come all the same.
    expected = {"platform": "1", "gateway": "0", "lifecycle": "0", "gpu-pool": "0", "prometheus": "1", "alertmanager": "1"}
    until(lambda: up() == expected, 200)
    told = requests.get(f"{url}/api/v1/query", params={"query": "updraft_gateway_up"}, auth=login, timeout=30).json()
    assert told["data"]["result"][0]["value"][1] == "0"

    def sent() -> bool:
        alerts = f"http://{settings.host}:{settings.alertmanager_port}/api/v2/alerts"
        return "GatewayDown" in requests.get(alerts, auth=login, timeout=30).text

    until(sent, 250)
    for port in (settings.prometheus_port, settings.alertmanager_port):
        for path in ("/", "/metrics", "/api/v1/query?query=up", "/api/v2/alerts", "/-/ready"):
            assert requests.get(f"http://{settings.host}:{port}{path}", timeout=30).status_code == 401
