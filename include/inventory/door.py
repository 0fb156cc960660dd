"""The agent's side of the pool's API: one request, PUT a report, with the reporter's own token."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from include.errors import ComponentError, InputError
from include.runtime import web

TIMEOUT_S = (3.05, 10.0)
"""To connect, to answer."""


class ReportRefused(InputError):
    """The server has understood and says no; ``status`` is its HTTP status."""

    def __init__(self, status: int, what: str, *, where: str, remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.status = status


class Door:
    """Sends reports to ``server``. The token is read from its file when it is needed first, and again when the server refuses it.

    TLS certificates are always checked. A token goes over plain HTTP to this machine only, unless ``plain_http`` allows more.
    """

    def __init__(self, server: str, token_file: Path, reporter: str, *, plain_http: bool = False) -> None:
        self._url = f"{_checked(server, plain_http)}/gpu-pool/v1/reports/{quote(reporter, safe='')}"
        self._token_file = token_file
        self._token = ""
        self._session = web.session()

    def report(self, body: dict[str, Any]) -> dict[str, Any]:
        """What the pool answers. Raises ReportRefused, ComponentError when it is away, InputError when there is no token."""
        known = bool(self._token)
        if not known:
            self._token = self._read_token()
        answer = self._put(body)
        if answer.status_code == 401 and known:
            self._token = self._read_token()
            answer = self._put(body)
        if answer.status_code >= 500 or 300 <= answer.status_code < 400:
            raise ComponentError(f"answered {answer.status_code}.", where=self._url)
        if answer.status_code >= 400:
            if answer.status_code == 401:
                self._token = ""  # read anew next time: somebody may have replaced it by then
            raise ReportRefused(answer.status_code, f"refused the report ({answer.status_code}): {_detail(answer)}", where=self._url)
        return _object(answer)

    def _put(self, body: dict[str, Any]) -> requests.Response:
        try:
            headers = {"Authorization": f"Bearer {self._token}"}
            # No redirects: the token is for this server alone.
            return self._session.put(self._url, json=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as error:
            raise ComponentError(f"gives no answer ({type(error).__name__}).", where=self._url) from None

    def _read_token(self) -> str:
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not ASCII text"
            raise InputError(f"the token cannot be read ({reason}).", where=str(self._token_file), remedy=REMEDY) from None
        if not token or not token.isprintable():
            raise InputError("holds no token.", where=str(self._token_file), remedy=REMEDY)
        return token


REMEDY = "An admin gets one with POST /gpu-pool/v1/agents/<reporter>; on the platform's own machine `make up` does."


def _checked(server: str, plain_http: bool) -> str:
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InputError(
            f"{server!r:.200} is no address.", where="--server", remedy="Give the API server's, such as https://airflow.example."
        )
    if parts.scheme == "http" and not plain_http and not _here(parts.hostname):
        raise InputError(
            "would send the token in clear.", where="--server", remedy="Use https, or say --plain-http if the network is private."
        )
    return server.rstrip("/")


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _object(answer: requests.Response) -> dict[str, Any]:
    """An older server, or whoever stands before it, may answer otherwise: the report was taken all the same."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
