"""HTTP: one client, and one way to try again. (Where many are asked at once, by aiohttp.)"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests
    from urllib3.util.retry import Retry

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
AGAIN_S = 0.2


def session(again: Retry | None = None) -> requests.Session:
    """Return a session that sends the headers it is given: a login in ``~/.netrc`` replaces none. ``again``: of all that it asks."""
    import requests
    from requests.adapters import HTTPAdapter

    made = requests.Session()
    made.auth = _as_it_is
    if again is not None:
        for scheme in ("http://", "https://"):
            made.mount(scheme, HTTPAdapter(max_retries=again))
    return made


def again(times: int, pause_s: float, *, connect: bool = True, methods: Collection[str] | None = IDEMPOTENT) -> Retry:
    """Return what is tried again: what a server fails (5xx) and, with ``connect``, what gets no answer; of ``methods`` alone, None: of all.

    The first time at once, then after ``pause_s`` times 2, 4, 8 … seconds. The last answer is the caller's, whatever its status.
    """
    from urllib3.util.retry import Retry

    return Retry(
        total=times,
        connect=times if connect else 0,
        read=times if connect else 0,
        other=0,
        status_forcelist=range(500, 600),
        allowed_methods=methods,
        backoff_factor=pause_s,
        raise_on_status=False,
        respect_retry_after_header=False,
    )


def ask(method: str, url: str, **options: Any) -> requests.Response:
    """Return the answer to one request, made once; ``options`` as of `requests`. Raises OSError when there is none."""
    with session() as once:
        return once.request(method, url, **options)


def insist(url: str, headers: Mapping[str, str], body: Any, timeout_s: float, deadline: float) -> tuple[bytes, str]:
    """Return the body that a POST of JSON is answered with, or what went wrong: ``503: out of memory``.

    What a server fails (5xx), and what gets no answer in ``timeout_s`` seconds, is asked again until ``deadline``, by the monotonic clock.
    Numbers may be NaN, which KServe's servers read.
    """
    told = {**headers, "content-type": "application/json"}
    while True:
        try:
            answer = ask("POST", url, data=json.dumps(body).encode(), headers=told, timeout=timeout_s)
            if answer.ok:
                return answer.content, ""
            problem, final = f"{answer.status_code}: {sentence(answer.content)}", answer.status_code < 500
        except OSError as error:
            problem, final = f"no answer ({error})", False
        if final or time.monotonic() > deadline:
            return b"", problem
        time.sleep(AGAIN_S)


def sentence(body: bytes) -> str:
    """Return what an error says: KServe's ``{"error": "…"}``, OpenAI's ``{"error": {"message": "…"}}``, or the beginning of the text."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return body[:300].decode(errors="replace")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
