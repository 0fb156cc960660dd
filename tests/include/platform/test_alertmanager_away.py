"""Real Prometheus and Alertmanager where one of them, or the webhook, is away for a while: the alert comes all the same, and as one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from include.platform import alerting
from include.runtime.settings import Settings
from tests.include.gateway.small_server import SmallHandler, SmallServer
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.integration


class Webhook(SmallServer):
    """Refuses with 503 until it is told to take what comes."""

    def __init__(self) -> None:
        self.takes = False
        self.refused: list[Any] = []
        self.taken: list[Any] = []
        super().__init__(_Handler)


class _Handler(SmallHandler):
    server: Webhook

    def do_POST(self) -> None:
        alerts = self.asked()["alerts"]
        (self.server.taken if self.server.takes else self.server.refused).extend(alerts)
        self._answer(200 if self.server.takes else 503, {})


class Programs:
    """Prometheus with one alert that always fires, and an Alertmanager with the platform's own configuration."""

    def __init__(self, folder: Path, webhook: Webhook) -> None:
        self.folder, self.ports, self.running = folder, (free_port(), free_port()), {}
        hook = alerting.alertmanager_configuration(f"http://127.0.0.1:{webhook.server_port}", folder)
        (folder / "alerts.token").write_text("t")
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(hook))
        rule = {"alert": "Always", "expr": "vector(1)", "labels": {"model": "digits"}}
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [rule]}]}))
        told = {
            "global": {"evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{self.ports[1]}"]}]}]},
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(told))

    def start(self, name: str) -> None:
        file, port = {"prometheus": ("prometheus.yml", self.ports[0]), "prometheus-alertmanager": ("alertmanager.yml", self.ports[1])}[name]
        own = {
            "prometheus": ["--storage.tsdb.path=data", "--rules.alert.resend-delay=1s"],
            "prometheus-alertmanager": ["--storage.path=am", "--cluster.listen-address="],
        }[name]
        command = [
            str(alerting.find(name, Settings.load())),
            f"--config.file={self.folder / file}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (self.folder / f"{name}.log").open("a") as log:
            self.running[name] = subprocess.Popen([*command, *own], cwd=self.folder, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def fires(self) -> bool:
        try:
            found = requests.get(f"http://127.0.0.1:{self.ports[0]}/api/v1/alerts", timeout=10).json()
        except requests.RequestException:
            return False
        return [one["state"] for one in found["data"]["alerts"]] == ["firing"]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[tuple[Programs, Webhook]]:
    if None in [alerting.find(name, Settings.load()) for name in ("prometheus", "prometheus-alertmanager")]:
        pytest.skip(f"Prometheus is not installed: {alerting.REMEDY}")
    webhook = Webhook()
    found = Programs(tmp_path, webhook)
    yield found, webhook
    for name in list(found.running):
        found.kill(name)
    webhook.close()


def test_an_alert_outlives_whoever_was_away_and_is_one(programs: tuple[Programs, Webhook]):
    site, webhook = programs
    site.start("prometheus")
    until(site.fires, 120, "the rule")  # nobody to tell it to
    site.start("prometheus-alertmanager")
    until(lambda: webhook.refused, 120, "Alertmanager's first try")  # the platform is away
    webhook.takes = True
    until(lambda: webhook.taken, 120, "its next try")
    site.kill("prometheus-alertmanager")
    site.start("prometheus-alertmanager")
    before = len(webhook.taken)
    # Killed with -9 it has forgotten whom it told: it tells again what is one alert by fingerprint and start.
    until(lambda: len(webhook.taken) > before, 120, "the alert, told again")
    every = [*webhook.refused, *webhook.taken]
    assert {(one["labels"]["alertname"], one["labels"]["model"], one["status"]) for one in every} == {("Always", "digits", "firing")}
    assert len({(one["fingerprint"], one["startsAt"]) for one in every}) == 1
