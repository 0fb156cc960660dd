"""A small client of Label Studio's API."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.errors import ComponentError, InputError
from include.runtime import web

PAGE = 200
AT_ONCE = 200
"""Tasks of one import: a picture is in each."""
TIMEOUT_S = 120.0
CONNECTION = "updraft_labels"
TRIES, AGAIN_S = 3, 0.5
RENEW_S = 240.0
"""A personal access token's access tokens live for five minutes."""


class Gone(InputError):
    """What was asked for is not there, or no longer."""


class LabelStudio:
    """Calls with the token of one of its users: a legacy token (40 digits), or a personal access token, which is exchanged for short-lived
    ones. Raises ComponentError when there is no answer, InputError for a refusal, Gone for what is not there. No error holds the token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self._token = url.rstrip("/"), token
        self._session = web.session(web.again(TRIES, AGAIN_S, connect=False))
        self._access, self._until = "", 0.0

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """Return the JSON answer of ``path``; None for an empty one."""
        answer = self._send(method, path, **kwargs)
        if answer.status_code == 401 and self._personal:
            self._until = 0.0
            answer = self._send(method, path, **kwargs)
        if answer.status_code == 401:
            raise InputError(
                f"Label Studio refuses its token: {_detail(answer)}",
                where=f"connection {CONNECTION}",
                remedy="It has expired or was taken back: put a valid one into the connection's password, then clear the task.",
            )
        if answer.status_code >= 500:
            raise ComponentError(f"{method} {path} answered {answer.status_code}: {_detail(answer)}", where=self.url)
        if answer.status_code == 404:
            raise Gone(f"{method} {path}: {_detail(answer)}", where=self.url)
        if answer.status_code >= 300:
            raise InputError(f"{method} {path} was refused ({answer.status_code}): {_detail(answer)}", where=self.url)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise ComponentError(f"{method} {path} answered with no JSON: is it Label Studio?", where=self.url) from None

    def projects(self) -> Iterator[dict[str, Any]]:
        """Yield every project that the user sees."""
        page = 1
        while True:
            found = self.call("GET", "/api/projects/", params={"page": page, "page_size": PAGE})
            yield from found["results"]
            if not found.get("next"):
                return
            page += 1

    def project(self, project: int) -> dict[str, Any]:
        """Return one project: ``label_config``, ``num_tasks_with_annotations``, and more."""
        return dict(self.call("GET", f"/api/projects/{project}/"))

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """Return every task of a project, without its annotations: ``id``, ``data``, ``total_annotations``, ``meta``."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            query: dict[str, Any] = {"project": project, "page": page, "page_size": PAGE, "fields": "task_only"}
            part = self.call("GET", "/api/tasks/", params=query)
            found += part["tasks"]
            if not part["tasks"] or len(found) >= int(part["total"]):
                return found
            page += 1

    def add(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Import tasks, some at once."""
        for begin in range(0, len(tasks), AT_ONCE):
            self.call("POST", f"/api/projects/{project}/import", json=list(tasks[begin : begin + AT_ONCE]))

    def export(self, project: int) -> list[dict[str, Any]]:
        """Return every task that somebody has labelled, with all its annotations."""
        found = self.call("GET", f"/api/projects/{project}/export", params={"exportType": "JSON"})
        if not isinstance(found, list):
            raise ComponentError("its export is no list of tasks.", where=self.url)
        return found

    def people(self) -> dict[int, str]:
        """Return the e-mail addresses of its users by their ids."""
        return {int(user["id"]): str(user.get("email") or user.get("username") or user["id"]) for user in self.call("GET", "/api/users/")}

    @property
    def _personal(self) -> bool:
        return self._token.count(".") == 2  # a JSON Web Token

    def _send(self, method: str, path: str, **kwargs: Any) -> Any:
        authorization = f"Bearer {self._renewed()}" if self._personal else f"Token {self._token}"
        return self._asked(method, path, headers={"Authorization": authorization}, **kwargs)

    def _asked(self, method: str, path: str, **kwargs: Any) -> Any:
        import requests

        try:
            return self._session.request(method, self.url + path, timeout=TIMEOUT_S, allow_redirects=False, **kwargs)
        except requests.RequestException as error:
            what = f"{method} {path} got no answer ({type(error).__name__})."
            raise ComponentError(what, where=f"Label Studio at {self.url}", remedy="Is it up? `make up LABELS=1` starts it.") from None

    def _renewed(self) -> str:
        """An access token for the personal one. One that is refused is told by the call that follows."""
        if time.monotonic() >= self._until:
            answer = self._asked("POST", "/api/token/refresh/", json={"refresh": self._token})
            if answer.status_code >= 500:
                raise ComponentError(f"answered {answer.status_code}.", where=f"Label Studio at {self.url}")
            self._access = str(answer.json().get("access") or "none") if answer.ok else "none"
            self._until = time.monotonic() + (RENEW_S if answer.ok else 0.0)
        return self._access


def _detail(answer: Any) -> str:
    try:
        body = answer.json()
    except ValueError:
        return str(answer.text)[:300]
    if not isinstance(body, dict):
        return str(body)[:300]
    return f"{body.get('detail', '')} {body.get('validation_errors') or ''}".strip()[:1000]
