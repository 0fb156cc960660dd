"""A notice, and the one template by which every channel gives it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

LONGEST = 4000
SHORTEST_SECRET = 8
HIDDEN = "***"
_IN_ADDRESS = re.compile(r"((?<!\w)\w[\w+.-]{0,30}://[^\s/:@]*:)[^\s/@]+@")
_NAMED = re.compile(r"(?i)\b(password|passwd|secret|token|api[_-]?key|authorization)([\"']?\s*[=:]\s*[\"']?(?:bearer\s+)?)([^\s\"',;]{4,})")


class What(StrEnum):
    """What a notice is about; a channel may name those that it wants."""

    VERDICT = "verdict"
    FAILURE = "failure"
    APPROVAL = "approval"
    ALARM = "alarm"
    HELLO = "hello"


@dataclass(frozen=True)
class Notice:
    """One thing that people are told, once a channel: ``key`` tells it from all others; one that is ``urgent`` does not wait for the end
    of quiet hours.

    ``path`` is where it is seen in Airflow's UI, from its root; ``model`` is empty for the platform itself.
    """

    key: str
    what: What
    model: str
    title: str
    text: str
    path: str
    urgent: bool = False


def rendered(notice: Notice, address: str, secrets: Iterable[str] = ()) -> tuple[str, str]:
    """Return title and text as they are sent, the text with the link to ``address`` of the UI. No secret is in them: neither one of
    ``secrets``, nor what stands where a password would."""
    link = f"{address.rstrip('/')}/{notice.path.lstrip('/')}"
    title = masked(" ".join(notice.title.split()), secrets)[:200]
    return title, f"{masked(notice.text.strip(), secrets)[:LONGEST]}\n\n{link}".lstrip()


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return the text, or of a long one its beginning, without any of the secrets, and without passwords in addresses or after their
    names."""
    for secret in sorted((one for one in secrets if len(one) >= SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = text[: 2 * LONGEST]  # behind the secrets, of which no half may be left
    return _NAMED.sub(rf"\1\2{HIDDEN}", _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text))
