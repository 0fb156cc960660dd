"""Prometheus and Alertmanager beside the platform: whether they are wanted, where they are, what they are told.

Chosen by ``MONITORING=1`` at `make up` and kept in ``.updraft/monitoring``; 0 ends it. Both are Debian's packages, installed or only
unpacked below ``.updraft/tools`` (`make install-monitoring`). Each listens on loopback and asks for a login; Prometheus alone has the
exporter's token, Alertmanager alone that of the webhook, both in files.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from include import atomic
from include.alerting.files import rule_file
from include.errors import InputError
from include.exporter.sources import BUDGET, CERTIFICATES, PAGES, budget, certificates
from include.platform import airflow
from include.platform.bcrypt import bcrypt
from include.platform.health import Question
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.install import TEMPLATES
from include.runtime.settings import Settings
from include.runtime.supervisor import Program

VARIABLE = "UPDRAFT_MONITORING"
NAMES = ("exporter", "alertmanager", "prometheus")
"""In the order in which they start."""
DCGM = "UPDRAFT_DCGM"
"""Addresses (host:port) of DCGM exporters, separated by commas."""
REMEDY = "run `make install-monitoring` (or apt-get install prometheus prometheus-alertmanager)."
KEEP = "30d"
EVERY = "5s"
"""So often figures are read and rules looked at."""
LONGEST = 50_000
"""Samples of one reading: a server may be a user's own."""
WEBHOOK = "/lifecycle/v1/alerts"
CHOICE, BEFORE = "with-monitoring", "monitoring"
"""The file that keeps the choice; before December 2026 it had a name that looks at production gave to a folder."""
# A server may be a user's own code: it must not speak in the platform's name, and bring about a rollback of another's model.
FOREIGN = "(updraft|envoy|DCGM|probe|airflow|ALERTS|up$).*"


def chosen(settings: Settings) -> bool:
    """Return whether this platform has them."""
    for name in CHOICE, BEFORE:
        with suppress(FileNotFoundError, IsADirectoryError):
            return (settings.home / name).read_text().strip() == "1"
    return False


def choose(settings: Settings) -> bool:
    """Return whether it shall have them: what ``UPDRAFT_MONITORING`` says, or what was. Kept in ``settings.home``, which must exist.

    Raises InputError, and changes nothing, for an unknown word, bad settings, or programs that are missing.
    """
    word = os.environ.get(VARIABLE) or ""
    if word not in ("", "0", "1"):
        raise InputError(
            f"{VARIABLE}={word!r:.50} is neither 0 nor 1.", where="environment", remedy="Write MONITORING=1, or leave it away."
        )
    wanted = word == "1" if word else chosen(settings)
    if wanted:
        certificates(os.environ.get(CERTIFICATES, ""))
        budget(os.environ.get(BUDGET, ""))
        for name in ("prometheus", "prometheus-alertmanager"):
            if find(name, settings) is None:
                raise InputError(f"{name} is not installed.", where=VARIABLE, remedy=REMEDY.capitalize())
    if wanted is not chosen(settings):
        atomic.write(settings.home / CHOICE, f"{int(wanted)}\n")
    return wanted


def find(name: str, settings: Settings) -> Path | None:
    """Return the program of this name: the system's, or the one that was unpacked; None when there is none that would run."""
    unpacked = settings.runtimes.parent / "tools" / "debian" / "usr" / "bin" / name
    found = shutil.which(name)
    if found is None and name == "prometheus-alertmanager" and not all(path.exists() for path in TEMPLATES):
        return None
    return Path(found) if found else unpacked if unpacked.exists() else None


