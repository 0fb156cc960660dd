"""Where the exporter's figures come from: Envoy's socket, both plugins, the servers behind their keys, and the machine itself."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import requests

from include.errors import InputError, UpdraftError
from include.exporter import figures
from include.gateway.gateway import Gateway
from include.runtime.credentials import VIEWER, Credentials
from include.runtime.settings import Settings, folders
from include.serving.revisions import Revisions

CERTIFICATES, BUDGET = "UPDRAFT_CERTIFICATES", "UPDRAFT_BUDGET_USD_PER_DAY"
TIMEOUT_S = 5.0
MOST_BYTES = 16 * 1024 * 1024
"""Of one answer: a server may be a user's own."""
PAGES = {"lifecycle": "/lifecycle/v1/metrics", "gpu-pool": "/gpu-pool/v1/metrics"}
"""The plugins' figures, by Prometheus' job."""
_HEALTHY = re.compile(r"cluster\.(.+)\.membership_healthy")


class Silent(Exception):
    """A source gives no answer; the message says which and why."""


class Sources:
    """Questions to one platform; each is bounded in time and length."""

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self._settings, self._credentials = settings, credentials
        self._gateway, self._revisions = Gateway(settings), Revisions(settings)
        self._token = ""
        self.certificates = certificates(os.environ.get(CERTIFICATES, ""))
        self.budget_usd = budget(os.environ.get(BUDGET, ""))

    def platform(self) -> str:
        """Return the platform's own figures. Parts that don't answer are 0 or absent, never a failure of the whole."""
        found = figures.Platform(
            self._champions(),
            self._components(),
            figures.disks({"home": self._settings.home, "models": self._settings.models, "batch": self._settings.batch}),
            {name: figures.certificate_end(path) for name, path in self.certificates.items()},
            self.budget_usd,
        )
        return found.text()

    def gateway(self) -> str:
        """Return Envoy's figures of clusters and of its listener, those that were ever counted."""
        try:
            return self._gateway.admin.prometheus(r"^(cluster\..*(upstream_rq|upstream_cx_active|membership)|http\.gateway\.downstream_rq)")
        except UpdraftError as error:
            raise Silent(str(error)) from None

    def plugin(self, job: str) -> str:
        """Return a plugin's figures, read by the viewer's login. KeyError for a job that is none."""
        path = PAGES[job]
        try:
            answer = self._ask(path)
            if answer.status_code == 401:
                self._token = ""
                answer = self._ask(path)
        except requests.RequestException as error:
            raise Silent(f"Airflow gives no answer ({type(error).__name__}).") from None
        if answer.status_code != 200:
            raise Silent(f"{path} answered {answer.status_code}.")
        return answer.text

    def server(self, model: str, version: str, number: int = 1) -> str:
        """Return the figures of a revision's server of a number. KeyError for one that there isn't, or that has none."""
        revision = self._revisions.find(model, version)
        servers = [revision, *self._revisions.replicas(revision)] if revision else []
        found = next((one for one in servers if one.number == number), None)
        place = self._revisions.scraped(found) if found else None
        if place is None:
            raise KeyError(f"{model}-{version}")
        url, headers = place
        try:
            with requests.get(url, headers=headers, timeout=TIMEOUT_S, stream=True, allow_redirects=False) as answer:
                if answer.status_code != 200:
                    raise Silent(f"The server of {model} {version} answered {answer.status_code}.")
                text = answer.raw.read(MOST_BYTES + 1, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise Silent(f"The server of {model} {version} gives no answer ({type(error).__name__}).") from None
        if len(text) > MOST_BYTES:
            raise Silent(f"The server of {model} {version} told more than {MOST_BYTES} bytes.")
        return str(text.decode(errors="replace"))

    def targets(self, address: str) -> list[dict[str, Any]]:
        """Return the servers that have figures, as Prometheus' discovery by HTTP reads them: at ``address``, this exporter."""
        found = []
        for revision in self._revisions.servers():
            if self._revisions.scraped(revision) is not None:
                path = f"/servers/{revision.model}/{revision.version}"
                labels = {"model": revision.model, "revision": revision.version, "backend": revision.backend}
                if revision.number > 1:
                    path, labels = f"{path}/{revision.number}", {**labels, "server": str(revision.number)}
                found.append({"targets": [address], "labels": {"__metrics_path__": path, **labels}})
        return found

    def _champions(self) -> dict[tuple[str, str], bool] | None:
        try:
            counted = self._gateway.admin.counters(r"membership_healthy$")
            splits = {model: split.weights for model in self._gateway.models() if (split := self._gateway.split(model)) is not None}
        except UpdraftError:
            return None
        healthy = {name[1]: count for text, count in counted.items() if (name := _HEALTHY.fullmatch(text))}
        return figures.champions(splits, healthy)

    def _components(self) -> dict[str, bool]:
        try:
            told = requests.get(f"{self._settings.airflow_url}/api/v2/monitor/health", timeout=TIMEOUT_S).json()
            parts = {name: (part or {}).get("status") for name, part in told.items()}
        except (requests.RequestException, ValueError, AttributeError):
            return {"api-server": False}  # of the others nothing is known
        return {"api-server": True} | {name.replace("_", "-"): status == "healthy" for name, status in parts.items() if status}

    def _ask(self, path: str) -> requests.Response:
        if not self._token:
            body = {"username": VIEWER, "password": self._credentials.airflow_passwords[VIEWER]}
            login = requests.post(f"{self._settings.airflow_url}/auth/token", json=body, timeout=TIMEOUT_S)
            if login.status_code >= 400:
                raise Silent(f"Airflow's login answered {login.status_code}.")
            self._token = str(login.json()["access_token"])
        return requests.get(self._settings.airflow_url + path, headers={"Authorization": f"Bearer {self._token}"}, timeout=TIMEOUT_S)


def certificates(text: str) -> dict[str, Path]:
    """Return name → file of ``name=/file.pem:name=/file.pem``. Raises InputError."""
    try:
        return folders(text)
    except InputError:
        raise InputError(f"{text!r:.200} names no files.", where=CERTIFICATES, remedy="Write name=/absolute/file.pem.") from None


def budget(text: str) -> float | None:
    """Return US dollars a day, None for "". Raises InputError."""
    if not text:
        return None
    try:
        value = float(text)
        if not 0 < value < float("inf"):
            raise ValueError
    except ValueError:
        raise InputError(f"{text!r:.50} is no sum of money.", where=BUDGET, remedy="Write US dollars a day: 25.5") from None
    return value