def programs(settings: Settings, credentials: Credentials) -> list[Program]:
    """Return exporter, Alertmanager and Prometheus, in the order in which they start. Their files are written."""
    home = settings.home / "prometheus"
    write(settings, credentials, home)
    changed = {"UPDRAFT_CONFIG": _digest(home)}
    alertmanager = (
        str(find("prometheus-alertmanager", settings) or "prometheus-alertmanager"),
        f"--config.file={home / 'alertmanager.yml'}",
        f"--web.config.file={home / 'web.yml'}",
        f"--web.listen-address={settings.host}:{settings.alertmanager_port}",
        f"--storage.path={home / 'alertmanager'}",
        "--cluster.listen-address=",  # it has no others to speak to, and would listen on every address
    )
    prometheus = (
        str(find("prometheus", settings) or "prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--web.config.file={home / 'web.yml'}",
        f"--web.listen-address={settings.host}:{settings.prometheus_port}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--storage.tsdb.retention.time={KEEP}",
        "--web.cors.origin=$^",
    )
    return [
        replace(exporter(settings), environment={**exporter(settings).environment, **changed}),
        *(
            Program(name=name, command=command, directory=home, log=settings.logs / f"{name}.log", environment=changed, priority=310)
            for name, command in (("alertmanager", alertmanager), ("prometheus", prometheus))
        ),
    ]


def exporter(settings: Settings) -> Program:
    """Return the door by which Prometheus reads what the platform measures."""
    told = {name: os.environ[name] for name in (CERTIFICATES, BUDGET) if name in os.environ}
    return Program(
        name="exporter",
        command=(str(settings.python("airflow")), "-m", "include.exporter"),
        directory=settings.repo,
        log=settings.logs / "exporter.log",
        environment=airflow.environment(settings) | told,
        start_s=2,
        priority=300,
    )


def questions(settings: Settings, credentials: Credentials) -> dict[str, Question]:
    """Return what each must answer to be up, by name."""
    login = base64.b64encode(f"{ADMIN}:{credentials.prometheus_password}".encode()).decode()
    ports = {"alertmanager": settings.alertmanager_port, "prometheus": settings.prometheus_port}
    found = {"exporter": Question(f"http://{settings.host}:{settings.exporter_port}/health", settings.exporter_port)}
    headers = {"Authorization": f"Basic {login}"}
    return found | {name: Question(f"http://{settings.host}:{port}/-/ready", port, headers) for name, port in ports.items()}


def write(settings: Settings, credentials: Credentials, home: Path) -> None:
    """Write all that they read (mode 0600)."""
    login = bcrypt(credentials.prometheus_password, home / "web.yml")
    files = {
        "exporter.token": credentials.exporter_token,
        "alerts.token": credentials.alerts_token,
        "password": credentials.prometheus_password,
        "rules.yml": rule_file(),
        "web.yml": _yaml({"basic_auth_users": {ADMIN: login}}),
        "prometheus.yml": _yaml(prometheus_configuration(settings, home, os.environ.get(DCGM, ""))),
        "alertmanager.yml": _yaml(alertmanager_configuration(settings.airflow_url, home)),
    }
    for folder in ("data", "alertmanager"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        atomic.write(home / name, text)


def prometheus_configuration(settings: Settings, home: Path, dcgm: str = "") -> dict[str, Any]:
    """Return prometheus.yml: what the platform runs, each by a job. Pure."""
    exporter = f"{settings.host}:{settings.exporter_port}"
    shown = {"authorization": {"type": "Bearer", "credentials_file": str(home / "exporter.token")}}
    login = {"basic_auth": {"username": ADMIN, "password_file": str(home / "password")}}
    own = [{"targets": [exporter]}]
    of_cluster = {"source_labels": ["envoy_cluster_name"], "regex": r"([a-z0-9_]+)-([0-9A-Za-z_]+)(?:-over-.*)?"}
    jobs: list[dict[str, Any]] = [
        {"job_name": "platform", "metrics_path": "/platform", "static_configs": own, **shown},
        {
            "job_name": "gateway",
            "metrics_path": "/gateway",
            "static_configs": own,
            "metric_relabel_configs": [
                {**of_cluster, "target_label": "model", "replacement": "$1"},
                {**of_cluster, "target_label": "revision", "replacement": "$2"},
            ],
            **shown,
        },
        *({"job_name": job, "scrape_interval": "15s", "metrics_path": f"/plugins/{job}", "static_configs": own, **shown} for job in PAGES),
        {
            "job_name": "servers",
            "http_sd_configs": [{"url": f"http://{exporter}/targets", "refresh_interval": "10s", **shown}],
            "sample_limit": LONGEST,
            "body_size_limit": "16MB",
            "metric_relabel_configs": [{"source_labels": ["__name__"], "regex": FOREIGN, "action": "drop"}],
            **shown,
        },
        *(
            {"job_name": name, "static_configs": [{"targets": [f"{settings.host}:{port}"]}], **login}
            for name, port in (("prometheus", settings.prometheus_port), ("alertmanager", settings.alertmanager_port))
        ),
    ]
    if addresses := [address.strip() for address in dcgm.split(",") if address.strip()]:
        jobs.append({"job_name": "dcgm", "static_configs": [{"targets": addresses}]})
    return {
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
        "rule_files": [str(home / "rules.yml")],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"{settings.host}:{settings.alertmanager_port}"]}], **login}],
        },
        "scrape_configs": jobs,
    }


def alertmanager_configuration(airflow_url: str, home: Path) -> dict[str, Any]:
    """Return alertmanager.yml: everything goes to the platform's webhook, by model; it decides what follows and who is told. Pure."""
    hook = {
        "url": f"{airflow_url}{WEBHOOK}",
        "send_resolved": True,
        "max_alerts": 500,  # what is more than this is counted as cut off, and comes with the next
        "http_config": {"authorization": {"type": "Bearer", "credentials_file": str(home / "alerts.token")}, "follow_redirects": False},
    }
    return {
        "route": {
            "receiver": "updraft",
            "group_by": ["alertname", "model"],
            "group_wait": "1s",
            "group_interval": "30s",
            "repeat_interval": "4h",
        },
        "receivers": [{"name": "updraft", "webhook_configs": [hook]}],
    }


def _yaml(data: dict[str, Any]) -> str:
    return str(yaml.safe_dump(data, sort_keys=False))


def _digest(home: Path) -> str:
    """Return what stands for all files: a program is started anew when one has changed."""
    files = sorted(path for path in home.iterdir() if path.suffix in (".yml", ".token") or path.name == "password")
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
